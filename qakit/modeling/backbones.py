"""Loading tokenizers and encoders, with nothing left silently random."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn
from transformers import AutoConfig, AutoModel, AutoTokenizer, BertTokenizer, PretrainedConfig, PreTrainedTokenizerFast
from transformers.utils import logging as transformers_logging

from qakit.errors import ModelError
from qakit.modeling.sources import HOW_TO_POINT, BackboneSource, check_weights, find_source
from qakit.recipe.model import BackboneSection

VOCABULARY_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")
"""One of these is in every folder that holds a tokenizer."""


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
    folder = find_source(source, revision=revision, tokenizer_only=True).folder
    if not any(any(folder.glob(name)) for name in VOCABULARY_FILES):  # transformers would make an empty vocabulary
        raise ModelError(
            f"{folder} holds no tokenizer ({', '.join(VOCABULARY_FILES)}); set backbone.tokenizer to a folder that does"
        )
    try:
        if {file.name for file in folder.iterdir()} == {"vocab.txt"}:  # a bare WordPiece vocabulary, as BERT ships it
            return BertTokenizer(vocab=str(folder / "vocab.txt"))
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)
    except Exception as error:  # transformers raises whatever its many tokenizer classes raise
        raise ModelError(f"the tokenizer in {folder} cannot be loaded: {_first_line(error)}") from error
    if not getattr(tokenizer, "is_fast", False):
        raise ModelError(
            f"the tokenizer of {source!r} ({type(tokenizer).__name__}) gives no character offsets, so answers "
            "cannot be cut from the text; choose a backbone with a fast tokenizer"
        )
    return cast(PreTrainedTokenizerFast, tokenizer)


def load_backbone(section: BackboneSection, *, attention: str, vocabulary: int | None = None) -> Backbone:
    """Build the encoder of a recipe: float32 weights, without a pooler, pretrained or freshly initialised.

    Args:
        section: the recipe's ``backbone`` block.
        attention: ``eager``, ``sdpa`` or ``flash_attention_2``.
        vocabulary: tokens of the tokenizer; a smaller embedding table is an error, except from scratch, where the
            table gets this size.

    Raises:
        ModelError: weights are missing, of another shape or not the expected file.
    """
    source = find_source(section.source, revision=section.revision)
    config = load_config(section, source, attention=attention)
    if section.init == "scratch":
        if vocabulary is not None:
            config.vocab_size = vocabulary
        module = _from_config(config, trust_remote_code=section.trust_remote_code)
        return Backbone(module, config, ())
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


def load_config(section: BackboneSection, source: BackboneSource, *, attention: str) -> PretrainedConfig:
    """The source's configuration with the recipe's overrides.

    Raises:
        ModelError: no readable config.json, an override the architecture does not know, or one that contradicts
            pretrained weights.
    """
    try:
        config = AutoConfig.from_pretrained(source.folder, trust_remote_code=section.trust_remote_code)
    except Exception as error:
        raise ModelError(
            f"{source.folder / 'config.json'} is not a usable configuration: {_first_line(error)}"
        ) from error
    for key, value in section.overrides.items():
        if not hasattr(config, key):
            raise ModelError(f"backbone.overrides: a {config.model_type} configuration has no {key!r}")
        setattr(config, key, value)
    heads = getattr(config, "num_attention_heads", None)
    if isinstance(heads, int) and heads > 0 and config.hidden_size % heads:
        raise ModelError(
            f"backbone.overrides: hidden_size {config.hidden_size} is not a multiple of num_attention_heads {heads}"
        )
    config._attn_implementation = attention
    return config  # type: ignore[no-any-return]


def _from_config(config: PretrainedConfig, *, trust_remote_code: bool) -> nn.Module:
    options = {"trust_remote_code": trust_remote_code, "dtype": torch.float32, **without_pooler(config)}
    return cast(nn.Module, AutoModel.from_config(config, **options))


def _from_weights(
    source: BackboneSource, config: PretrainedConfig, *, trust_remote_code: bool
) -> tuple[nn.Module, tuple[str, ...]]:
    weights = [*source.folder.glob("*.safetensors"), *source.folder.glob("pytorch_model*.bin")]
    if not weights:
        raise ModelError(
            f"{source.folder} holds no weights (model.safetensors); {HOW_TO_POINT}, "
            "or train from scratch with backbone.init=scratch"
        )
    try:
        with _quiet():
            module, report = AutoModel.from_pretrained(
                source.folder,
                config=config,
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


def architecture(folder: Path) -> type[nn.Module] | None:
    """The encoder class that transformers has for the configuration in ``folder``, or None (remote code)."""
    return _architecture(AutoConfig.from_pretrained(folder))


def _architecture(config: PretrainedConfig) -> type[nn.Module] | None:
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


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
