"""``qakit pretrain``."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qakit.cli.terminal.console import err, plain, print_json
from qakit.cli.terminal.options import QuietOption
from qakit.errors import UsageError
from qakit.outputs import new_folder

if TYPE_CHECKING:
    from qakit.pretraining.settings import PretrainSettings
    from qakit.recipe.model import BackboneSection, Recipe
    from qakit.registry import Registry

SPLITS = ("train", "validation", "test")
GO_ON = "continue with the same command and --resume"


def pretrain(
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="Where the pretrained backbone goes: a new folder.",
            metavar="FOLDER",
            callback=new_folder,
        ),
    ],
    recipe: Annotated[
        Path | None, typer.Argument(help="A recipe: its backbone and, without --text, the contexts of its data.")
    ] = None,
    backbone: Annotated[str | None, typer.Option("--backbone", help="Another backbone than the recipe's.")] = None,
    texts: Annotated[
        list[Path] | None,
        typer.Option("--text", help="A UTF-8 text file: documents between blank lines, else one a line."),
    ] = None,
    splits: Annotated[
        list[str] | None,
        typer.Option("--split", help="Contexts of the recipe's train, validation or test files; by default train."),
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting, e.g. epochs=3.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="The same command once more: continue from the last checkpoint.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON on stdout.")] = False,
    quiet: QuietOption = False,
) -> None:
    """Continue a backbone's pretraining on texts: masked words, or recurring spans as in Splinter.

    The folder serves as backbone.source of a recipe.

    Example: qakit pretrain simple --text texts.txt -o pretrained
    """
    from qakit.pretraining.settings import settings_from
    from qakit.registry import load_registry

    settings = settings_from(overrides or [])
    registry = load_registry()
    loaded = None if recipe is None else _recipe(recipe, registry)
    if unknown := [split for split in splits or () if split not in SPLITS]:
        raise UsageError(f"--split {unknown[0]}: there are {', '.join(SPLITS)}")
    if loaded is None and splits:
        raise UsageError("--split takes contexts from a recipe's data: name the recipe, too")
    if loaded is None and not texts:
        raise UsageError("which texts? name text files with --text, or a recipe for the contexts of its data")
    section = _backbone(loaded, backbone)
    wanted = splits if splits or texts else ["train"]
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    note = _pretrain(
        settings, section, loaded, registry, texts or [], wanted or [], output, resume=resume, quiet=quiet or as_json
    )
    if note is not None and as_json:
        print_json(note)
    elif note is not None:
        scratch = loaded is not None and loaded.backbone.init == "scratch"
        more = " --set backbone.init=pretrained" if scratch else ""  # else the recipe would begin from nothing again
        err.print(plain(f"done: use it with --set backbone.source={output}{more}"))


def _recipe(path: Path, registry: Registry) -> Recipe:
    from qakit.recipe.found import found_recipe
    from qakit.recipe.load import load_recipe

    return load_recipe(found_recipe(path), [], registry=registry).recipe


def _backbone(recipe: Recipe | None, source: str | None) -> BackboneSection:
    from qakit.recipe.model import BackboneSection

    if source is not None:
        return BackboneSection(source=source)
    if recipe is None:
        raise UsageError("which backbone? name it with --backbone, or a recipe that has one")
    return recipe.backbone


def _pretrain(
    settings: PretrainSettings,
    backbone: BackboneSection,
    recipe: Recipe | None,
    registry: Registry,
    texts: list[Path],
    splits: list[Any],
    output: Path,
    *,
    resume: bool,
    quiet: bool,
) -> dict[str, Any] | None:
    """Train; None in all processes but the first."""
    from qakit.cli.terminal.progress import TrainingDisplay
    from qakit.cli.terminal.stops import stops_told
    from qakit.data.cache import default_cache
    from qakit.data.splits import split_files
    from qakit.distributed import is_first_process, processes_of_this_launch
    from qakit.files import file_sha256
    from qakit.pretraining.output import read_note
    from qakit.pretraining.prepare import contexts_of, distinct, loop_recipe, prepare_pretraining, read_documents
    from qakit.pretraining.pretrain import check_output, finished
    from qakit.pretraining.pretrain import pretrain as run_pretraining
    from qakit.runs import Run, alone_in
    from qakit.training.launch import accelerator_for
    from qakit.training.lineage import trace

    def begun() -> Path | None:
        return None if read_note(output) is None else output

    with stops_told(begun, first=is_first_process(), go_on=GO_ON), ExitStack() as held:
        workers = held.enter_context(processes_of_this_launch())
        accelerator = accelerator_for(loop_recipe(backbone, settings))
        with workers.fail_together():
            note = finished(output) if resume and workers.first else None
        if workers.from_first(note) is not None:
            if workers.first and not quiet:
                err.print(plain(f"{output} is finished: there is nothing left to do"))
            return note
        display = held.enter_context(TrainingDisplay(quiet=quiet, silent=not workers.first))
        with workers.fail_together():
            if workers.first:
                check_output(output, resume=resume)
            documents = [document for path in texts for document in read_documents(path)]
            if recipe is not None:
                documents += contexts_of(recipe, registry, splits)
            pretraining = prepare_pretraining(
                distinct(documents),
                backbone,
                settings,
                device=accelerator.device,
                listener=display,
                cache=default_cache(),
            )
            lineage = trace(pretraining.recipe, registry, (), ())
            if workers.first:
                output.mkdir(parents=True, exist_ok=True)
                held.enter_context(alone_in(Run(output)))
                check_output(output, resume=resume)  # again, now that nobody else can fill it
        named = [file for split in splits if recipe is not None for file in split_files(recipe, split)]
        note = run_pretraining(
            pretraining,
            output,
            files={str(file): file_sha256(file) for file in (*texts, *named)},
            accelerator=accelerator,
            resume=resume,
            listener=display,
            lineage=lineage if lineage.edges else None,
        )
    return note if workers.first else None
