"""Waiting for a submission's score."""

from __future__ import annotations

import time
from collections.abc import Callable

from qakit.errors import OutputError, SubmissionError
from qakit.submit.client import KaggleClient
from qakit.submit.ledger import Ledger
from qakit.submit.record import Record
from qakit.submit.remote import RemoteSubmission


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
            say(f"submitted as ref {record.ref} and not scored yet; `qakit submissions --sync` shows the score")
            raise
    return record
