"""What only resuming needs, and how much room things take."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from qakit.files import writing
from qakit.runs.folder import Run

_CHECKPOINT = re.compile(r"step-\d{8,}")
_CANDIDATE = re.compile(r"step-\d{8,}\.safetensors")
_HALF_WRITTEN = re.compile(r"\.step-\d{8,}(\.safetensors)?\.(old|.*\.tmp)")


def checkpoints_in(folder: Path) -> list[Path]:
    """The checkpoints in a folder by their names, the earliest first: folders, and no links to any."""
    found = [path for path in folder.glob("step-*") if _CHECKPOINT.fullmatch(path.name)]
    return sorted(
        (path for path in found if path.is_dir() and not path.is_symlink()),
        key=lambda path: (len(path.name), path.name),
    )


def needed_to_resume(run: Run) -> list[Path]:
    """What a training keeps to be gone on with: its checkpoints and the candidates of a soup, half-written ones, too.

    Nothing but what has the name of such a thing, and nothing behind a link.
    """
    found: list[Path] = []
    for folder, name in ((run.checkpoints, _CHECKPOINT), (run.soup, _CANDIDATE)):
        if folder.is_dir() and not folder.is_symlink():
            paths = sorted(folder.iterdir())
            found += [path for path in paths if name.fullmatch(path.name) or _HALF_WRITTEN.fullmatch(path.name)]
    return found


def forget_training(run: Run) -> None:
    """Remove what only resuming needs. For whoever holds the run's lock.

    Raises:
        OutputError: the file system refuses.
    """
    for path in needed_to_resume(run):
        with writing(path):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    for folder in (run.checkpoints, run.soup):
        if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
            folder.rmdir()


def bytes_of(*paths: Path) -> int:
    """The size of files, and of all that is in folders; of several names for one file only one counts."""
    sizes: dict[tuple[int, int], int] = {}
    for file in (file for path in paths for file in _files(path)):
        try:
            found = file.lstat()
        except FileNotFoundError:  # a training replaces it at this moment
            continue
        sizes[found.st_dev, found.st_ino] = found.st_size
    return sum(sizes.values())


def _files(path: Path) -> Iterator[Path]:
    """Not ``rglob``, which fails where a training replaces a folder at this moment."""
    if not path.is_dir() or path.is_symlink():
        yield path
        return
    for parent, _, names in os.walk(path):
        yield from (Path(parent, name) for name in names)
