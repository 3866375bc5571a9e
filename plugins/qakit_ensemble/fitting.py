"""Weights and temperatures from what the members say of the right answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from qakit.api import UsageError, as_shares, uniform
from qakit_ensemble.axis import Float64, Int64

DECIMALS = 4
"""Of weights and temperatures: more would be noise."""
ROUNDS = 2000
"""Of EM at most."""
ENOUGH = 1e-5
"""EM ends when the best weights cannot be better by more than this, in mean log-likelihood."""
PICKS = 50
"""Members that greedy selection draws: weights are multiples of 1 / PICKS."""
LOWEST, HIGHEST = 0.1, 10.0
GRID = 11
CLOSE = 1e-3
"""How near to the best temperature the search ends, in the logarithm."""
TEMPERATURE_ROWS = 1000
"""Questions that a temperature is fitted on at most: it is one number."""
SEED = 0


def mixture_weights(events: Float64) -> tuple[float, ...]:
    """The weights on the simplex under which the mixture of the members makes the events most likely.

    The logarithm of the likelihood is concave in the weights, and expectation maximisation climbs to its maximum.
    Source: Dempster, Laird, Rubin, "Maximum likelihood from incomplete data via the EM algorithm", 1977; as linear
    opinion pool: Genest, Zidek, "Combining probability distributions", Statistical Science 1986.

    Args:
        events: (E, M) the probability that each member gives to each observed event.

    Raises:
        UsageError: no member gives any event a chance.
    """
    usable = events[(events > 0).any(1)]
    if not len(usable):
        raise UsageError("weights cannot be learnt: no member has a right answer among its candidates")
    weights = np.full(events.shape[1], 1.0 / events.shape[1])
    for _ in range(ROUNDS):
        gradient = (usable / (usable @ weights)[:, None]).mean(0)  # its mean under the weights is 1
        if gradient.max() - 1 < ENOUGH:  # a bound, as the likelihood is concave
            break
        weights = weights * gradient
    return rounded(weights)


def greedy_weights(members: int, loss: Callable[[Float64], float]) -> tuple[float, ...]:
    """Weights by greedy selection with replacement: each round takes the member that helps most.

    For a loss that is no smooth function of the weights. Of equally good members the one taken least often comes
    first, and of all rounds the best one counts. Source: Caruana, Niculescu-Mizil, Crew, Ksikes, "Ensemble selection
    from libraries of models", ICML 2004.

    Args:
        loss: of (M,) counts, not all of them 0; smaller is better.
    """
    counts, best, kept = np.zeros(members), math.inf, np.ones(members)
    for _ in range(PICKS):
        losses = [round(loss(counts + np.eye(1, members, member)[0]), 9) for member in range(members)]
        chosen = min(range(members), key=lambda member: (losses[member], counts[member], member))
        counts[chosen] += 1
        if losses[chosen] < best:
            best, kept = losses[chosen], counts.copy()
    # No better than equal weights on what was learnt from: then equal weights are the simpler guess.
    return rounded(np.ones(members) if round(loss(np.ones(members)), 9) <= best else kept)


def rounded(weights: Float64) -> tuple[float, ...]:
    """The weights rounded, then as shares of 1: of many members the rounded ones sum to something else."""
    return as_shares(np.round(weights / weights.sum(), DECIMALS).tolist())


def fit_temperature(loss: Callable[[float], float]) -> float:
    """The temperature with the least loss, from :data:`LOWEST` to :data:`HIGHEST`; 1 where none is better than that."""

    def by_log(log: float) -> float:
        return loss(math.exp(log))

    from scipy.optimize import minimize_scalar  # half a second

    points = np.linspace(math.log(LOWEST), math.log(HIGHEST), GRID).tolist()
    best = int(np.argmin([by_log(point) for point in points]))
    low, high = points[max(best - 1, 0)], points[min(best + 1, GRID - 1)]
    found = minimize_scalar(by_log, bounds=(low, high), method="bounded", options={"xatol": CLOSE}).x
    temperature = round(math.exp(found), DECIMALS)
    return temperature if loss(temperature) < loss(1.0) else 1.0


def temperature_rows(rows: Sequence[int]) -> Int64:
    """The questions that temperatures are fitted on: all of ``rows``, or some of them by chance."""
    chosen = np.asarray(rows, np.int64)
    if len(chosen) > TEMPERATURE_ROWS:
        order = np.argsort(uniform(SEED, 0, chosen, stream="ensemble temperature"), kind="stable")
        chosen = np.sort(chosen[order[:TEMPERATURE_ROWS]])
    return chosen
