"""``qakit predict``: answers to a file of questions, to many files, or to one of the run's own splits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from qakit.cli.console import out, plain, print_json, print_warning
from qakit.cli.outputs import new_path
from qakit.cli.trained_runs import (
    JsonOption,
    ModelArgument,
    NbestOption,
    ReaderOption,
    ReaderSetOption,
    SetOption,
    bar,
    check_targets,
    input_file,
    load_run,
    overrides_of,
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
    model: ModelArgument,
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            "-i",
            help="A file (also hf://...) in the format of the recipe's reader. For many: a folder, a quoted pattern "
            "('shards/*.parquet'), or this option several times.",
        ),
    ] = None,
    contexts: Annotated[
        Path | None,
        typer.Option(
            "--contexts", help="The file of contexts, for readers that have one (adl); by default beside the input."
        ),
    ] = None,
    split: Annotated[
        Literal["train", "validation", "test"] | None,
        typer.Option(
            "--split",
            help="Instead of --input: the examples that the recipe names (its limits applied); the candidates go to "
            "RUN/predictions/SPLIT/.",
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            help="The answer file; its ending chooses the format. Optional with --split. For many inputs: a folder, "
            "which gets a file of answers for each; started again, the command does what is missing.",
            callback=new_path,
        ),
    ] = None,
    nbest: NbestOption = None,
    characters: Annotated[
        Path | None,
        typer.Option(
            "--character-scores",
            help="Also write start and end log-probabilities of every character to this file.",
            callback=new_path,
        ),
    ] = None,
    form: Annotated[
        Literal["parquet", "jsonl", "csv"] | None,
        typer.Option("--format", help="Many inputs: how answers are written; by default as the input is."),
    ] = None,
    block: Annotated[
        int | None,
        typer.Option(min=1, help="Many inputs: questions in memory at a time (10,000); in Parquet a row group."),
    ] = None,
    shard_of: Annotated[
        str | None,
        typer.Option(metavar="I/N", help="Many inputs: only each N-th file, beginning with the I-th, counted from 1."),
    ] = None,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Many inputs: pass over files with bad records; ends with 1.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Many inputs: remove earlier answers from the folder and begin anew.")
    ] = False,
    reader: ReaderOption = None,
    reader_settings: ReaderSetOption = None,
    settings: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Answer every question of a file and write the submission, or answer many files into a folder.

    An ensemble, or a folder of folds, answers a file with all of its models.
    """
    from qakit.cli.predict_ensemble import check_for_one, predict_ensemble
    from qakit.cli.predict_many import ManyOptions, is_many, predict_many
    from qakit.runs import Run

    options = ManyOptions(form, block, shard_of, keep_going, overwrite)
    overrides = overrides_of(settings, reader=reader, reader_settings=reader_settings)
    if Run(model).has_members:
        many = is_many(inputs or (), target) or bool(options.given())
        check_for_one(model, many=many, split=split, characters=characters)
    if contexts is not None and not (inputs and split is None and not is_many(inputs, target)):
        raise UsageError("--contexts goes with one --input; of many, each has its file of contexts beside it")
    if inputs and split is None and is_many(inputs, target):
        if nbest is not None or characters is not None:
            raise UsageError("--nbest and --character-scores are for one input; give each file a command of its own")
        predict_many(model, inputs, target, options, overrides=overrides, as_json=as_json)
        return
    source = input_file(inputs[0]) if inputs else None
    output = Path(target) if target else None
    _check_options(source, split, output, options.given())
    if source is not None and output is not None and Run(model).has_members:
        written = predict_ensemble(model, source, contexts, output, nbest, quiet=as_json)
        _report(written.rows, None, written, as_json=as_json)
        return
    _predict_one(model, overrides, source, contexts, split, output, nbest, characters, as_json=as_json)


def _predict_one(
    model: Path,
    overrides: Sequence[str],
    source: Path | None,
    contexts: Path | None,
    split: Literal["train", "validation", "test"] | None,
    output: Path | None,
    nbest: Path | None,
    characters: Path | None,
    *,
    as_json: bool,
) -> None:
    """Answers to one file or one split, all of them in memory."""
    from qakit.data.cache import default_cache
    from qakit.data.splits import with_contexts
    from qakit.inference.nbest_file import write_nbest
    from qakit.inference.output import build_writer, inputs_of, save_predictions, write_submission

    trained = load_run(model, overrides)
    if contexts is not None:
        trained = trained.under(with_contexts(trained.recipe, contexts))
    if characters is not None:
        wanted = trained.recipe.predict.model_copy(update={"character_scores": True})
        trained = trained.under(trained.recipe.model_copy(update={"predict": wanted}))
    if output is not None:
        build_writer(trained.recipe, trained.registry, suffix=output.suffix)  # before the long work
    if source is not None:
        check_targets(source, output, nbest, characters)
        questions = read_examples(trained, source, predicted_only=True)
    else:
        assert split is not None
        questions = read_own_split(trained, split)
        for file in questions.files:
            check_targets(file, output, nbest, characters)
    with bar("predicting", shown=trained.workers.first) as progress:
        inferred = trained.infer(questions.examples, cache=default_cache(), progress=progress)
    if not trained.workers.first:
        return

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


def _check_options(source: Path | None, split: str | None, output: Path | None, for_many: list[str]) -> None:
    if (source is None) == (split is None):
        raise UsageError("give either --input FILE or --split train|validation|test")
    if for_many:
        raise UsageError(f"{for_many[0]} is for a folder of answers: name one as --output, ending in /")
    if source is not None and output is None:
        raise UsageError("--input needs --output: the file for the answers")
    if output is not None and not output.suffix:
        raise UsageError(f"--output {output} has no ending; use .csv, .json, .jsonl or that of the recipe's writer")


def _report(rows: int, folder: Path | None, written: Submission | None, *, as_json: bool) -> None:
    for line in () if written is None else written.told():
        print_warning(line)
    if as_json:
        file = {"file": str(written.path), "sha256": written.sha256, "problems": written.problems} if written else {}
        print_json({"rows": rows} | ({} if folder is None else {"folder": str(folder)}) | file)
        return
    if folder is not None:
        out.print(plain(f"candidates for {rows:,} questions in {folder}"))
    if written is not None:
        out.print(plain(f"{rows:,} answers in {written.path}"))
