"""Examples -> windows -> scores -> n-best predictions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from qakit.data.batching import prediction_batches
from qakit.data.collate import Collator, owned_tokens
from qakit.data.encode import EncodedExamples, encode
from qakit.data.template import PairTemplate
from qakit.data.windows import Windows
from qakit.errors import ModelError
from qakit.inference.aggregation import against_no_answer, check_head, spans_of, whole_contexts
from qakit.inference.characters import CharacterScores
from qakit.inference.log_probabilities import character_scores
from qakit.inference.nbest import span_predictions
from qakit.inference.positions import PositionTable
from qakit.inference.table import SpanTable
from qakit.inference.workers import ALONE, Workers
from qakit.modeling.assemble import Assembled
from qakit.modeling.device import Precision, autocast
from qakit.protocols import Preprocessor, ScoresPositions, SpanCandidates, WindowRuntime
from qakit.recipe.model import PredictSection, Recipe
from qakit.registry import Registry
from qakit.values import Example, SpanPrediction

CountProgress = Callable[[int, int], None]
"""Called with (done, total)."""


@dataclass(frozen=True, slots=True)
class ScoringSet:
    """Examples made ready for the model once, to be scored as often as wanted.

    ``batches`` are rows of ``windows``, longest windows first. ``predict`` says how scores become candidates.
    """

    examples: Sequence[Example]
    encoded: EncodedExamples
    windows: Windows
    collator: Collator
    batches: tuple[NDArray[np.int64], ...]
    labelled: bool
    predict: PredictSection


@dataclass(frozen=True, slots=True)
class Scores:
    """What a model makes of a :class:`ScoringSet`.

    Attributes:
        spans: the candidates of each window.
        windows: what its rows are: the set's own windows, or whole contexts where scores are averaged first.
        positions: start and end log-odds of every token; None where nobody asked for them.
    """

    spans: SpanTable
    windows: Windows
    positions: PositionTable | None


def window_runtime(recipe: Recipe, template: PairTemplate, *, training: bool) -> WindowRuntime:
    """What the recipe's preprocessors are told."""
    return WindowRuntime(
        max_length=recipe.windows.max_length,
        max_question_length=recipe.windows.max_question_length,
        special_tokens=template.special_tokens,
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
    """
    check_head(recipe, assembled.model.head)
    encoded = encode(examples, assembled.tokenizer, cache=cache, progress=progress)
    runtime = window_runtime(recipe, assembled.template, training=False)
    ref = recipe.preprocess.predict
    preprocessor: Preprocessor = registry.build("preprocessors", ref.name, ref.settings, runtime)
    windows = preprocessor.windows(encoded, epoch=0)
    ownership = owned_tokens(windows) if recipe.predict.aggregation == "max_context" else None
    collator = Collator(encoded, windows, assembled.template, ownership=ownership)
    return ScoringSet(
        examples=examples,
        encoded=encoded,
        windows=windows,
        collator=collator,
        batches=tuple(prediction_batches(collator.lengths, batch_size=recipe.predict.batch_size)),
        labelled=bool((encoded.answerable >= 0).all()),
        predict=recipe.predict,
    )


def score(
    prepared: ScoringSet,
    assembled: Assembled,
    *,
    device: torch.device,
    precision: Precision,
    workers: Workers = ALONE,
    progress: CountProgress | None = None,
) -> Scores:
    """The candidates of all windows. Under several processes each runs its share, and all get the whole result."""
    predict, encoded = prepared.predict, prepared.encoded
    mean = predict.aggregation == "mean"
    spans = None if mean else SpanTable(len(prepared.windows), predict.n_best, encoded)
    positions = PositionTable(encoded, prepared.windows, mean=mean) if mean or predict.character_scores else None
    model = assembled.model
    was_training = model.training
    model.eval()
    done = 0
    with torch.inference_mode():
        for rows in workers.share(prepared.batches):
            batch = prepared.collator.collate(rows, targets=False)
            on_device = batch.to(device)
            with autocast(device, precision):
                output = model(on_device)
            if positions is not None:
                assert isinstance(model.head, ScoresPositions)  # `prepare` has seen to it
                positions.add(batch, model.head.position_scores(output.scores, on_device))
            if spans is not None:
                decoded = model.decoder.decode(output.scores, on_device)
                if not isinstance(decoded, SpanCandidates):
                    raise ModelError(f"the head decodes to {type(decoded).__name__}; spans are expected here")
                spans.add(batch, decoded if predict.aggregation == "max_context" else against_no_answer(decoded))
            done += len(rows) * workers.size
            if progress is not None:
                progress(min(done, len(prepared.windows)), len(prepared.windows))
    model.train(was_training)
    _share(spans, workers)
    _share(positions, workers)
    if spans is not None:
        return Scores(spans, prepared.windows, positions)
    assert positions is not None
    spans = spans_of(positions, encoded, n_best=predict.n_best, max_answer_length=predict.max_answer_length)
    return Scores(spans, whole_contexts(encoded), positions)


def _share(table: SpanTable | PositionTable | None, workers: Workers) -> None:
    """Give every process what the others added to their tables."""
    if table is None or workers.size == 1:
        return
    for rank, rows in enumerate(workers.gather(table.rows())):
        if rank != workers.rank:
            table.merge(rows)  # type: ignore[arg-type]


def predictions_of(
    prepared: ScoringSet, scores: Scores, recipe: Recipe, *, null_threshold: float, temperature: float
) -> list[SpanPrediction]:
    """One prediction per example over all its windows, in the examples' order, before clean-up."""
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
    if not prepared.predict.character_scores or scores.positions is None:
        return None
    return character_scores(
        scores.positions, prepared.encoded, prepared.examples, aggregation=prepared.predict.aggregation
    )
