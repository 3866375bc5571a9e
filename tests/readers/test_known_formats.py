"""Which format a file has: for `qakit init`, and for whoever names another's reader."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from readers.published_files import PUBLISHED, natural, write_lines

from qakit.api import DataError
from qakit.data.read import read_examples
from qakit.drafting.understand import understand
from qakit.registry import load_registry

Read = Callable[..., Any]


@pytest.mark.parametrize("name", PUBLISHED)
def test_init_knows_which_reader_a_file_wants(name: str, tmp_path: Path) -> None:
    write, reader, settings = PUBLISHED[name]
    found = understand(write(tmp_path), load_registry())
    assert (found.name, dict(found.settings)) == (reader, settings)


def test_init_reads_the_beginning_of_json_lines_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of 17 GB, as Natural Questions has them, fit into no memory."""
    whole: list[Path] = []
    monkeypatch.setattr("qakit.reading.files.read_bytes", lambda path: whole.append(path) or path.read_bytes())
    understand(PUBLISHED["Natural Questions"][0](tmp_path), load_registry())
    assert whole == []
    understand(PUBLISHED["HotpotQA"][0](tmp_path), load_registry())
    assert whole


@pytest.mark.parametrize(
    ("name", "reader"),
    [
        ("MRQA", "squad"),
        ("Natural Questions", "squad"),
        ("HotpotQA", "squad"),
        ("NewsQA, combined", "squad"),
        ("TriviaQA", "squad"),
        ("TriviaQA", "hotpotqa"),
        ("Label Studio", "triviaqa"),
        ("TyDi's gold passages", "mrqa"),
        ("HotpotQA", "label_studio"),
    ],
)
def test_another_formats_reader_says_what_the_file_looks_like(
    name: str, reader: str, tmp_path: Path, read: Read
) -> None:
    write, wanted, _ = PUBLISHED[name]
    with pytest.raises(DataError, match=f"this looks like the {wanted} format"):
        read(reader, write(tmp_path))


def test_a_record_that_lacks_a_field_is_not_said_to_be_what_its_reader_reads(tmp_path: Path, read: Read) -> None:
    """As in a circle: the reader of that format was asked."""
    whole = {**natural(), "document_tokens": []}
    del whole["document_text"]
    with pytest.raises(DataError, match=r"field 'document_text': the field is missing \(to "):
        read("natural_questions", write_lines(tmp_path / "nq.jsonl", whole))
    (tmp_path / "one.json").write_text(json.dumps({"id": 1, "data": {"text": "Ulm"}, "annotations": []}))
    with pytest.raises(DataError, match="should be a list of tasks") as refused:
        read("label_studio", tmp_path / "one.json")
    assert "looks like" not in str(refused.value)


@pytest.mark.parametrize("name", PUBLISHED)
def test_labels_of_files_that_are_only_predicted_are_left_alone(name: str, tmp_path: Path) -> None:
    path = PUBLISHED[name][0](tmp_path)
    reader = understand(path, load_registry()).reader
    known, asked = (read_examples(reader, path, predicted_only=only).examples for only in (False, True))
    assert any(example.labelled for example in known) and not any(example.labelled for example in asked)
    unlabelled = {"answers": None, "relevant": None}
    assert [replace(example, **unlabelled) for example in known] == list(asked)  # type: ignore[arg-type]
