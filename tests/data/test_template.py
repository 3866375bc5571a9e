"""The pair template, read off tokenizers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from qakit.data.template import PairTemplate, backend_copy, fingerprint
from qakit.errors import ModelError

Make = Callable[[str], PreTrainedTokenizerFast]


def words(tokens: tuple[int, ...], tokenizer: PreTrainedTokenizerFast) -> list[str]:
    return tokenizer.convert_ids_to_tokens(list(tokens))


def test_bert(make_tokenizer: Make) -> None:
    tokenizer = make_tokenizer("bert")
    template = PairTemplate.of(tokenizer)
    assert words(template.prefix, tokenizer) == ["[CLS]"]
    assert words(template.middle, tokenizer) == ["[SEP]"]
    assert words(template.suffix, tokenizer) == ["[SEP]"]
    assert (template.prefix_types, template.middle_types, template.suffix_types) == ((0,), (0,), (1,))
    assert (template.question_type, template.context_type) == (0, 1)
    assert template.has_types
    assert template.special_tokens == 3
    assert words((template.pad,), tokenizer) == ["[PAD]"]


def test_roberta_puts_two_between(make_tokenizer: Make) -> None:
    tokenizer = make_tokenizer("roberta")
    template = PairTemplate.of(tokenizer)
    assert words(template.middle, tokenizer) == ["</s>", "</s>"]
    assert template.special_tokens == 4
    assert not template.has_types


def test_special_tokens_agree_with_the_tokenizer(tokenizer: PreTrainedTokenizerFast) -> None:
    assert PairTemplate.of(tokenizer).special_tokens == tokenizer.num_special_tokens_to_add(pair=True)


def test_truncation_and_padding_of_the_tokenizer_neither_matter_nor_change(make_tokenizer: Make) -> None:
    tokenizer = make_tokenizer("bert")
    expected = PairTemplate.of(tokenizer)
    tokenizer.backend_tokenizer.enable_truncation(4)
    tokenizer.backend_tokenizer.enable_padding(length=20)
    try:
        assert PairTemplate.of(tokenizer) == expected
        assert tokenizer.backend_tokenizer.truncation["max_length"] == 4
        assert tokenizer.backend_tokenizer.padding["length"] == 20
    finally:
        tokenizer.backend_tokenizer.no_truncation()
        tokenizer.backend_tokenizer.no_padding()


def test_fingerprint_is_of_the_tokenisation_alone(make_tokenizer: Make) -> None:
    backend = backend_copy(make_tokenizer("bert"))
    before = fingerprint(backend)
    backend.enable_truncation(7)
    backend.enable_padding(length=9)
    assert fingerprint(backend) == before
    backend.encode_special_tokens = True
    assert fingerprint(backend) != before
    assert fingerprint(backend_copy(make_tokenizer("roberta"))) != before


def word_level(template: str) -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.WordLevel({"[CLS]": 0, "[SEP]": 1, "[UNK]": 2, "[PAD]": 3}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    special = [("[CLS]", 0), ("[SEP]", 1)]
    backend.post_processor = processors.TemplateProcessing(single="$A", pair=template, special_tokens=special)
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]", pad_token="[PAD]")


@pytest.mark.parametrize("template", ["$A [SEP] $B [SEP]", "[CLS] $A $B [SEP]"])
def test_a_template_without_marks_is_refused(template: str) -> None:
    with pytest.raises(ModelError, match="no special token before the question or between"):
        PairTemplate.of(word_level(template))


def test_a_context_before_the_question_is_refused() -> None:
    with pytest.raises(ModelError, match="does not put a question before its context"):
        PairTemplate.of(word_level("[CLS] $B [SEP] $A [SEP]"))


def test_no_padding_token() -> None:
    tokenizer = word_level("[CLS] $A [SEP] $B [SEP]")
    tokenizer.pad_token = None
    with pytest.raises(ModelError, match="no padding token"):
        PairTemplate.of(tokenizer)


def test_a_tokenizer_without_offsets_is_refused() -> None:
    class Slow:
        name_or_path = "google/canine-s"

    with pytest.raises(ModelError, match=r"^google/canine-s: this tokenizer gives no character offsets"):
        PairTemplate.of(Slow())  # type: ignore[arg-type]
