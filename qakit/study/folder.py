"""A study's folder: the runs, what was started, and the reports.

::

    studies/NAME/
      study.json    name, description, file, the command lines that were given, and the trials
      search.log    of a search, where the study names no other storage: what was drawn, and what came of it
      runs/         LABEL/ ..., of a search 000-LABEL/ ...: ordinary run folders, with train.log, what was said there
      REPORT.md     `qakit study report`; report.html and pictures/ beside it
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qakit.errors import RunError, UsageError
from qakit.files import check_readable, write_json, writing
from qakit.names import quoted
from qakit.numbers import load_json
from qakit.recipe.read import SUFFIXES
from qakit.runs import Run, refuse_ways_out
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
    def journal(self) -> Path:
        return self.path / "search.log"

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
            sound = sound and isinstance(about.get("commands", []), list)
            Path(about["file"]).is_file()  # a path that no system takes
        except (OSError, ValueError, KeyError, TypeError):
            sound = False
        if not sound:
            raise RunError(f"{self.about_file} is damaged: start the study again, it continues where it was")
        return dict(about)

    def begin(self, loaded: LoadedStudy, command: Sequence[str]) -> None:
        """Note what is run here, and by which command.

        Raises:
            UsageError: another study lies here, or a run.
            RunError: a link in the folder leads out of it.
        """
        refuse_ways_out(self.path)
        if not self.about_file.is_file() and Run(self.path).recipe_file.is_file():
            raise UsageError(f"{self.path} holds a run: choose another --output")
        with self.alone():
            before = self.about() if self.about_file.is_file() else {"name": loaded.name}
            if before["name"] != loaded.name:
                raise UsageError(f"{self.path} holds the study {before['name']!r}; name another --output")
            is_search = loaded.study.search is not None
            if before.get("trials") and before.get("is_search") is not is_search:
                kind = "grid" if is_search else "search"
                raise UsageError(f"{self.path} holds a {kind}: give the study another name, or another --output")
            commands = list(before.get("commands", []))
            if list(command) not in commands:
                commands.append(list(command))
            about: dict[str, Any] = {
                "name": loaded.name,
                "description": loaded.study.description,
                "file": str(loaded.path.resolve()),
                "is_search": is_search,
                "commands": commands,
                "trials": before.get("trials", {}),
            }
            write_json(self.about_file, about)

    def note(self, trials: Mapping[str, Mapping[str, Any]]) -> None:
        """Note trials by the names of their run folders, in the place of what was noted before."""
        with self.alone():
            about = self.about()
            about["trials"] = {**about.get("trials", {}), **trials}
            write_json(self.about_file, about)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else changes the study meanwhile; keep it short. May be nested.

        Raises:
            RunError: somebody else does for too long.
        """
        from filelock import FileLock, Timeout

        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path / ".study.lock", timeout=SECONDS_FOR_A_LOCK, is_singleton=True)
        with writing(self.path):
            try:
                lock.acquire()
            except Timeout:
                raise RunError(f"{self.path} is held by another process for {SECONDS_FOR_A_LOCK} seconds") from None
        try:
            yield
        finally:
            lock.release()


SECONDS_FOR_A_LOCK = 60


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
            begin = f"`qakit study run {quoted(path)}` makes it"
            raise RunError(f"there is no {folder.path}: {begin}; or name the study's folder")
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
