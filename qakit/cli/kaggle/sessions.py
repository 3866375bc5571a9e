"""``qakit kaggle train`` and what belongs to it: trainings in Kaggle's notebooks."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qakit.cli.terminal.console import err, out, plain, print_json, print_warning
from qakit.cli.terminal.options import JsonOption, RecipeArgument, RecipeSetOption
from qakit.errors import SubmissionError, UsageError
from qakit.names import quoted
from qakit.outputs import new_folder

if TYPE_CHECKING:
    from qakit.cli.terminal.progress import TrainingDisplay
    from qakit.sessions.flow import Desk
    from qakit.sessions.job import Limits
    from qakit.sessions.record import Session
    from qakit.training.events import Listener

P100 = "NvidiaTeslaP100"
LONGEST = 12.0
"""Hours that Kaggle gives a session."""
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="The folder that the run has, or will have, here.")]


def train(
    recipe: RecipeArgument = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The run's folder here; by default runs/NAME-TIME.", callback=new_folder),
    ] = None,
    overrides: RecipeSetOption = None,
    accelerator: Annotated[
        str, typer.Option("--accelerator", help="T4x2, P100, none, or another of Kaggle's own names.")
    ] = "T4x2",
    session_hours: Annotated[
        float,
        typer.Option(
            "--session-hours",
            metavar="H",
            min=0,
            max=LONGEST,
            help="Hours of one session: it ends in time with a checkpoint, and the training continues in the next one.",
        ),
    ] = LONGEST,
    max_hours: Annotated[
        float | None,
        typer.Option("--max-hours", metavar="H", help="Fit the whole training into H hours: train.max_hours."),
    ] = None,
    internet: Annotated[
        bool, typer.Option("--internet/--no-internet", help="Without, the backbone goes along with the data.")
    ] = True,
    resume: Annotated[
        Path | None,
        typer.Option(
            "--resume",
            metavar="RUN",
            help="Follow the run's session, or start the next one where it ended; from any machine.",
        ),
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Don't wait for the session once it is started.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Train a recipe in Kaggle's notebooks, as many sessions as it takes, and fetch the run.

    Ctrl-C leaves the session running there. Exit code 0: trained. 2: the command or the recipe is wrong. 4: refused, or
    the session failed. 5: it is not known whether a session was started.

    Example: qakit kaggle train hw7/boss -o runs/boss
    """
    from qakit.cli.terminal.progress import TrainingDisplay
    from qakit.sessions.flow import go_on
    from qakit.sessions.following import adopt, train_to_the_end
    from qakit.sessions.job import Limits

    if (recipe is None) == (resume is None) or (resume is not None and (output or overrides or max_hours)):
        raise UsageError("what is to be trained? a recipe, or --resume RUN, which continues the run as it began")
    display = TrainingDisplay(quiet=as_json)
    with display:
        if resume is not None:
            desk = _desk()
            adopt(desk, resume)
            session = go_on(desk, resume)
        else:
            assert recipe is not None
            limits = Limits(_machine(accelerator), session_hours, internet)
            settings = [*(overrides or ()), *([] if max_hours is None else [f"train.max_hours={max_hours}"])]
            desk, session = _begun(recipe, output, settings, limits, display)
        if detach:
            _tell(session, as_json=as_json)
            return
        with _left_alone(session):
            session = train_to_the_end(desk, session, _heard_by(display))
    _show(session, as_json=as_json)


def status(
    run: Annotated[Path | None, typer.Argument(metavar="RUN", help="Only the sessions of this run.")] = None,
    as_json: JsonOption = False,
) -> None:
    """What runs at Kaggle, what has ended there, and what is left of the week's GPU hours.

    Example: qakit kaggle status runs/boss
    """
    from qakit.cli.terminal.tables import print_table
    from qakit.sessions.following import adopt, look

    desk = _desk()
    sessions = desk.ledger.read() if run is None else adopt(desk, run)
    sessions = [look(desk, each) for each in sessions]
    quota = desk.kernels.quota()
    if as_json:
        left = None if quota is None else quota.left
        print_json({"sessions": [each.to_dict() for each in sessions], "gpu_hours_left": left})
        return
    if not sessions:
        out.print(plain(f"no session in {desk.ledger.folder}"))
    else:
        rows = [
            (each.name, str(each.number), each.state, each.progress or "-", each.page, each.error or "")
            for each in sessions
        ]
        print_table(None, ("run", "session", "state", "progress", "page", "error"), rows)
    if quota is not None:
        out.print(plain(f"{quota.left:.1f} of {quota.allowed:.1f} GPU hours of this week are left"))


def logs(run: RunArgument) -> None:
    """The log of a run's latest session; while it runs, as it comes.

    Example: qakit kaggle logs runs/boss
    """
    from qakit.cli.terminal.progress import TrainingDisplay
    from qakit.sessions.following import follow, log_lines

    desk, session = _latest(run)
    with TrainingDisplay() as display, _left_alone(session):
        hear = _heard_by(display)
        if session.state == "RUNNING":
            follow(desk, session, hear)
            return
        for line in log_lines(desk, session):
            hear(line)


def fetch(run: RunArgument, as_json: JsonOption = False) -> None:
    """Bring the run of a session that has ended to its place here.

    Example: qakit kaggle fetch runs/boss
    """
    from qakit.sessions.following import fetch as bring
    from qakit.sessions.following import look

    desk, session = _latest(run)
    session = look(desk, session)
    if session.state == "RUNNING":
        raise SubmissionError(f"session {session.number} is still running: {session.page}")
    session = bring(desk, session)
    if session.state == "STOPPED":
        print_warning(f"{run} is not finished; continue at Kaggle: qakit kaggle train --resume {quoted(run)}")
    _show(session, as_json=as_json)


def stop(
    run: RunArgument,
    discard: Annotated[
        bool, typer.Option("--discard", help="Remove the notebook, with all that this session has made.")
    ] = False,
) -> None:
    """End a run's session, which Kaggle's programs can do by removing its notebook alone: --discard.

    What earlier sessions have made stays, and the training can continue from there.

    Example: qakit kaggle stop runs/boss --discard
    """
    from qakit.sessions.following import look

    desk, session = _latest(run)
    session = look(desk, session)
    if session.state != "RUNNING":
        raise UsageError(f"session {session.number} of {run} does not run: it is {session.state.lower()}")
    if not discard:
        raise UsageError(
            f"Kaggle lets no program end a session and keep its output. Press 'Stop' at {session.page}, or give"
            " --discard, which removes the notebook with what this session has made"
        )
    desk.kernels.delete(session.kernel)
    desk.append(session.to("FAILED", error="stopped, and its notebook removed"))
    out.print(plain(f"removed: {session.page}; continue with: qakit kaggle train --resume {quoted(run)}"))


COMMANDS = (train, status, logs, fetch, stop)


def _desk() -> Desk:
    from qakit.sessions.flow import Desk
    from qakit.sessions.kernels import Kernels
    from qakit.sessions.record import SessionLedger
    from qakit.submit.client import connect
    from qakit.submit.settings import settings_from

    settings = settings_from()
    return Desk(SessionLedger.here(), Kernels(connect(settings, say=print_warning)), settings.poll, _note)


def _latest(run: Path) -> tuple[Desk, Session]:
    from qakit.sessions.following import adopt

    desk = _desk()
    sessions = adopt(desk, run)
    if not sessions:
        raise UsageError(
            f"{run} has no session in {desk.ledger.folder} (`qakit kaggle status` shows them), nor at Kaggle"
        )
    return desk, sessions[-1]


def _begun(
    recipe: Path, output: Path | None, overrides: list[str], limits: Limits, listener: Listener
) -> tuple[Desk, Session]:
    """Check what can be known here, pack, and start the first session."""
    from qakit.files import temporary_folder
    from qakit.registry import load_registry
    from qakit.runs import RUNS, check_free
    from qakit.sessions.flow import begin
    from qakit.sessions.job import pack
    from qakit.workflows.train import plan_training

    registry = load_registry()
    planned = plan_training(recipe, None, overrides=overrides, registry=registry)
    run = output or RUNS / f"{planned.graph.recipe.name or 'run'}-{datetime.now():%Y%m%d-%H%M%S}"
    check_free(run)
    desk = _desk()
    _check_quota(desk, limits)
    with temporary_folder(desk.ledger.folder / "pack") as packed:
        job = pack(planned.graph, packed, registry, limits, listener)
        return desk, begin(desk, job, packed, run)


def _check_quota(desk: Desk, limits: Limits) -> None:
    quota = desk.kernels.quota()
    if limits.machine is None or quota is None:
        return
    _note(f"{quota.left:.1f} of {quota.allowed:.1f} GPU hours of this week are left")
    if quota.allowed and not quota.left:
        raise SubmissionError("no GPU hours are left this week; --accelerator none trains on the CPU")
    if limits.machine == P100:
        print_warning("today's PyTorch has no kernels for a P100: take T4x2, unless the image's own still has")


def _machine(name: str) -> str | None:
    from qakit.submit.notebook import TWO_T4

    machines = {"T4x2": TWO_T4, "P100": P100, "none": None}
    if name in machines:
        return machines[name]
    if not re.fullmatch(r"[A-Z][A-Za-z0-9]+", name):
        raise UsageError(f"--accelerator {name}: T4x2, P100, none, or one of Kaggle's names, such as NvidiaL4")
    return name


def _note(text: str) -> None:
    err.print(plain(text))


def _heard_by(display: TrainingDisplay) -> Callable[[str], None]:
    """Log lines on the display of a training: its events as such, all else as it is."""
    from qakit.training.events import RunBegun, from_json

    def hear(line: str) -> None:
        try:
            event: Any = from_json(json.loads(line))
        except (ValueError, TypeError, AttributeError):
            if line.strip():
                _note(line)
            return
        if not isinstance(event, RunBegun):  # the folder there
            display(event)

    return hear


@contextmanager
def _left_alone(session: Session) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        from qakit.cli.terminal.stops import INTERRUPTED

        _note(
            f"the session keeps running at Kaggle: {session.page}; follow it with: "
            f"qakit kaggle train --resume {quoted(_short(session))}"
        )
        raise typer.Exit(INTERRUPTED) from None


def _short(session: Session) -> Path:
    run = Path(session.run)
    return run.relative_to(Path.cwd()) if run.is_relative_to(Path.cwd()) else run


def _tell(session: Session, *, as_json: bool) -> None:
    if as_json:
        print_json(session.to_dict())
        return
    out.print(plain(f"running: {session.page}; follow it with: qakit kaggle train --resume {quoted(_short(session))}"))


def _show(session: Session, *, as_json: bool) -> None:
    from qakit.cli.results import show_training
    from qakit.runs import Run
    from qakit.workflows.train import TrainingResult

    run = Run(_short(session))
    if session.state == "FETCHED":
        show_training(TrainingResult(run, run.read_json(run.metrics_file)), as_json=as_json, quiet=False)
    elif as_json:
        print_json(session.to_dict())
    else:
        out.print(plain(f"fetched: {run.folder}"))
