"""Sessions that another machine has started: their notebooks tell all that this machine's ledger would know."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from qakit.files import replace_folder
from qakit.sessions.flow import Desk, kernel_name
from qakit.sessions.following import look
from qakit.sessions.job import Job
from qakit.sessions.notebook import order_of
from qakit.sessions.record import Session

ID = 10
"""Characters of a session's id, with which its notebook's name ends."""


def adopt(desk: Desk, run: Path) -> list[Session]:
    """All sessions of a run, the latest last; those that the ledger lacks are looked up at Kaggle and put into it.

    A training that has the run's place here is the run's. Where none has, it is the newest of those that have the run's
    name, here or at Kaggle.

    Raises:
        SubmissionError: Kaggle cannot be asked.
    """
    known = desk.ledger.of(run)
    if known and known[-1].state == "FETCHED" and run.is_dir():
        return known
    refs = {each.kernel for each in desk.ledger.read()}
    found = [each for ref in desk.kernels.own() if ref not in refs and (each := _session(desk, ref, run)) is not None]
    with desk.ledger.locked():
        adopted = _put(desk, run, found)
    if adopted:
        desk.say(f"found at Kaggle: {', '.join(each.page for each in adopted)}")
    for session in adopted:
        look(desk, session)
    return desk.ledger.of(run)


def _put(desk: Desk, run: Path, found: list[tuple[Session, Job, str]]) -> list[Session]:
    """Those of the sessions that belong to the run's training, in the ledger; inside its lock."""
    ledger, here = desk.ledger, desk.ledger.of(run)
    elsewhere = {each.folder for each in ledger.read()} - {each.folder for each in here}  # trainings in other places
    found = [each for each in found if each[0].folder not in elsewhere and ledger.find(each[0].key) is None]
    if (holder := ledger.holder(run)) is not None:
        folder = holder.folder
    else:
        folder = max((each.folder for each in (*here, *(session for session, _, _ in found))), default="")
    found = sorted((each for each in found if each[0].folder == folder), key=lambda each: each[0].number)
    if found and not (ledger.folder / folder).exists():
        with replace_folder(ledger.folder / folder) as fresh:
            found[-1][1].save(fresh)
    kernels = {each.session_id: each.kernel for each in (*here, *(session for session, _, _ in found))}
    return [ledger.append(replace(session, follows=kernels.get(follows))) for session, _, follows in found]


def _session(desk: Desk, ref: str, run: Path) -> tuple[Session, Job, str] | None:
    """A notebook as a session of the run, its job, and which session's id it follows, or ""; None: it is no such."""
    owner, _, name = ref.partition("/")
    if owner != desk.kernels.user or name != kernel_name(run.name, name[-ID:]):
        return None
    try:
        order = order_of(desk.kernels.text(ref))
        if order["name"] != run.name:
            return None
        job = Job.of_order(order)
        session = Session(order["session"], str(run.absolute()), job.key, order["training"], ref, order["number"]).to(
            "RUNNING"
        )
        return desk.ledger.record(session.to_dict()), job, str(order["follows"] or "")
    except (ValueError, TypeError, KeyError, AttributeError):
        desk.say(f"{ref} is named as a session of {run.name}, but its notebook is none: it was changed there")
        return None
