"""A trained run, loaded and ready to score examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Self

import numpy as np
import torch

from qakit.distributed import ALONE, Workers, check_same
from qakit.errors import RunError, UsageError
from qakit.inference.answering import Examined, Inferred
from qakit.inference.collectors import Scores, SpanScores
from qakit.inference.error_analysis import Place, analyse_errors, relevant_context, window_places
from qakit.inference.evaluation import Evaluation, Judge, evaluate, finish
from qakit.inference.scoring import (
    CountProgress,
    ScoringSet,
    answers_from,
    characters_of,
    predictions_of,
    prepare,
    score,
)
from qakit.modeling.assemble import Assembled, retold
from qakit.modeling.device import Precision, keep_freed_memory, pick_device, resolve_precision
from qakit.modeling.folder import load_model
from qakit.numbers import finite, finite_or_none
from qakit.recipe.model import Recipe
from qakit.recipe.prediction import given_threshold, prediction_recipe
from qakit.registry import Registry, load_registry
from qakit.runs import Run, open_run, read_in_one_state
from qakit.values import Example, Prediction, SpanPrediction

NOT_FOR_ANSWERS = ("data.reader", "preprocess.train", "adapter", "metric", "writer", "observers")
"""Places of a recipe whose plugins are not needed to answer a question with plain weights."""
TOLD = ("n_best", "max_answer_length", "no_answer")
"""Settings of ``predict`` that a head is told when it is built."""
WIDER = 4
"""Where the candidates of a window are too much alike, so many times as many are sought."""


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
    temperature: float
    """Divides the scores before they become probabilities; fitted on validation."""
    device: torch.device
    precision: Precision
    workers: Workers = ALONE
    """The processes that share the scoring; each gets all predictions."""

    @classmethod
    def load(
        cls,
        folder: str | PathLike[str],
        *,
        registry: Registry | None = None,
        device: torch.device | None = None,
        workers: Workers = ALONE,
        overrides: Sequence[str] = (),
        only_answers: bool = False,
    ) -> Self:
        """Load a run; ``overrides`` are ``a.b=value`` texts for what prediction looks at.

        With ``only_answers`` no file is read and nothing is judged: the plugins for that need not be installed.

        A training may replace the weights meanwhile: weights, threshold and temperature are of one evaluation.

        Raises:
            RunError: the folder is not a run, or has no trained model.
            RecipeError: an override that does not fit.
            UsageError: an override that takes another training.
        """
        registry, device = registry or load_registry(), device or pick_device()
        keep_freed_memory()
        run = open_run(folder)
        recipe = run.recipe(unneeded=NOT_FOR_ANSWERS if only_answers else ())
        assembled, null_threshold, temperature = read_in_one_state(
            lambda: (
                load_model(run.model, recipe, registry, device=device),
                threshold_of(run, recipe),
                temperature_of(run),
            ),
            run.model,
        )
        return cls(
            run=run,
            recipe=recipe,
            registry=registry,
            assembled=assembled,
            judge=Judge.of(recipe, registry, judges=not only_answers),
            null_threshold=null_threshold,
            temperature=temperature,
            device=device,
            precision=resolve_precision(recipe.train.precision, device, assembled.config.model_type),
            workers=workers,
        ).changed(overrides)

    def changed(self, overrides: Sequence[str]) -> Self:
        """The same with ``a.b=value`` texts applied to its recipe; see :func:`prediction_recipe`."""
        recipe = prediction_recipe(self.recipe, overrides, self.registry)
        threshold = given_threshold(self.recipe, recipe)
        found = self if recipe is self.recipe else self.with_recipe(recipe)
        return found if threshold is None else found.with_threshold(threshold)

    def with_recipe(self, recipe: Recipe) -> Self:
        """The same weights with another recipe's data, windows, ``preprocess.predict``, ``predict``, clean-up and
        metric."""
        assembled = self.assembled
        if any(getattr(recipe.predict, name) != getattr(self.recipe.predict, name) for name in TOLD):
            assembled = retold(assembled, recipe, self.registry)
        return replace(self, recipe=recipe, assembled=assembled, judge=self.judge.with_recipe(recipe, self.registry))

    def with_candidates(self, count: int) -> Self:
        """The same with another ``predict.n_best``."""
        predict = self.recipe.predict.model_copy(update={"n_best": count})
        same = predict == self.recipe.predict
        return self if same else self.with_recipe(self.recipe.model_copy(update={"predict": predict}))

    def with_threshold(self, null_threshold: float) -> Self:
        """The same with another no-answer threshold."""
        return replace(self, null_threshold=null_threshold)

    def alone(self) -> Self:
        """The same for work of which the other processes do not know."""
        return replace(self, workers=ALONE)

    def score(
        self, examples: Sequence[Example], *, cache: Path | None = None, progress: CountProgress | None = None
    ) -> tuple[ScoringSet, Scores]:
        """Tokenise, window and score ``examples``."""
        prepared = self.prepare(examples, cache=cache)
        return prepared, self._scores(prepared, progress)

    def prepare(
        self, examples: Sequence[Example], *, cache: Path | None = None, progress: CountProgress | None = None
    ) -> ScoringSet:
        """Tokenise and window ``examples``; ``progress`` counts the distinct texts."""
        with self.workers.fail_together(), self.workers.leaders_first():
            prepared = prepare(examples, self.assembled, self.recipe, self.registry, cache=cache, progress=progress)
        check_same(self.workers, prepared.encoded, prepared.windows)
        return prepared

    def _scores(self, prepared: ScoringSet, progress: CountProgress | None) -> Scores:
        return score(
            prepared,
            self.assembled,
            device=self.device,
            precision=self.precision,
            workers=self.workers,
            progress=progress,
        )

    def predict(
        self, examples: Sequence[Example], *, cache: Path | None = None, progress: CountProgress | None = None
    ) -> list[Prediction]:
        """One finished prediction per example, in their order."""
        return self.infer(examples, cache=cache, progress=progress).predictions

    def infer(
        self, examples: Sequence[Example], *, cache: Path | None = None, progress: CountProgress | None = None
    ) -> Inferred:
        """The predictions, and the character scores if the recipe asks for them."""
        return self.infer_prepared(self.prepare(examples, cache=cache), progress=progress)

    def infer_prepared(self, prepared: ScoringSet, *, progress: CountProgress | None = None) -> Inferred:
        """As :meth:`infer` of the examples that were prepared."""
        scores = self._scores(prepared, progress)
        raw = predictions_of(
            prepared, scores, self.recipe, null_threshold=self.null_threshold, temperature=self.temperature
        )
        return Inferred(finish(raw, prepared.examples, self.judge), characters_of(prepared, scores))

    def evaluate(
        self, examples: Sequence[Example], *, cache: Path | None = None, progress: CountProgress | None = None
    ) -> Evaluation:
        """Figures on labelled examples with the run's own threshold and temperature: nothing is tuned on them."""
        prepared, scores = self.score(examples, cache=cache, progress=progress)
        return evaluate(prepared, scores, self.judge, null_threshold=self.null_threshold, temperature=self.temperature)

    def raw_answers(
        self,
        examples: Sequence[Example],
        *,
        least: int = 0,
        cache: Path | None = None,
        progress: CountProgress | None = None,
    ) -> tuple[ScoringSet, list[SpanPrediction]]:
        """Predictions of spans before clean-up, and what they are of.

        Args:
            least: candidates of each example at least, where its contexts have so many different texts; beyond
                ``predict.n_best`` the search is widened for as many examples as need it.

        Raises:
            UsageError: the head does not give spans.
        """
        wide = self.with_candidates(max(self.recipe.predict.n_best, least))
        prepared, scores = wide.score(examples, cache=cache, progress=progress)
        found = wide._spans(prepared, scores)
        short = [row for row in _cut(scores) if len(found[row].candidates) < least]
        if short:
            wider = wide.with_candidates(wide.recipe.predict.n_best * WIDER)
            _, more = wider.raw_answers([examples[row] for row in short], least=least, cache=cache)
            for row, prediction in zip(short, more, strict=True):
                found[row] = prediction
        return prepared, found

    def _spans(self, prepared: ScoringSet, scores: Scores) -> list[SpanPrediction]:
        if not isinstance(scores, SpanScores):
            raise UsageError(f"the head {self.recipe.head.name!r} of {self.run.folder} does not answer with spans")
        return answers_from(
            prepared, scores, self.recipe, null_threshold=self.null_threshold, temperature=self.temperature
        )

    def examine(
        self, examples: Sequence[Example], *, cache: Path | None = None, progress: CountProgress | None = None
    ) -> Examined:
        """As :meth:`evaluate`, with the reason why each wrong answer is wrong.

        Raises:
            UsageError: the head does not give spans.
        """
        prepared, scores = self.score(examples, cache=cache, progress=progress)
        raw = self._spans(prepared, scores)
        evaluation = evaluate(
            prepared, scores, self.judge, null_threshold=self.null_threshold, temperature=self.temperature
        )
        places = [
            None if context is None else Place(row, context)
            for row, context in enumerate(map(relevant_context, examples))
        ]
        errors = analyse_errors(examples, raw, evaluation.predictions, self.judge, prepared, places)
        return Examined(evaluation, errors, windows=window_places(prepared))

    def answer(
        self, examples: Sequence[Example], *, top_k: int, progress: CountProgress | None = None
    ) -> list[SpanPrediction]:
        """The best ``top_k`` candidates for each question, over all of its contexts; the answer is that of
        :meth:`predict`, however many are wanted.

        Raises:
            UsageError: the head does not give spans.
        """
        prepared, scores = self.score(examples, progress=progress)
        raw = self._spans(prepared, scores)
        found = [best_of(each, top_k) for each in finish(raw, examples, self.judge)]
        kept, cut = self.recipe.predict.n_best, set(_cut(scores))
        few = [row for row, each in enumerate(raw) if len(each.candidates) < top_k]
        short = [row for row in few if row in cut or len(raw[row].candidates) == kept]
        if short:
            asked = [examples[row] for row in short]
            _, wide = self.raw_answers(asked, least=top_k)
            for row, more in zip(short, finish(wide, asked, self.judge), strict=True):
                found[row] = best_of(more, top_k).with_answer(found[row].answer)
        return found


def best_of(prediction: Prediction, top_k: int) -> SpanPrediction:
    """A prediction of spans with its best candidates only."""
    assert isinstance(prediction, SpanPrediction)
    return replace(prediction, candidates=prediction.candidates[:top_k])


def _cut(scores: Scores) -> list[int]:
    """The examples of which a window has more candidates than there was room for."""
    assert isinstance(scores, SpanScores)
    full = (scores.spans.score > -np.inf).all(axis=1)
    return [int(row) for row in np.unique(scores.windows.example[full])]


def threshold_of(run: Run, recipe: Recipe) -> float:
    """The run's no-answer threshold, as tuned in training."""
    value = run.read_json(run.decision_file).get("null_threshold")
    if value is None and not recipe.predict.no_answer:
        return 0.0
    try:
        return finite(value)
    except ValueError as error:
        raise RunError(f"{run.decision_file} is damaged: null_threshold: {error}") from None


def temperature_of(run: Run) -> float:
    """The run's temperature, as fitted in training; 1 for a run without."""
    value = run.read_json(run.decision_file).get("temperature", 1.0)
    if (number := finite_or_none(value)) is not None and number > 0:
        return number
    raise RunError(f"{run.decision_file} is damaged: the temperature is {value!r:.40}; it must be a positive number")
