"""A model's weights under transformers' own names.

Wherever transformers' architecture has the head they are ``bert.encoder...``, ``qa_outputs.weight``, so that
``AutoModelForQuestionAnswering.from_pretrained(folder)`` loads them. Other heads keep their names under ``head.``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from transformers import PretrainedConfig

from qakit.protocols import TransformersNames


@dataclass(frozen=True, slots=True)
class PlainWeights:
    """Plain weights under the names of the folder."""

    weights: dict[str, Tensor]
    prefix: str
    head_names: dict[str, str]
    config_entries: dict[str, Any]


def plain_weights(merged: nn.Module, head: nn.Module, config: PretrainedConfig) -> PlainWeights:
    """The merged backbone's weights and the head's, under transformers' names where it has the head."""
    prefix = f"{getattr(merged, 'base_model_prefix', 'backbone')}."
    names = {name: f"head.{name}" for name in head.state_dict()}
    config_entries: dict[str, Any] = {}
    counterpart = _counterpart(head, config, prefix, list(merged.state_dict()))
    if counterpart is not None and isinstance(head, TransformersNames):
        names = dict(head.transformers_names)
        config_entries = {**head.config_updates, "architectures": [counterpart]}
    weights = {prefix + name: _plain(tensor) for name, tensor in merged.state_dict().items()}
    weights |= {names[name]: _plain(tensor) for name, tensor in head.state_dict().items()}
    return PlainWeights(weights, prefix, names, config_entries)


def has_the_head(head: TransformersNames, config: PretrainedConfig) -> bool:
    """Whether transformers' class for the architecture is an encoder and this head, and nothing else."""
    model = _transformers_model(head, config)
    if model is None or set(head.transformers_names) != set(head.state_dict()):  # type: ignore[attr-defined]
        return False
    names, prefix = set(model.state_dict()), f"{getattr(model, 'base_model_prefix', '')}."
    own = set(head.transformers_names.values())
    return own <= names and all(name in own or name.startswith(prefix) for name in names)


def _counterpart(head: nn.Module, config: PretrainedConfig, prefix: str, backbone: list[str]) -> str | None:
    """The transformers class whose weights are named exactly as ours would be, or None."""
    model = _transformers_model(head, config) if isinstance(head, TransformersNames) else None
    if model is None or not isinstance(head, TransformersNames):
        return None
    ours = {prefix + name for name in backbone} | set(head.transformers_names.values())
    same = set(head.transformers_names) == set(head.state_dict()) and ours == set(model.state_dict())
    return type(model).__name__ if same else None


def _transformers_model(head: TransformersNames, config: PretrainedConfig) -> nn.Module | None:
    """Transformers' model with such a head, without memory for its weights; None where the architecture has none."""
    auto = getattr(transformers, head.auto_class, None)
    try:
        with torch.device("meta"):
            model: nn.Module = auto.from_config(_updated(config, head.config_updates))  # type: ignore[union-attr]
    except (ValueError, AttributeError):
        return None
    return model


def _updated(config: PretrainedConfig, entries: Mapping[str, Any]) -> PretrainedConfig:
    return type(config).from_dict(config.to_dict() | dict(entries))


def _plain(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu").contiguous()
