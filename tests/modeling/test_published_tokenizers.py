"""Tokenizers in the forms in which they are published: one vocabulary file, or several with settings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hub import models, vocabularies
from hub.texts import corpus, passages

from qakit.errors import ModelError
from qakit.modeling.backbones import load_tokenizer

ALONE = {
    "vocab.txt": "BertTokenizer",
    "vocab.json": "RobertaTokenizer",
    "spm.model": "DebertaV2Tokenizer",
    "sentencepiece.bpe.model": "XLMRobertaTokenizer",
    "spiece.model": "AlbertTokenizer",
}
"""The vocabulary file -> the class whose file it is."""
HAN = {
    "bert-base-chinese",
    "hfl/chinese-roberta-wwm-ext",
    "hfl/chinese-lert-base",
    "luhua/chinese_pretrain_mrc_macbert_large",
}


def bare(name: str, folder: Path) -> Path:
    """A folder with a vocabulary and nothing else."""
    vocabulary, merges = vocabularies.byte_pairs()
    files: dict[str, dict[str, str | bytes]] = {
        "vocab.txt": {"vocab.txt": vocabularies.wordpiece()},
        "vocab.json": {"vocab.json": vocabulary, "merges.txt": merges},
        "spm.model": {"spm.model": vocabularies.sentencepiece("spm")},
        "sentencepiece.bpe.model": {"sentencepiece.bpe.model": vocabularies.sentencepiece("bpe")},
        "spiece.model": {"spiece.model": vocabularies.sentencepiece("spiece")},
    }
    folder.mkdir(exist_ok=True)
    for file, content in files[name].items():
        (folder / file).write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


@pytest.mark.parametrize("name", models.LAYOUTS)
def test_every_answer_is_cut_from_its_text_by_the_offsets(name: str, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(str(models.write(name, tmp_path)))
    for one in passages(40, han=name in HAN):
        spans = [
            (start, end)
            for start, end in tokenizer(one.context, return_offsets_mapping=True)["offset_mapping"]
            if start < one.start + len(one.answer) and end > max(start, one.start)
        ]
        assert one.context[spans[0][0] : spans[-1][1]].strip() == one.answer


@pytest.mark.parametrize("name", sorted(models.LAYOUTS.keys() - {"SpanBERT/spanbert-base-cased"}))  # a bare cased one
def test_a_pair_has_the_special_tokens_of_its_kind_and_no_unknown_ones(name: str, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(str(models.write(name, tmp_path)))
    for one in passages(10, han=name in HAN):
        ids = tokenizer(one.question, one.context)["input_ids"]
        assert ids[0] == tokenizer.cls_token_id and ids[-1] == tokenizer.sep_token_id
        assert ids.count(tokenizer.sep_token_id) in (2, 3)
        assert tokenizer.unk_token_id not in ids
        assert None not in (tokenizer.pad_token_id, tokenizer.mask_token_id)


@pytest.mark.parametrize("name", ALONE)
def test_a_vocabulary_alone_is_that_of_its_class(name: str, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(str(bare(name, tmp_path)))
    assert type(tokenizer).__name__ == ALONE[name]
    encoded = tokenizer("Who founded Ashford?", return_offsets_mapping=True)
    assert tokenizer.unk_token_id not in encoded["input_ids"]
    assert encoded["offset_mapping"][-2] == (19, 20)  # the question mark


WIDE = ["，。ＡＢ\u3000ﬁne", "a\xa0b", "café ½"]
"""What the usual table of a SentencePiece model makes other characters of."""


@pytest.mark.parametrize("name", ["spm.model", "sentencepiece.bpe.model"])
def test_a_sentencepiece_vocabulary_splits_as_its_own_library_does(name: str, tmp_path: Path) -> None:
    import sentencepiece

    model = bare(name, tmp_path / "bare") / name
    reference = sentencepiece.SentencePieceProcessor(model_file=str(model))
    tokenizer = load_tokenizer(str(tmp_path / "bare"))
    tokenizer.save_pretrained(tmp_path / "kept")
    kept = load_tokenizer(str(tmp_path / "kept"))
    for text in [*corpus(), *corpus(han=True), *WIDE]:
        # XLM-R counts <pad> and <s> in, so ids are compared by the pieces that they mean
        pieces = [reference.id_to_piece(one) for one in reference.encode(text)]
        for own in (tokenizer, kept):
            ids = own(text, add_special_tokens=False)["input_ids"]
            assert own.convert_ids_to_tokens(ids) == [
                own.unk_token if p == reference.id_to_piece(reference.unk_id()) else p for p in pieces
            ]


@pytest.mark.parametrize("text", WIDE)
def test_offsets_count_the_characters_of_the_text_as_it_was(text: str, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(str(bare("spm.model", tmp_path)))
    offsets = tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)["offset_mapping"]
    covered = {place for start, end in offsets for place in range(start, end)}
    assert {place for place, character in enumerate(text) if not character.isspace()} <= covered
    assert max(covered) < len(text)


def test_a_tokenizer_without_offsets_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "canine"}))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "CanineTokenizer"}))
    (tmp_path / "vocab.txt").write_text("a\n")
    with pytest.raises(ModelError) as caught:
        load_tokenizer(str(tmp_path))
    assert "gives no character offsets" in str(caught.value) and "\n" not in str(caught.value)


def test_a_folder_without_any_vocabulary_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "deberta-v2"}))
    with pytest.raises(ModelError, match=r"holds no tokenizer .*; set backbone.tokenizer to a folder that does"):
        load_tokenizer(str(tmp_path))


@pytest.mark.parametrize("content", [b"<!doctype html><html>", b"version https://git-lfs.github.com/spec/v1\n", b""])
@pytest.mark.parametrize("name", ["spm.model", "sentencepiece.bpe.model", "spiece.model"])
def test_a_file_that_is_no_sentencepiece_model_is_refused_in_one_line(
    name: str, content: bytes, tmp_path: Path
) -> None:
    (bare(name, tmp_path) / name).write_bytes(content)
    with pytest.raises(ModelError) as caught:
        load_tokenizer(str(tmp_path))
    assert str(caught.value).startswith(f"{tmp_path / name} is no SentencePiece model")
    assert "\n" not in str(caught.value)
