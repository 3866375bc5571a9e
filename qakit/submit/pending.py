"""What is to be submitted, and the folder in which a copy of it is kept."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from qakit import __version__
from qakit.errors import DataError
from qakit.files import file_sha256, replace_folder, write_text
from qakit.submit.official import installed_version
from qakit.submit.preflight import Preflight
from qakit.submit.record import Record, Score, new_id
from qakit.submit.remote import Kaggle

LONGEST_MESSAGE = 400
"""Characters; the tag comes behind it and must not be cut off."""


class PendingSubmission(Protocol):
    """Something on its way to a competition: a file, or a notebook's output."""

    @property
    def competition(self) -> str: ...

    @property
    def notebook(self) -> str | None:
        """``owner/name@version``; None for a file."""
        ...

    def matches(self, record: Record) -> bool:
        """Whether the record is of the same thing for the same competition."""
        ...

    def record(self) -> Record:
        """A new ledger record in the state INTENT."""
        ...

    def keep(self, record: Record, ledger_folder: Path) -> Path:
        """Make sure that the record's folder holds what is sent, or what is known of it."""
        ...

    def bring(self, record: Record, ledger_folder: Path, kaggle: Kaggle) -> Callable[[], int]:
        """Do all that may be done twice; returns the call that may not: it submits, and gives the reference."""
        ...


@dataclass(frozen=True, slots=True)
class FileSubmission:
    """A checked file on its way to a competition."""

    competition: str
    checked: Preflight
    message: str
    run_id: str | None = None
    recipe: str | None = None
    """The run's resolved recipe as YAML."""
    score: Score = field(default_factory=Score)
    baselines: Mapping[str, float] = field(default_factory=dict)
    stages: Mapping[str, Any] | None = None
    """Of a pipeline: how its stages did on validation data, as metrics.json has it."""

    @property
    def notebook(self) -> None:
        """A file is no notebook."""
        return None

    def matches(self, record: Record) -> bool:
        """Whether the record is of the same bytes for the same competition."""
        return record.competition == self.competition and record.sha256 == self.checked.sha256

    def record(self) -> Record:
        """A new ledger record in the state INTENT."""
        return new_record(
            self.competition,
            self.message,
            sha256=self.checked.sha256,
            bytes=self.checked.bytes,
            rows=self.checked.rows,
            file=self.checked.path.name,
            run_id=self.run_id,
            **self.score.as_record(),
            baselines=dict(self.baselines),
        )

    def bring(self, record: Record, ledger_folder: Path, kaggle: Kaggle) -> Callable[[], int]:
        """Upload the copy that is kept; returns the call that submits it."""
        token = kaggle.upload(self.competition, self.keep(record, ledger_folder))
        return partial(kaggle.create, self.competition, token, record.description)

    def keep(self, record: Record, ledger_folder: Path) -> Path:
        """The submission's folder with a copy of the file that is the very one that was checked; returns the copy.

        Raises:
            DataError: the file has changed since it was checked.
            OutputError: the copy cannot be written.
        """
        folder = ledger_folder / record.folder
        kept = folder / record.file
        if kept.is_file() and file_sha256(kept) == record.sha256:
            return kept
        with replace_folder(folder) as temporary:
            try:
                shutil.copyfile(self.checked.path, temporary / record.file)
            except FileNotFoundError:
                raise DataError("has vanished since it was checked", path=self.checked.path) from None
            if file_sha256(temporary / record.file) != record.sha256:
                raise DataError("has changed since it was checked; start again", path=self.checked.path)
            if self.recipe is not None:
                write_text(temporary / "recipe.yaml", self.recipe)
            if self.run_id is not None:
                write_text(temporary / "run.txt", f"{self.run_id}\n")
        return kept


def new_record(competition: str, message: str, **facts: Any) -> Record:
    """A record in the state INTENT, with a fresh id, its folder's name, and what made it."""
    from qakit.runs import environment

    submit_id, machine = new_id(), environment()
    record = Record(
        submit_id=submit_id,
        competition=competition,
        folder=f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{competition}-{submit_id}",
        message=description_line(message),
        versions={"qakit": __version__, "kaggle": installed_version(), "python": machine["python"]},
        git_commit=machine["git_commit"],
        **facts,
    )
    return record.to("INTENT")


def description_line(text: str) -> str:
    """A message as Kaggle's list shows it: one line, not too long."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_MESSAGE else line[: LONGEST_MESSAGE - 1] + "…"
