"""Parts of the backbone that stay frozen for the first part of a training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from torch import nn

from qakit.errors import ModelError
from qakit.modeling.layers import Part, backbone_parts, layer_count
from qakit.modeling.model import ReadingModel, part_name
from qakit.recipe.tricks import FreezingSection, FrozenSection
from qakit.training.optim import trained


@dataclass(frozen=True, slots=True)
class Freezing:
    """Which parameters are frozen until when.

    A frozen parameter loses its gradient before the optimiser looks: so it has no update, no weight decay and no
    moments, and does not count for the gradient's norm. Gradients are still computed, so several processes agree on
    what they exchange, and time is not saved; the adapter `freeze` saves it where a part never trains.

    Source of the gradual kind: Howard & Ruder 2018, "Universal Language Model Fine-tuning for Text Classification".
    """

    parts: Mapping[Part, float]
    """Until when each part of the backbone is frozen, in epochs."""
    parameters: Mapping[str, float]
    """The same by the parameter's name in the whole model."""

    @staticmethod
    def of(model: ReadingModel, section: FreezingSection | None, *, last_begins: float) -> Freezing | None:
        """What a recipe's ``train.freezing`` asks for, or None.

        Args:
            last_begins: when the training's last step begins, in epochs.

        Raises:
            ModelError: the backbone has not the layers that are named, a part would never train, nothing would train
                at first, or nothing is frozen of what the adapter trains.
        """
        if section is None:
            return None
        own = backbone_parts(model.backbone)
        layers = layer_count(own)
        if layers == 0:
            raise ModelError(f"train.freezing: cannot find the encoder layers of {type(model.backbone).__name__}")
        if section.gradual is not None:
            parts = _gradual(section.gradual, layers)
        else:
            parts = {}
            for stage in section.stages:
                _check_layers(stage, layers, model.backbone)
                parts |= {part: max(stage.until, parts.get(part, 0.0)) for part in _frozen(stage, layers)}
        trained = {own[name] for name, parameter in model.backbone.named_parameters() if parameter.requires_grad}
        parts = {part: until for part, until in parts.items() if part in trained}
        if not parts:
            raise ModelError("train.freezing: the adapter trains none of the parts that it freezes; leave it out")
        _check_length(parts, section, last_begins)
        parameters = {f"backbone.{name}": parts[part] for name, part in own.items() if part in parts}
        if all(name in parameters for name, parameter in model.named_parameters() if parameter.requires_grad):
            raise ModelError("train.freezing: nothing would train at first; freeze less of the backbone")
        return Freezing(MappingProxyType(parts), MappingProxyType(parameters))

    def hold(self, optimiser: Any, *, at: float) -> None:
        """Take the gradients of what is still frozen ``at`` epochs from the beginning. Before the norm is clipped."""
        for name, parameter in trained(optimiser).items():
            if at < self.parameters.get(name, 0.0):
                parameter.grad = None

    def describe(self) -> list[str]:
        """One line for each time at which something thaws: ``frozen until epoch 0.5: embeddings, layer 0``."""
        times = sorted(set(self.parts.values()))
        return [
            f"frozen until epoch {until:g}: " + ", ".join(part_name(p) for p, own in self.parts.items() if own == until)
            for until in times
        ]


def _gradual(every: float, layers: int) -> dict[Part, float]:
    """The head alone first; then a layer from the top after each ``every`` epochs, the embeddings last."""
    below: dict[Part, float] = {layer: every * (layers - layer) for layer in range(layers)}
    return {"embeddings": every * (layers + 1), **below, "other": every}


def _frozen(stage: FrozenSection, layers: int) -> list[Part]:
    parts: list[Part] = ["embeddings"] if stage.embeddings else []
    if stage.layers == "all":
        return [*parts, *range(layers), "other"]
    return [*parts, *range(stage.layers)]


def _check_layers(stage: FrozenSection, layers: int, backbone: nn.Module) -> None:
    if stage.layers != "all" and stage.layers > layers:
        raise ModelError(f"train.freezing: layers is {stage.layers}, but {type(backbone).__name__} has {layers}")


def _check_length(parts: Mapping[Part, float], section: FreezingSection, last_begins: float) -> None:
    last = max(parts, key=lambda part: parts[part])
    if parts[last] <= last_begins:
        return
    end = f"the training's last step begins at epoch {last_begins:.4g}"
    if section.gradual is not None:
        most = math.floor(1000 * last_begins * section.gradual / parts[last]) / 1000
        remedy = f"give at most {most:g}" if most else "train longer"
        raise ModelError(
            f"train.freezing: with gradual: {section.gradual:g} {part_name(last)} would thaw after "
            f"{parts[last]:g} epochs, but {end}; {remedy}"
        )
    raise ModelError(
        f"train.freezing: {part_name(last)} would be frozen until epoch {parts[last]:g}, but {end}; for a part that "
        "never trains there is the adapter freeze"
    )
