"""``qakit predict``: answers to a file of questions, or to one of the run's own splits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from qakit.cli.console import out, plain, print_json, print_warning
from qakit.cli.trained_runs import (
    JsonOption,
    NbestOption,
    RunArgument,
    bar,
    check_targets,
    load_run,
    read_examples,
    read_own_split,
)
from qakit.errors import UsageError

if TYPE_CHECKING:
    from qakit.inference.output import Submission


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(predict)


def predict(
    run: RunArgument,
    source: Annotated[
        Path | None, typer.Option("--input", "-i", help="A file in the format of the recipe's reader.")
    ] = None,
    split: Annotated[
        Literal["train", "validation", "test"] | None,
        typer.Option(
            "--split",
            help="Instead of --input: the examples that the recipe names (its limits applied); the candidates go to "
            "RUN/predictions/SPLIT/.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The answer file; its ending chooses the format. Optional with --split."),
    ] = None,
    nbest: NbestOption = None,
    characters: Annotated[
        Path | None,
        typer.Option(
            "--character-scores", help="Also write start and end log-probabilities of every character to this file."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Answer every question of a file and write the submission."""
    from qakit.data.cache import default_cache
    from qakit.inference.nbest_file import write_nbest
    from qakit.inference.output import build_writer, inputs_of, save_predictions, write_submission

    _check_options(source, split, output)
    trained = load_run(run)
    if characters is not None:
        wanted = trained.recipe.predict.model_copy(update={"character_scores": True})
        trained = trained.under(trained.recipe.model_copy(update={"predict": wanted}))
    if output is not None:
        build_writer(trained.recipe, trained.registry, suffix=output.suffix)  # before the long work
    if source is not None:
        check_targets(source, output, nbest, characters)
        questions = read_examples(trained, source)
    else:
        assert split is not None
        questions = read_own_split(trained, split)
        for file in questions.files:
            check_targets(file, output, nbest, characters)
    with bar("predicting") as progress:
        inferred = trained.infer(questions.examples, cache=default_cache(), progress=progress)

    folder = None
    if split is not None:
        folder = trained.run.predictions / split
        save_predictions(
            folder,
            inferred.predictions,
            trained.recipe,
            run=trained.run.name,
            inputs=inputs_of(questions.files),
            characters=inferred.characters,
        )
    if nbest is not None:
        write_nbest(nbest, inferred.predictions)
    if characters is not None and inferred.characters is not None:
        inferred.characters.write(characters)
    written = None
    if output is not None:
        written = write_submission(output, inferred.predictions, trained.recipe, trained.registry, suffix=output.suffix)
    _report(len(inferred.predictions), folder, written, as_json=as_json)


def _check_options(source: Path | None, split: str | None, output: Path | None) -> None:
    if (source is None) == (split is None):
        raise UsageError("give either --input FILE or --split train|validation|test")
    if source is not None and output is None:
        raise UsageError("--input needs --output: the file for the answers")
    if output is not None and not output.suffix:
        raise UsageError(f"--output {output} has no ending; use .csv, .json, .jsonl or that of the recipe's writer")


def _report(rows: int, folder: Path | None, written: Submission | None, *, as_json: bool) -> None:
    if as_json:
        file = {"file": str(written.path), "sha256": written.sha256, "problems": written.problems} if written else {}
        print_json({"rows": rows} | ({} if folder is None else {"folder": str(folder)}) | file)
        return
    if folder is not None:
        out.print(plain(f"candidates for {rows:,} questions in {folder}"))
    if written is not None:
        out.print(plain(f"{rows:,} answers in {written.path}"))
        for problem in written.problems:
            print_warning(f"{written.path} against {written.checked_against}: {problem}")
