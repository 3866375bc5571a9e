"""What is to be submitted, and the folder in which a copy of it is kept."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from qakit import __version__
from qakit.errors import DataError
from qakit.files import file_sha256, replace_folder, write_json, write_text
from qakit.names import shortened
from qakit.submit.client import KaggleClient, installed_version
from qakit.submit.preflight import Preflight
from qakit.submit.record import Record, Score, new_id

LONGEST_MESSAGE = 400
"""Characters; the tag comes behind it and must not be cut off."""


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
        return None

    def matches(self, record: Record) -> bool:
        """Whether the record is of the same bytes for the same competition."""
        return record.competition == self.competition and record.sha256 == self.checked.sha256

    def record(self) -> Record:
        """A new ledger record in the state INTENT."""
        checked = self.checked
        return new_record(self, sha256=checked.sha256, bytes=checked.bytes, rows=checked.rows, file=checked.path.name)

    def bring(self, record: Record, ledger_folder: Path, kaggle: KaggleClient) -> Callable[[], int]:
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


@dataclass(frozen=True, slots=True)
class NotebookOutput:
    """The output of one version of a notebook on its way to a competition."""

    competition: str
    owner_and_name: str
    version: int
    message: str
    file: str = "submission.csv"
    run_id: str | None = None
    score: Score = field(default_factory=Score)
    baselines: Mapping[str, float] = field(default_factory=dict)

    @property
    def notebook(self) -> str:
        return f"{self.owner_and_name}@{self.version}"

    @property
    def sha256(self) -> str:
        """Stands for the content, which only Kaggle has: a notebook's version never changes."""
        return hashlib.sha256(f"notebook:{self.notebook}:{self.file}".encode()).hexdigest()

    def matches(self, record: Record) -> bool:
        """Whether the record is of the same output for the same competition."""
        return record.competition == self.competition and record.sha256 == self.sha256

    def record(self) -> Record:
        """A new ledger record in the state INTENT."""
        return new_record(self, sha256=self.sha256, bytes=0, rows=0, file=self.file)

    def keep(self, record: Record, ledger_folder: Path) -> Path:
        """Write down which notebook it is."""
        note = ledger_folder / record.folder / "notebook.json"
        write_json(note, {"notebook": self.notebook, "file": self.file})
        return note

    def bring(self, record: Record, ledger_folder: Path, kaggle: KaggleClient) -> Callable[[], int]:
        """Nothing needs to be brought; returns the call that submits."""
        self.keep(record, ledger_folder)
        return partial(
            kaggle.create_from_notebook,
            self.competition,
            self.owner_and_name,
            self.version,
            self.file,
            record.description,
        )


PendingSubmission = FileSubmission | NotebookOutput
"""On its way to a competition. ``keep`` and ``bring`` may be done twice; the call that ``bring`` returns submits."""


def new_record(pending: PendingSubmission, **facts: Any) -> Record:
    """A record in the state INTENT, with a fresh id, its folder's name, and what made it."""
    from qakit.runs import environment

    submit_id, machine = new_id(), environment()
    record = Record(
        submit_id=submit_id,
        competition=pending.competition,
        folder=f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{pending.competition}-{submit_id}",
        message=description_line(pending.message),
        notebook=pending.notebook,
        run_id=pending.run_id,
        baselines=dict(pending.baselines),
        versions={"qakit": __version__, "kaggle": installed_version(), "python": machine["python"]},
        git_commit=machine["git_commit"],
        **pending.score.as_record(),
        **facts,
    )
    return record.to("INTENT")


def description_line(text: str) -> str:
    """A message as Kaggle's list shows it: one line, not too long."""
    return shortened(" ".join(text.split()), LONGEST_MESSAGE)
