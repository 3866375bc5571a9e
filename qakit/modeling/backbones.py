"""Loading tokenizers and encoders, with nothing left silently random."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import nn
from transformers import AutoConfig, AutoModel, AutoTokenizer, BertTokenizer, PretrainedConfig, PreTrainedTokenizerFast
from transformers.utils import logging as transformers_logging

from qakit.errors import ModelError
from qakit.modeling.adapter_file import ADAPTER
from qakit.modeling.remote_code import announce_remote_code, wants_remote_code
from qakit.modeling.sources import (
    HOW_TO_CONVERT,
    HOW_TO_POINT,
    BackboneSource,
    check_weights,
    find_source,
    pickled_files,
)
from qakit.modeling.tokenizers import warn_of_lost_case
from qakit.recipe.model import BackboneSection

VOCABULARY_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")
"""One of these is in every folder that holds a tokenizer."""


Attention = Literal["auto", "eager", "sdpa", "flash_attention_2"]
CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Backbone:
    """An encoder that returns ``last_hidden_state`` (B, T, H), and how it came to be."""

    module: nn.Module
    config: PretrainedConfig
    unexpected: tuple[str, ...]
    """Weights in the file that the encoder has no use for (a pooler, an old head)."""


def load_tokenizer(
    source: str, *, revision: str | None = None, trust_remote_code: bool = False
) -> PreTrainedTokenizerFast:
    """The fast tokenizer of a backbone source.

    Raises:
        ModelError: the source is not found, has no tokenizer files, or only a tokenizer without character offsets.
    """
    folder = find_source(source, revision=revision, tokenizer_only=True, with_code=trust_remote_code).folder
    if not any(any(folder.glob(name)) for name in VOCABULARY_FILES):  # transformers would make an empty vocabulary
        raise ModelError(
            f"{folder} holds no tokenizer ({', '.join(VOCABULARY_FILES)}); set backbone.tokenizer to a folder that does"
        )
    try:
        if {file.name for file in folder.iterdir()} == {"vocab.txt"}:  # a bare WordPiece vocabulary, as BERT ships it
            tokenizer = BertTokenizer(vocab=str(folder / "vocab.txt"))
        else:
            if trust_remote_code:
                announce_remote_code(source, folder)
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)
    except Exception as error:  # transformers raises whatever its many tokenizer classes raise
        raise ModelError(f"the tokenizer in {folder} cannot be loaded: {_reason(error, folder)}") from error
    if not getattr(tokenizer, "is_fast", False):
        raise ModelError(
            f"the tokenizer of {source!r} ({type(tokenizer).__name__}) gives no character offsets, so answers "
            "cannot be cut from the text; choose a backbone with a fast tokenizer"
        )
    warn_of_lost_case(tokenizer, folder)
    return cast(PreTrainedTokenizerFast, tokenizer)


def load_backbone(
    section: BackboneSection,
    *,
    attention: Attention,
    device: torch.device = CPU,
    vocabulary: int | None = None,
    padding: int | None = None,
) -> Backbone:
    """Build the encoder of a recipe: float32 weights, without a pooler, pretrained or freshly initialised.

    Args:
        section: the recipe's ``backbone`` block.
        attention: the recipe's choice; see :func:`attention_for`.
        device: where the encoder will run. It is returned on the CPU.
        vocabulary: tokens of the tokenizer; a smaller embedding table is an error, except from scratch, where the
            table gets this size.
        padding: the tokenizer's padding token, for an encoder from scratch.

    Raises:
        ModelError: weights are missing, of another shape or not the expected file.
    """
    source = find_source(section.source, revision=section.revision, with_code=section.trust_remote_code)
    config = load_config(section, source)
    config._attn_implementation = attention_for(attention, device, config)
    if section.init == "scratch":
        config.vocab_size = config.vocab_size if vocabulary is None else vocabulary
        config.pad_token_id = config.pad_token_id if padding is None else padding
        return Backbone(from_config(config, trust_remote_code=section.trust_remote_code), config, ())
    if section.sha256 is not None:
        check_weights(source, section.sha256)
    module, unexpected = _from_weights(source, config, trust_remote_code=section.trust_remote_code)
    held = module.get_input_embeddings().num_embeddings  # type: ignore[operator]
    if vocabulary is not None and vocabulary > held:
        raise ModelError(
            f"the tokenizer has {vocabulary} tokens but backbone {section.source!r} only {held} embeddings; "
            "they do not belong together"
        )
    return Backbone(module, config, unexpected)


def load_config(section: BackboneSection, source: BackboneSource) -> PretrainedConfig:
    """The source's configuration with the recipe's overrides.

    Raises:
        ModelError: no readable config.json, no encoder, or an override that the architecture does not know or allow.
    """
    if section.trust_remote_code:
        announce_remote_code(source.name, source.folder)
    try:
        config = AutoConfig.from_pretrained(source.folder, trust_remote_code=section.trust_remote_code)
    except Exception as error:
        raise ModelError(
            f"{source.folder / 'config.json'} is not a usable configuration: {_reason(error, source.folder)}"
        ) from error
    if config.is_encoder_decoder:
        raise ModelError(f"backbone {source.name!r} is an encoder-decoder ({config.model_type}); choose an encoder")
    return _overridden(config, section.overrides) if section.overrides else cast(PretrainedConfig, config)


def attention_for(choice: Attention, device: torch.device, config: PretrainedConfig) -> str:
    """The attention implementation: the recipe's, or eager on CPU and SDPA on a GPU where the architecture has it.

    On CPU the backward pass of the fused kernel is the slower one. Flash attention runs on GPUs only, so a run that was
    trained with it predicts on a CPU without.
    """
    if choice != "auto" and not (choice == "flash_attention_2" and device.type == "cpu"):
        return choice
    return "sdpa" if device.type != "cpu" and getattr(_architecture(config), "_supports_sdpa", False) else "eager"


def from_config(config: PretrainedConfig, *, trust_remote_code: bool) -> nn.Module:
    """A freshly initialised encoder, float32, without a pooler.

    Raises:
        ModelError: the configuration contradicts itself.
    """
    options = {"trust_remote_code": trust_remote_code, "dtype": torch.float32, **without_pooler(config)}
    try:
        return cast(nn.Module, AutoModel.from_config(config, **options))
    except Exception as error:
        raise ModelError(f"no {config.model_type} encoder can be made like this: {_first_line(error)}") from error


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
        raise ModelError(f"backbone.overrides: {_first_line(error)}") from error
    for key in ("num_hidden_layers", "num_attention_heads", "hidden_size"):
        if isinstance(getattr(changed, key, 1), int) and getattr(changed, key, 1) < 1:
            raise ModelError(f"backbone.overrides: {key} must be at least 1")
    heads = getattr(changed, "num_attention_heads", 1)
    if isinstance(heads, int) and changed.hidden_size % heads:
        raise ModelError(
            f"backbone.overrides: hidden_size {changed.hidden_size} is not a multiple of num_attention_heads {heads}"
        )
    return changed


def _from_weights(
    source: BackboneSource, config: PretrainedConfig, *, trust_remote_code: bool
) -> tuple[nn.Module, tuple[str, ...]]:
    if (source.folder / "adapter_config.json").is_file():  # transformers would load whatever base model it names
        raise ModelError(
            f"{source.folder} holds an adapter (adapter_config.json), not a backbone; merge it into its base model, "
            "save that, and name the result"
        )
    if (source.folder / ADAPTER).is_file() and source.weight_file is None:
        raise ModelError(
            f"{source.folder} holds only what its run has trained (train.keep: adapter); make a whole model with "
            "`qakit export RUN --merge --output FOLDER` and name that"
        )
    if not any(source.folder.glob("*.safetensors")):
        if pickles := pickled_files(source.folder):
            file = source.folder / pickles[0]
            raise ModelError(f"{file} is a pickle and is not loaded: {HOW_TO_CONVERT.format(file=file)}")
        raise ModelError(
            f"{source.folder} holds no weights (model.safetensors); {HOW_TO_POINT}, "
            "or train from scratch with backbone.init=scratch"
        )
    try:
        with _quiet():
            module, report = AutoModel.from_pretrained(
                source.folder,
                config=config,
                use_safetensors=True,  # never a pickle, whatever else lies in the folder
                dtype=torch.float32,  # the default is the checkpoint's own type: half precision would train silently
                trust_remote_code=trust_remote_code,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # reported below, in our words
                **without_pooler(config),
            )
    except Exception as error:
        raise ModelError(f"the weights in {source.folder} cannot be loaded: {_first_line(error)}") from error
    mismatched = [
        f"{name} ({tuple(file)} in the file, {tuple(model)} in the model)" for name, file, model in _triples(report)
    ]
    missing = sorted(key for key in report["missing_keys"] if "pooler" not in key)
    if mismatched:
        raise ModelError(
            f"backbone {source.name!r}: weights of another shape: {_few(mismatched)}; "
            "remove backbone.overrides or use init: scratch"
        )
    if missing:
        raise ModelError(
            f"backbone {source.name!r}: {len(missing)} weights are not in the file and would be random: "
            f"{_few(missing)}; this is not a checkpoint of this architecture"
        )
    return module, tuple(sorted(report["unexpected_keys"]))


def _triples(report: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    return sorted((item[0], item[1], item[2]) for item in report["mismatched_keys"])


def _architecture(config: PretrainedConfig) -> type[nn.Module] | None:
    """The encoder class that transformers has for this configuration, or None (remote code)."""
    found = AutoModel._model_mapping.get(type(config), None)
    return found[0] if isinstance(found, tuple) else found


def without_pooler(config: PretrainedConfig) -> dict[str, bool]:
    """``add_pooling_layer=False`` for the architectures that have the switch: nothing here reads a pooler."""
    encoder = _architecture(config)
    if encoder is not None and "add_pooling_layer" in inspect.signature(encoder.__init__).parameters:
        return {"add_pooling_layer": False}
    return {}


@contextmanager
def _quiet() -> Iterator[None]:
    """No load report and no progress bar: what they say is checked and said here."""
    verbosity = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()


def _few(names: list[str], shown: int = 3) -> str:
    rest = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {rest} more" if rest > 0 else "")


def _reason(error: BaseException, folder: Path) -> str:
    """Why transformers refused a folder, in our words where it wants to run code."""
    if "trust_remote_code" in str(error) and wants_remote_code(folder):
        return (
            "it needs Python code that comes with the model; if you trust its authors, "
            "set backbone.trust_remote_code: true, which runs that code on this machine"
        )
    return _first_line(error)


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
