"""Finding out what became of a submission whose answer was lost.

Kaggle's list is searched for the submission's tag. There: it was submitted. Not there, and the team has no more
submissions than before: it was not, and may be sent again. Not there, but the count rose: nobody can tell, so nothing
is sent.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from qakit.errors import OutputError, SubmissionError
from qakit.submit.client import KaggleClient
from qakit.submit.ledger import Ledger
from qakit.submit.record import Count, Record, now
from qakit.submit.remote import Limits, RemoteSubmission, submissions_page

SETTLED = 6
"""Pauses between looks after which a submission that is not in the list is taken not to come any more."""


def count_of(limits: Limits) -> Count:
    """The team's submissions by today."""
    return Count(now()[:10], limits.today, limits.total)


def reconcile(
    record: Record, kaggle: KaggleClient, ledger: Ledger, *, pause: float, say: Callable[[str], None] = lambda _: None
) -> Record:
    """Settle a record that is CREATING, inside the ledger's lock; returns it in its new state.

    CREATED: it is in Kaggle's list. INTENT: it is not, and may be sent again. UNKNOWN: it cannot be told. A record in
    another state is looked up once, and stays as it is unless it is in the list.

    A request whose answer was lost may still be at work on Kaggle's side, so the list is looked at several times,
    until ``SETTLED * pause`` seconds have gone by since the request.

    Raises:
        KaggleError: Kaggle cannot be asked; the record is as it was.
    """
    if record.state == "CREATING":
        say(f"looking up at Kaggle what became of {record.tag}")
    while True:
        listed = kaggle.submissions(record.competition)
        found = next((each for each in listed if record.tag in each.description), None)
        if found is not None:
            return ledger.append(record.to("CREATED", ref=found.ref, error=None))
        if record.state != "CREATING":
            return record
        entered = record.entered("CREATING")
        waited = (datetime.now(UTC) - entered).total_seconds() if entered else SETTLED * pause
        if not 0 <= waited < SETTLED * pause:
            break
        time.sleep(pause)
    if record.count is not None and record.count.same_as(count_of(kaggle.limits(record.competition))):
        return ledger.append(record.to("INTENT"))
    why = "it is not in Kaggle's list, but the number of the team's submissions has changed since"
    if record.count is None:
        why = "it is not in Kaggle's list, and how many submissions there were before is not known"
    return ledger.append(record.to("UNKNOWN", error=why))


def unknown_message(record: Record) -> str:
    """What the user can do about a record that is UNKNOWN."""
    return (
        f"it is not known whether this file was submitted on {record.submitted_at}: {record.error}. Look at"
        f" {submissions_page(record.competition)} for the description {record.tag!r}; if it is not there, --force"
        " submits again"
    )


def updated(record: Record, remote: RemoteSubmission) -> Record:
    """The record with what Kaggle says now; the same value when there is nothing new.

    What is scored stays so: a list that was read before the score came may say PENDING.
    """
    if remote.status == "PENDING" and record.state in ("COMPLETE", "ERROR"):
        return record
    error = " ".join(remote.error.split()) or "Kaggle gives no reason"
    changes = {
        "ref": remote.ref or record.ref,
        "public": remote.public if remote.public is not None else record.public,
        "private": remote.private if remote.private is not None else record.private,
        "error": error if remote.status == "ERROR" else None,
    }
    state = "CREATED" if remote.status == "PENDING" else remote.status
    if state == record.state and all(getattr(record, name) == value for name, value in changes.items()):
        return record
    return record.to(state, **changes)


def refresh(record: Record, kaggle: KaggleClient, ledger: Ledger) -> Record:
    """Ask once, and write down what is new."""
    assert record.ref is not None
    latest = updated(record, kaggle.submission(record.competition, record.ref))
    if latest is not record:
        with ledger.locked():
            ledger.append(latest)
    return latest


def wait_for_score(
    record: Record,
    kaggle: KaggleClient,
    ledger: Ledger,
    *,
    seconds: float,
    pause: float,
    say: Callable[[str], None],
) -> Record:
    """Ask every ``pause`` seconds until Kaggle has scored the submission or ``seconds`` are over.

    It is submitted whatever happens here: when Kaggle cannot be asked, or the ledger not be written, that is said and
    the record returned as it is.
    """
    end = time.monotonic() + seconds
    while record.state == "CREATED":
        try:
            record = refresh(record, kaggle, ledger)
        except (SubmissionError, OutputError) as problem:
            what = "written down" if isinstance(problem, OutputError) else "asked for"
            say(f"submitted as ref {record.ref}, but its score cannot be {what}: {problem}")
            return record
        left = end - time.monotonic()
        if record.state != "CREATED" or left <= 0:
            break
        try:
            time.sleep(min(pause, left))
        except KeyboardInterrupt:
            say(f"submitted as ref {record.ref} and not scored yet; `qakit kaggle submissions --sync` shows the score")
            raise
    return record
