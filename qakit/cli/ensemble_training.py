"""The members of an ensemble trained into its folder one after the other, and combined: for commands and ladders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qakit.cli.console import err, plain, print_warning
from qakit.cli.train_part import free_memory, train_into
from qakit.errors import UsageError

if TYPE_CHECKING:
    from qakit.ensembling.combine import Ensemble
    from qakit.ensembling.trained import MemberPlan, TrainedEnsemble
    from qakit.registry import Registry
    from qakit.runs import Run


def read_ensemble(file: Path, overrides: list[str], registry: Registry) -> TrainedEnsemble:
    """An ensemble recipe with the members that it wants trained, each checked; none where it names ready runs.

    Raises:
        RecipeError: with every problem of the recipe, or of the members' recipes.
    """
    from qakit.ensembling.load import load_ensemble
    from qakit.ensembling.trained import TrainedEnsemble
    from qakit.study.members import plan_members

    plan = load_ensemble(file, registry)
    return TrainedEnsemble(plan, plan_members(plan, file, registry, overrides=overrides, check_files=True))


def check_ensemble(loaded: TrainedEnsemble, registry: Registry) -> None:
    """What would be refused after the trainings is refused before them.

    Raises:
        UsageError: something would.
    """
    from qakit.ensembling.method import Method
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
        method.check_characters(each.recipe, remedy="put `predict.character_scores: true` into ensemble.train.set")


def ensemble_into(loaded: TrainedEnsemble, folder: Path, registry: Registry, *, quiet: bool) -> list[Run]:
    """Train the members that ``folder`` does not hold yet, and combine them; returns the members that were trained.

    Raises:
        UsageError: what the recipe says cannot be done.
        RunError: the folder is that of another ensemble recipe, or of something else.
    """
    from qakit.ensembling.trained import (
        check_same_ensemble,
        create_trained,
        is_trained_folder,
        member_folder,
        reload_trained,
    )
    from qakit.runs import Run, alone_in, check_free, recover_run

    check_ensemble(loaded, registry)
    recover_run(Run(folder))
    if is_trained_folder(folder):
        run = Run(folder)
        check_same_ensemble(reload_trained(run), loaded, folder=folder)
    else:
        check_free(folder)
        run = create_trained(loaded, folder)
    with alone_in(run):
        fill_ensemble(loaded, run, registry, quiet=quiet)
    return [Run(member_folder(run, each.label)) for each in loaded.members]


def fill_ensemble(loaded: TrainedEnsemble, run: Run, registry: Registry, *, quiet: bool) -> Ensemble:
    """Train the members that are not trained yet, then combine all of them, judge and predict.

    Raises:
        QakitError: a member cannot be trained, or the members not combined.
    """
    _train_members(loaded, run, registry, quiet=quiet)
    return _combine(loaded, run, registry, quiet=quiet)


def _train_members(loaded: TrainedEnsemble, run: Run, registry: Registry, *, quiet: bool) -> None:
    from qakit.ensembling.trained import member_folder
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
    from qakit.ensembling.combine import combine
    from qakit.ensembling.folder import fill_folder

    made = combine(
        loaded.whole(run),
        registry,
        want_test=loaded.members[0].recipe.data.test is not None,
        say=lambda text: _say(text, quiet),
    )
    submission = fill_folder(made, run, registry, final=run.folder)
    for line in () if submission is None else submission.told():
        print_warning(line)
    return made


def _say(text: str, quiet: bool) -> None:
    if not quiet:
        err.print(plain(text))
