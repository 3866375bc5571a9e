"""``qakit recipes``: list, show, validate, schema, reference."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qakit.cli.terminal.console import err, out, plain, print_json, print_text, print_warning
from qakit.cli.terminal.groups import Commands
from qakit.errors import RecipeError, UsageError
from qakit.outputs import new_path
from qakit.recipe.found import OWN_FOLDER, bundled_recipes
from qakit.values import Device, Task

if TYPE_CHECKING:
    from qakit.recipe.section import AboutSection

Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a value of the recipe, e.g. train.epochs=1."),
]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="Write to this file instead of stdout.", callback=new_path)
]


app = typer.Typer(cls=Commands, name="recipes", help="Recipes: list, show, check.", no_args_is_help=True)


@app.command("list")
def list_recipes(
    folder: Annotated[
        Path | None, typer.Argument(help="By default ./recipes, or qakit's own.", show_default=False)
    ] = None,
    task: Annotated[Task | None, typer.Option(help="Only those for this task.")] = None,
    language: Annotated[str | None, typer.Option(metavar="CODE", help="Only those in it: en, zh, multi ...")] = None,
    device: Annotated[Device | None, typer.Option(help="Only those meant for it.")] = None,
    max_hours: Annotated[
        float | None, typer.Option("--max-hours", min=0, help="Only those that take no longer on their device.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the recipes of a folder, with what they are for, what they extend and what they are.

    A filter leaves out recipes that do not say what it asks for (in their block `about`), and counts them.

    Example: qakit recipes list --task span --device cpu
    """
    from qakit.cli.terminal.tables import print_table
    from qakit.recipe.section import AboutSection

    root = folder or _default_folder()
    paths = _recipe_files(root)
    if asked := any(each is not None for each in (task, language, device, max_hours)):
        said = {path: _said(path) for path in paths}
        paths = [
            path
            for path, about in said.items()
            if about is not None and about.fits(task=task, language=language, device=device, hours=max_hours)
        ]
        silent = sum(about is None for about in said.values())
        if silent:
            print_warning(f"{silent} recipes do not say what they are for (the block `about`), and are left out")
    rows = [_row(path) for path in paths]
    if as_json:
        print_json({"folder": str(root), "recipes": rows})
    elif not rows:
        err.print(plain(f"no such recipe in {root}" if asked else f"no recipes (*.yaml) in {root}"))
    else:
        columns, cells = ("recipe", "name", "for", "extends", "description"), []
        for row in rows:
            parents = ", ".join(Path(parent).name for parent in row["extends"])
            about = str(AboutSection.model_validate(row["about"] or {}))
            texts = (row["path"], row["name"], about, parents, row["description"])
            cells.append([plain(text, "" if row["valid"] else "red") for text in texts])
        print_table(None, columns, cells)


@app.command()
def show(
    recipe: Annotated[Path, typer.Argument(help="A recipe file.")],
    overrides: Overrides = None,
    memory: Annotated[
        bool, typer.Option("--memory", help="Instead, estimate the memory that training needs; no weights are fetched.")
    ] = False,
    device_gb: Annotated[
        float | None,
        typer.Option("--device-gb", metavar="N", help="With --memory: on a GPU of N GB; by default this machine's."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Print a recipe with every value, and where each came from; of a pipeline, the recipes of its stages too.

    Of an ensemble: its members and how they are combined.

    Example: qakit recipes show boss --memory --device-gb 16
    """
    from qakit.cli.recipes.show import show_ensemble, show_pipeline, show_recipe
    from qakit.ensembling.load import is_ensemble
    from qakit.recipe.found import found_recipe
    from qakit.stages.load import is_pipeline

    file = found_recipe(recipe)
    if device_gb is not None and not (memory and device_gb > 0):
        raise UsageError("--device-gb N goes with --memory: the GB of a GPU, above 0")
    if memory:
        from qakit.cli.recipes.memory import show_memory

        if is_ensemble(file) or is_pipeline(file):
            raise UsageError(f"--memory is for one training: name the recipe of a member or a stage of {recipe}")
        show_memory(file, overrides or [], device_gb=device_gb, as_json=as_json)
        return
    show_it = show_ensemble if is_ensemble(file) else show_pipeline if is_pipeline(file) else show_recipe
    show_it(file, overrides or [], as_json=as_json)


@app.command()
def validate(
    recipes: Annotated[
        list[Path] | None, typer.Argument(help="Recipe files or folders; by default ./recipes.", show_default=False)
    ] = None,
    overrides: Overrides = None,
    check_files: Annotated[bool, typer.Option("--check-files", help="Data files must be there, too.")] = False,
    as_json: Json = False,
) -> None:
    """Check recipes and studies, and say everything that is wrong with them. Exit code 2 if anything is.

    A study is checked with the recipes of all its trials.

    Example: qakit recipes validate my-recipe.yaml
    """
    from qakit.recipe.found import found_recipe

    paths = [file for path in recipes or [_own_folder()] for file in (_recipe_files(path) if path.is_dir() else [path])]
    if not paths:
        raise UsageError("there are no recipes (*.yaml) to check")
    problems: dict[Path, RecipeError | None] = {}
    for path in dict.fromkeys(paths):
        try:
            _check(found_recipe(path), overrides or [], check_files=check_files)
        except RecipeError as error:
            problems[path] = error
        else:
            problems[path] = None
    if as_json:
        print_json({"recipes": [_verdict(path, error) for path, error in problems.items()]})
    else:
        _print_verdicts(problems)
    if any(problems.values()):
        raise typer.Exit(2)


@app.command()
def schema(output: Output = None) -> None:
    """Write a JSON Schema of recipes, for editors.

    Example: qakit recipes schema --output recipe.schema.json
    """
    from qakit.recipe.schema import recipe_schema
    from qakit.registry import load_registry

    _write(json.dumps(recipe_schema(load_registry()), ensure_ascii=False, indent=2) + "\n", output)


@app.command(hidden=True)
def reference(
    output: Output = None,
    package: Annotated[str, typer.Option(help="Only plugins of this package; empty for all.")] = "qakit",
) -> None:
    """Write the recipe reference (Markdown), generated from the models and the installed plugins."""
    from qakit.recipe.reference import recipe_reference
    from qakit.registry import load_registry

    _write(recipe_reference(load_registry(), package=package or None), output)


def _own_folder() -> Path:
    if not OWN_FOLDER.is_dir():
        raise UsageError("which recipe? There is no folder ./recipes here; name a file or a folder")
    return OWN_FOLDER


def _default_folder() -> Path:
    """``./recipes``, else the recipes that came with qakit."""
    return OWN_FOLDER if OWN_FOLDER.is_dir() else bundled_recipes() or _own_folder()


def _recipe_files(folder: Path) -> list[Path]:
    from qakit.recipe.read import SUFFIXES

    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder")
    found = (path for path in folder.rglob("*") if path.suffix in SUFFIXES and path.is_file())
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def _check(path: Path, overrides: Sequence[str], *, check_files: bool) -> None:
    """Check a recipe, a pipeline, a study or an ensemble.

    Raises:
        RecipeError: with everything that is wrong.
    """
    from functools import partial

    from qakit.graph.expand import load
    from qakit.registry import load_registry
    from qakit.study.load import is_study, load_study
    from qakit.study.plan import plan

    read = partial(load, registry=load_registry(), check_files=check_files, check_members=check_files)
    if is_study(path):
        plan(load_study(path), read, overrides=overrides)
    else:
        read(path, overrides=overrides)


def _said(path: Path) -> AboutSection | None:
    """What a recipe's file says it is for; None where it says nothing, or nothing sound."""
    from pydantic import ValidationError

    from qakit.recipe.nodes import Findings
    from qakit.recipe.nodes import plain as values
    from qakit.recipe.read import read_recipe_file
    from qakit.recipe.section import AboutSection

    try:
        entry = read_recipe_file(path, Findings()).entries.get("about")
        return None if entry is None else AboutSection.model_validate(values(entry.value))
    except (RecipeError, ValidationError):
        return None


def _row(path: Path) -> dict[str, Any]:
    try:
        name, extends, description = _about(path)
    except RecipeError as error:
        count = len(error.issues)
        said: dict[str, Any] = {
            "name": path.stem,
            "extends": [],
            "description": f"invalid: {count} problem{'' if count == 1 else 's'}",
        }
        return {"path": str(path), **said, "about": None, "valid": False}
    about = _said(path)
    said = {"name": name, "extends": [str(each) for each in extends], "description": description}
    told = None if about is None else about.model_dump(exclude_none=True)
    return {"path": str(path), **said, "about": told, "valid": True}


def _about(path: Path) -> tuple[str | None, Iterable[str | Path], str]:
    """Its name, the recipes that it is made of, and its description.

    Raises:
        RecipeError: something is wrong with it.
    """
    from qakit.ensembling.load import is_ensemble, load_ensemble
    from qakit.recipe.load import load_recipe
    from qakit.registry import load_registry
    from qakit.stages.load import is_pipeline, load_pipeline
    from qakit.study.load import is_study, load_study

    if is_ensemble(path):
        _check(path, [], check_files=False)
        ensemble = load_ensemble(path, load_registry(), check_members=False)
        members = [] if ensemble.train is None else [ensemble.train.recipe]
        return ensemble.name, members, f"Ensemble: {ensemble.description}"
    if is_pipeline(path):
        loaded = load_pipeline(path)
        stages = [stage.run or stage.loaded.path for stage in loaded.stages.values()]
        return loaded.pipeline.name, stages, f"Pipeline: {loaded.pipeline.description}"
    if is_study(path):
        _check(path, [], check_files=False)
        study = load_study(path)
        return study.name, study.recipes.values(), f"Study: {study.study.description}"
    one = load_recipe(path)
    return one.recipe.name, one.extends, one.recipe.description


def _verdict(path: Path, error: RecipeError | None) -> dict[str, Any]:
    issues = error.issues if error else ()
    return {"path": str(path), "valid": not issues, "issues": [asdict(issue) for issue in issues]}


def _print_verdicts(problems: dict[Path, RecipeError | None]) -> None:
    for path, error in problems.items():
        if error is None:
            out.print(plain("ok  ", "green") + plain(path))
            continue
        for issue in error.issues:
            out.print(plain(issue))
            out.print()
    bad = sum(error is not None for error in problems.values())
    if bad:
        count = sum(len(error.issues) for error in problems.values() if error)
        err.print(plain(f"{count} problem{'' if count == 1 else 's'} in {bad} of {len(problems)} recipes", "red"))


def _write(text: str, output: Path | None) -> None:
    if output is None:
        print_text(text)
        return
    from qakit.files import write_text

    write_text(output, text)
