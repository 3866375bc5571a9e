"""What a pretraining is made of: its length, its words in any alphabet, and what each objective may hide and show."""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from qakit.data.encode import EncodedExamples, encode
from qakit.errors import DataError, ModelError, RunError
from qakit.pretraining.masking import MaskWords
from qakit.pretraining.pieces import holds_word, word_begins
from qakit.pretraining.prepare import QUESTION, Pretraining, prepare_pretraining
from qakit.pretraining.settings import PretrainSettings
from qakit.pretraining.span_selection import HideSpans
from qakit.recipe.model import BackboneSection, DataSection, PluginRef, Recipe
from qakit.runs import FOLDS, create_run
from qakit.training.events import silence
from qakit.values import Example

FAST = {"max_length": 64, "batch_size": 4, "precision": "fp32", "rate": 0.5}
WORDS = [
    ("king", "river", "town"),
    ("army", "church", "law"),
    ("water", "island", "year"),
    ("north", "south", "east"),
    ("castle", "duke", "battle"),
]


def prepared(backbone: Path, texts: list[str], **more: Any) -> Pretraining:
    settings = PretrainSettings.model_validate(FAST | more)
    section = BackboneSection(source=str(backbone))
    return prepare_pretraining(texts, section, settings, device=torch.device("cpu"), listener=silence)


@pytest.fixture(scope="module")
def with_question(tiny_backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny backbone with Splinter's token in the place of its last one."""
    folder = tmp_path_factory.mktemp("with-question") / "backbone"
    shutil.copytree(tiny_backbone, folder)
    file = folder / "tokenizer.json"
    kept = json.loads(file.read_text("utf-8"))
    vocabulary = kept["model"]["vocab"]
    vocabulary[QUESTION] = vocabulary.pop(max(vocabulary, key=vocabulary.__getitem__))
    file.write_text(json.dumps(kept), "utf-8")
    return folder


def test_more_than_the_position_table_holds_is_refused(tiny_backbone: Path) -> None:
    with pytest.raises(ModelError, match=r"^max_length is 161 but the backbone reads at most 160 tokens"):
        prepared(tiny_backbone, ["a text"], max_length=161)
    assert prepared(tiny_backbone, ["a text"], max_length=160)


def test_a_run_with_several_models_is_refused_as_in_training(tmp_path: Path) -> None:
    section = BackboneSection.model_validate({"from_run": str(tmp_path / "folds")})
    recipe = Recipe(data=DataSection(reader=PluginRef(name="squad")), backbone=section)
    create_run(recipe, tmp_path / "folds", others={FOLDS: "{}"})
    with pytest.raises(RunError, match=r"backbone\.from_run: .*folds is made of several models: name the run of one"):
        prepare_pretraining(["a text"], section, PretrainSettings(), device=torch.device("cpu"), listener=silence)


def test_the_command_refuses_it_before_it_writes(tiny_backbone: Path, tmp_path: Path, invoke: Any) -> None:
    (tmp_path / "a.txt").write_text("a text\n", "utf-8")
    given = ("--backbone", tiny_backbone, "--text", tmp_path / "a.txt", "--output", tmp_path / "out")
    result = invoke("pretrain", *given, "--set", "max_length=400", "--set", "precision=fp32")
    assert result.exit_code == 2
    assert "at most 160 tokens" in str(result.exception)
    assert not (tmp_path / "out").exists()


def hidden_spans(backbone: Path, texts: list[str], **more: Any) -> tuple[HideSpans, set[str]]:
    """What hides spans, and the texts of all that it may hide."""
    pretraining = prepared(backbone, texts, objective="recurring_spans", **more)
    hide, encoded = pretraining.feed.alteration, pretraining.feed.encoded
    assert isinstance(hide, HideSpans)
    windows, found = pretraining.plan.first.windows, set()
    for row, spans in enumerate(hide.spans):
        low = int(encoded.store.pointers[encoded.context[windows.pair[row]]] + windows.first[row])
        for span in spans:
            start = low + span.starts[0]
            found.add(str(pretraining.tokenizer.decode(encoded.store.ids[start : start + span.length].tolist())))
    return hide, found


def test_spans_of_function_words_and_marks_alone_are_none(tiny_backbone: Path) -> None:
    texts = [f"{a} , the {b} , the {c} , the {a}" for a, b, c in WORDS]
    names = {a for a, _, _ in WORDS}
    assert hidden_spans(tiny_backbone, texts, common=0.2)[1] == names
    assert any("the" in span for span in hidden_spans(tiny_backbone, texts, common=1.0)[1])
    with pytest.raises(DataError, match="no span recurs"):
        hidden_spans(tiny_backbone, [f"{a} , ! {b} , ! {c}" for a, b, c in WORDS], common=1.0)


def test_splinters_token_stands_for_a_hidden_span_where_there_is_one(tiny_backbone: Path, with_question: Path) -> None:
    texts = [f"the {a} met the {b} near the {a} of the {c}" for a, b, c in WORDS]
    hide, _ = hidden_spans(with_question, texts, common=1.0)
    vocabulary = json.loads((with_question / "tokenizer.json").read_text("utf-8"))["model"]["vocab"]
    assert hide.question == vocabulary[QUESTION] == max(vocabulary.values())
    hide, _ = hidden_spans(tiny_backbone, texts, common=1.0)
    assert hide.question == vocabulary["[MASK]"]


def test_no_special_token_takes_a_hidden_ones_place(tiny_backbone: Path) -> None:
    pretraining = prepared(tiny_backbone, ["a text of words"])
    mask, special = pretraining.feed.alteration, set(pretraining.tokenizer.all_special_ids)
    assert isinstance(mask, MaskWords)
    assert len(special) == 5
    assert sorted({*mask.ordinary.tolist(), *special}) == list(range(len(pretraining.tokenizer)))
    assert not special & set(mask.ordinary.tolist())


@cache
def byte_level() -> PreTrainedTokenizerFast:
    """RoBERTa's kind of tokenizer; it has seen English alone, so that other letters are two or three tokens."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=280, special_tokens=["<s>", "</s>", "<pad>"], initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(["the king met the duke near the river"], trainer)
    backend.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0))
    names = {"bos_token": "<s>", "cls_token": "<s>", "sep_token": "</s>", "eos_token": "</s>", "pad_token": "<pad>"}
    return PreTrainedTokenizerFast(tokenizer_object=backend, **names)


def encoded_bytes(text: str) -> EncodedExamples:
    return encode([Example("q", "", (text,))], byte_level())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("the king", ["the", "king"]),
        ("Москва и Крым", ["Москва", "и", "Крым"]),
        ("sehr schön, naïve", ["sehr", "schön", ",", "naïve"]),
        ("東京 the", ["東", "京", "the"]),
        ("né 😀!", ["né", "😀", "!"]),
    ],
)
def test_the_bytes_of_a_character_are_of_one_word(text: str, words: list[str]) -> None:
    encoded = encoded_bytes(text)
    low, high = encoded.store.pointers[encoded.context[0] : encoded.context[0] + 2].tolist()
    begins, offsets = word_begins(encoded, [text])[low:high], encoded.store.offsets[low:high]
    first = np.flatnonzero(begins)
    last = np.append(first[1:], len(begins)) - 1
    found = [text[offsets[a, 0] : offsets[b, 1]].strip() for a, b in zip(first, last, strict=True)]
    assert [each for each in found if each] == words
    assert len(begins) > len(words)


def test_a_byte_of_a_letter_holds_a_part_of_a_word() -> None:
    encoded = encoded_bytes("ы, 😀")
    low, high = encoded.store.pointers[encoded.context[0] : encoded.context[0] + 2].tolist()
    assert holds_word(encoded, ["ы, 😀"])[low:high].tolist() == [True, True] + [False] * (high - low - 2)
