"""Whether a competition takes a submission from this user now; asked before anything is sent."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from qakit.errors import SubmissionError
from qakit.submit.client import KaggleClient
from qakit.submit.faults import KaggleError
from qakit.submit.remote import Competition, Limits, rules_page

Say = Callable[[str], None]


def check_remote(
    slug: str, kaggle: KaggleClient, *, say: Say, notebook: bool = False
) -> tuple[Competition, Limits | None]:
    """Whether the competition takes a submission from this user now.

    Raises:
        SubmissionError: it does not.
    """
    competition = kaggle.competition(slug)
    if not competition.entered:
        raise SubmissionError(f"you have not entered '{slug}': accept the rules at {rules_page(slug)}")
    if competition.code_only and not notebook:
        raise SubmissionError(
            f"'{slug}' takes notebooks only: `qakit export RUN --kaggle FOLDER` makes a dataset and a notebook; once it"
            f" has run on Kaggle, `qakit submit --notebook USER/NAME --version N -c {slug}` submits its output"
        )
    if competition.closed:
        raise SubmissionError(f"'{slug}' takes no submissions any more")
    if competition.deadline is not None and competition.deadline < datetime.now(UTC):
        say(f"the deadline of '{slug}' passed on {competition.deadline:%Y-%m-%d %H:%M} UTC: this is a late submission")
    try:
        limits = kaggle.limits(slug)
    except KaggleError as problem:
        if problem.fault.status in (401, 403):
            raise
        say(f"how many submissions are left is not known: {problem}")
        return competition, None
    # Kaggle answers with zeros when the user has no team yet, which is before the first submission.
    if limits.allowed_now <= 0 and (limits.today or limits.total):
        raise SubmissionError(_used_up(slug, competition, limits))
    return competition, limits


def _used_up(slug: str, competition: Competition, limits: Limits) -> str:
    if limits.limited_by_total:
        return f"no submissions to '{slug}' are left: all {limits.total} have been used"
    now = datetime.now(UTC)
    tomorrow = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    minutes = max(1, int((tomorrow - now).total_seconds() / 60))
    of = f" of {competition.daily}" if competition.daily else ""
    return (
        f"no submissions to '{slug}' are left today ({limits.today}{of} used); the next day begins at 00:00 UTC, in"
        f" {minutes // 60} h {minutes % 60} min"
    )
