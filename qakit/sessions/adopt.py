"""Sessions that another machine has started: their notebooks tell all that this machine's ledger would know."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
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

    They are known by the run's name. Where there are several trainings of that name, the newest one's are taken.

    Raises:
        SubmissionError: Kaggle cannot be asked.
    """
    known = desk.ledger.of(run)
    refs = {each.kernel for each in desk.ledger.read()}
    found = [each for ref in desk.kernels.own() if ref not in refs and (each := _session(desk, ref, run)) is not None]
    job = known[-1].job if known else found[0][0].job if found else None
    found = sorted((each for each in found if each[0].job == job), key=lambda each: each[0].number)
    if not found:
        return known
    folder = known[-1].folder if known else f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{found[-1][0].session_id}"
    kernels = {each.session_id: each.kernel for each in (*known, *(session for session, _, _ in found))}
    with desk.ledger.locked():
        if not known:
            with replace_folder(desk.ledger.folder / folder) as fresh:
                found[-1][1].save(fresh)
        adopted = [
            desk.ledger.append(replace(session, folder=folder, follows=kernels.get(follows or "")))
            for session, _, follows in found
        ]
    desk.say(f"found at Kaggle: {', '.join(each.page for each in adopted)}")
    for session in adopted:
        look(desk, session)
    return desk.ledger.of(run)


def _session(desk: Desk, ref: str, run: Path) -> tuple[Session, Job, str | None] | None:
    """A notebook as a session of the run, its job, and the id of the session that it follows; None: it is no such."""
    owner, _, name = ref.partition("/")
    if owner != desk.kernels.user or name != kernel_name(run.name, name[-ID:]):
        return None
    try:
        order = order_of(desk.kernels.text(ref))
        job = Job.of_order(order)
        session = Session(order["session"], str(run.absolute()), job.key, "-", ref, order["number"]).to("RUNNING")
        return desk.ledger.record(session.to_dict()), job, order["follows"]
    except (ValueError, TypeError, KeyError, AttributeError):
        desk.say(f"{ref} is named as a session of {run.name}, but its notebook is none: it was changed there")
        return None
