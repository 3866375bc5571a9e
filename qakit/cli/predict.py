"""``qakit predict``: answers to a file of questions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qakit.cli.console import out, plain, print_json, print_warning
from qakit.cli.trained_runs import JsonOption, NbestOption, RunArgument, bar, check_targets, load_run, read_examples
from qakit.errors import UsageError


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(predict)


def predict(
    run: RunArgument,
    source: Annotated[Path, typer.Option("--input", "-i", help="A file in the format of the recipe's reader.")],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="The answer file; its ending chooses the format."),
    ],
    nbest: NbestOption = None,
    as_json: JsonOption = False,
) -> None:
    """Answer every question of a file and write the submission."""
    from qakit.data.cache import default_cache
    from qakit.inference.nbest_file import write_nbest
    from qakit.inference.output import build_writer, write_submission

    if not output.suffix:
        raise UsageError(f"--output {output} has no ending; use .csv, .json, .jsonl or that of the recipe's writer")
    check_targets(source, output, nbest)
    trained = load_run(run)
    build_writer(trained.recipe, trained.registry, suffix=output.suffix)  # before the long work
    split = read_examples(trained, source)
    with bar("predicting") as progress:
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
