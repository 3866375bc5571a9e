"""Texts and a backbone -> all that a pretraining needs before its first step."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PretrainedConfig, PreTrainedTokenizerFast

from qakit.data.encode import EncodedExamples, encode
from qakit.data.splits import SplitName, read_files, split_files
from qakit.data.template import PairTemplate
from qakit.data.windows import Windows
from qakit.errors import DataError, ModelError, UsageError
from qakit.modeling.architectures import is_offered
from qakit.modeling.assemble import check_length, padding_for, template_for
from qakit.modeling.backbones import load_backbone, tokenizer_of, vocabulary_of
from qakit.modeling.device import resolve_precision
from qakit.modeling.model import ReadingModel
from qakit.modeling.start import check_start
from qakit.pretraining.language_head import MaskedLanguageHead
from qakit.pretraining.masking import MaskWords
from qakit.pretraining.pieces import Fixed, chosen, holds_word, pieces, single_text, word_begins
from qakit.pretraining.recurring import content_tokens, recurring_in
from qakit.pretraining.settings import PretrainSettings
from qakit.pretraining.span_selection import HideSpans, SpanSelectionHead
from qakit.randomness import derive_seed
from qakit.recipe.model import BackboneSection, DataSection, PluginRef, Recipe, TrainSection, WindowsSection
from qakit.registry import Registry
from qakit.training.events import Listener, Notice, Preparing
from qakit.training.feed import Alteration, Feed
from qakit.training.plan import Plan
from qakit.values import Example

_BLANK_LINES = re.compile(r"\n[^\S\n]*\n\s*")


def read_documents(path: Path) -> Iterator[str]:
    """The documents of a UTF-8 text file: separated by blank lines if it has any, else one a line.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", path=path) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise DataError("is not UTF-8 text; save it as UTF-8", path=path, row=f"line {line}") from error
    text = text.replace("\r\n", "\n").strip()  # not splitlines: U+2028 or a form feed ends no line of a file
    parts = _BLANK_LINES.split(text) if _BLANK_LINES.search(text) else text.split("\n")
    yield from (part.strip() for part in parts if part.strip())


def contexts_of(recipe: Recipe, registry: Registry, splits: Sequence[SplitName]) -> Iterator[str]:
    """The contexts of a recipe's files, read by its reader.

    Raises:
        DataError: a file cannot be read.
        UsageError: the recipe names no file for a split.
    """
    for name in splits:
        files = split_files(recipe, name)
        if not files:
            raise UsageError(f"the recipe names no {name} file: set data.{name}, or choose another --split")
        for example in read_files(recipe, registry, files, name=name, predicted_only=name == "test").examples:
            yield from example.contexts


def distinct(texts: Iterable[str]) -> list[str]:
    """Each text once, in the order of first occurrence; blank ones are left out.

    Raises:
        DataError: there is none.
    """
    found = list(dict.fromkeys(text for text in texts if text.strip()))
    if not found:
        raise DataError("there is no text to train on")
    return found


QUESTION = "[QUESTION]"
"""Splinter's token for a hidden span."""


@dataclass(frozen=True, slots=True)
class Pretraining:
    """All that a pretraining needs before its first step."""

    settings: PretrainSettings
    recipe: Recipe
    """What the training loop goes by; it names no data."""
    model: ReadingModel
    config: PretrainedConfig
    tokenizer: PreTrainedTokenizerFast
    feed: Feed
    plan: Plan
    documents: Sequence[str]
    """By the number of their windows' example."""


def prepare_pretraining(
    texts: Sequence[str],
    backbone: BackboneSection,
    settings: PretrainSettings,
    *,
    device: torch.device,
    listener: Listener,
    cache: Path | None = None,
) -> Pretraining:
    """Tokenise, cut windows, build the model.

    Args:
        texts: distinct documents.
        backbone: as in a recipe; with ``init: scratch`` a language model from nothing.

    Raises:
        RunError: the run that the backbone would be of has no whole weights of its own.
        ModelError: anything about the backbone or its tokenizer; it has no mask token, or cannot read so many tokens.
        DataError: no window can be made of the texts.
    """
    check_start(backbone)
    recipe = loop_recipe(backbone, settings)
    listener(Preparing("building the model"))
    tokenizer = tokenizer_of(backbone)
    if tokenizer.mask_token_id is None:
        raise ModelError(f"the tokenizer of {backbone.source!r} has no mask token, so nothing can be hidden from it")
    torch.manual_seed(derive_seed(settings.seed, "initial weights"))
    loaded = load_backbone(
        backbone, attention="auto", device=device, vocabulary=vocabulary_of(tokenizer), padding=tokenizer.pad_token_id
    )
    if is_offered(loaded.config):
        raise ModelError(f"the encoder {loaded.config.model_type} is a plugin's; pretraining is for transformers' own")
    check_length(loaded.module, settings.max_length, setting="max_length")
    resolve_precision(settings.precision, device, loaded.config.model_type)
    head = _head(loaded.module, loaded.config, settings)
    wants_one = settings.objective == "mlm" and backbone.init == "pretrained"
    if wants_one and not _load(head, loaded.config):
        listener(Notice("the backbone's file has no language-model head that fits: a fresh one learns with the rest"))
    template = single_text(template_for(tokenizer, loaded.config))
    room = settings.max_length - template.special_tokens
    if room < 1:
        raise UsageError(
            f"max_length {settings.max_length} leaves no room beside {template.special_tokens} special tokens"
        )
    encoded = encode(
        [Example(text, "", (text,)) for text in texts],  # a text is its own id: the address of its randomness
        tokenizer,
        cache=cache,
        progress=lambda done, total: listener(Preparing("tokenising", done, total)),
    )
    windows = pieces(encoded, room=room)
    if not len(windows):
        raise DataError("the texts give no token to train on")
    alteration, windows = _alteration(windows, encoded, texts, settings, tokenizer, template)
    padding = padding_for(device, loaded.module, max_length=settings.max_length)
    feed = Feed(encoded, template, Fixed(windows), recipe.train, settings.seed, alteration=alteration, padding=padding)
    model = ReadingModel(loaded.module, head).to(device)
    return Pretraining(settings, recipe, model, loaded.config, tokenizer, feed, Plan.of(recipe, feed), texts)


def loop_recipe(backbone: BackboneSection, settings: PretrainSettings) -> Recipe:
    """The settings as the training loop knows them."""
    shared = ("epochs", "max_steps", "batch_size", "accumulation", "learning_rate", "weight_decay", "warmup")
    more = ("precision", "log_every", "checkpoint_every")
    train: dict[str, Any] = {name: getattr(settings, name) for name in (*shared, *more)}
    return Recipe(
        seed=settings.seed,
        data=DataSection(reader=PluginRef(name="none")),
        backbone=backbone,
        windows=WindowsSection(max_length=settings.max_length),
        train=TrainSection(**train, evaluate_every=settings.checkpoint_every),  # nothing is judged: no step of its own
    )


def _head(
    module: torch.nn.Module, config: PretrainedConfig, settings: PretrainSettings
) -> MaskedLanguageHead | SpanSelectionHead:
    spread = float(getattr(config, "initializer_range", 0.02))
    epsilon = float(getattr(config, "layer_norm_eps", 1e-12))
    if settings.objective == "recurring_spans":
        return SpanSelectionHead(config.hidden_size, initializer_range=spread, epsilon=epsilon)
    table = module.get_input_embeddings()  # type: ignore[operator]
    return MaskedLanguageHead(config.hidden_size, table, initializer_range=spread, epsilon=epsilon)


def _load(head: torch.nn.Module, config: PretrainedConfig) -> bool:
    """Take up the language-model head of the backbone's file; returns whether it has one that fits."""
    return isinstance(head, MaskedLanguageHead) and head.load(Path(str(config.name_or_path)))


def _alteration(
    windows: Windows,
    encoded: EncodedExamples,
    texts: Sequence[str],
    settings: PretrainSettings,
    tokenizer: PreTrainedTokenizerFast,
    template: PairTemplate,
) -> tuple[Alteration, Windows]:
    """What the objective does to a batch, and the windows that it can do it to."""
    begins = word_begins(encoded, texts)
    mask = int(tokenizer.mask_token_id)
    if settings.objective == "mlm":
        special = set(tokenizer.all_special_ids)
        ordinary = np.array([i for i in range(len(tokenizer)) if i not in special], np.int64)
        if not settings.whole_words:
            begins = np.ones_like(begins)
        return MaskWords(begins, settings.rate, mask, ordinary, settings.seed), windows
    content = content_tokens(windows, encoded, holds_word(encoded, texts), common=settings.common)
    spans = recurring_in(windows, encoded, begins, content, shortest=settings.min_span, longest=settings.max_span)
    rows = np.flatnonzero([bool(found) for found in spans])
    if not len(rows):
        raise DataError("no span recurs within a window of these texts: try longer documents or a larger max_length")
    question = tokenizer.get_vocab().get(QUESTION, mask)
    hide = HideSpans([spans[row] for row in rows], settings.rate, question, template.pad, settings.seed)
    return hide, chosen(windows, rows)
