"""Example packages of `tests/third_party`, installed into this process as an installer would."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from qakit.registry import load_registry

PACKAGES = Path(__file__).parent / "third_party"


@contextmanager
def installed(package: Path, folder: Path) -> Iterator[None]:
    """Meanwhile a package's plugins are there.

    Args:
        package: its folder, with a pyproject.toml and `src`.
        folder: an empty folder for its metadata.
    """
    project = tomllib.loads((package / "pyproject.toml").read_text("utf-8"))["project"]
    metadata = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    points = [f"{name} = {value}" for name, value in project["entry-points"]["qakit"].items()]
    (metadata / "entry_points.txt").write_text("\n".join(["[qakit]", *points]) + "\n")
    modules = [folder.name for folder in (package / "src").iterdir()]
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.syspath_prepend(package / "src")
        load_registry.cache_clear()
        yield
    load_registry.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] in modules]:
        del sys.modules[name]
