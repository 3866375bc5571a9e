"""``qakit train`` of an ensemble recipe: its members one after the other, then what they are together."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from qakit.cli.console import err, plain, print_json, print_warning
from qakit.cli.train_part import free_memory, train_into
from qakit.errors import RunError, UsageError

if TYPE_CHECKING:
    from qakit.ensemble.combine import Ensemble
    from qakit.ensemble.trained import MemberPlan, TrainedEnsemble
    from qakit.registry import Registry
    from qakit.runs import Run


def wants_ensemble(recipe: Path | None, output: Path | None, *, resume: bool) -> bool:
    """Whether a command line of ``qakit train`` means an ensemble whose members are to be trained.

    Raises:
        UsageError: it names an ensemble that has nothing to train.
    """
    from qakit.cli.recipe_files import found_recipe
    from qakit.ensemble.load import is_ensemble, load_ensemble
    from qakit.ensemble.trained import is_trained_folder
    from qakit.registry import load_registry

    if resume:
        return output is not None and is_trained_folder(output)
    if recipe is None:
        return False
    with found_recipe(recipe) as file:
        if not is_ensemble(file):
            return False
        if load_ensemble(file, load_registry(), check_members=False).train is None:
            raise UsageError(f"{recipe} names members that are trained already: qakit ensemble {recipe}")
    return True


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
    from qakit.cli.train import stops_told
    from qakit.ensemble.trained import create_trained
    from qakit.runs import alone_in, check_free

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    silent = quiet or as_json
    run, loaded = _resumed(output, overrides) if resume else (None, _loaded(recipe, overrides, registry))
    _check(loaded, registry)
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
        _train_members(loaded, run, registry, quiet=silent)
        made = _combine(loaded, run, registry, quiet=silent)
    if as_json:
        print_json(run.read_json(run.metrics_file))
        return
    _show(run, made)


def ensemble_into(recipe: Path, overrides: list[str], folder: Path, registry: Registry, *, quiet: bool) -> list[Run]:
    """Train the members that ``folder`` does not hold yet, and combine them; returns the members that were trained.

    Raises:
        RunError: the folder is that of other members, or of something else.
    """
    from qakit.ensemble.trained import create_trained, is_trained_folder, member_folder, reload_trained
    from qakit.runs import Run, alone_in, check_free

    loaded = _loaded(recipe, overrides, registry)
    _check(loaded, registry)
    if is_trained_folder(folder):
        run = Run(folder)
        if reload_trained(run).members != loaded.members:
            raise RunError(f"{folder} was trained from other recipes: choose another --output, or remove it")
    else:
        check_free(folder)
        run = create_trained(loaded, folder)
    with alone_in(run):
        _train_members(loaded, run, registry, quiet=quiet)
        _combine(loaded, run, registry, quiet=quiet)
    return [Run(member_folder(run, each.label)) for each in loaded.members]


def _loaded(recipe: Path | None, overrides: list[str], registry: Registry) -> TrainedEnsemble:
    from qakit.cli.recipe_files import found_recipe
    from qakit.ensemble.load import load_ensemble
    from qakit.ensemble.trained import TrainedEnsemble
    from qakit.study.members import plan_members

    assert recipe is not None
    with found_recipe(recipe) as file:
        plan = load_ensemble(file, registry)
        members = plan_members(plan, file, registry, overrides=overrides, check_files=True)
    return TrainedEnsemble(plan, members)


def _resumed(output: Path | None, overrides: list[str]) -> tuple[Run, TrainedEnsemble]:
    from qakit.ensemble.trained import reload_trained
    from qakit.runs import open_run

    assert output is not None
    if overrides:
        raise UsageError("--resume goes on with the members' own recipes: --set cannot change them")
    run = open_run(output)
    return run, reload_trained(run)


def _check(loaded: TrainedEnsemble, registry: Registry) -> None:
    """What would be refused after the trainings is refused before them."""
    from qakit.ensemble.method import Method
    from qakit.inference.workers import launched_processes

    if launched_processes() > 1:
        raise UsageError(
            "an ensemble's members are trained by one process: train their recipes with the launcher, then combine the "
            "runs with `qakit ensemble`"
        )
    plan = loaded.plan
    count = len(plan.members) + len(loaded.members)
    if count < 2:
        raise UsageError("an ensemble needs at least two members")
    method = Method.of(plan.method, plan.settings, plan.weights, count, registry)
    for each in loaded.members:
        if method.reads_characters and not each.recipe.predict.character_scores:
            raise UsageError(
                f"{plan.method} needs the members' character scores: put `predict.character_scores: true` into "
                "ensemble.train.set"
            )


def _dry_run(loaded: TrainedEnsemble, registry: Registry, *, as_json: bool, quiet: bool) -> None:
    """The members, and what the first training would be."""
    from qakit.cli.tables import new_table
    from qakit.cli.train import rehearsed, show_rehearsal

    first = loaded.members[0]
    summary = rehearsed(first.recipe, registry, quiet=quiet or as_json)
    rows = [(str(path), "exists") for path in loaded.plan.members]
    rows += [(each.label, f"predicts with {each.like}" if each.like else "is trained") for each in loaded.members]
    if as_json:
        print_json({"members": [{"member": name, "how": how} for name, how in rows], "first": summary})
        return
    from qakit.cli.console import out

    table = new_table(f"Dry run: {loaded.plan.name}, by {loaded.plan.method}", "member", "")
    for row in rows:
        table.add_row(*map(plain, row))
    out.print(table)
    show_rehearsal(f"Dry run: member {first.label}", summary)


def _train_members(loaded: TrainedEnsemble, run: Run, registry: Registry, *, quiet: bool) -> None:
    from qakit.ensemble.trained import member_folder
    from qakit.runs import Run

    todo = [each for each in loaded.members if not Run(member_folder(run, each.label)).metrics_file.is_file()]
    for number, each in enumerate(todo, start=1):
        folder = member_folder(run, each.label)
        what = f"the weights of {each.like}" if each.like else "training"
        _say(f"member {each.label} ({number} of {len(todo)} to do): {what}", quiet)
        if each.like is None:
            train_into(each.recipe, folder, registry, quiet=quiet)
        else:
            _predict(each, Run(member_folder(run, each.like)), folder, registry, quiet=quiet)


def _predict(member: MemberPlan, source: Run, folder: Path, registry: Registry, *, quiet: bool) -> None:
    from qakit.cli.progress import TrainingDisplay
    from qakit.modeling.device import pick_device
    from qakit.training.again import predict_again

    with TrainingDisplay(quiet=quiet) as display:
        predict_again(source, member.recipe, folder, registry, listener=display, device=pick_device())
    free_memory()


def _combine(loaded: TrainedEnsemble, run: Run, registry: Registry, *, quiet: bool) -> Ensemble:
    from qakit.ensemble.combine import combine
    from qakit.ensemble.folder import fill_folder

    made = combine(
        loaded.whole(run),
        registry,
        want_test=loaded.members[0].recipe.data.test is not None,
        say=lambda text: _say(text, quiet),
    )
    submission = fill_folder(made, run, registry, final=run.folder)
    _warn(() if submission is None else submission.problems)
    return made


def _warn(problems: Sequence[str]) -> None:
    for problem in problems:
        print_warning(problem)


def _show(run: Run, made: Ensemble) -> None:
    from qakit.cli.console import out
    from qakit.cli.ensemble_display import report_of, show
    from qakit.cli.results import figures_table

    metrics = run.read_json(run.metrics_file)
    show(report_of(made, None, run.folder), made)
    if metrics.get("validation"):
        out.print(figures_table(metrics["validation"], baselines=metrics.get("baselines") or {}))
    submission = metrics.get("submission")
    if submission:
        out.print(plain(f"submission: {run.predictions / submission['file']} ({submission['rows']:,} rows)"))
    err.print(plain(f"done: {run.folder}"))


def _say(text: str, quiet: bool) -> None:
    if not quiet:
        err.print(plain(text))
