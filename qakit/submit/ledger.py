"""Ledgers: every state of every submission, or session, one JSON object a line, only ever added to.

A line is the whole record; the last line of a record's key counts. It is written and synced to disk **before** what it
announces is done, so a process killed at any moment leaves a ledger that tells how far it came. A line without its
line end was being written when the process died: nothing had followed from it, and the next writer takes it off.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from qakit.errors import DataError, SubmissionError
from qakit.files import folder_to_disk, make_folder, writing
from qakit.numbers import load_json
from qakit.runs import refuse_ways_out
from qakit.submit.record import Record
from qakit.temporary import remove_leftovers

LOCK_WAIT = 900.0
"""Seconds to wait for another process that is submitting (a large upload takes its time)."""

_BINARY: int = getattr(os, "O_BINARY", 0)
"""Windows would write other line ends."""


class Kept(Protocol):
    """A record that a ledger keeps."""

    @property
    def key(self) -> str:
        """What tells it from the others."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """It as plain data."""
        ...


R = TypeVar("R", bound=Kept)


@dataclass(frozen=True)
class Book(Generic[R]):
    """A ledger in a folder. The value holds only the path."""

    folder: Path
    where: ClassVar[str]
    """What Kaggle has of it is on its site where?"""

    def record(self, line: Mapping[str, Any]) -> R:
        """A line's record.

        Raises:
            ValueError: something is missing or has the wrong type.
        """
        raise NotImplementedError

    @property
    def file(self) -> Path:
        return self.folder / "ledger.jsonl"

    def read(self) -> list[R]:
        """Every record in its last state, in the order of their first lines.

        Raises:
            DataError: a line is damaged; says which one.
        """
        self._check_place()
        try:
            content = self.file.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise DataError(f"cannot be read ({error.strerror})", path=self.file) from None
        records: dict[str, R] = {}
        for number, line in enumerate(content[: content.rfind(b"\n") + 1].split(b"\n")[:-1], start=1):
            record = self._parse(line, number)
            records[record.key] = record
        return list(records.values())

    def find(self, key: str) -> R | None:
        """One record in its last state."""
        return next((record for record in self.read() if record.key == key), None)

    @contextmanager
    def locked(self, *, wait: float = LOCK_WAIT, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Keep other processes out: only one reads, decides, submits and writes at a time.

        Raises:
            SubmissionError: another process still has it after ``wait`` seconds.
            OutputError: the folder cannot be written.
        """
        from filelock import FileLock, Timeout

        self._check_place()
        with writing(self.folder):
            make_folder(self.folder)
            lock = FileLock(self.folder / ".lock")
            try:
                lock.acquire(timeout=0)
            except Timeout:
                on_wait()
                try:
                    lock.acquire(timeout=wait)
                except Timeout:
                    raise SubmissionError(
                        f"another qakit process has kept {self.folder} for {wait:.0f} s; try again when it is done"
                    ) from None
        try:
            remove_leftovers(self.folder)  # of a process that was killed while it copied a file
            yield
        finally:
            lock.release()

    def append(self, record: R) -> R:
        """Write a line and sync it to disk; only inside :meth:`locked`. Returns the record.

        Raises:
            OutputError: the file cannot be written; then it is as it was.
        """
        line = (json.dumps(record.to_dict(), ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8", "replace")
        with writing(self.file):
            new = not self.file.exists()
            handle = os.open(self.file, os.O_RDWR | os.O_CREAT | _BINARY, 0o666)
            try:
                end = self.file.read_bytes().rfind(b"\n") + 1  # what follows was being written by a killed process
                os.ftruncate(handle, end)
                try:
                    os.lseek(handle, end, os.SEEK_SET)
                    left = memoryview(line)
                    while left:
                        left = left[os.write(handle, left) :]
                    os.fsync(handle)
                except OSError:
                    os.ftruncate(handle, end)
                    raise
            finally:
                os.close(handle)
            if new:
                folder_to_disk(self.folder)
        return record

    def _check_place(self) -> None:
        """What is written to must lie here, and be files: a folder may come from somebody else.

        Raises:
            DataError: it cannot be read, or is no file.
            RunError: a link leads out of the folder.
        """
        if self.folder.is_dir():
            refuse_ways_out(self.folder)
        if self.file.is_dir():
            raise DataError("is a folder, where a list of records should be", path=self.file)

    def _parse(self, line: bytes, number: int) -> R:
        try:
            value = load_json(line)
            if not isinstance(value, dict):
                raise ValueError("it is no object")
            return self.record(value)
        except ValueError as error:
            raise DataError(
                f"is damaged: {error}; mend or remove the line (what Kaggle has is on its site under '{self.where}')",
                path=self.file,
                row=f"line {number}",
            ) from None


class Ledger(Book[Record]):
    where = "Submissions"

    def record(self, line: Mapping[str, Any]) -> Record:
        return Record.from_dict(line)
