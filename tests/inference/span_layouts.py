"""Spans given by hand, window by window: the examples, batches and candidates that they belong to."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from qakit.data.batch import Batch, numbered
from qakit.data.encode import EncodedExamples
from qakit.data.store import TokenStore
from qakit.data.windows import Windows
from qakit.inference.nbest import SpanTable, span_predictions
from qakit.protocols import SpanCandidates
from qakit.values import Example, SpanPrediction

Tokens = Sequence[tuple[int, int]]
Span = tuple[int, int, int, float]
"""Segment of the window, first token, last token (in the context, inclusive), score."""
Layout = Sequence[tuple[int, Sequence[int]]]
"""Windows as (example, its contexts' numbers), every context whole."""

ONE = [Example("a", "?", ("a bc bc",))]


def characters(text: str) -> Tokens:
    return [(place, place + 1) for place in range(len(text))]


def encoded_of(examples: Sequence[Example], tokens: Callable[[str], Tokens]) -> EncodedExamples:
    """Every question and context is its own row; question and contexts in file order."""
    rows, query, context, pointers = [], [], [], [0]
    for example in examples:
        query.append(len(rows))
        rows.append(tokens(example.question))
        for text in example.contexts:
            context.append(len(rows))
            rows.append(tokens(text))
        pointers.append(len(context))
    offsets = np.array([pair for row in rows for pair in row], dtype=np.int32).reshape(-1, 2)
    return EncodedExamples(
        store=TokenStore(
            ids=np.zeros(len(offsets), np.int32),
            offsets=offsets,
            pointers=np.cumsum([0, *map(len, rows)], dtype=np.int64),
        ),
        query=np.array(query, np.int32),
        pointers=np.array(pointers, np.int64),
        context=np.array(context, np.int32),
        answer_first=np.full(len(context), -1, np.int32),
        answer_stop=np.full(len(context), -1, np.int32),
        answerable=np.full(len(examples), -1, np.int8),
        label=np.full(len(examples), np.nan, np.float32),
        relevant=np.full(len(examples), -1, np.int32),
        key=np.arange(len(examples)),
    )


def windows_of(encoded: EncodedExamples, layout: Layout) -> Windows:
    pair = np.array(
        [encoded.pointers[example] + context for example, contexts in layout for context in contexts], np.int32
    )
    return Windows(
        example=np.array([example for example, _ in layout], np.int32),
        query_stop=np.zeros(len(layout), np.int32),
        pointers=np.cumsum([0, *(len(contexts) for _, contexts in layout)], dtype=np.int64),
        pair=pair,
        first=np.zeros(len(pair), np.int32),
        stop=encoded.store.lengths[encoded.context[pair]],
        answer_first=np.full(len(pair), -1, np.int32),
        answer_stop=np.full(len(pair), -1, np.int32),
    )


def batch_of(encoded: EncodedExamples, windows: Windows, rows: Sequence[int]) -> Batch:
    """``[CLS]`` and then all context tokens of the window, without separators."""
    width = 1 + int(windows.lengths.max())
    token = np.full((len(rows), width), -1, np.int64)
    segment = np.full((len(rows), width), -1, np.int32)
    for place, window in enumerate(rows):
        at = 1
        for one in range(windows.pointers[window], windows.pointers[window + 1]):
            begin, stop = encoded.store.pointers[encoded.context[windows.pair[one]] :][:2]
            token[place, at : at + stop - begin] = np.arange(begin, stop)
            segment[place, at : at + stop - begin] = one
            at += stop - begin
    ids = torch.zeros(len(rows), width, dtype=torch.int64)
    mask = torch.from_numpy(token >= 0)
    return Batch(
        input_ids=ids,
        attention_mask=ids,
        token_type_ids=None,
        context_mask=mask,
        start_mask=mask,
        target_first=None,
        target_last=None,
        segment_number=mask.long() - 1,
        **numbered(windows.example[list(rows)].astype(np.int64), np.arange(len(rows))[:, None]),
        window=np.array(rows),
        token=token,
        segment=segment,
    )


def candidates_of(
    encoded: EncodedExamples, windows: Windows, batch: Batch, spans: Sequence[Sequence[Span]], null: Sequence[float]
) -> SpanCandidates:
    places = max(1, *(len(row) for row in spans))
    first, last = torch.zeros(2, len(spans), places, dtype=torch.int64)
    score = torch.full((len(spans), places), -torch.inf)
    for row, window in enumerate(batch.window.tolist()):
        for place, (segment, begin, end, value) in enumerate(sorted(spans[row], key=lambda span: -span[3])):
            own = np.flatnonzero(batch.segment[row] == windows.pointers[window] + segment)
            first[row, place], last[row, place], score[row, place] = int(own[begin]), int(own[end]), value
    return SpanCandidates(first, last, score, torch.tensor(null, dtype=torch.float32))


def predict(
    examples: Sequence[Example],
    layout: Layout,
    spans: Sequence[Sequence[Span]],
    *,
    null: Sequence[float] | None = None,
    tokens: Callable[[str], Tokens] = characters,
    n_best: int = 20,
    threshold: float = 0.0,
    temperature: float = 1.0,
    order: Sequence[Sequence[int]] | None = None,
) -> list[SpanPrediction]:
    """Predictions from spans given window by window. ``order``: the batches, as rows of the layout."""
    encoded = encoded_of(examples, tokens)
    windows = windows_of(encoded, layout)
    table = SpanTable(len(windows), 20, encoded)
    for rows in order or ([range(len(layout))] if layout else []):
        batch = batch_of(encoded, windows, rows)
        nulls = [0.0 if null is None else null[row] for row in rows]
        table.add(batch, candidates_of(encoded, windows, batch, [spans[row] for row in rows], nulls))
    return span_predictions(
        table,
        windows,
        encoded,
        examples,
        n_best=n_best,
        no_answer=null is not None,
        null_threshold=threshold,
        temperature=temperature,
    )
