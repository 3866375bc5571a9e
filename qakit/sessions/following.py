"""A session that runs: its log as it comes, how it ended, and the run that it has made."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from qakit.errors import DataError, RunError, SubmissionError
from qakit.files import carry_over, file_sha256, names_in, recover_folder, replace_folder, temporary_folder, write_json
from qakit.names import below, one_line
from qakit.numbers import load_json
from qakit.runs import LOCK, Run
from qakit.sessions.flow import SLOW, Desk, go_on, kernel_name
from qakit.sessions.job import Job, brought_back
from qakit.sessions.notebook import order_of
from qakit.sessions.record import Session
from qakit.sessions.there import REPORT, progress_of
from qakit.submit.download import facts_of
from qakit.submit.faults import KaggleError

NOTE = "kaggle.json"
"""In the folder of a run that was fetched: where it was trained and how far, and the SHA-256 of each file."""
ENDED = frozenset({"COMPLETE", "ERROR", "CANCEL_ACKNOWLEDGED"})
Hear = Callable[[str], None]


def train_to_the_end(desk: Desk, session: Session, hear: Hear) -> Session:
    """Follow a session, start the next one for as long as one ends too early, and fetch the run.

    Args:
        hear: gets each line of the logs.

    Raises:
        SubmissionError: a session failed, or got no further than the one before.
    """
    while True:
        session = look(desk, follow(desk, session, hear))
        if session.state in ("FINISHED", "FETCHED"):
            return fetch(desk, session)
        if session.state != "STOPPED":
            raise SubmissionError(f"session {session.number} failed: {session.error}; its log is at {session.page}")
        before = next((each for each in desk.ledger.read() if each.kernel == session.follows), None)
        if session.progress in (None, "-", before and before.progress):
            raise SubmissionError(
                f"session {session.number} got no further ({session.progress}): a session needs more hours"
            )
        desk.say(
            f"session {session.number} has ended in time ({session.progress}); the training continues in the next one"
        )
        session = go_on(desk, Path(session.run))


def follow(desk: Desk, session: Session, hear: Hear) -> Session:
    """Hear the log until the session ends; a connection that breaks off is taken up again."""
    if session.state != "RUNNING":
        return session
    heard, pause = 0, desk.pause
    while True:
        status, _ = desk.kernels.status(session.kernel)
        before = heard
        try:
            for number, line in enumerate(log_lines(desk, session)):
                if number >= heard:
                    hear(line)
                    heard = number + 1
        except KaggleError as problem:
            if status in ENDED:
                desk.say(f"the end of the log is not to be had: {problem}")
        if status in ENDED:
            return session
        pause = desk.pause if heard > before else min(2 * pause, SLOW * desk.pause)
        time.sleep(pause)


def log_lines(desk: Desk, session: Session) -> Iterator[str]:
    """Whole lines of a session's log; Kaggle may cut it anywhere."""
    rest = ""
    for part in desk.kernels.log(session.kernel):
        *lines, rest = f"{rest}{part}".split("\n")
        yield from lines
    if rest:
        yield rest


def look(desk: Desk, session: Session) -> Session:
    """The session as it is now; where it has ended, its own report says how.

    Raises:
        SubmissionError: Kaggle cannot be asked, or not be understood.
    """
    if session.state != "RUNNING":
        return session
    status, message = desk.kernels.status(session.kernel)
    if status not in ENDED:
        return session
    if (report := _report(desk, session)) is None:
        why = one_line(message) if message else f"Kaggle says {status}"
        return desk.append(session.to("FAILED", error=f"{why}; it has left no report"))
    progress, error = report.get("progress"), report.get("error")
    return desk.append(session.to(report["state"], progress=progress and str(progress), error=error and str(error)))


def fetch(desk: Desk, session: Session) -> Session:
    """Bring the run of a session that has ended into its place here, whole or not at all; the user's own files stay.

    Raises:
        SubmissionError: there is none.
        DataError: what came is not what was written there.
        RunError: something else lies in its place.
    """
    run = Path(session.run)
    recover_folder(run)
    note = Run(run).read_json(run / NOTE)
    if session.state == "FETCHED" and note.get("kernel") == session.kernel:
        return session
    if session.state not in ("STOPPED", "FINISHED", "FETCHED"):
        raise SubmissionError(f"session {session.number} of {run} has made no run: it is {session.state.lower()}")
    _check_place(desk, session, note)
    if (report := _report(desk, session)) is None:
        raise SubmissionError(f"the output of {session.page} is gone")
    _own_files(run, note, report["files"])
    addresses = desk.kernels.outputs(session.kernel)
    job = Job.load(desk.ledger.folder / session.folder)
    with replace_folder(run) as fresh:
        for name, facts in report["files"].items():
            target, address = _place(fresh, name), addresses.get(f"{session.name}/{name}")
            if address is None:
                raise DataError("is missing in the notebook's output", path=name)
            target.parent.mkdir(parents=True, exist_ok=True)
            desk.kernels.download(address, target)
            if facts_of(target) != facts:
                raise DataError("is not what was written there; try again", path=name)
        brought_back(fresh, job.places)
        facts = {name: file_sha256(fresh / name) for name in report["files"]}
        write_json(fresh / NOTE, {"kernel": session.kernel, "progress": progress_of(fresh), "files": facts})
        carry_over(run, fresh, _own_files(run, note, report["files"]))
    return desk.append(session.to("FETCHED")) if session.state == "FINISHED" else session


def _check_place(desk: Desk, session: Session, note: Mapping[str, Any]) -> None:
    """What an earlier fetch of the same training has brought is replaced, and nothing else.

    Raises:
        RunError: something else lies there, or has been trained there since.
    """
    run = Path(session.run)
    ours = note.get("kernel") in [each.kernel for each in desk.ledger.training(session.folder)]
    if run.exists() and any(run.iterdir()) and not (ours and note.get("progress") == progress_of(run)):
        raise RunError(f"{run} holds something else than what was fetched of this training: move it away")


def _own_files(run: Path, note: Mapping[str, Any], coming: Collection[str]) -> list[str]:
    """What a run's folder holds beside what was fetched.

    Raises:
        RunError: one of these files has the name of one that is to come.
    """
    fetched = note["files"] if isinstance(note.get("files"), dict) else {}
    found = [name for name in names_in(run) if Path(name).name != LOCK and name != NOTE]
    own = [name for name in found if name not in fetched or file_sha256(run / name) != fetched[name]]
    if taken := next((name for name in own if name in coming), None):
        raise RunError(f"{run / taken} is not as it was fetched, and would be replaced: move it away")
    return own


def _report(desk: Desk, session: Session) -> dict[str, Any] | None:
    """What a session says of itself; None where it has said nothing.

    Raises:
        SubmissionError: it cannot be understood.
    """
    address = desk.kernels.outputs(session.kernel).get(REPORT)
    if address is None:
        return None
    with temporary_folder(desk.ledger.folder / REPORT) as temporary:
        desk.kernels.download(address, temporary / REPORT)
        try:
            found = load_json((temporary / REPORT).read_text("utf-8"))
            sound = found["session"] == session.session_id and isinstance(found["files"], dict)
            sound = sound and found["state"] in ("FINISHED", "STOPPED", "FAILED")
        except (OSError, ValueError, KeyError, TypeError):
            sound = False
    if not sound:
        raise SubmissionError(f"the report of {session.page} came damaged, or is another session's; try again")
    return dict(found)


def _place(folder: Path, name: str) -> Path:
    try:
        return below(folder, name)
    except ValueError as problem:
        raise DataError(str(problem), path=REPORT) from None


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
