"""What trained runs of any kind and published models have in common: they answer questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from qakit.distributed import Workers
from qakit.inference.characters import CharacterScores
from qakit.inference.error_analysis import ErrorAnalysis
from qakit.inference.evaluation import Evaluation, Judge
from qakit.inference.scoring import CountProgress
from qakit.recipe.model import Recipe
from qakit.registry import Registry
from qakit.runs import Run
from qakit.values import Example, Prediction, SpanPrediction


@dataclass(frozen=True, slots=True)
class Inferred:
    """What a run says of some examples."""

    predictions: list[Prediction]
    characters: CharacterScores | None
    """None if the recipe's ``predict.character_scores`` is off."""


@dataclass(frozen=True, slots=True)
class ByStage:
    """How the stages of a pipeline did on N labelled questions, (N,) each; None where the relevant context is unknown.

    Attributes:
        selected: the relevant context is the likeliest one.
        passed_on: it is among those that the span stage was given.
        span_right: the final answer is exactly right when the span stage reads the relevant context alone.
        top_1_right: it is exactly right when the span stage reads the likeliest context alone.
    """

    selected: tuple[bool | None, ...]
    passed_on: tuple[bool | None, ...]
    span_right: tuple[bool | None, ...]
    top_1_right: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Examined:
    """An evaluation, and where it was lost."""

    evaluation: Evaluation
    errors: ErrorAnalysis
    stages: ByStage | None = None
    """Of a pipeline."""
    windows: Sequence[Sequence[tuple[int, int, int]]] = ()
    """Of one model: (N,) the windows of each question, as :func:`~qakit.inference.error_analysis.window_places`."""


class Answering(Protocol):
    """A trained run, a pipeline of two, an ensemble, folds, or a model without a run, ready to answer."""

    @property
    def run(self) -> Run:
        """Its folder; of a model without a run a :class:`~qakit.runs.ModelAlone`."""
        ...

    @property
    def recipe(self) -> Recipe:
        """Of a pipeline, an ensemble or folds: that of the whole."""
        ...

    @property
    def registry(self) -> Registry: ...

    @property
    def judge(self) -> Judge: ...

    @property
    def null_threshold(self) -> float: ...

    @property
    def workers(self) -> Workers:
        """The processes that share the work."""
        ...

    def with_recipe(self, recipe: Recipe) -> Self:
        """The same weights with another recipe's data, windows, ``preprocess.predict``, ``predict``, clean-up, metric.

        Raises:
            UsageError: it asks for what a pipeline or an ensemble does not have.
        """
        ...

    def with_threshold(self, null_threshold: float) -> Self:
        """The same with another no-answer threshold.

        Raises:
            UsageError: it has none: finished answers are combined.
        """
        ...

    def alone(self) -> Self:
        """The same for work of which the other processes do not know."""
        ...

    def infer(
        self, examples: Sequence[Example], *, cache: Path | None = None, progress: CountProgress | None = None
    ) -> Inferred:
        """One finished prediction per example, in their order."""
        ...

    def evaluate(
        self, examples: Sequence[Example], *, cache: Path | None = None, progress: CountProgress | None = None
    ) -> Evaluation:
        """Figures on labelled examples; nothing is tuned on them."""
        ...

    def examine(
        self, examples: Sequence[Example], *, cache: Path | None = None, progress: CountProgress | None = None
    ) -> Examined:
        """As :meth:`evaluate`, with the reason why each wrong answer is wrong.

        Raises:
            UsageError: it does not answer with spans, or has several models.
        """
        ...

    def answer(
        self, examples: Sequence[Example], *, top_k: int, progress: CountProgress | None = None
    ) -> list[SpanPrediction]:
        """The best ``top_k`` candidates for each question, over all of its contexts: different texts, and fewer only
        where the contexts have no more.

        Raises:
            UsageError: it does not answer with spans.
        """
        ...
