"""Products of a chain's transition matrices in log depth, and their derivatives.

A linear chain's partition function is the product of one S x S matrix per position in a semiring: (logsumexp, +) sums
over all tag paths, (max, +) finds the best one. The product is associative, so neighbours are multiplied in pairs, then
the pairs, and so on: T positions take ceil(log2 T) rounds of a few tensor operations, where the textbook's recursion
takes T steps. What comes down the same tree again is the derivative by every matrix entry: the probability of each
transition at each position under the first semiring, the best path itself under the second.

Source: Särkkä & García-Fernández 2021, "Temporal Parallelization of Bayesian Smoothers"; Rush 2020, "Torch-Struct"
(the derivative as marginals, the max semiring for the best path).

Shapes: S tags, T positions, B windows. Matrices are (S, S, T, B), the tag before and the tag here first, so that the
inner loops run over windows and positions.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

Product = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""(S, S, n, B) x (S, S, n, B) -> their product (S, S, n, B), and its derivative by each term, (S, S, S, n, B): indices
are the tag before, the one between and the one after. Entries must be finite: something far below any score stands for
-inf."""


@lru_cache(maxsize=1024)
@torch.inference_mode(False)  # what is kept must serve training, too
def scan_order(count: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The order of ``count`` positions that :func:`multiply` wants, and the way back: (T,) int64 each, on ``device``.

    ``positions[order]`` is in scan order; ``those[back]`` are the positions again.
    """
    order = torch.tensor(_order(count), dtype=torch.int64, device=device)
    return order, order.argsort()


def _order(count: int) -> list[int]:
    """First the left position of every pair, then the right ones in the same order, then the one without a partner.

    So the factors of a round are two slices. The pairs stand in the order in which the next round wants their products;
    the last position of all always stands last.
    """
    if count <= 1:
        return [0] * count
    pairs = _order((count + 1) // 2)
    if count % 2 == 0:
        return [2 * at for at in pairs] + [2 * at + 1 for at in pairs]
    paired = pairs[:-1]
    return [2 * at for at in paired] + [2 * at + 1 for at in paired] + [count - 1]


def log_product(left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """The :data:`Product` that sums over paths: logsumexp of the terms; derivatives are the terms' softmax.

    Entries are logarithms to the base 2: many terms vanish beside the largest, and on CPUs ``exp`` is up to ten times
    slower where its result underflows; ``exp2`` is not.
    """
    terms = left.unsqueeze(2) + right.unsqueeze(0)
    largest = terms.amax(1)
    terms.sub_(largest.unsqueeze(1)).exp2_()
    total = terms.sum(1)
    terms.div_(total.unsqueeze(1))
    return total.log2_().add_(largest), terms


def max_product(left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """The :data:`Product` that keeps the best path: the largest term; its derivative is 1, the others' 0."""
    terms = left.unsqueeze(2) + right.unsqueeze(0)
    largest, place = terms.max(1)
    return largest, torch.zeros_like(terms).scatter_(1, place.unsqueeze(1), 1.0)


def multiply(leaves: Tensor, product: Product) -> tuple[Tensor, list[Tensor]]:
    """The product of all positions' matrices.

    Args:
        leaves: (S, S, T, B) float, T >= 1, positions in :func:`scan_order`.
        product: of two matrices each.

    Returns:
        The product (S, S, B), and what :func:`derive` needs: each round's derivatives.
    """
    derivatives = []
    while (count := leaves.shape[2]) > 1:
        pairs = count // 2
        left, right, single = torch.split(leaves, [pairs, pairs, count % 2], 2)
        leaves, derivative = product(left, right)
        derivatives.append(derivative)
        if count % 2:
            leaves = torch.cat([leaves, single], 2)
    return leaves[:, :, 0], derivatives


def derive(root: Tensor, derivatives: list[Tensor]) -> Tensor:
    """From the derivative of something by the product (S, S, B) to that by every position's matrix (S, S, T, B)."""
    here = root.unsqueeze(2)
    for derivative in reversed(derivatives):
        pairs = derivative.shape[3]
        terms = here[:, :, :pairs].unsqueeze(1) * derivative
        here = torch.cat([terms.sum(2), terms.sum(0), here[:, :, pairs:]], 2)
    return here
