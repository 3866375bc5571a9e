"""AdamW with the parameter groups of a recipe, and its rates as a function of the step: no scheduler has a state."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from typing import Any, Literal

import torch
from torch import nn

from qakit.errors import ModelError, UsageError
from qakit.modeling.layers import Part, backbone_parts, layer_count
from qakit.modeling.model import ReadingModel, part_name
from qakit.protocols import ParameterRule, RulesParameters
from qakit.recipe.model import TrainSection
from qakit.training.averaging import averaged_from

Named = list[tuple[str, nn.Parameter]]
LOOKS_AT_FOUND_INF = ("cpu", "cuda")
"""Where PyTorch's fused AdamW does; on Apple's GPUs it takes it and does not."""
MOMENTS = 2
"""What AdamW keeps of each number that trains."""
LEAST_IN_8_BITS, BLOCK = 4096, 256
"""Parameters with fewer numbers keep moments of 32 bits; in larger ones so many share a factor."""


def parameter_groups(model: ReadingModel, section: TrainSection, adapter: object = None) -> list[dict[str, Any]]:
    """Trainable parameters by part and by whether they decay (matrices do, biases and norms don't).

    Some architectures have biases of two dimensions (ConvBERT, XLNet's ``r_w_bias``): the name tells them.

    The parts are the backbone and the head; with ``layer_decay`` the embeddings, each layer, the rest of the backbone
    and the head. Each group has ``name``, ``params``, ``names``, ``peak_rate`` and ``weight_decay``. Adapter and
    head may have rules of their own: :class:`~qakit.protocols.RulesParameters`.

    Raises:
        ModelError: nothing is trainable, or the backbone's layers cannot be told apart.
    """
    groups: list[dict[str, Any]] = []
    for part, named, rate, weight_decay in _parts(model, section):
        ruled = adapter if part != "head" else model.head
        kinds: dict[tuple[bool, float], Named] = {(True, 1.0): [], (False, 1.0): []}
        for name, parameter in named:
            rule = ParameterRule()
            if isinstance(ruled, RulesParameters):
                rule = ruled.parameter_rule(name.partition(".")[2])
            decays = parameter.ndim >= 2 and not name.endswith("bias") if rule.decays is None else rule.decays
            kinds.setdefault((decays, rule.rate), []).append((name, parameter))
        for (decays, factor), chosen in kinds.items():
            if chosen:
                groups.append(
                    {
                        "name": f"{part}, {'decay' if decays else 'no decay'}" + (f", {factor:g} x" * (factor != 1)),
                        "params": [p for _, p in chosen],
                        "names": [name for name, _ in chosen],
                        "peak_rate": rate * factor,
                        "weight_decay": weight_decay if decays else 0.0,
                    }
                )
    if not groups:
        raise ModelError("no parameter is trainable: the adapter freezes everything and the head has no weights")
    return groups


def build_optimiser(model: ReadingModel, section: TrainSection, adapter: object = None) -> torch.optim.Optimizer:
    """Fused AdamW (Loshchilov & Hutter, Decoupled Weight Decay Regularization, 2019), or the one with 8-bit moments
    (Dettmers et al., 8-bit Optimizers via Block-wise Quantization, 2022). Both leave out a step whose ``found_inf`` is
    1.

    Raises:
        ModelError: see :func:`parameter_groups`.
        UsageError: see :func:`check_optimiser`.
    """
    groups = parameter_groups(model, section, adapter)
    settings: dict[str, Any] = {"lr": section.learning_rate, "betas": section.betas, "eps": section.epsilon}
    if section.optimizer == "adamw":
        optimiser: torch.optim.Optimizer = torch.optim.AdamW(groups, **settings, fused=True)
        if groups[0]["params"][0].device.type in LOOKS_AT_FOUND_INF:
            return optimiser
    else:
        check_optimiser(section)
        from bitsandbytes.optim import AdamW8bit

        optimiser = AdamW8bit(groups, **settings, min_8bit_size=LEAST_IN_8_BITS)
    optimiser.register_step_pre_hook(_leave_out_broken)
    return optimiser


def check_optimiser(section: TrainSection) -> None:
    """Make sure, before anything is loaded, that the recipe's optimiser is installed.

    Raises:
        UsageError: it is not.
    """
    if section.optimizer == "adamw_8bit" and find_spec("bitsandbytes") is None:
        raise UsageError("train.optimizer: adamw_8bit needs the package bitsandbytes: pip install 'qakit[8bit]'")


def moments_size(parameters: Iterable[nn.Parameter], section: TrainSection) -> int:
    """Bytes of the moments of the parameters that train."""
    total = 0
    for each in parameters:
        count = each.numel() if each.requires_grad else 0
        if section.optimizer == "adamw_8bit" and count >= LEAST_IN_8_BITS:
            total += MOMENTS * (count + 4 * math.ceil(count / BLOCK))
        else:
            total += MOMENTS * count * each.element_size()
    return total


def _leave_out_broken(optimiser: torch.optim.Optimizer, *_: object) -> None:
    """Before a step: without gradients it changes nothing. For optimisers that do not look at ``found_inf``."""
    if float(getattr(optimiser, "found_inf", 0.0)):
        optimiser.zero_grad(set_to_none=True)


def trained(optimiser: Any) -> dict[str, nn.Parameter]:
    """What an optimiser moves, by name."""
    groups = optimiser.param_groups
    return {
        name: parameter for group in groups for name, parameter in zip(group["names"], group["params"], strict=True)
    }


def set_rates(optimiser: torch.optim.Optimizer, factor: float) -> None:
    """Give every group its peak rate times ``factor``."""
    for group in optimiser.param_groups:
        group["lr"] = group["peak_rate"] * factor


def _parts(model: ReadingModel, section: TrainSection) -> Iterator[tuple[str, Named, float, float]]:
    """(name, trainable parameters, peak rate, weight decay) of each part, from the input to the head."""
    backbone, decay = _trainable(model, "backbone"), section.weight_decay
    if section.layer_decay is None:
        yield "backbone", backbone, section.learning_rate, decay
    else:
        for part, names, rate in _layer_rates(model.backbone, section.learning_rate, section.layer_decay):
            yield part_name(part), [pair for pair in backbone if pair[0] in names], rate, decay
    head_decay = decay if section.head_weight_decay is None else section.head_weight_decay
    yield "head", _trainable(model, "head"), section.head_learning_rate or section.learning_rate, head_decay


def _layer_rates(
    backbone: nn.Module, learning_rate: float, layer_decay: float
) -> Iterator[tuple[Part, frozenset[str], float]]:
    """Each part of the backbone with its parameters' names and its rate.

    The head counts as the layer above the top one: that one's rate is ``learning_rate * layer_decay``. What is neither
    layer nor embedding goes with the top layer.

    Source: Howard & Ruder 2018, "Universal Language Model Fine-tuning" (discriminative fine-tuning); Clark et al. 2020,
    "ELECTRA".
    """
    parts = backbone_parts(backbone)
    layers = layer_count(parts)
    if layers == 0:
        raise ModelError(
            f"train.layer_decay: cannot find the encoder layers of {type(backbone).__name__}; leave layer_decay out"
        )
    below_head: dict[Part, int] = {"embeddings": layers + 1, **{i: layers - i for i in range(layers)}, "other": 1}
    for part, steps in below_head.items():
        names = frozenset(f"backbone.{name}" for name, own in parts.items() if own == part)
        yield part, names, learning_rate * layer_decay**steps


def _trainable(model: ReadingModel, part: str) -> Named:
    return [(f"{part}.{name}", p) for name, p in getattr(model, part).named_parameters() if p.requires_grad]


def warmup_steps(warmup: float, total: int) -> int:
    """Steps of warmup: a number of steps, or below 1 a share of all steps."""
    return round(warmup * total) if warmup < 1 else int(warmup)


def step_factor(section: TrainSection, step: float, *, total: int, warmup: int) -> float:
    """What a recipe's peak rates are multiplied with in optimiser step ``step`` (counted from 0 to ``total - 1``), or
    between two of them where the schedule is gone through at another pace.

    It is :func:`rate_factor`, but for the part of the training whose weights are averaged at a constant rate.
    """
    swa = section.swa
    if swa is not None and swa.learning_rate is not None and step >= averaged_from(swa, total):
        return swa.learning_rate / section.learning_rate
    return rate_factor(step, total=total, warmup=warmup, schedule=section.schedule)


def rate_factor(step: float, *, total: int, warmup: int, schedule: Literal["linear", "cosine", "constant"]) -> float:
    """What the peak rate is multiplied with in optimiser step ``step`` (counted from 0 to ``total - 1``).

    Warmup rises along a line to 1; then ``linear`` falls to 0 at ``total``, ``cosine`` along a half cosine
    (Loshchilov & Hutter, SGDR, 2017, without restarts), ``constant`` stays. No step has rate 0.
    """
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if schedule == "constant":
        return 1.0
    remaining = (total - step) / max(1, total - warmup)
    return remaining if schedule == "linear" else (1 - math.cos(math.pi * remaining)) / 2
