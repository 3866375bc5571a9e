"""R-Drop: two readings of a batch under different dropout should agree.

Source: Liang et al. 2021, "R-Drop: Regularized Dropout for Neural Networks". The paper adds the two losses up; here it
is their mean, so that the loss and the learning rate keep their scale, and ``weight`` is half of the paper's alpha.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from qakit.errors import PluginError, UsageError
from qakit.protocols import Distributions, GivesDistributions

_DROPOUT_NAMES = ("dropout", "drop_prob")


def check_comparable(head: nn.Module, *, name: str) -> None:
    """Make sure that two readings of this head can be compared.

    Raises:
        UsageError: the head, the recipe's ``name``, does not say what its distributions are.
    """
    if not isinstance(head, GivesDistributions):
        raise UsageError(
            f"train.r_drop: the head {name!r} does not give the distributions that two readings are compared by "
            "(GivesDistributions in qakit.api): leave r_drop out, or choose another head"
        )
    if not head.has_distributions:
        raise UsageError(
            f"train.r_drop: the head {name!r} gives no probabilities here (a regression has none): leave r_drop out"
        )


def has_dropout(model: nn.Module) -> bool:
    """Whether two forward passes in training can differ: a dropout layer or a rate above 0 anywhere in the model."""
    return any(_rates(model.modules()))


def _rates(modules: Iterable[nn.Module]) -> Iterable[bool]:
    for module in modules:
        if isinstance(module, nn.modules.dropout._DropoutNd):
            yield module.p > 0
        else:  # attention that is given its rate
            held = ((name, value) for name, value in vars(module).items() if isinstance(value, float))
            yield any(value > 0 and any(word in name for word in _DROPOUT_NAMES) for name, value in held)


def divergence(first: Sequence[Distributions], second: Sequence[Distributions]) -> Tensor:
    """The symmetric Kullback-Leibler divergence (KL(p|q) + KL(q|p)) / 2 of two readings, () float32.

    The mean over distributions, and the weighted sum over their kinds. Gradients flow into both readings.

    Raises:
        PluginError: the readings are of different kinds, or the head gives none.
    """
    if not first or len(first) != len(second):
        found = f"{len(first)} and {len(second)}"
        raise PluginError(f"the head's distributions must be as many for every batch, at least one: there are {found}")
    total = torch.zeros((), device=first[0].log_probability.device)
    for p, q in zip(first, second, strict=True):
        # sum over choices of p (log p - log q) + q (log q - log p)
        log_p, log_q = (each.log_probability.float().masked_fill(~p.possible, 0.0) for each in (p, q))
        both = (log_p.exp() - log_q.exp()) * (log_p - log_q)
        total = total + p.weight * both.sum() / (2 * max(1, p.count))
    return total
