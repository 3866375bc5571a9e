"""Which windows go through the model together: by number or by padded tokens, of similar length where asked."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from qakit.data.arrays import Int32, Int64
from qakit.randomness import permutation

MEGA_BATCHES = 50
"""Batches whose windows are sorted by length together: little padding, and still a different mix each epoch."""


def training_batches(
    lengths: Int32,
    *,
    batch_size: int,
    token_budget: int | None = None,
    group_by_length: bool,
    seed: int,
    epoch: int,
    groups: Int64 | None = None,
) -> list[Int64]:
    """One epoch of optimiser steps: every window exactly once, in an order drawn from (seed, epoch).

    Args:
        lengths: (W,) tokens of each window, special tokens included.
        batch_size: windows per step, over all processes and accumulation steps. The last, smaller batch is kept.
        token_budget: instead of ``batch_size``: as many windows as fit into this many padded tokens; a window longer
            than that is a batch of its own.
        group_by_length: windows of similar length into one batch, by sorting within :data:`MEGA_BATCHES` batches.
        groups: (W,) windows with the same number stay together, in their order; a group larger than a batch is a batch
            of its own.

    Returns:
        Rows of ``lengths``, one array for each step.
    """
    tokens = np.asarray(lengths, dtype=np.int64)
    if groups is None:
        members, counts, longest = np.arange(len(tokens)), np.ones(len(tokens), np.int64), tokens
    else:
        members = np.argsort(groups, kind="stable")
        _, begin, counts = np.unique(np.asarray(groups)[members], return_index=True, return_counts=True)
        longest = np.maximum.reduceat(tokens[members], begin) if len(members) else tokens
    begin = np.cumsum(counts) - counts  # unit u holds the windows members[begin[u] : begin[u] + counts[u]]

    order = permutation(len(counts), seed, epoch, stream="batches")
    cuts = []
    for part in _parts(order, counts, longest, batch_size, token_budget) if group_by_length else [order]:
        if group_by_length:
            part = part[np.argsort(-longest[part], kind="stable")]
        cuts += _cut(part, counts, longest, batch_size, token_budget)
    if group_by_length:
        cuts = [cuts[i] for i in permutation(len(cuts), seed, epoch, stream="batch order")]
    if groups is None:
        return cuts
    return [np.concatenate([members[begin[u] : begin[u] + counts[u]] for u in units]) for units in cuts]


def prediction_batches(lengths: Int32, *, batch_size: int, token_budget: int | None = None) -> list[Int64]:
    """Every window exactly once, sorted by length, the longest first, so that memory runs out at once or never.

    Args:
        lengths: (W,) tokens of each window, special tokens included.
        batch_size: windows per forward pass.
        token_budget: instead of ``batch_size``: as many windows as fit into this many padded tokens.
    """
    order = np.argsort(-np.asarray(lengths, dtype=np.int64), kind="stable")
    return _cut(order, np.ones(len(order), np.int64), np.asarray(lengths, dtype=np.int64), batch_size, token_budget)


def split(rows: Int64, *, parts: int, groups: Int64 | None = None) -> list[Int64]:
    """``rows`` in ``parts`` consecutive pieces whose sizes differ by at most one (some are empty if rows are few).

    Args:
        groups: (B,) rows with the same number are neighbours, and no cut falls between them; then it is the numbers of
            groups that differ by at most one.
    """
    if groups is None:
        return np.array_split(rows, parts)
    begin = np.flatnonzero(np.diff(groups, prepend=groups[0] - 1)) if len(rows) else np.zeros(0, np.int64)
    return [rows[np.isin(groups, groups[own])] for own in np.array_split(begin, parts)]


def _parts(order: Int64, counts: Int64, longest: Int64, batch_size: int, token_budget: int | None) -> Iterable[Int64]:
    """``order`` in pieces of about :data:`MEGA_BATCHES` batches each."""
    if not len(order):
        return []
    if token_budget is not None:
        batch_size = max(1, int(token_budget / np.average(longest, weights=counts)))
    units = max(1, int(MEGA_BATCHES * batch_size / counts.mean()))
    return np.split(order, np.arange(units, len(order), units))


def _cut(units: Int64, counts: Int64, longest: Int64, batch_size: int, token_budget: int | None) -> list[Int64]:
    """Cut ``units`` in their order into batches as large as allowed."""
    cuts = []
    size = width = 0
    for place, (count, length) in enumerate(zip(counts[units].tolist(), longest[units].tolist(), strict=True)):
        size, width = size + count, max(width, length)
        full = size > batch_size if token_budget is None else size * width > token_budget
        if full and size > count:  # the batch ends before this unit
            cuts.append(place)
            size, width = count, length
    return np.split(units, cuts) if len(units) else []
