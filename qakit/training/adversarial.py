"""Adversarial training: a second pass through each step, on weights that are moved to where the loss is larger.

The perturbation follows the gradient of the whole step, over all its parts and processes, so it does not depend on how
a step is cut.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from qakit.errors import UsageError
from qakit.modeling.model import ReadingModel
from qakit.recipe.tricks import AdversarialSection

EPSILON = {"fgm": 1.0, "awp": 0.01}
"""Where the recipe does not say it."""
SMALLEST_NORM = 1e-12
"""Stands for a norm of 0: a gradient of nothing moves nothing."""


class Attack:
    """What is moved, and how far.

    ``fgm``: the table of word embeddings, by ``epsilon * g / |g|``. Source: Miyato et al. 2017, "Adversarial Training
    Methods for Semi-Supervised Text Classification", as competitors use it: one perturbation of the table instead of
    one of each text's embeddings. A table that does not train is moved all the same: meanwhile it asks for a gradient.

    ``awp``: every trained matrix W, by ``step_size * |W| * g / |g|``, each weight w by at most ``epsilon * |w|``.
    Source: Wu et al. 2020, "Adversarial Weight Perturbation Helps Robust Generalization"; the bound by weight as
    competitors use it.
    """

    def __init__(self, model: ReadingModel, section: AdversarialSection) -> None:
        """
        Raises:
            UsageError: there is nothing to move.
        """
        self.section = section
        self._epsilon = EPSILON[section.method] if section.epsilon is None else section.epsilon
        self._all = list(model.parameters())
        self._moved = [_embedding_table(model)] if section.method == "fgm" else _trained_matrices(model)

    def begins(self, at: float) -> bool:
        """Whether it takes part after ``at`` passes over the training examples."""
        return at >= self.section.start_epoch

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Meanwhile gradients are computed for all that is moved, also for what does not train."""
        frozen = self._frozen()
        for weight in frozen:
            weight.grad = None
            weight.requires_grad_(True)
        try:
            yield
        finally:
            for weight in frozen:
                weight.requires_grad_(False)

    @contextmanager
    def moved(self, accelerator: Accelerator) -> Iterator[None]:
        """Meanwhile the weights are moved along the gradients they have; then they are what they were, bit for bit."""
        frozen = self._frozen()
        held = [weight.detach().clone() for weight in self._moved]
        try:
            with torch.no_grad():
                for weight in frozen:  # those that train have their gradient over all processes already
                    if weight.grad is not None:
                        weight.grad = accelerator.reduce(weight.grad, reduction="mean")
                for weight in self._moved:
                    if weight.grad is not None:
                        weight.add_(self._step(weight, weight.grad))
            if not self.section.keep_clean:
                for weight in self._all:
                    weight.grad = None
            yield
        finally:
            with torch.no_grad():
                for weight, value in zip(self._moved, held, strict=True):
                    weight.copy_(value)
            for weight in frozen:
                weight.grad = None

    def _frozen(self) -> list[nn.Parameter]:
        return [weight for weight in self._moved if not weight.requires_grad]

    def _step(self, weight: Tensor, gradient: Tensor) -> Tensor:
        """What is added to a weight."""
        direction: Tensor = gradient / gradient.norm().clamp(min=SMALLEST_NORM)
        if self.section.method == "fgm":
            return direction * self._epsilon
        bound = weight.abs() * self._epsilon
        return torch.clamp(direction * ((self.section.step_size or 1.0) * weight.norm()), min=-bound, max=bound)


def _embedding_table(model: ReadingModel) -> nn.Parameter:
    """The backbone's word embeddings, (V, E)."""
    try:
        table: object = model.backbone.get_input_embeddings()  # type: ignore[operator]
    except (AttributeError, NotImplementedError):
        table = None
    table = getattr(table, "base_layer", table)  # inside an adapter's layer
    if not isinstance(table, nn.Embedding):
        raise UsageError(
            f"train.adversarial: the backbone {type(model.backbone).__name__} does not say which its word embeddings "
            "are, and fgm moves them: set method: awp"
        )
    weight: Any = table.weight
    assert isinstance(weight, nn.Parameter)
    return weight


def _trained_matrices(model: ReadingModel) -> list[nn.Parameter]:
    """All trained parameters of two dimensions or more; biases and norms stay where they are, as in the paper."""
    found = [p for p in model.parameters() if p.requires_grad and p.ndim >= 2]
    if not found:
        raise UsageError("train.adversarial: awp moves trained matrices, and the adapter leaves none: set method: fgm")
    return found
