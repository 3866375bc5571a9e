"""The best answer spans under independent start and end scores, exactly."""

from __future__ import annotations

import torch
from torch import Tensor

from qakit.errors import ModelError

BROKEN_SCORES = (
    "the model produced NaN scores (or infinite ones): its weights are broken, as after a training that diverged; "
    "train again with a smaller learning_rate, or with `precision: fp32`"
)

CHUNK_SCORES = 1 << 22
"""At most this many span scores (16 MiB in float32) are held at once, or those of a single window."""


@torch.no_grad()
def best_spans(
    start: Tensor,
    end: Tensor,
    *,
    start_mask: Tensor,
    end_mask: Tensor,
    k: int,
    max_length: int,
    single: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """The ``k`` spans with the largest ``start[first] + end[last]``, where ``first <= last < first + max_length``.

    Exact: nothing is pruned that could belong to the result. A span that starts elsewhere than at one of the ``k``
    starts with the best single spans is beaten by the best spans of those ``k``; so the best end per start (a sliding
    maximum) finds the starts, and only their ``k x max_length`` spans are looked at one by one.

    Args:
        start: (B, T) float, scores of the first position; -inf means "never". Where they are float64, sums are formed
            and compared in float64, else in float32.
        end: (B, T) float, scores of the last position.
        start_mask: (B, T) bool, where a span may start.
        end_mask: (B, T) bool, where a span may end.
        k: spans per window.
        max_length: longest span in positions.
        single: (B, T) float, scores of the spans of one position, where these are not ``start + end``.

    Returns:
        first: (B, k) int64, first position.
        last: (B, k) int64, last position, **inclusive**.
        score: (B, k) float32, best first. Places without a span have score -inf, first = last = 0. Which of several
            spans with equal scores stands first is not defined.

    Raises:
        ModelError: a score within the masks is NaN or infinite. Only on a CPU: a GPU would have to be waited for, so
            there the window's first ``score`` is NaN or infinite, and whoever takes it over refuses it.
    """
    if k < 1 or max_length < 1:
        raise ValueError(f"k and max_length must be positive, not {k} and {max_length}")
    size, width = start.shape
    max_length = min(max_length, width)
    precision = torch.float64 if start.dtype == torch.float64 else torch.float32

    def masked(scores: Tensor, mask: Tensor, at: int) -> Tensor:
        return torch.where(mask[at : at + rows], scores[at : at + rows].to(precision), -torch.inf)

    rows = max(1, CHUNK_SCORES // (min(k, width) * max_length + width))
    parts = [
        _best_in_chunk(
            masked(start, start_mask, at),
            masked(end, end_mask, at),
            None if single is None else masked(single, start_mask & end_mask, at),
            k=k,
            max_length=max_length,
        )
        for at in range(0, max(size, 1), rows)
    ]
    if len(parts) == 1:
        return parts[0]
    firsts, lasts, scores = zip(*parts, strict=True)
    return torch.cat(firsts), torch.cat(lasts), torch.cat(scores)


def _best_in_chunk(
    start: Tensor, end: Tensor, single: Tensor | None, *, k: int, max_length: int
) -> tuple[Tensor, Tensor, Tensor]:
    """:func:`best_spans` of masked float32 or float64 scores; ``max_length <= T``."""
    size, width = start.shape
    ends = torch.nn.functional.pad(end, (0, max_length - 1), value=-torch.inf)  # (B, T + max_length - 1)
    if single is None:
        best = start + _sliding_max(ends, max_length)  # (B, T) the best span from each start
    elif max_length == 1:
        best = single
    else:
        best = torch.maximum(single, start + _sliding_max(ends[:, 1:], max_length - 1))
    largest, starts = best.topk(min(k, width), dim=1)  # (B, S)
    # NaN ranks above all numbers in topk, and spreads through sums and maxima: it can only be in front.
    if largest.device.type == "cpu" and not bool((largest[:, 0] < torch.inf).all()):
        raise ModelError(BROKEN_SCORES)
    row = torch.arange(size, device=start.device)[:, None]
    band = ends.unfold(1, max_length, 1)[row, starts]  # (B, S, max_length) the ends that each start reaches
    band += start.gather(1, starts)[:, :, None]
    if single is not None:
        band[:, :, 0] = single.gather(1, starts)
    flat = band.flatten(1)
    score, place = flat.topk(min(k, flat.shape[1]), dim=1)
    first = starts.gather(1, place // max_length)
    last = first + place % max_length
    unused = score == -torch.inf
    first.masked_fill_(unused, 0)
    last.masked_fill_(unused, 0)
    missing = k - score.shape[1]
    if missing:
        first, last = (torch.nn.functional.pad(positions, (0, missing)) for positions in (first, last))
        score = torch.nn.functional.pad(score, (0, missing), value=-torch.inf)
    return first, last, score.float()


def _sliding_max(values: Tensor, length: int) -> Tensor:
    """(B, T + length - 1) -> (B, T): maximum of each run of ``length`` values, by doubling runs."""
    width = values.shape[1] - length + 1
    run = 1
    while 2 * run <= length:
        values = torch.maximum(values[:, :-run], values[:, run:])
        run *= 2
    rest = length - run  # two overlapping runs make one of the whole length
    return torch.maximum(values[:, :width], values[:, rest : rest + width])
