"""``qakit export``: a run in a form that works elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from qakit.cli.kaggle.submit import CompetitionOption
from qakit.cli.terminal.console import out, plain, print_json, print_warning
from qakit.cli.terminal.options import JsonOption, RunArgument
from qakit.errors import UsageError
from qakit.names import quoted
from qakit.outputs import new_folder


def export(
    run: RunArgument,
    merge: Annotated[
        bool, typer.Option("--merge", help="Write the whole model with plain weights, for transformers, into --output.")
    ] = False,
    adapter_only: Annotated[
        bool,
        typer.Option(
            "--adapter-only",
            help="Write a run that holds only what was trained into --output; LoRA also in PEFT's format.",
        ),
    ] = False,
    onnx: Annotated[
        bool,
        typer.Option(
            "--onnx",
            help="Write a run whose encoder is an ONNX graph, with its price: answers, speed and size beside the "
            "original's on the validation questions.",
        ),
    ] = False,
    int8: Annotated[bool, typer.Option("--int8", help="With --onnx: weights as 8-bit integers.")] = False,
    offline: Annotated[
        bool,
        typer.Option(
            "--offline",
            help="Write a folder with wheel, weights and a script run.sh that answers a file without a network, into "
            "--output; also of a pipeline, an ensemble, or folds.",
        ),
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FOLDER", help="Where to write.", callback=new_folder)
    ] = None,
    kaggle: Annotated[
        Path | None,
        typer.Option(
            "--kaggle",
            metavar="FOLDER",
            help="For competitions that take notebooks only: write a Kaggle dataset and a notebook into this folder; "
            "also of a pipeline, an ensemble, or folds.",
            callback=new_folder,
        ),
    ] = None,
    colab: Annotated[
        Path | None,
        typer.Option(
            "--colab",
            metavar="FOLDER",
            help="Of a recipe, in the run's place: write a folder for Google Drive with a notebook that trains it.",
            callback=new_folder,
        ),
    ] = None,
    competition: CompetitionOption = None,
    user: Annotated[
        str | None, typer.Option("--user", help="With --kaggle: your Kaggle user name; by default the credentials'.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """A run in a form that works elsewhere: plain weights, the adapter, an ONNX graph, a folder with a script, or a
    notebook for Kaggle.

    Kaggle's notebook answers the recipe's test file without a network. Colab's trains: it wants a recipe for RUN.

    Example: qakit export runs/lora --merge -o exported
    """
    if [merge, adapter_only, onnx, offline, kaggle is not None, colab is not None].count(True) != 1:
        raise UsageError(
            "what should be written? one of --merge, --adapter-only, --onnx, --offline, --kaggle FOLDER and --colab"
            " FOLDER"
        )
    _refuse(int8 and not onnx, "--int8 goes with --onnx")
    if colab is not None:
        _refuse(any((output, competition, user)), "--colab goes with no other option but --json")
        _colab(run, colab, as_json=as_json)
        return
    if not offline and kaggle is None:
        refuse_composed(run)
    tell_unfinished(run)
    if kaggle is not None:
        _refuse(output is not None, "--kaggle names its folder itself; leave --output out")
        _kaggle(run, kaggle, competition, user, as_json=as_json)
        return
    _refuse(competition is not None or user is not None, "--competition and --user go with --kaggle")
    if output is None:
        raise UsageError("where to? --output FOLDER")
    if offline:
        _offline(run, output, as_json=as_json)
        return
    if onnx:
        _onnx(run, output, int8=int8, as_json=as_json)
        return
    _weights(run, output, adapter_only=adapter_only, as_json=as_json)


def _refuse(contradiction: bool, message: str) -> None:
    if contradiction:
        raise UsageError(message)


def tell_unfinished(run: Path) -> None:
    """Warn of a training that is not finished, and has weights."""
    from qakit.runs import Run, open_run
    from qakit.stages.load import unfinished

    for path in unfinished(open_run(run)):
        if Run(path).model.is_dir():
            print_warning(f"{path} is not finished: the best weights that it has so far are exported")


def refuse_composed(run: Path) -> None:
    """Make sure that a run has a single model, before it is handed over as one."""
    from qakit.runs import Run, member_folders, open_run
    from qakit.stages.load import is_pipeline_folder, stage_folders

    what: str
    folders: Iterable[Path]
    if is_pipeline_folder(run):
        what, folders = "stages", stage_folders(open_run(run)).values()
    elif Run(run).has_members:
        what, folders = "members", member_folders(open_run(run))
    else:
        return
    each = ", ".join(map(str, folders))
    raise UsageError(f"{run} has several models: export its {what} ({each}), or all of it with --offline or --kaggle")


def _offline(run: Path, folder: Path, *, as_json: bool) -> None:
    from qakit.registry import load_registry
    from qakit.runs import open_run
    from qakit.submit.offline import export_offline

    done = export_offline(open_run(run), folder, load_registry())
    if as_json:
        print_json({"folder": str(done.folder), "command": done.command, "requirements": list(done.requirements)})
        return
    out.print(plain(f"written: {folder}; run it with: bash {done.command}"))


def _onnx(run: Path, folder: Path, *, int8: bool, as_json: bool) -> None:
    from qakit.cli.terminal.progress import TrainingDisplay
    from qakit.workflows.onnx import export_onnx

    with TrainingDisplay() as display:
        price = export_onnx(run, folder, int8=int8, listener=display)
    if as_json:
        print_json({"folder": str(folder), **price.as_json()})
        return
    for line in (f"written: {folder}; it answers like a run", *price.lines()):
        out.print(plain(line))


def _weights(run: Path, folder: Path, *, adapter_only: bool, as_json: bool) -> None:
    from qakit.modeling.export import export_adapter, export_merged
    from qakit.modeling.folder import use_in_transformers
    from qakit.registry import load_registry
    from qakit.runs import open_run

    write = export_adapter if adapter_only else export_merged
    write(open_run(run), load_registry(), folder)
    files = {str(file.relative_to(folder)): file.stat().st_size for file in sorted(folder.rglob("*")) if file.is_file()}
    if as_json:
        print_json({"folder": str(folder), "kind": "adapter" if adapter_only else "merged", "files": files})
        return
    out.print(plain(f"written: {folder} ({sum(files.values()) / 1e6:,.1f} MB): {', '.join(files)}"))
    if not adapter_only:
        out.print(plain(f"it {use_in_transformers(folder)}"))


def _colab(recipe: Path, folder: Path, *, as_json: bool) -> None:
    from qakit.registry import load_registry
    from qakit.sessions.notebook import export_colab
    from qakit.training.events import log
    from qakit.workflows.train import plan_training

    registry = load_registry()
    notebook = export_colab(plan_training(recipe, None, registry=registry).graph, folder, registry, log)
    if as_json:
        print_json({"folder": str(folder), "notebook": str(notebook)})
        return
    out.print(plain(f"written: {notebook}; put {folder} into Drive as qakit/{notebook.stem}, open the notebook there"))


def _kaggle(run: Path, folder: Path, competition: str | None, user: str | None, *, as_json: bool) -> None:
    from qakit.runs import open_run
    from qakit.submit.credentials import find_credentials
    from qakit.submit.notebook import export_run
    from qakit.submit.target import slug_of

    opened = open_run(run)
    slug = slug_of(competition, opened.recipe())
    name = user or next((each.user for each in find_credentials().found if each.user), None)
    if name is None:
        raise UsageError("whose dataset will it be? --user NAME (your name on Kaggle)")
    done = export_run(opened, folder, user=name, slug=slug)
    if as_json:
        print_json(
            {
                "dataset": str(done.dataset),
                "notebook": str(done.notebook),
                "dataset_id": done.dataset_id,
                "notebook_id": done.notebook_id,
                "requirements": list(done.requirements),
            }
        )
        return
    steps = (
        f"written: {done.dataset} and {done.notebook}",
        f"1. kaggle datasets create -p {quoted(done.dataset)} --dir-mode zip",
        f"2. kaggle kernels push -p {quoted(done.notebook)}     (when the dataset is ready)",
        f"3. qakit submit --notebook {done.notebook_id} --version 1 -c {slug} --run {quoted(run)}     (after it)",
    )
    for step in steps:
        out.print(plain(step))
