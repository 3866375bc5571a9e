"""From a checked file to a scored submission, at most once.

The order of things, and what the ledger says while they happen::

    duplicate? left over from before?           (reading the ledger, perhaps asking Kaggle)
    rules accepted? open? submissions left?     (asking Kaggle)
    INTENT      a copy of the file is kept; it is uploaded, which is no submission yet
    CREATING    Kaggle is asked to submit the upload, with the tag in its description: once
    CREATED     Kaggle gave a reference; the score is waited for
    COMPLETE, ERROR, REJECTED, UNKNOWN

Whoever finds a record in CREATING asks Kaggle for the tag before anything else. So a process may be killed anywhere:
nothing is lost, and nothing is submitted twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

from qakit.errors import OutputError, SubmissionError
from qakit.names import quoted
from qakit.submit.client import KaggleClient
from qakit.submit.faults import KaggleError
from qakit.submit.ledger import Ledger
from qakit.submit.pending import PendingSubmission
from qakit.submit.reconcile import count_of, reconcile, unknown_message, wait_for_score
from qakit.submit.record import SUBMITTED, Record
from qakit.submit.remote import Competition, Limits, rules_page, submissions_page

Say = Callable[[str], None]
Connect = Callable[[], KaggleClient]

SENDINGS = 3
"""How often one command asks Kaggle to submit the file, when each time it is certain that nothing came of it."""

DONE, DUPLICATE, REFUSED, NOT_KNOWN, SCORED_ERROR = 0, 3, 4, 5, 6


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended."""

    record: Record
    exit_code: int = DONE
    message: str = ""
    """For the user; empty when the record says it all."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for what."""

    score: float = 900.0
    """Seconds for the score; 0: not at all."""
    pause: float = 5.0
    """Seconds between two looks."""


def submit(
    pending: PendingSubmission, ledger: Ledger, connect: Connect, *, force: bool = False, patience: Patience, say: Say
) -> Outcome:
    """Submit a checked file, or go on where an earlier process was cut off.

    Raises:
        SubmissionError: nothing was submitted; says why, with its exit code.
        OutputError: the ledger cannot be written.
        DataError: the ledger is damaged, or the file changed.
    """
    line, duplicate = cache(connect), None  # connected when it is first needed
    with ledger.locked(on_wait=lambda: say(f"another qakit process is using {ledger.folder}: waiting for it")):
        settle_others(pending, ledger, line, pause=patience.pause, say=say)
        record = _left_over(pending, ledger, line, force=force, pause=patience.pause, say=say)
        if record is not None and record.state in SUBMITTED:
            say(f"found at Kaggle: an earlier start had already submitted this file as ref {record.ref}")
        elif record is not None and record.state == "UNKNOWN":
            return Outcome(record, NOT_KNOWN, unknown_message(record))
        elif (duplicate := None if force else _duplicate(pending, ledger)) is None:
            record = _send(pending, record, ledger, line(), pause=patience.pause, say=say)
            if record.state not in SUBMITTED:
                return _not_submitted(record)
    if duplicate is not None:
        return _of_duplicate(duplicate, ledger, line, patience=patience, say=say)
    assert record is not None
    if patience.score > 0:
        record = wait_for_score(record, line(), ledger, seconds=patience.score, pause=patience.pause, say=say)
    return scored(record)


def scored(record: Record) -> Outcome:
    """The outcome of a submission that Kaggle has."""
    if record.state == "ERROR":
        return Outcome(record, SCORED_ERROR, f"Kaggle could not score ref {record.ref}: {record.error}")
    return Outcome(record)


def settle_others(pending: PendingSubmission, ledger: Ledger, line: Connect, *, pause: float, say: Say) -> None:
    """Find out what became of other files whose submission was cut off; say which were not sent at all."""
    for record in ledger.read():
        if pending.matches(record) or record.competition != pending.competition:
            continue
        if record.state == "CREATING":
            try:
                record = reconcile(record, line(), ledger, pause=pause, say=say)
            except KaggleError as problem:
                say(f"what became of {record.folder} is still not known: {problem}")
                continue
            if record.state == "CREATED":
                say(f"{record.folder} was submitted after all, as ref {record.ref}")
            elif record.state == "UNKNOWN":
                say(f"{record.folder}: {unknown_message(record)}")
        if record.state == "INTENT":
            what = quoted(ledger.folder / record.folder / record.file)
            if record.notebook is not None:
                what = "--notebook {} --version {}".format(*record.notebook.rsplit("@", 1))
            say(f"{record.folder} has not been submitted; to send it: qakit submit {what} -c {record.competition}")


def _left_over(
    pending: PendingSubmission, ledger: Ledger, line: Connect, *, force: bool, pause: float, say: Say
) -> Record | None:
    """The unfinished record of the same file, as it turns out to be; None when there is none to go on with."""
    mine = [record for record in ledger.read() if pending.matches(record)]
    for record in reversed(mine):
        if record.state == "INTENT" and "CREATING" not in record.times:
            return record
        if record.state not in SUBMITTED:
            try:
                settled = reconcile(record, line(), ledger, pause=pause, say=say)
            except KaggleError as problem:
                if record.state in ("INTENT", "REJECTED"):
                    raise
                raise SubmissionError(
                    f"it is not known whether this file was submitted on {record.submitted_at}, and Kaggle cannot be"
                    f" asked: {problem}; run the same command again later",
                    exit_code=NOT_KNOWN,
                ) from None
            if settled.state == "REJECTED":
                continue
            return None if force and record.state == settled.state == "UNKNOWN" else settled
        return None
    return None


def _duplicate(pending: PendingSubmission, ledger: Ledger) -> Record | None:
    mine = [record for record in ledger.read() if pending.matches(record) and record.state in SUBMITTED]
    return mine[-1] if mine else None


def _of_duplicate(record: Record, ledger: Ledger, line: Connect, *, patience: Patience, say: Say) -> Outcome:
    """An identical file was submitted before; its score is fetched if it was not known yet."""
    if record.state == "CREATED":
        try:
            record = wait_for_score(record, line(), ledger, seconds=patience.score, pause=patience.pause, say=say)
        except SubmissionError as problem:
            say(str(problem))
    return Outcome(record, DUPLICATE, duplicate_message(record))


def duplicate_message(record: Record) -> str:
    """That the file was submitted before, and with what result."""
    match record.state:
        case "ERROR":
            result = f"which Kaggle could not score ({record.error})"
        case "CREATED":
            result = "not scored yet"
        case _:
            result = "no public score" if record.public is None else f"public {record.public:g}"
    return f"identical file already submitted as ref {record.ref} on {record.submitted_at}, {result}; --force to repeat"


def _send(
    pending: PendingSubmission, record: Record | None, ledger: Ledger, kaggle: KaggleClient, *, pause: float, say: Say
) -> Record:
    """Upload and submit, inside the ledger's lock; returns the record in the state that was reached."""
    slug = pending.competition
    for left in reversed(range(SENDINGS)):
        first = left == SENDINGS - 1
        competition, limits = check_remote(
            slug, kaggle, say=say if first else lambda _: None, notebook=pending.notebook is not None
        )
        if record is None:
            record = pending.record()
            pending.keep(record, ledger.folder)
            ledger.append(record)
        try:
            call = pending.bring(record, ledger.folder, kaggle)
        except KaggleError as problem:
            ledger.append(record.to("INTENT", error=str(problem)))
            raise SubmissionError(f"the upload failed, nothing was submitted: {problem}") from None
        if "CREATING" in record.times:
            # Kaggle was asked before, and neither list nor count showed that it had done anything. Since then quota and
            # upload took their time, minutes for a large file; a request that was held up on the way may have been
            # carried out in between. One more look leaves only the moment between it and the request below.
            record = reconcile(record, kaggle, ledger, pause=pause)
            if record.state in SUBMITTED:
                say(f"found at Kaggle: an earlier request was carried out late, as ref {record.ref}")
                return record
        count = None if limits is None else count_of(limits)
        asked = record.to("CREATING", count=count, kaggle_metric=competition.metric or None, error=None)
        record = ledger.append(asked)
        try:
            record = create(record, call, kaggle, ledger, pause=pause, say=say)
        except OutputError as problem:
            problem.exit_code = NOT_KNOWN  # Kaggle was asked; 2 would say that nothing was sent
            raise
        if record.state != "INTENT" or not left:
            return record
        say(f"Kaggle did not take the submission: {record.error or 'it is not in its list'}; sending it again")
    raise AssertionError("unreachable")


def create(
    record: Record, call: Callable[[], int], kaggle: KaggleClient, ledger: Ledger, *, pause: float, say: Say
) -> Record:
    """Ask Kaggle once to submit what the CREATING ``record`` describes; returns the record as it then is.

    CREATED, REJECTED; INTENT when it is certain that nothing came of it; UNKNOWN, or still CREATING, when it is not.
    """
    try:
        ref = call()
    except KaggleError as problem:
        fault = problem.fault
        if not fault.sent:
            time.sleep(pause)
            return ledger.append(record.to("INTENT", error=str(problem)))
        if fault.refused:
            return ledger.append(record.to("REJECTED", error=str(problem)))
        record = ledger.append(record.to("CREATING", error=str(problem)))
        say(f"{problem}; Kaggle may or may not have taken the submission")
    else:
        if ref:
            return _created(record, ref, ledger)
        record = ledger.append(record.to("CREATING", error="Kaggle gave no reference"))
        say("Kaggle gave no reference for the submission")
    try:
        return reconcile(record, kaggle, ledger, pause=pause, say=say)
    except KaggleError as problem:
        say(f"Kaggle cannot be asked: {problem}")
        return record


def _created(record: Record, ref: int, ledger: Ledger) -> Record:
    try:
        return ledger.append(record.to("CREATED", ref=ref, error=None))
    except OutputError as problem:
        raise OutputError(
            f"submitted as ref {ref}, but that cannot be written down: {problem}; the next `qakit submit` will look it"
            " up at Kaggle"
        ) from problem


def _not_submitted(record: Record) -> Outcome:
    match record.state:
        case "REJECTED":
            return Outcome(record, REFUSED, f"nothing was submitted: {record.error}")
        case "UNKNOWN":
            return Outcome(record, NOT_KNOWN, unknown_message(record))
        case "CREATING":
            return Outcome(
                record,
                NOT_KNOWN,
                f"it is not known whether the file was submitted: {record.error}; run the same command again, it looks"
                f" the submission up first (or look at {submissions_page(record.competition)} for {record.tag!r})",
            )
        case _:
            return Outcome(
                record, REFUSED, f"nothing was submitted: {record.error}; the same command later tries again"
            )


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
