"""What Kaggle knows, as frozen values, and how the client's answers become these."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

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
    return f"{WEB}/{slug}/rules"


def submissions_page(slug: str) -> str:
    """Where the user sees the own submissions."""
    return f"{WEB}/{slug}/submissions"


def competition(slug: str, found: Any) -> Competition:
    if not (found.id or found.ref or found.title):
        raise ValueError("an empty competition")
    return Competition(
        slug=slug,
        title=found.title or slug,
        entered=bool(found.user_has_entered),
        code_only=bool(found.is_kernels_submissions_only),
        closed=bool(found.submissions_disabled),
        deadline=_utc(found.deadline),
        daily=int(found.max_daily_submissions or 0),
        metric=found.evaluation_metric or "",
        rank=int(found.user_rank) if found.user_rank else None,
    )


def limits(found: Any) -> Limits:
    numbers = (int(found.num_today), int(found.num_total), int(found.num_allowed_now))
    return Limits(*numbers, limited_by_total=bool(found.limited_by_total))


def leaderboard_row(found: Any) -> LeaderboardRow:
    return LeaderboardRow(found.team_id, found.team_name, found.score, _utc(found.submission_date))


def data_file(found: Any) -> RemoteFile:
    return RemoteFile(
        found.name, int(found.total_bytes), found.creation_date.isoformat() if found.creation_date else ""
    )


def submission(found: Any) -> RemoteSubmission:
    if not found.ref:
        raise ValueError("a submission without a reference")
    return RemoteSubmission(
        ref=int(found.ref),
        status=found.status.name,
        public=_score(found.public_score),
        private=_score(found.private_score),
        error=found.error_description or "",
        description=found.description or "",
        date=_utc(found.date),
        team=found.team_name or "",
        file_name=found.file_name or "",
    )


def _score(text: str) -> float | None:
    """Kaggle writes scores as text, and "" for none."""
    try:
        value = float(text)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None


def _utc(date: datetime | None) -> datetime | None:
    """Kaggle's dates are UTC and do not say so."""
    return None if date is None else date.replace(tzinfo=UTC)
