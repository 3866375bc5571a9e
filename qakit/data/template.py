"""How a tokenizer joins a question and a context: special tokens and type ids, as a frozen value."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import TYPE_CHECKING, cast
from weakref import WeakKeyDictionary

from tokenizers import Tokenizer, pre_tokenizers, processors

from qakit.errors import ModelError
from qakit.protocols import WindowRuntime

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PROBES = ("a", "1", "的", "?")
"""Any text that gives a token does: only what the tokenizer puts around it is looked at."""


@dataclass(frozen=True, slots=True)
class PairTemplate:
    """``prefix question middle context suffix``, with the type id of every part.

    A window with several contexts repeats ``middle context``; the suffix comes once, at the very end.
    """

    prefix: tuple[int, ...]
    """Token ids before the question: ``[CLS]``, ``<s>``. Never empty: position 0 stands for "no answer"."""
    middle: tuple[int, ...]
    """Token ids between question and context: ``[SEP]``, ``</s></s>``."""
    suffix: tuple[int, ...]
    """Token ids after the last context."""
    prefix_types: tuple[int, ...]
    middle_types: tuple[int, ...]
    suffix_types: tuple[int, ...]
    question_type: int
    context_type: int
    has_types: bool
    """Whether the backbone wants ``token_type_ids``."""
    pad: int
    pad_type: int

    @property
    def special_tokens(self) -> int:
        """Tokens added to one question and one context."""
        return len(self.prefix) + len(self.middle) + len(self.suffix)

    def runtime(self, *, max_length: int, max_question_length: int, training: bool, seed: int) -> WindowRuntime:
        """What a preprocessor gets to know: the given sizes, in tokens, and what this template adds."""
        return WindowRuntime(
            max_length=max_length,
            max_question_length=max_question_length,
            special_tokens=self.special_tokens,
            training=training,
            seed=seed,
            separator_tokens=len(self.middle),
        )

    @staticmethod
    def of(tokenizer: PreTrainedTokenizerBase) -> PairTemplate:
        """Read the template off the tokenizer by encoding a pair.

        Raises:
            ModelError: no fast tokenizer, no special token in front or between, or no padding token.
        """
        name = _name(tokenizer)
        backend = backend_copy(tokenizer)
        text = next((text for text in PROBES if backend.encode(text, add_special_tokens=False).ids), PROBES[0])
        probe = backend.encode(text, text)
        sequence = probe.sequence_ids
        question = [i for i, s in enumerate(sequence) if s == 0]
        context = [i for i, s in enumerate(sequence) if s == 1]
        if not question or not context or question[-1] > context[0]:
            raise ModelError(
                f"{name}: the tokenizer does not put a question before its context; it cannot be used for QA"
            )
        before = slice(0, question[0])
        between = slice(question[-1] + 1, context[0])
        after = slice(context[-1] + 1, len(sequence))
        if not probe.ids[before] or not probe.ids[between]:
            raise ModelError(
                f"{name}: the tokenizer puts no special token before the question or between question and context "
                "(like [CLS] and [SEP]); use a backbone made for text pairs"
            )
        if tokenizer.pad_token_id is None:
            raise ModelError(f"{name}: the tokenizer has no padding token")
        return PairTemplate(
            prefix=tuple(probe.ids[before]),
            middle=tuple(probe.ids[between]),
            suffix=tuple(probe.ids[after]),
            prefix_types=tuple(probe.type_ids[before]),
            middle_types=tuple(probe.type_ids[between]),
            suffix_types=tuple(probe.type_ids[after]),
            question_type=probe.type_ids[question[0]],
            context_type=probe.type_ids[context[0]],
            has_types="token_type_ids" in tokenizer.model_input_names,
            pad=int(tokenizer.pad_token_id),
            pad_type=int(tokenizer.pad_token_type_id),
        )


@dataclass(frozen=True)
class KeptCopy:
    """Of a tokenizer as it was. Nobody may change ``backend``."""

    original: Tokenizer
    size: int
    splits: bool
    backend: Tokenizer

    @cached_property
    def fingerprint(self) -> str:
        """See :func:`fingerprint`."""
        return fingerprint(self.backend)

    def is_of(self, tokenizer: PreTrainedTokenizerBase) -> bool:
        """Whether it still is the same."""
        same = getattr(tokenizer, "backend_tokenizer", None) is self.original
        return same and (self.size, self.splits) == (self.original.get_vocab_size(), _splits(tokenizer))


_COPIES: WeakKeyDictionary[PreTrainedTokenizerBase, KeptCopy] = WeakKeyDictionary()


def backend_copy(tokenizer: PreTrainedTokenizerBase) -> Tokenizer:
    """The tokenizer's Rust half without truncation and padding, as a copy: the caller's stays as it is.

    Its offsets are right also where the tokenizers library puts every word's start one character late.

    Raises:
        ModelError: the tokenizer is not a fast one, so it has no character offsets, or it cannot be copied.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if not isinstance(backend, Tokenizer):
        raise ModelError(
            f"{_name(tokenizer)}: this tokenizer gives no character offsets, and answers are cut from the text by "
            "offsets; use a backbone with a fast tokenizer (a tokenizer.json)"
        )
    try:
        copy = Tokenizer.from_str(backend.to_str())
    except Exception as error:  # the Rust library raises plain Exception, e.g. for parts written in Python
        raise ModelError(f"{_name(tokenizer)}: the tokenizer cannot be copied: {error}") from error
    copy.no_truncation()
    copy.no_padding()
    copy.encode_special_tokens = _splits(tokenizer)
    if _trims_letters(copy):
        _keep_blanks(copy.post_processor)
    return copy


def kept_copy(tokenizer: PreTrainedTokenizerBase) -> KeptCopy:
    """:func:`backend_copy` once for each tokenizer: it takes longer than many questions.

    It is made anew when the tokenizer's vocabulary, or how it reads special tokens in texts, has changed.

    Raises:
        ModelError: as there.
    """
    known = _COPIES.get(tokenizer)
    if known is not None and known.is_of(tokenizer):
        return known
    backend, original = backend_copy(tokenizer), cast(Tokenizer, tokenizer.backend_tokenizer)
    made = _COPIES[tokenizer] = KeptCopy(original, original.get_vocab_size(), _splits(tokenizer), backend)
    return made


def _splits(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether special tokens in a text are read as text."""
    return bool(getattr(tokenizer, "split_special_tokens", False))


def fingerprint(backend: Tokenizer) -> str:
    """A hash of all that decides how a text is tokenised; truncation and padding do not."""
    state = json.loads(backend.to_str())
    state["truncation"] = state["padding"] = None
    state["encode_special_tokens"] = backend.encode_special_tokens
    return blake2b(json.dumps(state, sort_keys=True).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _trims_letters(backend: Tokenizer) -> bool:
    """Whether offsets lose the first letter of a word: the byte-level pre-tokenizer puts a blank of its own before
    each piece that another one cut before it, and the post-processor takes it for one of the text's and trims it."""
    steps = backend.pre_tokenizer
    if not isinstance(steps, pre_tokenizers.Sequence):
        return False
    later = list(cast(Iterable[object], steps))[1:]
    return any(isinstance(step, pre_tokenizers.ByteLevel) and step.add_prefix_space for step in later)


def _keep_blanks(processor: processors.PostProcessor | None) -> None:
    """Have it give the offsets as they are, with a blank of the text in front; blanks are trimmed where one cuts."""
    if isinstance(processor, processors.Sequence):
        for step in cast(Iterable[processors.PostProcessor], processor):
            _keep_blanks(step)
    elif isinstance(processor, (processors.ByteLevel, processors.RobertaProcessing)):
        processor.trim_offsets = False


def _name(tokenizer: PreTrainedTokenizerBase) -> str:
    return str(getattr(tokenizer, "name_or_path", "") or type(tokenizer).__name__)
