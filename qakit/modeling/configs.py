"""A backbone's configuration: as the source has it, with what it leaves out and the recipe's overrides."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from transformers import CONFIG_MAPPING, AutoConfig, AutoModel, PretrainedConfig
from transformers.dynamic_module_utils import get_class_from_dynamic_module

from qakit.errors import ModelError
from qakit.modeling.architectures import configuration_of, is_offered
from qakit.modeling.checkpoints import checkpoint_in
from qakit.modeling.remote_code import announce_remote_code, reason
from qakit.modeling.sources import BackboneSource
from qakit.names import one_line
from qakit.numbers import load_json
from qakit.recipe.model import BackboneSection

KINDS = ("bert", "roberta", "electra", "albert", "distilbert", "deberta-v2", "deberta", "mpnet", "ernie", "xlnet")
"""Architectures that weights without a ``model_type`` are compared with, in this order."""


LARGEST = {
    "num_hidden_layers": 1_000,
    "num_attention_heads": 1_000,
    "hidden_size": 100_000,
    "intermediate_size": 1_000_000,
    "vocab_size": 10_000_000,
    "type_vocab_size": 10_000,
    "max_position_embeddings": 10_000_000,
    "num_labels": 100_000,
}
"""Sizes beyond these are a mistake or an attack: building such a model takes all memory before it fails."""


def load_config(section: BackboneSection, source: BackboneSource) -> PretrainedConfig:
    """The source's configuration with the recipe's overrides.

    Raises:
        ModelError: no readable config.json, no encoder, or an override that the architecture does not know or allow.
    """
    if section.trust_remote_code:
        announce_remote_code(source.name, source.folder)
    overrides = dict(section.overrides)
    config = read_config(
        source.folder, model_type=overrides.pop("model_type", None), trust_remote_code=section.trust_remote_code
    )
    if config.is_encoder_decoder:
        raise ModelError(f"backbone {source.name!r} is an encoder-decoder ({config.model_type}); choose an encoder")
    if section.overrides and is_offered(config):
        raise ModelError(
            f"backbone.overrides: the encoder of {source.name!r} is a plugin's ({config.model_type}), and is what its "
            "weights are of; leave them out, or name it with other settings as backbone.architecture"
        )
    return _overridden(config, overrides) if overrides else config


def read_config(folder: Path, *, model_type: object = None, trust_remote_code: bool = False) -> PretrainedConfig:
    """A folder's config.json.

    Args:
        folder: in Hugging Face layout.
        model_type: in place of the file's own; a file without one has it told from its ``architectures``, or from the
            names and shapes of the weights beside it.
        trust_remote_code: whether a configuration class beside the file may be imported.

    Raises:
        ModelError: it is not there, not readable, or of no architecture that transformers has.
    """
    file = folder / "config.json"
    try:
        entries = load_json(file.read_text("utf-8"))
        if not isinstance(entries, dict):
            raise ValueError("no object")
        _check_numbers(entries)
        if (offered := configuration_of(entries, folder)) is not None:
            return offered
        if model_type is None and (entries.get("model_type") or entries.get("auto_map")):
            found: PretrainedConfig = AutoConfig.from_pretrained(folder, trust_remote_code=trust_remote_code)
            return found
        kind = _known(model_type) if model_type is not None else _told(entries, folder)
        config = CONFIG_MAPPING[kind].from_dict(entries | {"model_type": kind})
        config._name_or_path = str(folder)  # where transformers notes it, too
        return config
    except ModelError:
        raise
    except Exception as error:  # transformers raises whatever its configuration classes raise
        raise ModelError(f"{file} is not a usable configuration: {reason(error, folder)}") from error


def _check_numbers(entries: Mapping[str, Any]) -> None:
    """Before anything is built by them.

    Raises:
        ValueError: a number that no model has.
    """
    for name, value in entries.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{name} is {value}")
        most = LARGEST.get(name)
        if most is not None and isinstance(value, int) and not 0 <= value <= most:
            raise ValueError(f"{name} is {value:,}; it must be from 0 to {most:,}")


def encoder_class(config: PretrainedConfig, *, trust_remote_code: bool = False) -> type[torch.nn.Module] | None:
    """The encoder class for this configuration: that of the code beside it where it is trusted, else transformers'.

    None where neither is there.
    """
    reference = (getattr(config, "auto_map", None) or {}).get("AutoModel")
    if trust_remote_code and reference:
        return cast("type[torch.nn.Module]", get_class_from_dynamic_module(reference, str(config.name_or_path)))
    found = AutoModel._model_mapping.get(type(config), None)
    return found[0] if isinstance(found, tuple) else found


def named_kind(entries: Mapping[str, Any]) -> str | None:
    """The ``model_type`` of a configuration, its own or that of the architecture it names; None if it says neither."""
    if isinstance(own := entries.get("model_type"), str) and own:
        return own
    named = entries.get("architectures")
    for name in named if isinstance(named, list) else ():
        for kind in CONFIG_MAPPING:
            stem = CONFIG_MAPPING[kind].__name__.removesuffix("Config")
            if isinstance(name, str) and (name.startswith(f"{stem}For") or name == f"{stem}Model"):
                return str(kind)
    return None


def _known(model_type: object) -> str:
    if model_type not in CONFIG_MAPPING:
        raise ModelError(f"backbone.overrides: transformers knows no model_type {model_type!r}")
    return str(model_type)


def _told(entries: Mapping[str, Any], folder: Path) -> str:
    """Which architecture a configuration without ``model_type`` is of."""
    if (named := named_kind(entries)) is not None:
        return named
    file = folder / "config.json"
    advice = (
        f"say which architecture it is: --set backbone.overrides.model_type=bert, or whichever of transformers' it is "
        f"({', '.join(KINDS)}, ...)"
    )
    try:
        shapes = checkpoint_in(folder).shapes()
    except ModelError as error:
        raise ModelError(f"{file} has no model_type; {advice}") from error
    for kind in KINDS:
        if _fits(kind, entries, shapes):
            return kind
    raise ModelError(f"{file} has no model_type, and the weights are of none that is tried; {advice}")


def _fits(kind: str, entries: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether a file's weights are those of an encoder of this kind, by every name and shape."""
    try:
        config = CONFIG_MAPPING[kind].from_dict(dict(entries))
        with torch.device("meta"):
            model = AutoModel.from_config(config)
    except Exception:  # the entries are not for this kind
        return False
    prefix = f"{model.base_model_prefix}."
    held = {name.removeprefix(prefix): shape for name, shape in shapes.items()}
    wanted = {name: tuple(value.shape) for name, value in model.state_dict().items() if "pooler" not in name}
    return all(held.get(name) == shape for name, shape in wanted.items())


def _overridden(config: PretrainedConfig, overrides: Mapping[str, Any]) -> PretrainedConfig:
    """A configuration of the same class with other entries, checked by that class."""
    entries = config.to_dict()
    for key in overrides:
        if key not in entries and key not in config.attribute_map:
            raise ModelError(f"backbone.overrides: a {config.model_type} configuration has no {key!r}")
    changes = {config.attribute_map.get(key, key): value for key, value in overrides.items()}
    layers = config.attribute_map.get("num_hidden_layers", "num_hidden_layers")
    if layers in changes:  # lists with one entry per layer are made anew
        entries = {k: v for k, v in entries.items() if not (isinstance(v, list) and len(v) == entries[layers])}
    try:
        changed = type(config).from_dict(entries | changes)
    except Exception as error:
        raise ModelError(f"backbone.overrides: {one_line(error)}") from error
    for key in ("num_hidden_layers", "num_attention_heads", "hidden_size"):
        if isinstance(getattr(changed, key, 1), int) and getattr(changed, key, 1) < 1:
            raise ModelError(f"backbone.overrides: {key} must be at least 1")
    heads = getattr(changed, "num_attention_heads", 1)
    if isinstance(heads, int) and changed.hidden_size % heads:
        raise ModelError(
            f"backbone.overrides: hidden_size {changed.hidden_size} is not a multiple of num_attention_heads {heads}"
        )
    return changed
