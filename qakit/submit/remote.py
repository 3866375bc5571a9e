"""What Kaggle knows, as frozen values, and what this package asks of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

WEB = "https://www.kaggle.com/competitions"

Scoring = Literal["PENDING", "COMPLETE", "ERROR"]


@dataclass(frozen=True, slots=True)
class Competition:
    """A competition as Kaggle describes it to this user."""

    slug: str
    title: str
    entered: bool
    """Whether the user has accepted the rules."""
    code_only: bool
    """Whether only notebooks may be submitted."""
    closed: bool
    """Whether submissions are switched off."""
    deadline: datetime | None
    """UTC."""
    daily: int
    """Submissions allowed per day; 0 when Kaggle does not say."""
    metric: str
    rank: int | None = None
    """The user's own rank, where Kaggle tells it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How many submissions the user's team has made and may still make. A day begins at 00:00 UTC."""

    today: int
    total: int
    allowed_now: int
    limited_by_total: bool = False


@dataclass(frozen=True, slots=True)
class RemoteSubmission:
    """One submission in Kaggle's list."""

    ref: int
    status: Scoring
    public: float | None = None
    private: float | None = None
    error: str = ""
    description: str = ""
    date: datetime | None = None
    """UTC."""
    team: str = ""
    file_name: str = ""


@dataclass(frozen=True, slots=True)
class LeaderboardRow:
    """A team on the leaderboard, in Kaggle's order."""

    team_id: int
    team: str
    score: str
    date: datetime | None


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of the competition's data."""

    name: str
    bytes: int
    created: str


@dataclass(frozen=True, slots=True)
class Download:
    """A stream of bytes and what the server says about it."""

    chunks: Iterator[bytes]
    length: int | None
    """Bytes that are to come, where the server says so."""
    name: str
    """The last part of the address."""


class Kaggle(Protocol):
    """What this package asks of Kaggle. Every method raises :class:`~qakit.submit.faults.KaggleError`.

    Reading methods try again by themselves; ``create`` and ``create_from_notebook`` never do.
    """

    def competition(self, slug: str) -> Competition: ...

    def limits(self, slug: str) -> Limits: ...

    def submissions(self, slug: str) -> Iterator[RemoteSubmission]:
        """All of the team's submissions, the latest first."""
        ...

    def submission(self, slug: str, ref: int) -> RemoteSubmission: ...

    def upload(self, slug: str, file: Path) -> str:
        """Bring a file to Kaggle, which is no submission yet; returns the token that stands for it."""
        ...

    def create(self, slug: str, token: str, description: str) -> int:
        """Submit an uploaded file; returns its reference, or 0 when Kaggle gave none."""
        ...

    def create_from_notebook(self, slug: str, notebook: str, version: int, file_name: str, description: str) -> int:
        """Submit the output of a notebook's version (``owner/name``)."""
        ...

    def leaderboard(self, slug: str) -> Iterator[LeaderboardRow]: ...

    def data_files(self, slug: str) -> list[RemoteFile]: ...

    def download(self, slug: str) -> AbstractContextManager[Download]:
        """All data files in one archive."""
        ...


def rules_page(slug: str) -> str:
    """Where the rules are accepted."""
    return f"{WEB}/{slug}/rules"


def submissions_page(slug: str) -> str:
    """Where the user sees the own submissions."""
    return f"{WEB}/{slug}/submissions"
