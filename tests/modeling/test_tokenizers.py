"""transformers lowercases for a bare vocabulary; where it is a cased one, texts keep their case."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from qakit.modeling.backbones import load_tokenizer

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"[unused{i}]" for i in range(9))]
UNCASED = [*"abcdefghijklmnopqrstuvwxyz台北市", "##s", "paris", "\u2028"]


def folder_with(folder: Path, pieces: list[str], **files: dict[str, object]) -> str:
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join([*SPECIAL, *pieces]), "utf-8")
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content), "utf-8")
    return str(folder)


CASED = [*UNCASED, "A", "Paris", "##S", "Müller"]


@pytest.mark.parametrize(
    "files",
    [{}, {"config": {"model_type": "bert"}}, {"config": {"model_type": "bert"}, "tokenizer_config": {"other": 1}}],
    ids=["alone", "with-config", "with-another-entry"],
)
def test_a_cased_vocabulary_keeps_upper_case_and_it_is_said(
    files: dict[str, dict[str, object]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = folder_with(tmp_path / "cased", CASED, **files)
    with caplog.at_level(logging.WARNING, "qakit"):
        tokenizer = load_tokenizer(folder)
    assert tokenizer.tokenize("Paris Müller") == ["Paris", "Müller"]
    (message,) = caplog.messages
    assert f"4 of its {len(CASED) + 9} pieces" in message
    assert "'Müller'" in message
    caplog.clear()
    tokenizer.save_pretrained(tmp_path / "saved")
    with caplog.at_level(logging.WARNING, "qakit"):
        assert load_tokenizer(str(tmp_path / "saved")).tokenize("Paris") == ["Paris"]
    assert not caplog.messages
    (tmp_path / "cased" / "tokenizer_config.json").write_text(
        '{"do_lower_case": true, "tokenizer_class": "BertTokenizer"}', "utf-8"
    )
    with caplog.at_level(logging.WARNING, "qakit"):
        assert load_tokenizer(folder).tokenize("Paris") == ["paris"]
    assert not caplog.messages


def test_an_uncased_vocabulary_and_one_that_says_what_it_is_are_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    many = [*UNCASED, *(f"piece{i}" for i in range(200))]
    bert = {"model_type": "bert"}
    with caplog.at_level(logging.WARNING, "qakit"):
        load_tokenizer(folder_with(tmp_path / "uncased", many, config=bert))
        load_tokenizer(folder_with(tmp_path / "a", CASED, config=bert, tokenizer_config={"do_lower_case": True}))
    assert not caplog.messages
