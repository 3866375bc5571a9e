"""A study's folder: the runs, what was started, and the reports.

::

    studies/NAME/
      study.json    name, description, file, and the command lines that were given
      study.db      the trials, where the study names no other storage
      runs/         000-LABEL/ ...: ordinary run folders, each with study.log, what its training said
      REPORT.md     `qakit study report`; report.html and pictures/ beside it
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qakit.errors import RunError, UsageError
from qakit.files import check_readable, write_json
from qakit.numbers import load_json
from qakit.recipe.read import SUFFIXES
from qakit.runs import refuse_ways_out
from qakit.study.load import LoadedStudy, load_study

ROOT = Path("studies")


@dataclass(frozen=True, slots=True)
class StudyFolder:
    """A study's folder by its parts; nothing is read until asked."""

    path: Path

    @property
    def about_file(self) -> Path:
        return self.path / "study.json"

    @property
    def database(self) -> Path:
        return self.path / "study.db"

    @property
    def runs(self) -> Path:
        return self.path / "runs"

    def about(self) -> dict[str, Any]:
        """What study.json holds.

        Raises:
            RunError: there is none, or it is damaged.
        """
        if not self.about_file.is_file():
            raise RunError(f"{self.path} is not a study: it has no study.json (`qakit study list` shows the studies)")
        check_readable(self.about_file)
        try:
            about = load_json(self.about_file.read_text("utf-8"))
            sound = isinstance(about["name"], str) and isinstance(about["file"], str)
        except (OSError, ValueError, KeyError, TypeError):
            sound = False
        if not sound:
            raise RunError(f"{self.about_file} is damaged: start the study again, it goes on where it was")
        return dict(about)

    def begin(self, loaded: LoadedStudy, command: Sequence[str]) -> None:
        """Note what is run here, and by which command.

        Raises:
            UsageError: another study lies here.
        """
        commands: list[Any] = []
        if self.about_file.is_file():
            about = self.about()
            if about["name"] != loaded.name:
                raise UsageError(f"{self.path} holds the study {about['name']!r}; name another --output")
            commands = list(about.get("commands", []))
        if list(command) not in commands:
            commands.append(list(command))
        study = loaded.study
        write_json(
            self.about_file,
            {
                "name": loaded.name,
                "description": study.description,
                "file": str(loaded.path.resolve()),
                "own_storage": study.storage is None,
                "commands": commands,
            },
        )


def run_name(number: int, label: str) -> str:
    """The name of a trial's run folder."""
    return f"{number:03d}-{label}"


def find_study(path: Path) -> tuple[StudyFolder, LoadedStudy | None]:
    """The study that a folder or a study file means; its file, where it is still there.

    Raises:
        RunError: nothing was run, or a link in the folder leads out of it.
        RecipeError: the study file is not sound.
    """
    if path.suffix in SUFFIXES and not path.is_dir():
        loaded = load_study(path)
        folder = StudyFolder(ROOT / loaded.name)
        if not folder.about_file.is_file():
            raise RunError(f"there is no {folder.path}: `qakit study run {path}` makes it; or name the study's folder")
        refuse_ways_out(folder.path)
        return folder, loaded
    folder = StudyFolder(path)
    if not path.is_dir() and (ROOT / path / "study.json").is_file():
        folder = StudyFolder(ROOT / path)
    refuse_ways_out(folder.path)
    file = Path(folder.about()["file"])
    return folder, load_study(file) if file.is_file() else None


def list_studies(root: Path) -> list[StudyFolder]:
    """The studies directly under ``root``, by name."""
    return [StudyFolder(file.parent) for file in sorted(root.glob("*/study.json"))] if root.is_dir() else []
