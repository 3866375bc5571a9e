"""``qakit train`` of a recipe with folds: one training for each fold, then what they are together."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qakit.cli.console import err, out, plain, print_json, print_warning
from qakit.cli.train_part import train_into
from qakit.errors import UsageError

if TYPE_CHECKING:
    from qakit.data.folds import Assignment
    from qakit.data.splits import Split
    from qakit.recipe.model import Recipe
    from qakit.registry import Registry
    from qakit.runs import Run


def train_folds(
    recipe: Recipe,
    output: Path | None,
    registry: Registry,
    *,
    fold: int | None,
    dry_run: bool,
    resume: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Train the folds that are not trained yet, or only ``fold``; once all are, join and judge them."""
    from qakit.data.splits import read_folds
    from qakit.folds.combining import check_combining

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    assert recipe.folds is not None
    k, silent = recipe.folds.k, quiet or as_json
    _check(recipe, fold)
    if recipe.data.validation is not None:
        _say("data.validation is left alone: each fold is judged on its own part of data.train", silent)
    split, assignment = read_folds(recipe, registry)
    check_combining(recipe, registry, split, fold=fold or 1)
    if dry_run:
        _dry_run(recipe, registry, assignment, fold=fold or 1, as_json=as_json, quiet=quiet)
        return
    done = _train(recipe, output, registry, split, assignment, fold=fold, resume=resume, silent=silent)
    run, missing, metrics = done
    if metrics is None:
        left = ", ".join(map(str, missing))
        if as_json:
            print_json({"run": str(run.folder), "missing": list(missing)})
        _say(f"not trained yet: fold {left} of {k}; go on with: qakit train --resume --output {run.folder}", silent)
        return
    if as_json:
        print_json(metrics)
        return
    show_folds(run, metrics)
    err.print(plain(f"done: {run.folder}"))


def wants_folds(recipe: Recipe, fold: int | None) -> bool:
    """Whether a recipe means several trainings.

    Raises:
        UsageError: ``--fold`` was given for a recipe that has no folds, or is that of one fold.
    """
    several = recipe.folds is not None and recipe.folds.fold is None
    if fold is not None and not several:
        raise UsageError("--fold is for a recipe with `folds: {k: 5}`, of which it trains one")
    return several


def _check(recipe: Recipe, fold: int | None) -> None:
    from qakit.inference.workers import launched_processes

    assert recipe.folds is not None
    if fold is not None and not 1 <= fold <= recipe.folds.k:
        raise UsageError(f"--fold {fold}: there are {recipe.folds.k} folds, counted from 1")
    if launched_processes() > 1:
        raise UsageError(
            "folds are trained by one process; with a launcher train each as a run of its own, with --set folds.fold=1 "
            "--output RUN/fold-1 and so on, then join them with `qakit train RECIPE --output RUN`"
        )


def _dry_run(
    recipe: Recipe, registry: Registry, assignment: Assignment, *, fold: int, as_json: bool, quiet: bool
) -> None:
    from qakit.cli.rehearsal import rehearsed, show_rehearsal
    from qakit.training.fold_recipe import fold_recipe

    assert recipe.folds is not None
    sizes = assignment.sizes(recipe.folds.k)
    summary = rehearsed(fold_recipe(recipe, fold), registry, quiet=quiet or as_json)
    if as_json:
        print_json({"folds": sizes, "fold": fold, **summary})
        return
    show_rehearsal(f"Dry run: fold {fold} of {recipe.folds.k}", summary)
    _show_sizes(sizes)


def _train(
    recipe: Recipe,
    output: Path | None,
    registry: Registry,
    split: Split,
    assignment: Assignment,
    *,
    fold: int | None,
    resume: bool,
    silent: bool,
) -> tuple[Run, Sequence[int], Mapping[str, Any] | None]:
    """The folder, the folds that are still to be trained, and the figures if there are none."""
    from qakit.cli.stops import stops_told
    from qakit.folds.finish import finish_folds
    from qakit.folds.folder import check_same_folds, create_folds, folds_in, is_done, open_folds
    from qakit.runs import Run, alone_in, check_free
    from qakit.training.fold_recipe import fold_recipe

    assert recipe.folds is not None
    joins = fold is not None and output is not None and Run(output).is_folds  # another machine was here first
    place: list[Run] = []
    with stops_told(lambda: place[0].folder if place else None), ExitStack() as held:
        if resume or joins:
            assert output is not None
            run = open_folds(output, recipe)
            check_same_folds(run, recipe, assignment)
        else:
            check_free(output, beside=folds_in(output, recipe))
            _check_edges(recipe, registry, split, assignment, silent=silent)
            run = create_folds(recipe, output, assignment)
        place.append(run)
        wanted = range(1, recipe.folds.k + 1) if fold is None else [fold]
        for number in wanted:
            if not is_done(run, recipe, number):
                _say(f"fold {number} of {recipe.folds.k}", silent)
                train_into(fold_recipe(recipe, number), run.fold(number).folder, registry, quiet=silent)
        missing = [number for number in range(1, recipe.folds.k + 1) if not is_done(run, recipe, number)]
        if missing:
            return run, missing, None
        held.enter_context(alone_in(run))
        return (
            run,
            (),
            finish_folds(run, registry, split, assignment, say=lambda text: _say(text, silent), warn=print_warning),
        )


def _check_edges(recipe: Recipe, registry: Registry, split: Split, assignment: Assignment, *, silent: bool) -> None:
    """What is wrong with a run that the last fold would begin with should be known before the first one is trained."""
    from qakit.data.splits import part_of
    from qakit.modeling.start import check_start
    from qakit.training.edges import edges_of
    from qakit.training.fold_recipe import fold_recipe
    from qakit.training.lineage import trace

    assert recipe.folds is not None
    if not edges_of(recipe):
        return
    for number in range(1, recipe.folds.k + 1):
        _say(f"checking what fold {number} builds on", silent)
        own = fold_recipe(recipe, number)
        check_start(own.backbone)
        train = part_of(own, split, assignment, "train", fold=number)
        validation = part_of(own, split, assignment, "validation", fold=number)
        trace(own, registry, train.examples, validation.examples)


def _say(text: str, silent: bool) -> None:
    if not silent:
        err.print(plain(text))


def _show_sizes(sizes: Sequence[Mapping[str, int]]) -> None:
    from qakit.cli.tables import new_table

    table = new_table("Folds", "fold", "questions", "groups", numbers=("questions", "groups"))
    for size in sizes:
        table.add_row(str(size["fold"]), f"{size['examples']:,}", f"{size['groups']:,}")
    out.print(table)


def show_folds(run: Run, metrics: Mapping[str, Any]) -> None:
    """The figures of each fold, their mean and spread, and those of all questions together."""
    from qakit.cli.tables import new_table, number

    found, pooled = metrics["folds"], metrics["validation"]
    names = [name for name in found["mean"] if isinstance(pooled.get(name), float)]
    table = new_table("Out of fold", "fold", "questions", *names, numbers=("questions", *names))
    for row in found["folds"]:
        table.add_row(str(row["fold"]), f"{row['examples']:,}", *(number(row["figures"][name]) for name in names))
    table.add_section()
    table.add_row("mean", "", *(number(found["mean"][name]) for name in names))
    table.add_row("standard deviation", "", *(number(found["sd"][name]) for name in names))
    total = sum(row["examples"] for row in found["folds"])
    table.add_row("all questions", f"{total:,}", *(number(pooled[name]) for name in names))
    for name, value in (metrics.get("baselines") or {}).items():
        table.add_row(plain(f"baseline {name}"), "", number(value), *[""] * (len(names) - 1))
    out.print(table)
    files = new_table("Files", "", "")
    files.add_row("run", plain(run.folder))
    files.add_row("out-of-fold predictions", plain(run.validation_nbest))
    files.add_row("picture", plain(run.folder / "folds.png"))
    if file := run.submission_file(metrics):
        files.add_row("submission", plain(file))
    out.print(files)
