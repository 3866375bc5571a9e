"""An ensemble recipe: its members trained one after the other, then what they are together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qakit.errors import UsageError
from qakit.workflows.training import described, free_memory, train_into

if TYPE_CHECKING:
    from qakit.ensembling.combine import Ensemble
    from qakit.ensembling.trained import MemberPlan, TrainedEnsemble
    from qakit.registry import Registry
    from qakit.runs import Run
    from qakit.training.events import Listener
    from qakit.workflows.result import TrainingResult


@dataclass(frozen=True, slots=True)
class EnsembleTraining:
    """An ensemble recipe whose members are trained."""

    loaded: TrainedEnsemble
    registry: Registry
    output: Path | None
    """The folder of a new ensemble."""
    run: Run | None
    """The ensemble to go on with."""

    def dry_run(self, listener: Listener) -> dict[str, Any]:
        """The members, and what the first training would be."""
        check_ensemble(self.loaded, self.registry)
        plan, members = self.loaded.plan, self.loaded.members
        rows = [(str(path), "exists") for path in plan.members]
        rows += [(each.label, f"predicts with {each.like}" if each.like else "is trained") for each in members]
        return {
            "members": [{"member": name, "how": how} for name, how in rows],
            "first": described(members[0].recipe, self.registry, listener=listener),
        }

    def train(self, listener: Listener) -> TrainingResult:
        """Train the members that are not trained yet; then combine all of them, judge and predict."""
        from qakit.ensembling.trained import create_trained
        from qakit.runs import alone_in, check_free
        from qakit.training.events import RunBegun
        from qakit.workflows.result import TrainingResult

        check_ensemble(self.loaded, self.registry)
        run = self.run
        if run is None:
            check_free(self.output)
            run = create_trained(self.loaded, self.output)
        listener(RunBegun(run.folder))
        with alone_in(run):
            made = fill_ensemble(self.loaded, run, self.registry, listener=listener)
        return TrainingResult(run, run.read_json(run.metrics_file), ensemble=made)


def read_ensemble(file: Path, overrides: Sequence[str], registry: Registry) -> TrainedEnsemble:
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
    from qakit.distributed import launched_processes
    from qakit.ensembling.method import Method

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


def ensemble_into(loaded: TrainedEnsemble, folder: Path, registry: Registry, *, listener: Listener) -> list[Run]:
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
        fill_ensemble(loaded, run, registry, listener=listener)
    return [Run(member_folder(run, each.label)) for each in loaded.members]


def fill_ensemble(loaded: TrainedEnsemble, run: Run, registry: Registry, *, listener: Listener) -> Ensemble:
    """Train the members that are not trained yet, then combine all of them, judge and predict.

    Raises:
        QakitError: a member cannot be trained, or the members not combined.
    """
    _train_members(loaded, run, registry, listener=listener)
    return _combine(loaded, run, registry, listener=listener)


def _train_members(loaded: TrainedEnsemble, run: Run, registry: Registry, *, listener: Listener) -> None:
    from qakit.ensembling.trained import member_folder
    from qakit.runs import Run
    from qakit.training.events import Remark

    todo = [each for each in loaded.members if not Run(member_folder(run, each.label)).metrics_file.is_file()]
    for number, each in enumerate(todo, start=1):
        folder = member_folder(run, each.label)
        what = f"the weights of {each.like}" if each.like else "training"
        listener(Remark(f"member {each.label} ({number} of {len(todo)} to do): {what}"))
        if each.like is None:
            train_into(each.recipe, folder, registry, listener=listener)
        else:
            _predict(each, Run(member_folder(run, each.like)), folder, registry, listener=listener)


def _predict(member: MemberPlan, source: Run, folder: Path, registry: Registry, *, listener: Listener) -> None:
    from qakit.modeling.device import pick_device
    from qakit.training.again import predict_again

    predict_again(source, member.recipe, folder, registry, listener=listener, device=pick_device())
    free_memory()


def _combine(loaded: TrainedEnsemble, run: Run, registry: Registry, *, listener: Listener) -> Ensemble:
    from qakit.ensembling.combine import combine
    from qakit.ensembling.folder import fill_folder
    from qakit.training.events import Notice, Remark

    made = combine(
        loaded.whole(run),
        registry,
        want_test=loaded.members[0].recipe.data.test is not None,
        say=lambda text: listener(Remark(text)),
    )
    submission = fill_folder(made, run, registry, final=run.folder)
    for line in () if submission is None else submission.told():
        listener(Notice(line))
    return made
