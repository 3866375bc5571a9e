"""From a packed training to a session at Kaggle, started at most once.

What the ledger says while it happens::

    INTENT      the job is kept; its datasets are uploaded, which starts nothing
    PUSHING     Kaggle is asked to run the notebook, whose name is this session's own: once
    RUNNING     Kaggle has it
    STOPPED, FINISHED, FAILED: how it ended; FETCHED: the run is here. REJECTED: Kaggle refused it

Whoever finds a record in PUSHING looks the notebook up by its name before anything else. So a process may be killed
anywhere, and an answer lost: nothing is lost, and no session is started twice.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from qakit.errors import SubmissionError
from qakit.files import replace_folder, writing
from qakit.names import quoted
from qakit.sessions.job import Job
from qakit.sessions.kernels import Kernels
from qakit.sessions.notebook import push_of
from qakit.sessions.record import UNSETTLED, Session, SessionLedger
from qakit.submit.faults import KaggleError
from qakit.submit.flow import NOT_KNOWN
from qakit.submit.notebook import LONGEST_TITLE, short_name
from qakit.submit.reconcile import SETTLED
from qakit.submit.record import new_id

Say = Callable[[str], None]
PUSHES = 3
"""How often one command asks Kaggle to start a session, when each time it is certain that nothing came of it."""
SLOW = 12
"""Pauses between two looks at a dataset that Kaggle is taking in, or at a session, at most."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What every step needs."""

    ledger: SessionLedger
    kernels: Kernels
    pause: float
    """Seconds between two looks."""
    say: Say

    def append(self, session: Session) -> Session:
        """Write down outside of the lock what was learnt."""
        with self.ledger.locked():
            return self.ledger.append(session)


def begin(desk: Desk, job: Job, packed: Path, run: Path) -> Session:
    """Start a training's first session; the same training that was begun before is continued until it is fetched.

    Args:
        packed: the folder with the job's files.
        run: where the run will lie here.

    Raises:
        SubmissionError: nothing was started, or it is not known; says why, with its exit code.
    """
    with _locked(desk):
        latest = {each.folder: each for each in desk.ledger.read() if each.job == job.key}
        left = [each for each in latest.values() if each.state != "FETCHED" and _has_its_place(desk, each)]
        if left:
            desk.say(f"the same training was begun before: {left[-1].run}")
            if left[-1].state != "FINISHED":
                _lay_out(desk, job, packed, left[-1])
            return _continued(desk, left[-1])
        if (other := desk.ledger.holder(run)) is not None:
            raise SubmissionError(
                f"{run} is the place of another training, whose session {other.number} is {other.state.lower()}"
                f" ({other.page}): continue that one with `qakit kaggle train --resume {quoted(run)}`, or choose "
                "another --output",
                exit_code=2,
            )
        session = _new(desk, run, job.key)
        folder = desk.ledger.folder / session.folder
        with replace_folder(folder) as fresh:
            for slug in job.datasets:
                shutil.copytree(packed / slug, fresh / slug)
            job.save(fresh)
        return _settle(desk, desk.ledger.append(session))


def go_on(desk: Desk, run: Path) -> Session:
    """The session that a run is trained in, or the next one where it has ended too early.

    Raises:
        SubmissionError: no session of the run is known; or as :func:`begin`.
    """
    with _locked(desk):
        sessions = desk.ledger.of(run)
        if not sessions:
            raise SubmissionError(f"{run} has no session in {desk.ledger.folder}, nor at Kaggle", exit_code=2)
        return _continued(desk, sessions[-1])


def _has_its_place(desk: Desk, session: Session) -> bool:
    """Whether no other training was begun since where the session's run will lie."""
    return session in desk.ledger.of(Path(session.run))


def _lay_out(desk: Desk, job: Job, packed: Path, session: Session) -> None:
    """The files that a training here has no more, since Kaggle had them: it may have them no more either."""
    for folder in (desk.ledger.folder / session.folder / slug for slug in job.datasets):
        if not folder.exists():
            with writing(folder), replace_folder(folder) as fresh:
                shutil.copytree(packed / folder.name, fresh, dirs_exist_ok=True)


def _continued(desk: Desk, last: Session) -> Session:
    """A training's last session, or the one after it; inside the ledger's lock."""
    if last.state in UNSETTLED:
        return _settle(desk, last)
    if last.state in ("FINISHED", "FETCHED"):
        return last
    own = desk.ledger.training(last.folder)
    stopped = next((each for each in reversed(own) if each.state == "STOPPED"), None)
    session = replace(_new(desk, Path(last.run), last.job), folder=last.folder, number=last.number + 1)
    session = replace(session, follows=None if stopped is None else stopped.kernel)
    return _settle(desk, desk.ledger.append(session))


def _locked(desk: Desk) -> AbstractContextManager[None]:
    return desk.ledger.locked(on_wait=lambda: desk.say(f"another qakit process is using {desk.ledger.folder}: waiting"))


def _new(desk: Desk, run: Path, job: str) -> Session:
    """A session in the state INTENT, with a notebook of its own."""
    session_id = new_id()
    kernel = f"{desk.kernels.user}/{kernel_name(run.name, session_id)}"
    folder = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{session_id}"
    return Session(session_id, str(run.absolute()), job, folder, kernel).to("INTENT")


def kernel_name(run: str, session_id: str) -> str:
    """A notebook's name, which is what Kaggle makes of the title with blanks in it."""
    return f"qakit-{short_name(run, LONGEST_TITLE - len(f'qakit--{session_id}'))}-{session_id}"


def _settle(desk: Desk, session: Session) -> Session:
    """Start the session, or find out that it was; inside the ledger's lock."""
    job = Job.load(desk.ledger.folder / session.folder)
    for left in reversed(range(PUSHES)):
        if session.state == "PUSHING":
            session = _look_up(desk, session)
        if session.state == "RUNNING":
            break
        _upload(desk, job, session)
        if "PUSHING" in session.times and (version := desk.kernels.find(session.kernel)) is not None:
            session = _found(desk, session, version)  # an earlier request was carried out late
        else:
            session = _push(desk, job, session)
        if session.state == "RUNNING":
            break
        if session.state == "REJECTED" or not left:
            raise SubmissionError(f"no session was started: {session.error}; the same command tries again")
    _forget_files(desk, job, session)
    return session


def _push(desk: Desk, job: Job, session: Session) -> Session:
    """Ask Kaggle once; RUNNING, REJECTED, or INTENT when it is certain that nothing came of it."""
    before = next((each for each in desk.ledger.read() if each.kernel == session.follows), None)
    push = push_of(session, job, follows=None if before is None else before.session_id)
    session = desk.ledger.append(session.to("PUSHING", error=None))
    try:
        version, invalid = desk.kernels.push(push)
    except KaggleError as problem:
        if problem.fault.refused or not problem.fault.sent:
            return desk.ledger.append(session.to("REJECTED" if problem.fault.refused else "INTENT", error=str(problem)))
        desk.say(f"{problem}; Kaggle may or may not have started the session")
        return _look_up(desk, desk.ledger.append(replace(session, error=str(problem))))
    except SubmissionError as problem:
        return desk.ledger.append(session.to("REJECTED", error=str(problem)))
    if invalid:
        desk.say(f"Kaggle does not give the notebook {invalid}: it will fail")
    return _found(desk, session, version or 1)


def _look_up(desk: Desk, session: Session) -> Session:
    """What became of a request whose answer was lost: the notebook is there, or it is not after a while."""
    desk.say(f"looking up at Kaggle whether {session.kernel} was started")
    while True:
        try:
            version = desk.kernels.find(session.kernel)
        except KaggleError as problem:
            raise SubmissionError(
                f"it is not known whether a session was started ({session.page}), and Kaggle cannot be asked:"
                f" {problem}; the same command looks it up",
                exit_code=NOT_KNOWN,
            ) from None
        if version is not None:
            return _found(desk, session, version)
        if not 0 <= session.since("PUSHING") < SETTLED * desk.pause:
            return desk.ledger.append(session.to("INTENT", error=session.error or "it is not among your notebooks"))
        time.sleep(desk.pause)


def _found(desk: Desk, session: Session, version: int) -> Session:
    if version > 1:
        desk.say(f"{session.page} was started {version} times: stop all but the newest there")
    return desk.ledger.append(session.to("RUNNING", version=version, error=None))


def _upload(desk: Desk, job: Job, session: Session) -> None:
    """Bring the datasets that Kaggle has not, and wait until it has taken them in."""
    owner = session.kernel.partition("/")[0]
    for slug, names in job.datasets.items():
        state = desk.kernels.dataset(owner, slug)
        if state is None:
            folder = desk.ledger.folder / session.folder / slug
            if not folder.is_dir():
                raise SubmissionError(f"the dataset {owner}/{slug} is gone from Kaggle: train anew", exit_code=2)
            size = sum(file.stat().st_size for file in folder.iterdir())
            desk.say(f"uploading {slug} ({size / 1e6:,.1f} MB)")
            try:
                desk.kernels.create_dataset(owner, slug, [folder / name for name in names])
            except KaggleError as problem:
                if problem.fault.refused or desk.kernels.dataset(owner, slug) is None:
                    raise SubmissionError(f"the upload failed, nothing was started: {problem}") from None
            state = desk.kernels.dataset(owner, slug)
        pause, looks = desk.pause, 0
        while state != "READY":
            looks += 1
            if state in ("FAILED", "DELETED") or (state is None and looks > SETTLED):
                raise SubmissionError(f"Kaggle has not taken in the dataset {owner}/{slug}: {state or 'it has none'}")
            time.sleep(pause)
            pause = min(2 * pause, SLOW * desk.pause)
            state = desk.kernels.dataset(owner, slug)


def _forget_files(desk: Desk, job: Job, session: Session) -> None:
    """What Kaggle has need not lie here, too."""
    for slug in job.datasets:
        folder = desk.ledger.folder / session.folder / slug
        if folder.is_dir():
            with writing(folder):
                shutil.rmtree(folder)
