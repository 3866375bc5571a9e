"""The ``model/`` folder of a run: one safetensors file, a configuration, a tokenizer.

Weights carry transformers' own names wherever its architecture has the head (``bert.encoder...``,
``qa_outputs.weight``), so ``AutoModelForQuestionAnswering.from_pretrained(folder)`` loads it. Other heads keep their
names under ``head.``.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoConfig, PretrainedConfig

from qakit.errors import PluginError, RunError
from qakit.files import replace_folder
from qakit.modeling.assemble import Assembled, build, build_head, template_for
from qakit.modeling.backbones import attention_for, from_config, load_tokenizer
from qakit.modeling.model import ReadingModel
from qakit.protocols import Adapter, NoRuntime, TransformersNames
from qakit.recipe.model import Recipe
from qakit.registry import Registry

WEIGHTS = "model.safetensors"
LAYOUT = "qakit.json"
"""Says under which names the weights are stored."""


def save_model(assembled: Assembled, folder: Path, *, decision: Mapping[str, Any]) -> None:
    """Write the model folder, replacing an earlier one in a single step. Only plain weights: adapters are merged.

    ``decision`` is what was tuned together with these weights (the no-answer threshold, the temperature), kept
    as ``decision.json``.
    """
    backbone = _merged(assembled)
    head = assembled.model.head
    prefix = f"{getattr(backbone, 'base_model_prefix', 'backbone')}."
    names = {name: f"head.{name}" for name in head.state_dict()}
    config_entries: dict[str, Any] = {"architectures": None}
    counterpart = _counterpart(head, assembled.config, prefix, list(backbone.state_dict()))
    if counterpart is not None and isinstance(head, TransformersNames):
        names = dict(head.transformers_names)
        config_entries = {**head.config_updates, "architectures": [counterpart]}
    weights = {prefix + name: tensor for name, tensor in backbone.state_dict().items()}
    weights |= {names[name]: tensor for name, tensor in head.state_dict().items()}
    with replace_folder(folder) as temporary:
        config = assembled.config.to_dict() | {"dtype": "float32"} | config_entries
        config.pop("_name_or_path", None)
        _write_json(temporary / "config.json", config)
        _write_json(temporary / "decision.json", decision)
        _write_json(temporary / LAYOUT, {"format": 1, "backbone_prefix": prefix, "head_names": names})
        assembled.tokenizer.save_pretrained(temporary)
        save_file(
            {name: _plain(tensor) for name, tensor in weights.items()}, temporary / WEIGHTS, metadata={"format": "pt"}
        )


def load_model(folder: Path, recipe: Recipe, registry: Registry, *, device: torch.device) -> Assembled:
    """Load what :func:`save_model` wrote.

    Raises:
        RunError: a file is missing or damaged, or the weights do not fit the recipe's head.
    """
    for name in ("config.json", LAYOUT, WEIGHTS):
        if not (folder / name).is_file():
            raise RunError(f"{folder} has no {name}: the run has no finished evaluation yet, or files were removed")
    try:
        layout = json.loads((folder / LAYOUT).read_text("utf-8"))
        weights = load_file(folder / WEIGHTS)
        prefix, names = str(layout["backbone_prefix"]), dict(layout["head_names"])
        config = AutoConfig.from_pretrained(folder, trust_remote_code=recipe.backbone.trust_remote_code)
    except (ValueError, KeyError, TypeError, OSError, SafetensorError) as error:
        raise RunError(f"{folder} is damaged: {error}") from error
    config._attn_implementation = attention_for(recipe.train.attention, device, config)
    backbone = from_config(config, trust_remote_code=recipe.backbone.trust_remote_code)
    head = build_head(recipe, config, registry)
    _fill(
        backbone,
        {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)},
        folder,
    )
    _fill(head, {own: weights[stored] for own, stored in names.items() if stored in weights}, folder)
    model = ReadingModel(backbone, head).to(device).eval()
    tokenizer = load_tokenizer(str(folder))
    adapter: Adapter = build(registry, "adapters", recipe.adapter, NoRuntime())
    return Assembled(model, tokenizer, template_for(tokenizer, config), config, adapter)


def _merged(assembled: Assembled) -> nn.Module:
    """The backbone with plain weights. Adapters may merge in place, and training goes on: they get a copy."""
    merged = assembled.adapter.merge(copy.deepcopy(assembled.model.backbone))
    if not isinstance(merged, nn.Module):
        raise PluginError(f"the adapter's merge returned {type(merged).__name__}; it must return the backbone")
    return merged


def _counterpart(head: nn.Module, config: PretrainedConfig, prefix: str, backbone: list[str]) -> str | None:
    """The transformers class whose weights are named exactly as ours would be, or None."""
    if not isinstance(head, TransformersNames):
        return None
    auto = getattr(transformers, head.auto_class, None)
    try:
        with torch.device("meta"):
            model = auto.from_config(_updated(config, head.config_updates))  # type: ignore[union-attr]
    except (ValueError, AttributeError):  # the architecture has no such class
        return None
    ours = {prefix + name for name in backbone} | set(head.transformers_names.values())
    same = set(head.transformers_names) == set(head.state_dict()) and ours == set(model.state_dict())
    return type(model).__name__ if same else None


def _updated(config: PretrainedConfig, entries: Mapping[str, Any]) -> PretrainedConfig:
    return type(config).from_dict(config.to_dict() | dict(entries))


def _fill(module: nn.Module, weights: Mapping[str, Tensor], folder: Path) -> None:
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        raise RunError(f"the weights in {folder} do not fit the recipe's {type(module).__name__}: {error}") from error


def _plain(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu").contiguous()


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, default=str) + "\n", "utf-8")
