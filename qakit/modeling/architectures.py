"""Encoders that plugins offer: made of a recipe's settings, and again of a model folder's configuration.

The configuration is written here, from the plugin's settings and from what the encoder says of itself, so a plugin
needs no class for it. Settings that are paths stay out of it: a model folder may come from anybody, and names no file.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig

from qakit.attribution import calling
from qakit.entry_points import guarded
from qakit.errors import ModelError, UnknownPluginError
from qakit.names import few, one_line
from qakit.numbers import load_json
from qakit.protocols import BackboneRuntime
from qakit.recipe.model import PluginRef
from qakit.recipe.section import is_path_field
from qakit.registry import Registry

OFFERED = "qakit_backbone"
"""The entry of config.json that says which plugin's encoder it is of: its settings, package and version."""
PREFIX = "backbone."
"""Of the encoder's weights in a model folder."""


class _Encoder(nn.Module):
    """What :class:`qakit.protocols.Backbone` is, as a module."""

    hidden_size: int


def is_offered(config: PretrainedConfig) -> bool:
    """Whether a configuration is that of a plugin's encoder."""
    return isinstance(getattr(config, OFFERED, None), dict)


def is_offered_folder(folder: Path) -> bool:
    """Whether a model folder is one of a plugin's encoder."""
    try:
        entries = load_json((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError, RecursionError):  # whoever loads the configuration says what is wrong with it
        return False
    return isinstance(entries, dict) and OFFERED in entries


def make(
    ref: PluginRef, registry: Registry, *, vocabulary: int, padding: int, on_meta: bool = False
) -> tuple[nn.Module, PretrainedConfig]:
    """A fresh encoder and its configuration.

    Args:
        ref: the recipe's ``backbone.architecture``.
        registry: the installed plugins.
        vocabulary: tokens of the tokenizer.
        padding: the tokenizer's padding token.
        on_meta: without memory for its weights, where only the configuration is wanted.

    Raises:
        PluginError: nobody offers it, or its settings don't fit.
        ModelError: it is no encoder.
    """
    with torch.device("meta") if on_meta else nullcontext():
        module = _built(registry, ref.name, ref.settings, BackboneRuntime(vocabulary, padding))
    entry = registry.get("backbones", ref.name)
    settings = registry.check_settings("backbones", ref.name, ref.settings).model_dump(mode="json", by_alias=True)
    said = {
        "settings": {key: value for key, value in settings.items() if key not in _paths(registry, ref.name)},
        "package": entry.package,
        "version": entry.version,
    }
    parameters = inspect.signature(module.forward).parameters
    entries: dict[str, Any] = {
        "vocab_size": vocabulary,
        "pad_token_id": padding,
        "hidden_size": module.hidden_size,
        "type_vocab_size": 2 if "token_type_ids" in parameters else 0,
        OFFERED: said,
    }
    return module, _class(entry.name)(**entries)


def configuration_of(entries: Mapping[str, Any], folder: Path) -> PretrainedConfig | None:
    """The configuration that config.json holds; None where it is of no plugin's encoder.

    Raises:
        ValueError: an entry is missing, or is not what it must be.
    """
    said = entries.get(OFFERED)
    if said is None:
        return None
    if not isinstance(said, dict) or not isinstance(said.get("settings"), dict):
        raise ValueError(f"{OFFERED} has no settings")
    if not isinstance(entries.get("model_type"), str):
        raise ValueError("it has no model_type")
    for name in ("vocab_size", "pad_token_id", "hidden_size", "type_vocab_size"):
        if type(entries.get(name)) is not int:
            raise ValueError(f"{name} is {entries.get(name)!r}, no whole number")
    config: PretrainedConfig = _class(entries["model_type"]).from_dict(dict(entries))
    config._name_or_path = str(folder)  # where transformers notes it, too
    return config


def remade(config: PretrainedConfig, registry: Registry) -> nn.Module:
    """The encoder of a configuration, with fresh weights.

    Raises:
        UnknownPluginError: the plugin is not installed.
        PluginError: the installed one does not know these settings.
        ModelError: it makes another encoder of them.
    """
    said, name = getattr(config, OFFERED), str(config.model_type)
    runtime = BackboneRuntime(config.vocab_size, config.pad_token_id)
    try:
        kept = {key: value for key, value in said["settings"].items() if key not in _paths(registry, name)}
    except UnknownPluginError as error:
        who = one_line(f"{said.get('package')} {said.get('version')}")
        raise UnknownPluginError(f"this model needs {who} (the backbone {one_line(name)!r}): {error}") from None
    module = _built(registry, name, kept, runtime)
    if module.hidden_size != config.hidden_size:
        raise ModelError(
            f"config.json says that the backbone {name!r} has hidden_size {config.hidden_size}, but its settings make "
            f"one of {module.hidden_size}"
        )
    return module


def load_into(module: nn.Module, weights: Mapping[str, Tensor], source: str) -> tuple[str, ...]:
    """Fill an encoder with the weights of a model folder.

    Returns:
        The names of weights that it has no use for.

    Raises:
        ModelError: some are missing, or of another shape.
    """
    own = {name.removeprefix(PREFIX): value for name, value in weights.items() if name.startswith(PREFIX)} or weights
    wanted = module.state_dict()
    missing = sorted(wanted.keys() - own.keys())
    if missing:
        raise ModelError(f"backbone {source!r}: {len(missing)} weights are not in the file: {few(missing, 3)}")
    shapes = [
        f"{name} ({tuple(own[name].shape)} in the file, {tuple(value.shape)} in the model)"
        for name, value in wanted.items()
        if own[name].shape != value.shape
    ]
    if shapes:
        raise ModelError(f"backbone {source!r}: weights of another shape: {few(shapes, 3)}")
    module.load_state_dict({name: own[name].float() for name in wanted})
    return tuple(sorted(name for name in weights if name.removeprefix(PREFIX) not in wanted))


def write_own_tokenizer(ref: PluginRef, registry: Registry, folder: Path) -> bool:
    """Put the tokenizer that a plugin makes for its encoder into a folder; False where it makes none.

    Raises:
        PluginError: nobody offers the encoder, or its settings don't fit.
        ModelError: what it makes is no fast tokenizer.
    """
    entry = registry.get("backbones", ref.name)
    component = entry.component
    if component.tokenizer is None:
        return False
    with guarded(), calling(entry.owner, "tokenizer"):
        tokenizer = component.tokenizer(registry.check_settings("backbones", ref.name, ref.settings))
    if not getattr(tokenizer, "is_fast", False):
        raise ModelError(
            f"the backbone {ref.name!r}: its tokenizer is {type(tokenizer).__name__}, not a PreTrainedTokenizerFast"
        )
    tokenizer.save_pretrained(folder)
    return True


def _built(registry: Registry, name: str, settings: Mapping[str, Any], runtime: BackboneRuntime) -> _Encoder:
    module = registry.build("backbones", name, settings, runtime)
    if not isinstance(module, nn.Module):
        raise ModelError(f"backbone {name!r} is not a torch.nn.Module, so its weights cannot be trained or saved")
    size: object = module.hidden_size
    if type(size) is not int or size < 1:
        raise ModelError(f"backbone {name!r}: its hidden_size is {size!r}, no number of dimensions")
    return cast(_Encoder, module)


def _class(name: str) -> type[PretrainedConfig]:
    """transformers writes a class's ``model_type``, whatever the instance says."""
    return type("OfferedConfig", (PretrainedConfig,), {"model_type": name})


def _paths(registry: Registry, name: str) -> set[str]:
    """The settings that name files."""
    fields = registry.get("backbones", name).component.settings.model_fields.items()
    return {field.alias or key for key, field in fields if is_path_field(field)}
