"""Values of the stand-in for Kaggle: competitions and submissions."""

from __future__ import annotations

import csv
import hashlib
import io
import zipfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any


class RefusalError(Exception):
    """What Kaggle answers with ``{"code", "message"}``."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Fate:
    """What becomes of a submission: how often it is seen pending, and then what."""

    pending: int = 0
    status: str = "COMPLETE"
    error: str = ""


@dataclass
class Submission:
    """One row of the team's list."""

    ref: int
    competition: str
    description: str
    file_name: str
    content: bytes
    date: datetime
    fate: Fate
    code: dict[str, Any] | None = None
    hidden: int = 0
    """How many more listings leave it out: Kaggle's list lags behind."""

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


@dataclass
class Competition:
    """One competition, seen by one team."""

    slug: str
    files: dict[str, bytes]
    solution: dict[str, str]
    title: str = "Questions and Answers"
    metric: str = "Exact Match"
    max_daily: int = 5
    entered: bool = True
    kernels_only: bool = False
    disabled: bool = False
    deadline: datetime = field(default_factory=lambda: datetime.now(UTC) + timedelta(days=30))
    zipped: set[str] = field(default_factory=set)
    """Files that are served as ``NAME.zip``."""
    archive: bytes | None = None
    """Served instead of a zip of ``files``."""
    teams: list[tuple[str, str]] = field(default_factory=lambda: [("Ada", "0.90"), ("Grace", "0.40")])

    def bundle(self) -> bytes:
        """All files in a zip."""
        if self.archive is not None:
            return self.archive
        return zipped(self.files)


def zipped(files: dict[str, bytes]) -> bytes:
    """A zip in memory."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


def small_competition(slug: str = "qa-cup", *, rows: int = 8, **settings: Any) -> Competition:
    """A competition with ``rows`` test questions whose right answers are ``answer 0``, ``answer 1`` ..."""
    ids = [f"q{number}" for number in range(rows)]
    sample = "id,answer\n" + "".join(f"{name},\n" for name in ids)
    test = "id,question\n" + "".join(f"{name},what is {name}?\n" for name in ids)
    files = {"sample_submission.csv": sample.encode(), "test.csv": test.encode(), "nested/notes.txt": b"hello\n"}
    solution = {name: f"answer {number}" for number, name in enumerate(ids)}
    return Competition(slug, files, solution, **settings)


def score(content: bytes, solution: dict[str, str]) -> tuple[str, str]:
    """Exact match on the first half of the rows (public) and on the second (private), as Kaggle writes it."""
    try:
        given = {row["id"]: row["answer"] for row in csv.DictReader(io.StringIO(content.decode("utf-8")))}
    except (UnicodeDecodeError, KeyError):
        given = {}
    right = [given.get(name) == answer for name, answer in solution.items()]
    half = max(1, len(right) // 2)
    return tuple(f"{sum(part) / max(1, len(part)):.5f}" for part in (right[:half], right[half:]))  # type: ignore[return-value]
