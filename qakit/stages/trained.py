"""A trained pipeline, loaded and ready to answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from qakit.distributed import ALONE, Workers
from qakit.errors import RunError, UsageError
from qakit.inference.aggregation import check_gives
from qakit.inference.answering import ByStage, Examined, Inferred
from qakit.inference.error_analysis import Place, analyse_errors, exactly_right_answers, relevant_context
from qakit.inference.evaluation import Evaluation, Judge, answers_of, finish
from qakit.inference.scoring import CountProgress, ScoringSet
from qakit.inference.trained import TrainedRun, best_of
from qakit.recipe.model import Recipe
from qakit.recipe.nodes import dotted
from qakit.recipe.overrides import key_path
from qakit.recipe.prediction import given_threshold, prediction_recipe
from qakit.registry import Registry, load_registry
from qakit.runs import PIPELINE, Run, not_finished, open_run
from qakit.stages.load import COMBINE, dealt, is_pipeline_folder, read_pipeline, read_resolved, stage_folders
from qakit.stages.model import STAGES, WANTED, CombineSection, StageName
from qakit.stages.tuning import Decision, Reading, Weight, judged, raw_answers
from qakit.values import ContextPrediction, Example, SpanPrediction

if TYPE_CHECKING:
    import torch


OF_THE_WHOLE = (("predict", "n_best"), ("predict", "null_threshold"))
"""What prediction looks at in the recipe of the whole and not in those of the stages, among blocks that stages have."""


COMBINE_BLOCK = "combine"
"""The block of a pipeline recipe that prediction looks at."""


@dataclass(frozen=True, slots=True)
class Read:
    """What both stages say of N examples.

    Attributes:
        selected: (N,) the selection stage's predictions, all contexts scored.
        prepared: what the span stage was given: a context of an example at a time.
        rows: (N,) the row in ``prepared`` of each context that was read.
        spans: the span stage's predictions, one for each row of ``prepared``.
        readings: (N,) those of the contexts that were passed on, the likeliest first.
    """

    selected: tuple[ContextPrediction, ...]
    prepared: ScoringSet
    rows: tuple[dict[int, int], ...]
    spans: tuple[SpanPrediction, ...]
    readings: tuple[tuple[Reading, ...], ...]


@dataclass(frozen=True, slots=True)
class TrainedPipeline:
    """Two trained runs that answer as one."""

    run: Run
    """The pipeline's own folder."""
    recipe: Recipe
    """That of the whole."""
    registry: Registry
    selection: TrainedRun
    span: TrainedRun
    judge: Judge
    top_k: int
    """How many contexts are passed on."""
    decision: Decision
    workers: Workers = ALONE

    @classmethod
    def load(
        cls,
        folder: str | PathLike[str],
        *,
        registry: Registry | None = None,
        device: torch.device | None = None,
        workers: Workers = ALONE,
        decision: Decision | None = None,
        overrides: Sequence[str] = (),
    ) -> Self:
        """Load a pipeline.

        Args:
            device: where both stages run; by default the first GPU if there is one.
            decision: stands for what is tuned at the end of the training.
            overrides: ``a.b=value`` texts for what prediction looks at; ``span.predict.n_best=5`` is for a stage,
                ``combine.top_k=1`` for how they are combined.

        Raises:
            RunError: the folder is no pipeline, a stage has no trained model, or nothing was tuned yet.
            RecipeError: an override that does not fit.
            UsageError: an override that takes another training, or that does not say for which stage it is.
        """
        registry = registry or load_registry()
        run = open_run(folder)
        decision = decision or _decision(run)
        folders = stage_folders(run)
        combine, decision = _combined_under(run, overrides, decision)
        before, recipe = recipes_under(run, overrides, registry)
        _, of_stages = dealt(overrides)
        selection, span = (
            load_stage(
                name, folders[name], registry=registry, device=device, workers=workers, overrides=of_stages[name]
            )
            for name in STAGES
        )
        judge = Judge.of(recipe, registry)
        found = cls(run, recipe, registry, selection, span, judge, combine.top_k, decision, workers)
        threshold = given_threshold(before, recipe)
        return found if threshold is None else found.with_threshold(threshold)

    @property
    def null_threshold(self) -> float:
        """In combined scores."""
        return self.decision.null_threshold

    def with_recipe(self, recipe: Recipe) -> Self:
        """The same with another recipe's data block; windows and ``predict`` blocks are the stages' own.

        Raises:
            UsageError: it asks for character scores.
        """
        if recipe.predict.character_scores:
            raise UsageError(
                f"{self.run.folder} is a pipeline, which has no character scores; its span stage has: "
                f"{self.span.run.folder}"
            )
        return replace(self, recipe=recipe, judge=self.judge.with_recipe(recipe, self.registry))

    def with_threshold(self, null_threshold: float) -> Self:
        """The same with another no-answer threshold, in combined scores."""
        return replace(self, decision=replace(self.decision, null_threshold=null_threshold))

    def alone(self) -> Self:
        """The same for work of which the other processes do not know."""
        return replace(self, selection=self.selection.alone(), span=self.span.alone(), workers=ALONE)

    def read(
        self,
        examples: Sequence[Example],
        *,
        relevant: bool = False,
        least: int = 0,
        cache: Path | None = None,
        progress: CountProgress | None = None,
    ) -> Read:
        """Both stages on ``examples``.

        Args:
            relevant: also read the context that holds the answer where it is not passed on.
            least: candidates of each context at least, where it has so many different texts.
        """
        selected = _selected(self.selection, examples, cache=cache, progress=progress)
        passed = [likeliest(prediction.scores, self.top_k) for prediction in selected]
        pairs: list[Example] = []
        rows: list[dict[int, int]] = []
        for example, contexts in zip(examples, passed, strict=True):
            wanted = relevant_context(example) if relevant else None
            wide = [*contexts, *([wanted] if wanted is not None and wanted not in contexts else [])]
            rows.append({context: len(pairs) + number for number, context in enumerate(wide)})
            pairs += [
                Example(example.id, example.question, (example.contexts[context],), extra=example.extra)
                for context in wide
            ]
        prepared, spans = self.span.raw_answers(pairs, least=least, cache=cache, progress=progress)
        readings = tuple(
            tuple(self._reading(spans[own[context]], context, prediction.scores[context]) for context in contexts)
            for prediction, contexts, own in zip(selected, passed, rows, strict=True)
        )
        return Read(tuple(selected), prepared, tuple(rows), tuple(spans), readings)

    def infer(
        self, examples: Sequence[Example], *, cache: Path | None = None, progress: CountProgress | None = None
    ) -> Inferred:
        """One finished prediction per example, in their order."""
        read = self.read(examples, cache=cache, progress=progress)
        raw = raw_answers(read.readings, examples, self.decision, n_best=self.recipe.predict.n_best)
        return Inferred(finish(raw, examples, self.judge), None)

    def evaluate(
        self, examples: Sequence[Example], *, cache: Path | None = None, progress: CountProgress | None = None
    ) -> Evaluation:
        """Figures on labelled examples; nothing is tuned on them."""
        read = self.read(examples, cache=cache, progress=progress)
        return judged(read.readings, examples, self.judge, self.decision)

    def examine(
        self, examples: Sequence[Example], *, cache: Path | None = None, progress: CountProgress | None = None
    ) -> Examined:
        """As :meth:`evaluate`, with the stages' shares in it and the reason why each wrong answer is wrong."""
        return self.examine_read(self.read(examples, relevant=True, cache=cache, progress=progress), examples)

    def examine_read(self, read: Read, examples: Sequence[Example]) -> Examined:
        """The same of what was read, the relevant contexts included."""
        evaluation = judged(read.readings, examples, self.judge, self.decision)
        relevant = [relevant_context(example) for example in examples]
        places = [
            None if context is None else Place(own[context], 0)
            for context, own in zip(relevant, read.rows, strict=True)
        ]
        errors = analyse_errors(examples, evaluation.raw, evaluation.predictions, self.judge, read.prepared, places)
        return Examined(evaluation, errors, self._by_stage(read, examples, relevant))

    def answer(
        self, examples: Sequence[Example], *, top_k: int, progress: CountProgress | None = None
    ) -> list[SpanPrediction]:
        """The best ``top_k`` candidates for each question, over all of its contexts; the answer is that of
        :meth:`infer`, however many are wanted."""
        found = [best_of(each, top_k) for each in self.infer(examples, progress=progress).predictions]
        short = [row for row, each in enumerate(found) if len(each.candidates) < top_k]
        if short:
            asked = [examples[row] for row in short]
            read, n_best = self.read(asked, least=top_k), max(self.recipe.predict.n_best, top_k)
            wide = finish(raw_answers(read.readings, asked, self.decision, n_best=n_best), asked, self.judge)
            for row, more in zip(short, wide, strict=True):
                found[row] = best_of(more, top_k).with_answer(found[row].answer)
        return found

    def _reading(self, span: SpanPrediction, context: int, probability: float) -> Reading:
        return Reading.of(span, context=context, probability=probability, temperature=self.span.temperature)

    def _by_stage(self, read: Read, examples: Sequence[Example], relevant: Sequence[int | None]) -> ByStage:
        known = [(number, context) for number, context in enumerate(relevant) if context is not None]
        alone = [(self._reading(read.spans[read.rows[number][context]], context, 1.0),) for number, context in known]
        span_right: list[bool | None] = [None] * len(examples)
        for (number, _), right in zip(
            known, self._right([examples[number] for number, _ in known], alone, 1.0), strict=True
        ):
            span_right[number] = right
        return ByStage(
            selected=tuple(
                None if context is None else each.context == context
                for each, context in zip(read.selected, relevant, strict=True)
            ),
            passed_on=tuple(
                None if context is None else any(reading.context == context for reading in readings)
                for readings, context in zip(read.readings, relevant, strict=True)
            ),
            span_right=tuple(span_right),
            top_1_right=tuple(self._right(examples, read.readings, "argmax")),
        )

    def _right(self, examples: Sequence[Example], readings: Sequence[Sequence[Reading]], weight: Weight) -> list[bool]:
        raw = raw_answers(readings, examples, replace(self.decision, weight=weight), n_best=1)
        return exactly_right_answers(self.judge, examples, answers_of(finish(raw, examples, self.judge)))


def likeliest(scores: Sequence[float], count: int) -> list[int]:
    """The contexts with the highest probabilities, at most ``count``; of equal ones the first comes first."""
    return sorted(range(len(scores)), key=lambda context: -scores[context])[:count]


def _selected(
    stage: TrainedRun, examples: Sequence[Example], *, cache: Path | None, progress: CountProgress | None
) -> list[ContextPrediction]:
    found = stage.infer(examples, cache=cache, progress=progress).predictions
    return [prediction for prediction in found if isinstance(prediction, ContextPrediction)]  # so are all


def recipes_under(run: Run, overrides: Sequence[str], registry: Registry) -> tuple[Recipe, Recipe]:
    """The recipe of a pipeline's whole under what is set for the span stage, from which it comes, and under all that
    is set for both.

    Raises:
        RecipeError: an override that does not fit.
        UsageError: an override that takes another training, or that does not say for which stage it is.
    """
    own, of_stages = dealt(overrides)
    own = [text for text in own if key_path(text)[0] != COMBINE_BLOCK]
    before = prediction_recipe(run.recipe(), of_stages["span"], registry)
    threshold = run.recipe().predict.null_threshold  # the span stage's own has another scale
    before = before.model_copy(
        update={"predict": before.predict.model_copy(update={"character_scores": False, "null_threshold": threshold})}
    )
    after = prediction_recipe(before, own, registry)
    for text in own:
        at = key_path(text)
        if at[0] in ("predict", "preprocess") and at[:2] not in OF_THE_WHOLE:
            ways = " or ".join(f"--set {name}.{text.strip()}" for name in STAGES)
            raise UsageError(f"--set {dotted(at)}: {run.folder} is a pipeline; say for which stage: {ways}")
    return before, after


def _combined_under(run: Run, overrides: Sequence[str], decision: Decision) -> tuple[CombineSection, Decision]:
    """How a pipeline's stages are combined under what is set; a weight takes the place of the one that was tuned.

    Raises:
        RunError: the folder is damaged.
        RecipeError: an override that does not fit.
        UsageError: the weight is to be tuned.
    """
    own = [text for text in overrides if key_path(text)[0] == COMBINE_BLOCK]
    before = read_pipeline(run).combine
    if not own:
        return before, decision
    after = read_resolved(run.folder / PIPELINE, own).combine
    if after.weight == before.weight:
        return after, decision
    if after.weight == "tune":
        raise UsageError("--set combine.weight: it is tuned at the end of a training; give a number, or argmax")
    return after, replace(decision, weight=after.weight)


def _decision(run: Run) -> Decision:
    values = run.read_json(run.folder / COMBINE)
    if not values:
        raise not_finished(run)
    return Decision.read(values, str(run.folder / COMBINE))


def load_stage(name: StageName, folder: Path, **options: Any) -> TrainedRun:
    """A trained stage, with the options of :meth:`TrainedRun.load`.

    Raises:
        RunError: it has no trained model.
        UsageError: its head is for the other stage, or for none.
    """
    if not (folder / "model").is_dir():
        several = Run(folder).has_members or is_pipeline_folder(folder)
        why = "is made of several models, and a stage is one" if several else "has no trained model"
        raise RunError(f"{name} stage {folder} {why}")
    stage = TrainedRun.load(folder, **options)
    check_gives(
        stage.assembled.model.head, WANTED[name], name=stage.recipe.head.name, part=f"{name} stage {stage.run.folder}"
    )
    return stage
