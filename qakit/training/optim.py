"""AdamW with the parameter groups of a recipe."""

from __future__ import annotations

from typing import Any

import torch

from qakit.errors import ModelError
from qakit.modeling.model import ReadingModel
from qakit.recipe.model import TrainSection


def parameter_groups(model: ReadingModel, section: TrainSection) -> list[dict[str, Any]]:
    """Trainable parameters by part (backbone, head) and by whether they decay (matrices do, biases and norms don't).

    Each group has ``name``, ``params``, ``names``, ``peak_rate`` and ``weight_decay``.

    Raises:
        ModelError: nothing is trainable.
    """
    rates = {"backbone": section.learning_rate, "head": section.head_learning_rate or section.learning_rate}
    groups: list[dict[str, Any]] = []
    for part, rate in rates.items():
        named = [(f"{part}.{name}", p) for name, p in getattr(model, part).named_parameters() if p.requires_grad]
        for decays in (True, False):
            chosen = [(name, p) for name, p in named if (p.ndim >= 2) == decays]
            if chosen:
                groups.append(
                    {
                        "name": f"{part}, {'decay' if decays else 'no decay'}",
                        "params": [p for _, p in chosen],
                        "names": [name for name, _ in chosen],
                        "peak_rate": rate,
                        "weight_decay": section.weight_decay if decays else 0.0,
                    }
                )
    if not groups:
        raise ModelError("no parameter is trainable: the adapter freezes everything and the head has no weights")
    return groups


def build_optimiser(model: ReadingModel, section: TrainSection) -> torch.optim.AdamW:
    """Fused AdamW (Loshchilov & Hutter, Decoupled Weight Decay Regularization, 2019)."""
    return torch.optim.AdamW(
        parameter_groups(model, section), lr=section.learning_rate, betas=section.betas, eps=section.epsilon, fused=True
    )


def set_rates(optimiser: torch.optim.Optimizer, factor: float) -> None:
    """Give every group its peak rate times ``factor``."""
    for group in optimiser.param_groups:
        group["lr"] = group["peak_rate"] * factor
