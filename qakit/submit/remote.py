"""What Kaggle knows, as frozen values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

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


def rules_page(slug: str) -> str:
    """Where the rules are accepted."""
    return f"{WEB}/{slug}/rules"


def submissions_page(slug: str) -> str:
    """Where the user sees the own submissions."""
    return f"{WEB}/{slug}/submissions"
