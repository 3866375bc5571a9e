"""``qakit predict``, ``qakit evaluate`` and ``qakit ask``: what a trained run is for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qakit.cli.console import err, out, plain, print_json, print_warning
from qakit.errors import DataError, UsageError

if TYPE_CHECKING:
    from qakit.data.splits import Split
    from qakit.inference.trained import TrainedRun

RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON on stdout, for programs.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(predict)
    app.command()(evaluate)
    app.command()(ask)


def predict(
    run: RunArgument,
    source: Annotated[Path, typer.Option("--input", "-i", help="A file in the format of the recipe's reader.")],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="The answer file; its ending chooses the format."),
    ],
    nbest: Annotated[
        Path | None, typer.Option("--nbest", help="Also write all candidates to this .jsonl file.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Answer every question of a file and write the submission."""
    from qakit.data.cache import default_cache
    from qakit.inference.nbest_file import write_nbest
    from qakit.inference.output import build_writer, write_submission

    if not output.suffix:
        raise UsageError(f"--output {output} has no ending; use .csv, .json, .jsonl or that of the recipe's writer")
    _check_targets(source, output, nbest)
    trained = _load(run)
    build_writer(trained.recipe, trained.registry, suffix=output.suffix)  # before the long work
    split = _read(trained, source)
    with _bar("predicting") as progress:
        predictions = trained.predict(split.examples, cache=default_cache(), progress=progress)
    if nbest is not None:
        write_nbest(nbest, predictions)
    written = write_submission(output, predictions, trained.recipe, trained.registry, suffix=output.suffix)
    if as_json:
        print_json(
            {"file": str(written.path), "rows": written.rows, "sha256": written.sha256, "problems": written.problems}
        )
        return
    out.print(plain(f"{written.rows:,} answers in {written.path}"))
    for problem in written.problems:
        print_warning(f"{written.path} against {written.checked_against}: {problem}")


def evaluate(
    run: RunArgument,
    source: Annotated[
        Path, typer.Option("--input", "-i", help="A labelled file in the format of the recipe's reader.")
    ],
    nbest: Annotated[
        Path | None, typer.Option("--nbest", help="Also write all candidates to this .jsonl file.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Score a run on a labelled file, with the threshold tuned in training."""
    from qakit.cli.results import figures_table
    from qakit.data.cache import default_cache
    from qakit.inference.nbest_file import write_nbest

    _check_targets(source, nbest)
    trained = _load(run)
    split = _read(trained, source)
    unlabelled = [example.id for example in split.examples if example.answers is None and example.label is None]
    if unlabelled:
        raise DataError(
            f"{len(unlabelled)} of {len(split.examples)} questions have no answers to compare with "
            f"(the first: {unlabelled[0]}); use `qakit predict` for unlabelled files",
            path=source,
        )
    with _bar("evaluating") as progress:
        evaluation = trained.evaluate(split.examples, cache=default_cache(), progress=progress)
    if nbest is not None:
        write_nbest(nbest, evaluation.predictions)
    if as_json:
        print_json(evaluation.figures)
    else:
        out.print(figures_table(evaluation.figures))


def ask(
    run: RunArgument,
    question: Annotated[str, typer.Option("--question", "-q", help="The question.")],
    context: Annotated[
        list[str],
        typer.Option("--context", "-c", help="A text to answer from; repeat it for several. @FILE reads a file."),
    ],
    top_k: Annotated[int, typer.Option("--top-k", "-k", min=1, help="How many candidates to show.")] = 3,
    as_json: JsonOption = False,
) -> None:
    """Ask one question."""
    from qakit.inference.answerer import Answerer

    contexts = [_text(item) for item in context]
    if not question.strip() or not any(text.strip() for text in contexts):
        raise UsageError("the question or the context is empty")
    reply = Answerer(_load(run)).answer(question, contexts, top_k=top_k)
    if as_json:
        print_json(_reply_as_json(reply))
        return
    from qakit.cli.tables import new_table, number

    out.print(plain(reply.answer or "(no answer)", style="bold"))
    table = new_table(None, "candidate", "probability", "score", "place", numbers=("probability", "score"))
    for candidate in reply.candidates:
        place = f"characters {candidate.start}-{candidate.end}"
        if len(contexts) > 1:
            place += f" of context {candidate.context + 1}"
        table.add_row(plain(candidate.text), number(candidate.probability), number(candidate.score), place)
    if reply.no_answer is not None:
        table.add_row("(no answer)", number(reply.no_answer.probability), number(reply.no_answer.score), "")
    out.print(table)


def _check_targets(source: Path, *targets: Path | None) -> None:
    """Before the long work: the files to be written are no folders, and not the input."""
    for target in targets:
        if target is not None and target.is_dir():
            raise UsageError(f"{target} is a folder; name a file in it")
        if target is not None and target.resolve() == source.resolve():
            raise UsageError(f"{target} is the input file; name another output")


def _reply_as_json(reply: Any) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "answer": reply.answer,
        "candidates": [asdict(candidate) for candidate in reply.candidates],
        "no_answer": None if reply.no_answer is None else asdict(reply.no_answer),
    }


def _text(item: str) -> str:
    if not item.startswith("@"):
        return item
    path = Path(item[1:])
    try:
        return path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read: {error}", path=path) from error


def _load(run: Path) -> TrainedRun:
    from qakit.inference.trained import TrainedRun

    return TrainedRun.load(run)


def _read(trained: TrainedRun, source: Path) -> Split:
    from qakit.data.splits import read_files

    split = read_files(trained.recipe, trained.registry, [source])
    if not split.examples:
        raise DataError("holds no question", path=source)
    for problems in split.problems:
        for line in problems.describe():
            print_warning(line)
    return split


@contextmanager
def _bar(what: str) -> Iterator[Callable[[int, int], None] | None]:
    """A progress bar on a terminal, nothing elsewhere."""
    if not err.is_terminal:
        yield None
        return
    from rich.progress import Progress

    with Progress(console=err, transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
