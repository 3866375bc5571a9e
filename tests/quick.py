"""What takes longer than most tests' trainings, done once or not at all: reading the signatures of all commands for
each command line, drawing, and reading the cards of datasets.

In place of a picture a PNG of one point is written, with a digest of the figure's lines and texts, so that runs whose
curves differ still differ in it. Tests that look at pictures take the fixture ``drawn_pictures``.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any

import typer.main
import typer.testing
import yaml
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image
from PIL.PngImagePlugin import PngInfo

draw = Figure.savefig
"""What matplotlib does."""


def write_digest(figure: Figure, target: str | Path, **options: Any) -> None:
    """In the place of ``Figure.savefig``; other formats than PNG are drawn."""
    if options.get("format") != "png":
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


def _kept_command(app: typer.Typer) -> Any:
    """Commands of the same functions are the same."""
    groups = [group for group in app.registered_groups if group.typer_instance is not None]
    key = (
        *((each.name, each.callback) for each in app.registered_commands),
        *((each.name, *(one.callback for one in each.typer_instance.registered_commands)) for each in groups),
    )
    if key not in _commands:
        _commands[key] = make_command(app)
    return _commands[key]


_commands: dict[tuple[object, ...], Any] = {}
make_command = typer.main.get_command
"""What typer does."""


def be_quick() -> None:
    """From now on."""
    yaml.SafeLoader = yaml.CSafeLoader  # of cards; the hub's client and datasets take the slow one
    Figure.savefig = write_digest  # type: ignore[method-assign]
    typer.main.get_command = typer.testing._get_command = _kept_command
