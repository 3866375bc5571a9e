"""Loading tokenizers and encoders, with nothing left silently random."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import torch
import transformers
from torch import Tensor, nn
from transformers import AutoModel, AutoTokenizer, PretrainedConfig, PreTrainedTokenizerFast
from transformers.utils import logging as transformers_logging

from qakit.errors import ModelError
from qakit.modeling.adapter_file import ADAPTER
from qakit.modeling.architectures import is_offered, is_offered_folder, load_into, make, remade, write_own_tokenizer
from qakit.modeling.attention import Attention, attention_for, need_kernel, use_kernel
from qakit.modeling.checkpoints import checkpoint_in, published_files
from qakit.modeling.configs import encoder_class, load_config, named_kind
from qakit.modeling.remote_code import announce_remote_code, reason
from qakit.modeling.sources import HOW_TO_POINT, BackboneSource, check_weights, find_source
from qakit.modeling.sparse_attention import decide_by_batch
from qakit.modeling.tokenizers import check_bounds, check_models, check_rules_of, keeping_case, restore_characters
from qakit.names import few, one_line
from qakit.recipe.model import BackboneSection
from qakit.registry import Registry, load_registry

VOCABULARY_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")
"""One of these is in every folder that holds a tokenizer."""
BARE_VOCABULARIES = {
    "vocab.txt": "BertTokenizer",
    "vocab.json": "RobertaTokenizer",
    "spm.model": "DebertaV2Tokenizer",
    "sentencepiece.bpe.model": "XLMRobertaTokenizer",
    "spiece.model": "AlbertTokenizer",
}
"""What a vocabulary file is of, where no other file says so: the names that these tokenizers' authors chose."""


CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class LoadedBackbone:
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
    folder = find_source(source, revision=revision, needs="tokenizer", with_code=trust_remote_code).folder
    if not any(any(folder.glob(name)) for name in VOCABULARY_FILES):  # transformers would make an empty vocabulary
        raise ModelError(
            f"{folder} holds no tokenizer ({', '.join(VOCABULARY_FILES)}); set backbone.tokenizer to a folder that does"
        )
    check_models(folder)
    check_rules_of(folder)
    try:
        if trust_remote_code:
            announce_remote_code(source, folder)
        options: dict[str, Any] = {"trust_remote_code": trust_remote_code}
        if is_offered_folder(folder):  # transformers would wonder at its model_type
            options["config"] = PretrainedConfig()
        tokenizer = (_bare_kind(folder) or AutoTokenizer).from_pretrained(folder, **options)
    except Exception as error:  # transformers raises whatever its many tokenizer classes raise
        raise ModelError(f"the tokenizer in {folder} cannot be loaded: {reason(error, folder)}") from error
    if not getattr(tokenizer, "is_fast", False):
        raise ModelError(
            f"the tokenizer of {source!r} ({type(tokenizer).__name__}) gives no character offsets, so answers "
            "cannot be cut from the text; choose a backbone with a fast tokenizer"
        )
    fast = cast(PreTrainedTokenizerFast, tokenizer)
    check_bounds(fast, folder)
    restore_characters(fast, folder)
    return keeping_case(fast, folder)


def tokenizer_of(section: BackboneSection, registry: Registry | None = None) -> PreTrainedTokenizerFast:
    """The tokenizer that a recipe's ``backbone`` block means: the named one, or that of a plugin's encoder.

    Args:
        section: the recipe's.
        registry: the installed plugins; by default those of this process.

    Raises:
        ModelError: see :func:`load_tokenizer`; or a plugin's encoder has none of its own.
    """
    if section.is_sourceless:
        assert section.architecture is not None
        with TemporaryDirectory(prefix="qakit-") as folder:
            if write_own_tokenizer(section.architecture, registry or load_registry(), Path(folder)):
                return load_tokenizer(folder)
        raise ModelError(
            f"the backbone {section.called!r} has no tokenizer of its own: name a folder or model that has one as "
            "backbone.source"
        )
    own = section.revision if section.tokenizer in (None, section.source) else None
    return load_tokenizer(
        section.tokenizer or section.source,
        revision=section.tokenizer_revision or own,
        trust_remote_code=section.trust_remote_code,
    )


def _bare_kind(folder: Path) -> Any:
    """The tokenizer class of a vocabulary beside which nothing says what it is; None where something does."""
    held = {file.name for file in folder.iterdir()}
    try:
        entries = json.loads((folder / "config.json").read_text("utf-8")) if "config.json" in held else {}
    except (ValueError, RecursionError):  # whoever loads the configuration says what is wrong with it
        return None
    if "tokenizer.json" in held or named_kind(entries) is not None:
        return None
    with suppress(OSError, ValueError, TypeError, RecursionError):
        if "tokenizer_class" in json.loads((folder / "tokenizer_config.json").read_text("utf-8")):
            return None
    return next((getattr(transformers, kind) for name, kind in BARE_VOCABULARIES.items() if name in held), None)


def load_backbone(
    section: BackboneSection,
    *,
    attention: Attention,
    device: torch.device = CPU,
    vocabulary: int | None = None,
    padding: int | None = None,
    registry: Registry | None = None,
) -> LoadedBackbone:
    """Build the encoder of a recipe: float32 weights, without a pooler, pretrained or freshly initialised.

    Args:
        section: the recipe's ``backbone`` block.
        attention: the recipe's choice; see :func:`attention_for`.
        device: where the encoder will run. It is returned on the CPU.
        vocabulary: the tokenizer's, see :func:`vocabulary_of`; a smaller embedding table is an error, except from
            scratch, where the table gets this size.
        padding: the tokenizer's padding token, for an encoder from scratch.
        registry: the installed plugins; by default those of this process.

    Raises:
        PluginError: a plugin's encoder is not installed, or its settings don't fit.
        ModelError: weights are missing, of another shape or not the expected file.
    """
    registry = registry or load_registry()
    if section.architecture is not None:
        assert vocabulary is not None
        made = make(section.architecture, registry, vocabulary=vocabulary, padding=padding or 0)
        made[1]._attn_implementation = attention_for(attention, device, made[1])
        return LoadedBackbone(*made, ())
    source = find_source(
        section.source,
        revision=section.revision,
        needs="configuration" if section.init == "scratch" else "weights",
        with_code=section.trust_remote_code,
    )
    config = load_config(section, source)
    config._attn_implementation = attention_for(attention, device, config)
    if section.init == "scratch":
        config.vocab_size = config.vocab_size if vocabulary is None else vocabulary
        config.pad_token_id = config.pad_token_id if padding is None else padding
        fresh = from_config(config, registry, trust_remote_code=section.trust_remote_code)
        return LoadedBackbone(fresh, config, ())
    if section.sha256 is not None:
        check_weights(source, section.sha256)
    if is_offered(config):
        module, held = remade(config, registry), int(config.vocab_size)
        unexpected = load_into(module, weights_of(source), source.name)
    else:
        module, unexpected = _from_weights(source, config, trust_remote_code=section.trust_remote_code)
        held = module.get_input_embeddings().num_embeddings  # type: ignore[operator]
    if vocabulary is not None:
        check_vocabulary(vocabulary, held, f"backbone {section.source!r}")
    return LoadedBackbone(module, config, unexpected)


def vocabulary_of(tokenizer: PreTrainedTokenizerFast) -> int:
    """The embeddings that a tokenizer's ids need: one more than the highest. Ids may have gaps."""
    return max(tokenizer.get_vocab().values(), default=-1) + 1


def check_vocabulary(vocabulary: int, held: int, whose: str) -> None:
    """
    Raises:
        ModelError: the tokenizer has ids beyond the table of embeddings.
    """
    if vocabulary > held:
        raise ModelError(
            f"the tokenizer has ids up to {vocabulary - 1} but {whose} only {held} embeddings; they do not belong "
            "together"
        )


def configuration(section: BackboneSection, registry: Registry) -> PretrainedConfig:
    """The configuration of a recipe's encoder, without its weights.

    Raises:
        PluginError, ModelError: as :func:`load_backbone`.
    """
    if section.architecture is not None:
        tokenizer = tokenizer_of(section, registry)
        padding = tokenizer.pad_token_id or 0
        vocabulary = vocabulary_of(tokenizer)
        return make(section.architecture, registry, vocabulary=vocabulary, padding=padding, on_meta=True)[1]
    source = find_source(
        section.source, revision=section.revision, with_code=section.trust_remote_code, needs="tokenizer"
    )
    return load_config(section, source)


def from_config(config: PretrainedConfig, registry: Registry, *, trust_remote_code: bool) -> nn.Module:
    """A freshly initialised encoder, float32, without a pooler.

    Raises:
        PluginError: a plugin's encoder is not installed, or its settings don't fit.
        ModelError: the configuration contradicts itself.
    """
    if is_offered(config):
        return remade(config, registry)
    need_kernel(config)
    try:
        encoder = encoder_class(config, trust_remote_code=trust_remote_code)
        options = {"trust_remote_code": trust_remote_code, "dtype": torch.float32, **without_pooler(encoder)}
        module = cast(nn.Module, AutoModel.from_config(config, **options))
    except Exception as error:
        raise ModelError(f"no {config.model_type} encoder can be made like this: {one_line(error)}") from error
    decide_by_batch(module)
    use_kernel(module, config)
    return module


def _from_weights(
    source: BackboneSource, config: PretrainedConfig, *, trust_remote_code: bool
) -> tuple[nn.Module, tuple[str, ...]]:
    try:
        encoder = encoder_class(config, trust_remote_code=trust_remote_code)
    except Exception as error:  # code that comes with the model
        raise ModelError(f"the encoder in {source.folder} cannot be loaded: {one_line(error)}") from error
    if encoder is None:
        raise ModelError(f"transformers has no encoder for {config.model_type}")
    module, report = from_checkpoint(encoder, source, config, **without_pooler(encoder))
    missing = sorted(key for key in report["missing_keys"] if "pooler" not in key)
    if missing:
        raise ModelError(
            f"backbone {source.name!r}: {len(missing)} weights are not in the file and would be random: "
            f"{few(missing, 3)}; this is not a checkpoint of this architecture"
        )
    return module, tuple(sorted(report["unexpected_keys"]))


def from_checkpoint(
    kind: Any, source: BackboneSource, config: PretrainedConfig, **options: Any
) -> tuple[nn.Module, dict[str, Any]]:
    """A model of one of transformers' classes with the weights of a source, float32.

    Returns:
        The model; and transformers' report, whose ``missing_keys`` are random in it.

    Raises:
        ModelError: the source has no weights that can be used, or some of another shape.
    """
    need_kernel(config)
    weights = weights_of(source)
    try:
        with _quiet():
            module, report = kind.from_pretrained(
                None,
                config=config,
                state_dict=weights,
                dtype=torch.float32,  # the default is the checkpoint's own type: half precision would train silently
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # reported below, in our words
                **options,
            )
    except Exception as error:
        raise ModelError(f"the weights in {source.folder} cannot be loaded: {one_line(error)}") from error
    mismatched = [
        f"{name} ({tuple(file)} in the file, {tuple(model)} in the model)" for name, file, model in _triples(report)
    ]
    if mismatched:
        raise ModelError(
            f"backbone {source.name!r}: weights of another shape: {few(mismatched, 3)}; "
            "remove backbone.overrides or use init: scratch"
        )
    decide_by_batch(module)
    use_kernel(module, config)
    return module, report


def weights_of(source: BackboneSource) -> dict[str, Tensor]:
    """All tensors of a source, by their names in its file.

    Raises:
        ModelError: the source has no weights that can be used.
    """
    if (source.folder / "adapter_config.json").is_file():  # transformers would load whatever base model it names
        raise ModelError(
            f"{source.folder} holds an adapter (adapter_config.json), not a backbone; merge it into its base model, "
            "save that, and name the result"
        )
    if (source.folder / ADAPTER).is_file() and not published_files(source.folder):
        raise ModelError(
            f"{source.folder} holds only what its run has trained (train.keep: adapter); make a whole model with "
            "`qakit export RUN --merge --output FOLDER` and name that"
        )
    try:
        return checkpoint_in(source.folder).tensors()
    except ModelError as error:
        where = (
            "" if source.origin != "folder" else f"; {HOW_TO_POINT}, or train from scratch with backbone.init=scratch"
        )
        raise ModelError(f"backbone {source.name!r}: {error}{where}") from error


def _triples(report: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    return sorted((item[0], item[1], item[2]) for item in report["mismatched_keys"])


def without_pooler(encoder: type[nn.Module] | None) -> dict[str, bool]:
    """``add_pooling_layer=False`` for the architectures that have the switch: nothing here reads a pooler."""
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
