"""A trained run, loaded and ready to score examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Self

import torch

from qakit.errors import RunError
from qakit.inference.evaluation import Evaluation, Judge, evaluate, finish
from qakit.inference.scoring import CountProgress, ScoringSet, predictions_of, prepare, score
from qakit.inference.table import SpanTable
from qakit.modeling.assemble import Assembled
from qakit.modeling.device import Precision, keep_freed_memory, pick_device, resolve_precision
from qakit.modeling.folder import load_model
from qakit.recipe.model import PredictSection, Recipe
from qakit.registry import Registry, load_registry
from qakit.runs import Run, open_run
from qakit.values import Example, Prediction, SpanPrediction


@dataclass(frozen=True, slots=True)
class TrainedRun:
    """The best weights of a run with everything that turns examples into predictions."""

    run: Run
    recipe: Recipe
    registry: Registry
    assembled: Assembled
    judge: Judge
    null_threshold: float
    """In the head's score scale; tuned on validation unless the recipe fixes it."""
    device: torch.device
    precision: Precision

    @classmethod
    def load(
        cls,
        folder: str | PathLike[str],
        *,
        registry: Registry | None = None,
        device: torch.device | None = None,
        predict: PredictSection | None = None,
    ) -> Self:
        """Load a run. ``predict`` replaces the recipe's own ``predict`` block.

        Raises:
            RunError: the folder is not a run, or has no trained model.
        """
        registry, device = registry or load_registry(), device or pick_device()
        keep_freed_memory()
        run = open_run(folder)
        recipe = run.recipe()
        if predict is not None:
            recipe = recipe.model_copy(update={"predict": predict})
        assembled = load_model(run.model, recipe, registry, device=device)
        return cls(
            run=run,
            recipe=recipe,
            registry=registry,
            assembled=assembled,
            judge=Judge.of(recipe, registry),
            null_threshold=_threshold(run, recipe),
            device=device,
            precision=resolve_precision(recipe.train.precision, device),
        )

    def score(
        self, examples: Sequence[Example], *, cache: Path | None = None, progress: CountProgress | None = None
    ) -> tuple[ScoringSet, SpanTable]:
        """Tokenise, window and score ``examples``."""
        prepared = prepare(examples, self.assembled, self.recipe, self.registry, cache=cache)
        table = score(
            prepared,
            self.assembled,
            device=self.device,
            precision=self.precision,
            n_best=self.recipe.predict.n_best,
            progress=progress,
        )
        return prepared, table

    def predict(
        self, examples: Sequence[Example], *, cache: Path | None = None, progress: CountProgress | None = None
    ) -> list[Prediction]:
        """One finished prediction per example, in their order."""
        prepared, table = self.score(examples, cache=cache, progress=progress)
        raw = predictions_of(prepared, table, self.recipe, null_threshold=self.null_threshold)
        return finish(raw, examples, self.judge)

    def evaluate(
        self, examples: Sequence[Example], *, cache: Path | None = None, progress: CountProgress | None = None
    ) -> Evaluation:
        """Figures on labelled examples with the run's own threshold: nothing is tuned on them."""
        prepared, table = self.score(examples, cache=cache, progress=progress)
        return evaluate(prepared, table, self.judge, null_threshold=self.null_threshold)

    def answer(self, question: str, contexts: Sequence[str], *, top_k: int) -> SpanPrediction:
        """The ``top_k`` candidates for one question, over all of ``contexts``."""
        example = Example(id="question", question=question, contexts=tuple(contexts))
        prepared = prepare([example], self.assembled, self.recipe, self.registry)
        table = score(
            prepared, self.assembled, device=self.device, precision=self.precision, n_best=self.recipe.predict.n_best
        )
        raw = predictions_of(prepared, table, self.recipe, null_threshold=self.null_threshold)
        final = finish(raw, [example], self.judge)[0]
        assert isinstance(final, SpanPrediction)
        return replace(final, candidates=final.candidates[:top_k])


def _threshold(run: Run, recipe: Recipe) -> float:
    """The run's no-answer threshold, as tuned in training."""
    value = run.read_json(run.decision_file).get("null_threshold")
    if isinstance(value, int | float):
        return float(value)
    if recipe.predict.no_answer:
        raise RunError(f"{run.decision_file} has no null_threshold: the run's model folder is damaged")
    return 0.0
