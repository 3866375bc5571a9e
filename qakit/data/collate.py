"""Windows -> tensors: a batch is put together by slicing the token store, without a loop over its windows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from qakit.data.arrays import ranges
from qakit.data.batch import Batch, numbered
from qakit.data.encode import EncodedExamples, Places
from qakit.data.template import PairTemplate
from qakit.data.windows import Windows, owned_tokens

__all__ = ["AS_LONGEST", "Collator", "Ownership", "Padding", "owned_tokens"]

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Ownership = tuple[Int32, Int32]
"""First and stop of each segment's own tokens, (S,) each, from :func:`owned_tokens`."""


@dataclass(frozen=True, slots=True)
class Padding:
    """How wide batches are: as their longest window, or rounded up for hardware that likes it."""

    multiple: int = 1
    """Widths are multiples of so many tokens."""
    limit: int | None = None
    """But none is rounded up to more than so many, since the model may not read more."""

    def width(self, longest: int) -> int:
        """That of a batch whose longest window has so many tokens."""
        rounded = -(-longest // self.multiple) * self.multiple
        return rounded if self.limit is None else max(longest, min(rounded, self.limit))


AS_LONGEST = Padding()
"""No wider than the longest window."""


@dataclass(frozen=True, slots=True)
class Collator:
    """Makes batches of any rows of ``windows``."""

    encoded: EncodedExamples
    windows: Windows
    template: PairTemplate
    ownership: Ownership | None = None
    """Where answers may start (prediction); None for anywhere in the context (training)."""
    padding: Padding = AS_LONGEST

    @property
    def lengths(self) -> Int32:
        """(W,) tokens of each window, special tokens included: what batches are planned by."""
        segments = np.diff(self.windows.pointers)
        fixed = len(self.template.prefix) + len(self.template.suffix)
        lengths: Int32 = (self.windows.lengths + fixed + segments * len(self.template.middle)).astype(np.int32)
        return lengths

    def collate(self, rows: Int64, *, targets: bool) -> Batch:
        """The windows in ``rows`` as one batch, as wide as ``padding`` makes the longest.

        Args:
            rows: (B,) rows of ``windows``, B >= 1.
            targets: whether to give the answers' positions; a window without the answer gets position 0. Of an answer
                with several places, a window that lacks the first one has the first of those that it holds.
        """
        windows, store, template = self.windows, self.encoded.store, self.template
        prefix, middle, suffix = (len(ids) for ids in (template.prefix, template.middle, template.suffix))
        # What stands in a position: one of the template's special tokens, or one of these three.
        question, context, padding = prefix + middle + suffix + np.arange(3)
        single = padding + 1  # the suffix once more: after a question without contexts it belongs to the question
        kind_ids = np.array(
            (*template.prefix, *template.middle, *template.suffix, 0, 0, template.pad, *template.suffix)
        )
        kind_types = np.array(
            (
                *template.prefix_types,
                *template.middle_types,
                *template.suffix_types,
                template.question_type,
                template.context_type,
                template.pad_type,
                *(template.question_type if kind == template.context_type else kind for kind in template.suffix_types),
            )
        )

        # Where each segment of each window begins: n segments in the batch.
        size = len(rows)
        segment = ranges(windows.pointers[rows], windows.pointers[rows + 1] - windows.pointers[rows])  # (n,)
        row = np.repeat(np.arange(size), windows.pointers[rows + 1] - windows.pointers[rows])  # (n,)
        first = windows.first[segment].astype(np.int64)
        tokens = windows.stop[segment] - first
        query_tokens = windows.query_stop[rows].astype(np.int64)
        after = np.cumsum(middle + tokens)  # context positions up to the end of each segment, over the whole batch
        in_row = np.bincount(row, weights=middle + tokens, minlength=size).astype(np.int64)
        before_row = np.cumsum(in_row) - in_row
        length = prefix + query_tokens + in_row + suffix  # (B,)
        width = self.padding.width(int(length.max()))  # T
        origin = np.arange(size) * width
        # (n,) flat position of each segment's first token
        start = origin[row] + prefix + query_tokens[row] + after - tokens - before_row[row]

        kind = np.full(size * width, padding)
        token = np.full(size * width, -1, np.int64)
        owner = np.full(size * width, -1, np.int32)
        number = np.full(size * width, -1, np.int64)
        kind[origin[:, None] + np.arange(prefix)] = np.arange(prefix)
        kind[start[:, None] - middle + np.arange(middle)] = prefix + np.arange(middle)
        suffixes = np.where(np.bincount(row, minlength=size) > 0, prefix + middle, single)  # (B,)
        kind[(origin + length)[:, None] - suffix + np.arange(suffix)] = suffixes[:, None] + np.arange(suffix)
        at = ranges(origin + prefix, query_tokens)
        kind[at] = question
        token[at] = ranges(store.pointers[self.encoded.query[windows.example[rows]]], query_tokens)
        at = ranges(start, tokens)
        kind[at] = context
        token[at] = ranges(store.pointers[self.encoded.context[windows.pair[segment]]] + first, tokens)
        owner[at] = np.repeat(segment, tokens)
        ordinal = segment - windows.pointers[rows][row]  # (n,)
        number[at] = np.repeat(ordinal, tokens)

        ids = kind_ids[kind]
        real = token >= 0
        ids[real] = store.ids[token[real]]
        context_mask = kind == context
        start_mask = context_mask.copy()
        if self.ownership is not None:
            own_first, own_stop = self.ownership[0][segment], self.ownership[1][segment]
            start_mask[:] = False
            start_mask[ranges(start + own_first - first, own_stop - own_first)] = True
        target, others = None, None
        if targets:
            target = _targets(windows, segment, row, start - origin[row] - first, size)
            if self.encoded.others is not None:
                others = _other_targets(self.encoded.others, windows, segment, row, start - origin[row] - first, target)
        yes_no = np.zeros(size, np.int64)
        if self.encoded.yes_no is not None:
            np.maximum.at(yes_no, row, self.encoded.yes_no[windows.pair[segment]])
        pairs = np.full((size, max(1, int(np.bincount(row, minlength=size).max()))), -1, np.int64)
        pairs[row, ordinal] = windows.pair[segment]
        extras = self.encoded.extras
        relevant = windows.pair[segment] == self.encoded.relevant[windows.example[rows]][row]  # (n,)

        def tensor(values: NDArray[np.generic]) -> torch.Tensor:
            return torch.from_numpy(values.reshape(size, width))

        return Batch(
            input_ids=tensor(ids),
            attention_mask=tensor((kind != padding).astype(np.int64)),
            token_type_ids=tensor(kind_types[kind]) if template.has_types else None,
            context_mask=tensor(context_mask),
            start_mask=tensor(start_mask),
            target_first=None if target is None else torch.from_numpy(target[0]),
            target_last=None if target is None else torch.from_numpy(target[1]),
            target_label=torch.from_numpy(self.encoded.label[windows.example[rows]]) if targets else None,
            target_segment=torch.from_numpy(_chosen(relevant, ordinal, row, size)) if targets else None,
            other_first=None if others is None else torch.from_numpy(others[0]),
            other_last=None if others is None else torch.from_numpy(others[1]),
            target_yes_no=torch.from_numpy(yes_no) if targets and self.encoded.yes_no is not None else None,
            segment_number=tensor(number),
            window=np.asarray(rows, dtype=np.int64),
            token=token.reshape(size, width),
            segment=owner.reshape(size, width),
            extras=None if extras is None else tuple(extras[row] for row in windows.example[rows]),
            padded=bool((length < width).any()),
            lengths=length,
            **numbered(windows.example[rows].astype(np.int64), pairs),
        )


def _chosen(relevant: NDArray[np.bool_], ordinal: Int64, row: Int64, size: int) -> Int64:
    """(B,) the number of each window's first relevant segment, -1 without one."""
    chosen = np.full(size, -1, np.int64)
    rows, order = np.unique(row[relevant], return_index=True)
    chosen[rows] = ordinal[relevant][order]
    return chosen


def _targets(windows: Windows, segment: Int64, row: Int64, shift: Int64, size: int) -> tuple[Int64, Int64]:
    """Input positions of the answers' first and last tokens, (B,) each; the first segment that holds one counts.

    ``shift`` (n,) takes a segment's token number to its input position.
    """
    first, last = np.zeros((2, size), np.int64)
    holds = np.flatnonzero(windows.answer_first[segment] >= 0)
    rows, order = np.unique(row[holds], return_index=True)
    chosen = holds[order]
    first[rows] = windows.answer_first[segment[chosen]] + shift[chosen]
    last[rows] = windows.answer_stop[segment[chosen]] - 1 + shift[chosen]
    return first, last


def _other_targets(
    places: Places, windows: Windows, segment: Int64, row: Int64, shift: Int64, target: tuple[Int64, Int64]
) -> tuple[Int64, Int64] | None:
    """Input positions of the answers' other places that a window holds as a whole, (B, A) each; None without any.

    Where a window has no target yet, its first such place becomes the target, in ``target`` itself. The rest as in
    :func:`_targets`.
    """
    at, place = places.of(windows.pair[segment])
    held = (places.first[place] >= windows.first[segment[at]]) & (places.stop[place] <= windows.stop[segment[at]])
    at, place = at[held], place[held]
    owner = row[at]  # ascending
    spans = np.stack([places.first[place] + shift[at], places.stop[place] - 1 + shift[at]])
    lacking, first_place = np.unique(owner, return_index=True)
    lacking, first_place = (values[target[0][lacking] == 0] for values in (lacking, first_place))
    target[0][lacking], target[1][lacking] = spans[:, first_place]
    rest = np.ones(len(owner), bool)
    rest[first_place] = False
    owner, spans = owner[rest], spans[:, rest]
    if not len(owner):
        return None
    column = np.arange(len(owner)) - np.searchsorted(owner, owner)
    first, last = np.zeros((2, len(target[0]), int(column.max()) + 1), np.int64)
    first[owner, column], last[owner, column] = spans
    return first, last
