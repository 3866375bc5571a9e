"""``qakit train`` of an ensemble recipe: its members one after the other, then what they are together."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from qakit.cli.console import err, out, plain, print_json
from qakit.cli.ensemble_training import check_ensemble, fill_ensemble, read_ensemble
from qakit.errors import UsageError

if TYPE_CHECKING:
    from qakit.ensembling.combine import Ensemble
    from qakit.ensembling.trained import TrainedEnsemble
    from qakit.registry import Registry
    from qakit.runs import Run


def wants_ensemble(recipe: Path | None, output: Path | None, *, resume: bool) -> bool:
    """Whether a command line of ``qakit train`` means an ensemble."""
    from qakit.ensembling.load import is_ensemble
    from qakit.ensembling.trained import is_trained_folder
    from qakit.recipe.found import found_recipe

    if resume:
        return output is not None and is_trained_folder(output)
    if recipe is None:
        return False
    return is_ensemble(found_recipe(recipe))


def train_ensemble(
    recipe: Path | None,
    output: Path | None,
    overrides: list[str],
    registry: Registry,
    *,
    dry_run: bool,
    resume: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Train the members that are not trained yet; then combine all of them, judge and predict."""
    from qakit.cli.stops import stops_told
    from qakit.ensembling.trained import create_trained
    from qakit.runs import alone_in, check_free

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    silent = quiet or as_json
    run, loaded = _resumed(output, overrides) if resume else (None, _loaded(recipe, overrides, registry))
    check_ensemble(loaded, registry)
    if dry_run:
        _dry_run(loaded, registry, as_json=as_json, quiet=quiet)
        return
    place: list[Run] = [] if run is None else [run]
    with stops_told(lambda: place[0].folder if place else None), ExitStack() as held:
        if run is None:
            check_free(output)
            run = create_trained(loaded, output)
            place.append(run)
        held.enter_context(alone_in(run))
        made = fill_ensemble(loaded, run, registry, quiet=silent)
    if as_json:
        print_json(run.read_json(run.metrics_file))
        return
    _show(run, made)


def _loaded(recipe: Path | None, overrides: list[str], registry: Registry) -> TrainedEnsemble:
    from qakit.recipe.found import found_recipe

    assert recipe is not None
    loaded = read_ensemble(found_recipe(recipe), overrides, registry)
    if not loaded.members:
        raise UsageError(f"{recipe} names members that are trained already: qakit ensemble {recipe}")
    return loaded


def _resumed(output: Path | None, overrides: list[str]) -> tuple[Run, TrainedEnsemble]:
    from qakit.ensembling.trained import reload_trained
    from qakit.runs import open_run

    assert output is not None
    if overrides:
        raise UsageError("--resume goes on with the members' own recipes: --set cannot change them")
    run = open_run(output)
    return run, reload_trained(run)


def _dry_run(loaded: TrainedEnsemble, registry: Registry, *, as_json: bool, quiet: bool) -> None:
    """The members, and what the first training would be."""
    from qakit.cli.rehearsal import rehearsed, show_rehearsal
    from qakit.cli.tables import new_table

    first = loaded.members[0]
    summary = rehearsed(first.recipe, registry, quiet=quiet or as_json)
    rows = [(str(path), "exists") for path in loaded.plan.members]
    rows += [(each.label, f"predicts with {each.like}" if each.like else "is trained") for each in loaded.members]
    if as_json:
        print_json({"members": [{"member": name, "how": how} for name, how in rows], "first": summary})
        return
    table = new_table(f"Dry run: {loaded.plan.name}, by {loaded.plan.method}", "member", "")
    for row in rows:
        table.add_row(*map(plain, row))
    out.print(table)
    show_rehearsal(f"Dry run: member {first.label}", summary)


def _show(run: Run, made: Ensemble) -> None:
    from qakit.cli.ensemble_display import report_of, show
    from qakit.cli.results import figures_table

    metrics = run.read_json(run.metrics_file)
    show(report_of(made, None, run.folder), made)
    if metrics.get("validation"):
        out.print(figures_table(metrics["validation"], baselines=metrics.get("baselines") or {}))
    submission = metrics.get("submission")
    if submission:
        out.print(plain(f"submission: {run.submission_file(metrics)} ({submission['rows']:,} rows)"))
    err.print(plain(f"done: {run.folder}"))
