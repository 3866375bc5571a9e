"""``qakit submit``: answers to Kaggle, checked first and sent once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qakit.cli.terminal.console import err, out, plain, print_error, print_json, print_warning
from qakit.cli.terminal.options import JsonOption
from qakit.errors import DataError, SubmissionError, UsageError

if TYPE_CHECKING:
    from qakit.inference.answering import Answering
    from qakit.submit.flow import Outcome
    from qakit.submit.pending import FileSubmission, NotebookOutput
    from qakit.submit.preflight import Preflight
    from qakit.submit.record import Record

CompetitionOption = Annotated[
    str | None, typer.Option("--competition", "-c", metavar="NAME", help="The competition: its name or address.")
]
LedgerOption = Annotated[
    Path | None,
    typer.Option("--ledger", metavar="FOLDER", help="The ledger's folder; by default submissions."),
]


def submit(
    target: Annotated[Path | None, typer.Argument(metavar="FILE | RUN", help="A CSV file, or a run's folder.")] = None,
    competition: CompetitionOption = None,
    message: Annotated[
        str | None, typer.Option("--message", "-m", help="Description on Kaggle; by default the run and its figure.")
    ] = None,
    run: Annotated[
        str | None, typer.Option("--run", metavar="RUN", help="The run that a CSV file comes from (name or folder).")
    ] = None,
    sample: Annotated[
        Path | None, typer.Option("--sample", metavar="CSV", help="The competition's sample submission.")
    ] = None,
    notebook: Annotated[
        str | None, typer.Option("--notebook", metavar="USER/NAME", help="Submit what this Kaggle notebook has made.")
    ] = None,
    version: Annotated[int | None, typer.Option("--version", min=1, help="The notebook's version.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, here and at Kaggle; send nothing.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the score.")] = True,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0, metavar="SECONDS", help="Longest wait for the score.")
    ] = 900,
    force: Annotated[bool, typer.Option("--force", help="Submit although the same file was submitted before.")] = False,
    ledger: LedgerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check a CSV file or a run's test predictions and submit them to a Kaggle competition.

    Exit code 0: submitted. 2: the file or the command is wrong. 3: submitted before. 4: refused, nothing was submitted.
    5: not known whether it was submitted. 6: Kaggle could not score it.

    Example: qakit submit runs/first -m "two epochs" --dry-run
    """
    from qakit.submit.client import connect
    from qakit.submit.flow import Patience
    from qakit.submit.flow import submit as send
    from qakit.submit.ledger import Ledger
    from qakit.submit.pending import FileSubmission, PendingSubmission
    from qakit.submit.settings import ledger_folder, settings_from

    settings = settings_from()
    if notebook is not None:
        pending: PendingSubmission = _notebook(notebook, version, competition, message, run, target, dry_run=dry_run)
    else:
        if target is None or version is not None:
            raise UsageError("what is to be submitted? a CSV file, a run, or --notebook USER/NAME --version N")
        pending = _pending(target, competition, message, run, sample)
    book = Ledger(ledger_folder(ledger))
    if isinstance(pending, FileSubmission) and dry_run:
        _dry_run(pending, book, as_json=as_json)
        return
    patience = Patience(score=timeout if wait else 0.0, pause=settings.poll)
    outcome = send(
        pending, book, lambda: connect(settings, say=print_warning), force=force, patience=patience, say=print_warning
    )
    _show(outcome, as_json=as_json)


def _pending(
    target: Path, competition: str | None, message: str | None, run: str | None, sample: Path | None
) -> FileSubmission:
    from qakit.cli.terminal.progress import bar
    from qakit.submit.target import check_target, find_target, pack, slug_of

    def load(run: Path) -> Answering:
        from qakit.workflows.loading import load_trained  # with torch: seconds, and few submissions need it

        return load_trained(run)

    found = find_target(target, run, load, say=_note, progress=lambda: bar("predicting"))
    slug = slug_of(competition, found.recipe)
    checked = check_target(found, sample, slug=slug)
    _tell_problems(checked)
    return pack(found, checked, slug, message)


def _notebook(
    notebook: str,
    version: int | None,
    competition: str | None,
    message: str | None,
    run: str | None,
    target: Path | None,
    *,
    dry_run: bool,
) -> NotebookOutput:
    from qakit.submit.notebook import notebook_name
    from qakit.submit.pending import NotebookOutput
    from qakit.submit.target import slug_of

    if target is not None or dry_run:
        raise UsageError("--notebook submits what Kaggle has: it goes with no file, and there is nothing to rehearse")
    if version is None:
        raise UsageError("which version of the notebook? --version N (the number that `kaggle kernels push` told)")
    name = notebook_name(notebook)
    if run is None:
        return NotebookOutput(slug_of(competition, None), name, version, message or f"{name} version {version}")
    from qakit.submit.target import run_facts

    facts = run_facts(run)
    return NotebookOutput(
        slug_of(competition, facts.recipe),
        name,
        version,
        message or facts.message,
        run_id=facts.run.name,
        score=facts.score,
        baselines=facts.recipe.baselines,
    )


def _note(text: str) -> None:
    err.print(plain(text))


def _tell_problems(checked: Preflight) -> None:
    """Notices as warnings; problems end the command."""
    for notice in checked.notices:
        print_warning(f"{checked.path.name}: {notice}")
    if checked.ok:
        return
    against = f", compared with {checked.sample}" if checked.sample else ""
    raise DataError(checked.problems, path=f"{checked.path}{against}")


def _dry_run(pending: FileSubmission, book: Any, *, as_json: bool) -> None:
    from qakit.submit.dry_run import dry_run

    report = dry_run(pending, book, say=print_warning)
    if as_json:
        print_json(report.to_dict())
    else:
        from qakit.cli.terminal.tables import print_pairs

        print_pairs("Would be submitted", report.shown())
    if report.refusal is not None:
        raise SubmissionError(report.refusal, exit_code=report.exit_code)


def _show(outcome: Outcome, *, as_json: bool) -> None:
    if as_json:
        print_json({**outcome.record.to_dict(), "exit_code": outcome.exit_code, "note": outcome.message or None})
    elif outcome.exit_code == 0:
        _show_record(outcome.record)
    if outcome.message:
        print_error(outcome.message)
    raise typer.Exit(outcome.exit_code)


def _show_record(record: Record) -> None:
    where = f"submitted to {record.competition} as ref {record.ref}"
    if record.state == "CREATED":
        out.print(plain(f"{where}, not scored yet; `qakit kaggle submissions --sync` shows the score"))
        return
    scores = [
        f"{name} {value:g}"
        for name, value in (("public", record.public), ("private", record.private))
        if value is not None
    ]
    local = "" if record.cv_mean is None else f" (validation {record.metric} {record.cv_mean:.2f})"
    out.print(plain(f"{where}: {', '.join(scores) or 'no score shown'}{local}"))
