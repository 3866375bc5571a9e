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
from qakit.inference.nbest import span_predictions
from qakit.inference.table import SpanTable
from qakit.inference.workers import ALONE, Workers
from qakit.modeling.assemble import Assembled
from qakit.modeling.device import Precision, autocast
from qakit.protocols import Preprocessor, SpanCandidates, WindowRuntime
from qakit.recipe.model import Recipe
from qakit.registry import Registry
from qakit.values import Example, SpanPrediction

CountProgress = Callable[[int, int], None]
"""Called with (done, total)."""


@dataclass(frozen=True, slots=True)
class ScoringSet:
    """Examples made ready for the model once, to be scored as often as wanted.

    ``batches`` are rows of ``windows``, longest windows first.
    """

    examples: Sequence[Example]
    encoded: EncodedExamples
    windows: Windows
    collator: Collator
    batches: tuple[NDArray[np.int64], ...]
    labelled: bool


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
    """Tokenise, cut prediction windows and form batches. With ``cache`` the tokens are kept there for the next time."""
    encoded = encode(examples, assembled.tokenizer, cache=cache, progress=progress)
    runtime = window_runtime(recipe, assembled.template, training=False)
    ref = recipe.preprocess.predict
    preprocessor: Preprocessor = registry.build("preprocessors", ref.name, ref.settings, runtime)
    windows = preprocessor.windows(encoded, epoch=0)
    collator = Collator(encoded, windows, assembled.template, ownership=owned_tokens(windows))
    return ScoringSet(
        examples=examples,
        encoded=encoded,
        windows=windows,
        collator=collator,
        batches=tuple(prediction_batches(collator.lengths, batch_size=recipe.predict.batch_size)),
        labelled=bool((encoded.answerable >= 0).all()),
    )


def score(
    prepared: ScoringSet,
    assembled: Assembled,
    *,
    device: torch.device,
    precision: Precision,
    n_best: int,
    workers: Workers = ALONE,
    progress: CountProgress | None = None,
) -> SpanTable:
    """The candidates of all windows. Under several processes each runs its share, and all get the whole result."""
    model = assembled.model
    was_training = model.training
    model.eval()
    table = SpanTable(len(prepared.windows), n_best, prepared.encoded)
    done = 0
    with torch.inference_mode():
        for rows in workers.share(prepared.batches):
            batch = prepared.collator.collate(rows, targets=False)
            on_device = batch.to(device)
            with autocast(device, precision):
                output = model(on_device)
            decoded = model.decoder.decode(output.scores, on_device)
            if not isinstance(decoded, SpanCandidates):
                raise ModelError(f"the head decodes to {type(decoded).__name__}; spans are expected here")
            table.add(batch, decoded)
            done += len(rows) * workers.size
            if progress is not None:
                progress(min(done, len(prepared.windows)), len(prepared.windows))
    model.train(was_training)
    for rank, rows_of_rank in enumerate(workers.gather(table.rows()) if workers.size > 1 else ()):
        if rank != workers.rank:
            table.merge(rows_of_rank)
    return table


def predictions_of(
    prepared: ScoringSet, table: SpanTable, recipe: Recipe, *, null_threshold: float
) -> list[SpanPrediction]:
    """One prediction per example over all its windows, in the examples' order, before clean-up."""
    return span_predictions(
        table,
        prepared.windows,
        prepared.encoded,
        prepared.examples,
        n_best=recipe.predict.n_best,
        no_answer=recipe.predict.no_answer,
        null_threshold=null_threshold,
    )
