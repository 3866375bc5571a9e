"""A recipe with folds: one training for each fold, then what they are together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qakit.errors import UsageError
from qakit.workflows.training import described, train_into

if TYPE_CHECKING:
    from qakit.data.folds import Assignment
    from qakit.data.splits import Split
    from qakit.recipe.model import Recipe
    from qakit.registry import Registry
    from qakit.runs import Run
    from qakit.training.events import Listener
    from qakit.workflows.result import TrainingResult


@dataclass(frozen=True, slots=True)
class FoldsTraining:
    """A recipe that is trained once for each fold."""

    recipe: Recipe
    registry: Registry
    output: Path | None
    resume: bool
    """Whether ``output`` is gone on with."""
    fold: int | None
    """The only one that is to be trained now, counted from 1; None for all."""

    def dry_run(self, listener: Listener) -> dict[str, Any]:
        """The sizes of the folds, and what the first training would be."""
        from qakit.training.fold_recipe import fold_recipe

        _, assignment = self._read(listener)
        fold = self.fold or 1
        summary = described(fold_recipe(self.recipe, fold), self.registry, listener=listener)
        return {"folds": assignment.sizes(self._k), "fold": fold, **summary}

    def train(self, listener: Listener) -> TrainingResult:
        """Train the folds that are not trained yet, or only ``fold``; once all are, join and judge them."""
        from qakit.folds.finish import finish_folds
        from qakit.folds.folder import is_done
        from qakit.runs import alone_in
        from qakit.training.events import Notice, Remark, RunBegun
        from qakit.training.fold_recipe import fold_recipe
        from qakit.workflows.result import TrainingResult

        recipe, registry, k = self.recipe, self.registry, self._k
        split, assignment = self._read(listener)
        run = self._folder(split, assignment, listener)
        listener(RunBegun(run.folder))
        for number in range(1, k + 1) if self.fold is None else [self.fold]:
            if not is_done(run, recipe, number):
                listener(Remark(f"fold {number} of {k}"))
                train_into(fold_recipe(recipe, number), run.fold(number).folder, registry, listener=listener)
        missing = tuple(number for number in range(1, k + 1) if not is_done(run, recipe, number))
        if missing:
            return TrainingResult(run, {}, missing=missing)
        with alone_in(run):
            metrics = finish_folds(
                run,
                registry,
                split,
                assignment,
                say=lambda text: listener(Remark(text)),
                warn=lambda text: listener(Notice(text)),
            )
        return TrainingResult(run, metrics)

    @property
    def _k(self) -> int:
        assert self.recipe.folds is not None
        return self.recipe.folds.k

    def _read(self, listener: Listener) -> tuple[Split, Assignment]:
        """The examples and their folds, once the folds can be trained and joined as the recipe says."""
        from qakit.data.splits import read_folds
        from qakit.distributed import launched_processes
        from qakit.folds.combining import check_combining
        from qakit.training.events import Remark

        if self.fold is not None and not 1 <= self.fold <= self._k:
            raise UsageError(f"--fold {self.fold}: there are {self._k} folds, counted from 1")
        if launched_processes() > 1:
            raise UsageError(
                "folds are trained by one process; with a launcher train each as a run of its own, with --set "
                "folds.fold=1 --output RUN/fold-1 and so on, then join them with `qakit train RECIPE --output RUN`"
            )
        if self.recipe.data.validation is not None:
            listener(Remark("data.validation is left alone: each fold is judged on its own part of data.train"))
        split, assignment = read_folds(self.recipe, self.registry)
        check_combining(self.recipe, self.registry, split, fold=self.fold or 1)
        return split, assignment

    def _folder(self, split: Split, assignment: Assignment, listener: Listener) -> Run:
        """The folder of the folds: made, or gone on with."""
        from qakit.folds.folder import check_same_folds, create_folds, folds_in, open_folds
        from qakit.runs import Run, check_free

        recipe, output = self.recipe, self.output
        joins = self.fold is not None and output is not None and Run(output).is_folds  # another machine was here first
        if self.resume or joins:
            assert output is not None
            run = open_folds(output, recipe)
            check_same_folds(run, recipe, assignment)
            return run
        check_free(output, beside=folds_in(output, recipe))
        _check_edges(recipe, self.registry, split, assignment, listener)
        return create_folds(recipe, output, assignment)


def _check_edges(recipe: Recipe, registry: Registry, split: Split, assignment: Assignment, listener: Listener) -> None:
    """What is wrong with a run that the last fold would begin with should be known before the first one is trained."""
    from qakit.data.splits import part_of
    from qakit.modeling.start import check_start
    from qakit.training.events import Remark
    from qakit.training.fold_recipe import fold_recipe
    from qakit.training.lineage import edges_of, trace

    assert recipe.folds is not None
    if not edges_of(recipe):
        return
    for number in range(1, recipe.folds.k + 1):
        listener(Remark(f"checking what fold {number} builds on"))
        own = fold_recipe(recipe, number)
        check_start(own.backbone)
        train = part_of(own, split, assignment, "train", fold=number)
        validation = part_of(own, split, assignment, "validation", fold=number)
        trace(own, registry, train.examples, validation.examples)
