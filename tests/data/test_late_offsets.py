"""Tokenizers whose offsets begin one character late in every word (RobBERT's, say) cut whole words here."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from qakit.data.encode import encode
from qakit.values import Answer, Example

TEXT = "He lives in Amsterdam, and works (since 1066) in Utrecht"
WORDS = ["lives", "Amsterdam", "and", "1066", "Utrecht", "Amsterdam, and works", "(since 1066)"]

SPLITTERS: dict[str, Callable[[], list[object]]] = {
    "whitespace": lambda: [pre_tokenizers.Whitespace()],
    "bert": lambda: [pre_tokenizers.BertPreTokenizer()],
    "blanks-and-digits": lambda: [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Digits(individual_digits=True)],
    "punctuation": lambda: [pre_tokenizers.Punctuation()],
    "none": list,
}


def late(splitter: str, processor: str) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer behind another pre-tokenizer."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [*SPLITTERS[splitter](), pre_tokenizers.ByteLevel(add_prefix_space=True)]
    )
    special = ["<s>", "</s>", "<pad>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    backend.train_from_iterator([TEXT], trainers.BpeTrainer(special_tokens=special, initial_alphabet=alphabet))
    byte_level = processors.ByteLevel(trim_offsets=True)
    backend.post_processor = {
        "byte-level": byte_level,
        "roberta": processors.RobertaProcessing(("</s>", 1), ("<s>", 0), trim_offsets=True, add_prefix_space=True),
        "several": processors.Sequence([byte_level]),
    }[processor]
    return PreTrainedTokenizerFast(tokenizer_object=backend)


@pytest.mark.parametrize("processor", ["byte-level", "roberta", "several"])
@pytest.mark.parametrize("splitter", SPLITTERS)
def test_answers_are_cut_with_their_first_letters(splitter: str, processor: str) -> None:
    answers = [Answer(word, TEXT.index(word)) for word in WORDS]
    tokenizer = late(splitter, processor)
    encoded = encode([Example(str(i), "?", (TEXT,), (a,)) for i, a in enumerate(answers)], tokenizer)
    own = encoded.store.offsets[encoded.store.pointers[encoded.context[0]] :]
    cuts = [
        TEXT[own[first, 0] : own[stop - 1, 1]].strip()
        for first, stop in zip(encoded.answer_first, encoded.answer_stop, strict=True)
    ]
    assert cuts == WORDS
    trimmed = tokenizer.backend_tokenizer.post_processor
    assert (trimmed[0] if processor == "several" else trimmed).trim_offsets, "the caller's tokenizer stays as it is"
