"""What takes longer than most tests' trainings, not done at all: drawing, reading the cards of datasets, building
qakit's wheel anew, and waiting for the disk.

In place of a picture a PNG of one point is written, with a digest of the figure's lines and texts, so that runs whose
curves differ still differ in it. Tests that look at pictures take the fixture ``drawn_pictures``. What a power cut
would leave is played by those tests that put their own functions in the place of ``os.fsync``.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any

import yaml
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import qakit
from qakit.submit import wheel

draw = Figure.savefig
"""What matplotlib does."""


def write_digest(figure: Figure, target: str | Path, **options: Any) -> None:
    """In the place of ``Figure.savefig``; other formats than PNG are drawn."""
    if options.get("format", str(target).rpartition(".")[2]) != "png":
        draw(figure, target, **options)
        return
    digest = blake2b(digest_size=16)
    for axes in figure.axes:  # their ticks follow from their lines
        for line in axes.lines:
            digest.update(line.get_xydata().tobytes())
    for text in _texts(figure):
        digest.update(text.get_text().encode())
    information = PngInfo()
    information.add_text("digest", digest.hexdigest())
    Image.new("L", (1, 1)).save(target, "png", pnginfo=information)


def _texts(figure: Figure) -> Iterator[Text]:
    yield from figure.texts
    for axes in figure.axes:
        legend = axes.get_legend()
        yield from (
            axes.title,
            axes.xaxis.label,
            axes.yaxis.label,
            *axes.texts,
            *(legend.get_texts() if legend else ()),
        )


def do_not_wait(handle: Any) -> None:
    """In the place of ``os.fsync``: an error where the file is closed, and no waiting."""
    os.fstat(handle if isinstance(handle, int) else handle.fileno())


build = wheel._built
"""What builds a wheel."""
wheels: dict[Path, bytes] = {}
"""Qakit's, by its checkout, which does not change meanwhile."""


def build_once(source: Path, folder: Path) -> Path:
    """In the place of what builds a wheel: a copy of qakit's, once there is one."""
    if not (source / "qakit" / "cli").is_dir():
        return build(source, folder)
    target = folder / f"qakit-{qakit.__version__}-py3-none-any.whl"
    if source in wheels:
        target.write_bytes(wheels[source])
    else:
        assert build(source, folder) == target
        wheels[source] = target.read_bytes()
    return target


looked_through = 0
"""How many modules there were when what they hold was set aside."""


def set_imports_aside() -> None:
    """Between two tests: garbage is collected, and what is left is no longer looked through."""
    global looked_through
    looked_through = len(sys.modules)
    gc.collect()
    gc.freeze()


def be_quick() -> None:
    """From now on."""
    yaml.SafeLoader = yaml.CSafeLoader  # of cards; the hub's client and datasets take the slow one
    Figure.savefig = write_digest  # type: ignore[method-assign]
    os.fsync = do_not_wait
    wheel._built = build_once
