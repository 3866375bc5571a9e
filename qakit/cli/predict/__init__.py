"""``qakit predict``: answers to a file of questions, to many files, or to one of the run's own splits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from qakit.cli.terminal.console import out, plain, print_json
from qakit.cli.terminal.options import (
    JsonOption,
    ModelArgument,
    NbestOption,
    QuietOption,
    ReaderOption,
    ReaderSetOption,
    SetOption,
    overrides_of,
)
from qakit.errors import UsageError
from qakit.outputs import new_path

if TYPE_CHECKING:
    from qakit.inference.output import Submission


def predict(
    model: ModelArgument,
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            "-i",
            metavar="FILE",
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
    engine: Annotated[
        Literal["local", "ray"],
        typer.Option("--engine", help="Many inputs: in this process, or on a Ray cluster ($RAY_ADDRESS)."),
    ] = "local",
    reader: ReaderOption = None,
    reader_settings: ReaderSetOption = None,
    settings: SetOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Answer every question of a file and write the submission, or answer many files into a folder.

    An ensemble, or a folder of folds, answers with all of its models.

    Example: qakit predict runs/first --input test.json --output submission.csv
    """
    from qakit.cli.predict.many import ManyOptions, is_many, predict_many
    from qakit.cli.terminal.progress import TrainingDisplay
    from qakit.distributed import is_first_process
    from qakit.runs import Run
    from qakit.workflows.predict import Targets
    from qakit.workflows.predict import predict as predict_questions

    options = ManyOptions(form, block, shard_of, keep_going, overwrite, engine)
    overrides = overrides_of(settings, reader=reader, reader_settings=reader_settings)
    if contexts is not None and not (inputs and split is None and not is_many(inputs, target)):
        raise UsageError("--contexts goes with one --input; of many, each has its file of contexts beside it")
    if inputs and split is None and is_many(inputs, target):
        if nbest is not None or characters is not None:
            raise UsageError("--nbest and --character-scores are for one input; give each file a command of its own")
        predict_many(model, inputs, target, options, overrides=overrides, as_json=as_json, quiet=quiet)
        return
    if options.given():
        raise UsageError(f"{options.given()[0]} is for a folder of answers: name one as --output, ending in /")
    if inputs and split is None and target is None:
        raise UsageError("--input needs --output: the file for the answers")
    targets = Targets(Path(target) if target else None, nbest, characters)
    first = is_first_process()
    with TrainingDisplay(quiet=quiet or (as_json and Run(model).has_members), silent=not first) as display:
        result = predict_questions(
            model,
            inputs[0] if inputs else None,
            contexts=contexts,
            split=split,
            targets=targets,
            overrides=overrides,
            listener=display,
        )
    if first:
        _report(len(result.predictions), result.folder, result.written, as_json=as_json)


def _report(rows: int, folder: Path | None, written: Submission | None, *, as_json: bool) -> None:
    if as_json:
        file = {"file": str(written.path), "sha256": written.sha256, "problems": written.problems} if written else {}
        print_json({"rows": rows} | ({} if folder is None else {"folder": str(folder)}) | file)
        return
    if folder is not None:
        out.print(plain(f"candidates for {rows:,} questions in {folder}"))
    if written is not None:
        out.print(plain(f"{rows:,} answers in {written.path}"))
