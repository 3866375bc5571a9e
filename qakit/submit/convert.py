"""The client's answers as frozen values. What makes no sense raises, so that it counts as an answer that was lost."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

from qakit.submit.remote import Competition, LeaderboardRow, Limits, RemoteFile, RemoteSubmission


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
