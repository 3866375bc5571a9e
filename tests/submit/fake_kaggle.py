"""A Kaggle made of plain objects, and a user's desk before it: no server, no process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from qakit.errors import SubmissionError
from qakit.submit.faults import Fault, KaggleError
from qakit.submit.flow import Outcome, Patience, submit
from qakit.submit.ledger import Ledger
from qakit.submit.pending import FileSubmission
from qakit.submit.preflight import check_csv
from qakit.submit.record import Record
from qakit.submit.remote import Competition, Download, LeaderboardRow, Limits, RemoteFile, RemoteSubmission

PAUSE = 0.001


class Killed(BaseException):
    """The process ends here."""


def fault(status: int | None = None, *, sent: bool = True) -> KaggleError:
    return KaggleError("something went wrong", Fault(status, "something went wrong", sent))


@dataclass
class FakeKaggle:
    """A team of one. ``creating`` and the other lists hold what the next calls do; empty: all is well."""

    info: Competition = field(default_factory=lambda: Competition("qa-cup", "QA", True, False, False, None, 5, "EM"))
    made: list[RemoteSubmission] = field(default_factory=list)
    elsewhere: int = 0
    """Submissions that count and are not in the list."""
    scores: list[RemoteSubmission] = field(default_factory=list)
    """What the next looks at a submission find, before it is COMPLETE."""
    creating: list[str] = field(default_factory=list)
    uploading: list[BaseException] = field(default_factory=list)
    listing: list[BaseException] = field(default_factory=list)
    held_up: list[RemoteSubmission] = field(default_factory=list)
    """Submissions that were asked for and are only made while the next file is uploaded."""
    asked: int = 0
    """How often it was asked to create a submission."""
    left: int = 5

    def competition(self, slug: str) -> Competition:
        return self.info

    def limits(self, slug: str) -> Limits:
        count = len(self.made) + self.elsewhere
        return Limits(count, count, self.left - count)

    def submissions(self, slug: str) -> Iterator[RemoteSubmission]:
        if self.listing:
            raise self.listing.pop(0)
        return iter(list(reversed(self.made)))

    def submission(self, slug: str, ref: int) -> RemoteSubmission:
        if self.scores:
            return replace(self.scores.pop(0), ref=ref)
        found = next(each for each in self.made if each.ref == ref)
        return replace(found, status="COMPLETE", public=0.5)

    def upload(self, slug: str, file: Path) -> str:
        if self.uploading:
            raise self.uploading.pop(0)
        self.made += self.held_up
        self.held_up.clear()
        return file.read_text()

    def create(self, slug: str, token: str, description: str) -> int:
        self.asked += 1
        what = self.creating.pop(0) if self.creating else "well"
        made = RemoteSubmission(100 + len(self.made), "PENDING", description=description)
        if what in ("well", "killed after", "lost after", "no reference after"):
            self.made.append(made)
        if what == "held up":
            self.held_up.append(made)
        match what:
            case "killed before" | "killed after":
                raise Killed
            case "lost before" | "lost after" | "held up":
                raise fault(None)
            case "busy":
                raise fault(503)
            case "never sent":
                raise fault(None, sent=False)
            case "refused":
                raise fault(400)
            case "no reference before" | "no reference after":
                return 0
        return self.made[-1].ref

    def create_from_notebook(self, slug: str, notebook: str, version: int, file_name: str, description: str) -> int:
        return self.create(slug, notebook, description)

    def leaderboard(self, slug: str) -> Iterator[LeaderboardRow]:
        return iter(())

    def data_files(self, slug: str) -> list[RemoteFile]:
        return []

    def download(self, slug: str) -> AbstractContextManager[Download]:
        raise NotImplementedError


class Desk:
    """A ledger and a file, and a command to be started again and again."""

    def __init__(self, folder: Path, kaggle: FakeKaggle | None = None) -> None:
        self.kaggle = kaggle or FakeKaggle()
        self.ledger = Ledger(folder / "submissions")
        self.folder = folder
        self.said: list[str] = []

    def start(self, content: str = "id,answer\n1,a\n", *, force: bool = False, wait: float = 1.0) -> Outcome:
        file = self.folder / "answers.csv"
        file.write_text(content)
        pending = FileSubmission("qa-cup", check_csv(file), "hello")
        patience = Patience(wait, PAUSE)
        return submit(pending, self.ledger, lambda: self.kaggle, force=force, patience=patience, say=self.said.append)

    def refused(self, content: str = "id,answer\n1,a\n", *, force: bool = False) -> SubmissionError:
        with pytest.raises(SubmissionError) as caught:
            self.start(content, force=force)
        return caught.value

    @property
    def states(self) -> list[str]:
        return [record.state for record in self.ledger.read()]

    @property
    def record(self) -> Record:
        [record] = self.ledger.read()
        return record
