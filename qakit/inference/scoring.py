"""Examples -> windows -> scores -> n-best predictions."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from qakit.data.arrays import Int64
from qakit.data.batching import prediction_batches
from qakit.data.collate import Collator, owned_tokens
from qakit.data.encode import EncodedExamples, encode
from qakit.data.template import PairTemplate
from qakit.data.windows import Windows
from qakit.distributed import ALONE, Workers
from qakit.inference.aggregation import check_head, decided, given_by, learns_yes_no
from qakit.inference.characters import CharacterScores
from qakit.inference.classification import check_windows, context_predictions, label_predictions
from qakit.inference.collectors import Found, Scores, SetScores, SpanScores, Table, collector
from qakit.inference.fetching import one_late
from qakit.inference.memory import within_memory
from qakit.inference.nbest import set_predictions, span_predictions
from qakit.inference.positions import character_scores
from qakit.modeling.assemble import Assembled, padding_for
from qakit.modeling.attention import Attention, attention_to_score
from qakit.modeling.device import Precision, autocast
from qakit.protocols import (
    LearnsNumbers,
    Preprocessor,
    WindowRuntime,
)
from qakit.recipe.model import PredictSection, Recipe
from qakit.registry import Registry
from qakit.values import Example, Prediction, SpanPrediction

logger = logging.getLogger(__name__)

CountProgress = Callable[[int, int], None]
"""Called with (done, total)."""


@dataclass(frozen=True, slots=True)
class ScoringSet:
    """Examples made ready for the model once, to be scored as often as wanted.

    ``batches`` are rows of ``windows``, longest windows first. ``predict`` says how scores become candidates,
    ``classes`` what the head chooses among, if it classifies, or the names of its numbers, ``attention`` the recipe's
    choice.
    """

    examples: Sequence[Example]
    encoded: EncodedExamples
    windows: Windows
    collator: Collator
    batches: tuple[Int64, ...]
    predict: PredictSection
    classes: tuple[str, ...] = ()
    attention: Attention = "auto"


def number_range_of(head: object) -> tuple[float, float] | None:
    """The lowest and the highest number that a head can learn; None for any."""
    return head.number_range if isinstance(head, LearnsNumbers) else None


def window_runtime(recipe: Recipe, template: PairTemplate, *, training: bool) -> WindowRuntime:
    """What the recipe's preprocessors get to know."""
    return template.runtime(
        max_length=recipe.windows.max_length,
        max_question_length=recipe.windows.max_question_length,
        training=training,
        seed=recipe.seed,
    )


def prepare(
    examples: Sequence[Example],
    assembled: Assembled,
    recipe: Recipe,
    registry: Registry,
    *,
    cache: Path | None = None,
    progress: CountProgress | None = None,
) -> ScoringSet:
    """Tokenise, cut prediction windows and form batches. With ``cache`` the tokens are kept there for the next time.

    Raises:
        UsageError: the head cannot do what the recipe's ``predict`` block asks for.
        ModelError: the head chooses among contexts, and windows are not of one context each.
    """
    check_head(recipe, assembled.model.head)
    gives = given_by(assembled.model.head)
    encoded = encode(
        examples,
        assembled.tokenizer,
        labels=assembled.classes,
        yes_no=learns_yes_no(assembled.model.head),
        cache=cache,
        progress=progress,
    )
    runtime = window_runtime(recipe, assembled.template, training=False)
    ref = recipe.preprocess.predict
    preprocessor: Preprocessor = registry.build("preprocessors", ref.name, ref.settings, runtime)
    windows = preprocessor.windows(encoded, epoch=0)
    if gives == "contexts":
        check_windows(windows, encoded, examples)
    predict = decided(recipe.predict, assembled.model.head)
    owned = gives in ("spans", "sets") and predict.aggregation == "max_context"
    ownership = owned_tokens(windows) if owned else None
    model = assembled.model
    device, max_length = next(model.parameters()).device, recipe.windows.max_length
    padding = padding_for(device, model.backbone, max_length=max_length)
    collator = Collator(encoded, windows, assembled.template, ownership, padding)
    return ScoringSet(
        examples=examples,
        encoded=encoded,
        windows=windows,
        collator=collator,
        batches=tuple(prediction_batches(collator.lengths, batch_size=recipe.predict.batch_size)),
        predict=predict,
        classes=assembled.classes,
        attention=recipe.train.attention,
    )


def score(
    prepared: ScoringSet,
    assembled: Assembled,
    *,
    device: torch.device,
    precision: Precision,
    workers: Workers = ALONE,
    progress: CountProgress | None = None,
    notice: Callable[[str], None] = logger.warning,
) -> Scores:
    """What the head makes of all windows. Under several processes each runs its share, and all get the whole result.

    What a batch has given is waited for once the next one has been launched, so a GPU need not wait while the host
    collects. Where memory runs out the batches are halved, and ``notice`` is called.

    Raises:
        RunError: the memory does not suffice for a single window.
    """
    model = assembled.model
    collected = collector(prepared.encoded, prepared.windows, prepared.predict, prepared.classes, given_by(model.head))
    was_training = model.training
    model.eval()
    done = 0

    def launch(rows: Int64) -> Found:
        batch = prepared.collator.collate(rows, targets=False)
        on_device = batch.to(device)
        with autocast(device, precision):
            output = model(on_device)
        return collected.find(model, batch, on_device, output)

    with torch.inference_mode(), attention_to_score(prepared.attention, device, model.backbone):
        for rows, found in one_late(within_memory(workers.share(prepared.batches), launch, notice=notice)):
            collected.add(model, found)
            done += len(rows) * workers.size
            if progress is not None:
                progress(min(done, len(prepared.windows)), len(prepared.windows))
    model.train(was_training)
    for table in collected.tables:
        _share(table, workers)
    return collected.scores()


def _share(table: Table, workers: Workers) -> None:
    """Give every process what the others added to their tables."""
    if workers.size == 1:
        return
    for rank, rows in enumerate(workers.gather(table.rows())):
        if rank != workers.rank:
            table.merge(rows)


def predictions_of(
    prepared: ScoringSet, scores: Scores, recipe: Recipe, *, null_threshold: float, temperature: float
) -> Sequence[Prediction]:
    """One prediction per example over all its windows, in the examples' order, before clean-up.

    ``null_threshold`` and ``temperature`` are for spans.
    """
    if isinstance(scores, SpanScores):
        return answers_from(prepared, scores, recipe, null_threshold=null_threshold, temperature=temperature)
    if isinstance(scores, SetScores):
        return set_predictions(scores.spans, scores.windows, prepared.encoded, prepared.examples)
    if scores.gives == "labels":
        return label_predictions(scores, prepared.windows, prepared.examples)
    return context_predictions(scores, prepared.windows, prepared.encoded, prepared.examples)


def answers_from(
    prepared: ScoringSet, scores: SpanScores, recipe: Recipe, *, null_threshold: float, temperature: float
) -> list[SpanPrediction]:
    """As :func:`predictions_of`, of spans."""
    return span_predictions(
        scores.spans,
        scores.windows,
        prepared.encoded,
        prepared.examples,
        n_best=recipe.predict.n_best,
        no_answer=recipe.predict.no_answer,
        null_threshold=null_threshold,
        temperature=temperature,
    )


def characters_of(prepared: ScoringSet, scores: Scores) -> CharacterScores | None:
    """The character scores, if ``predict.character_scores`` asks for them."""
    if not prepared.predict.character_scores or not isinstance(scores, SpanScores) or scores.positions is None:
        return None
    return character_scores(
        scores.positions, prepared.encoded, prepared.examples, aggregation=prepared.predict.aggregation
    )
