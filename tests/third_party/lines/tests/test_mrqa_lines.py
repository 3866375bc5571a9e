"""The reader keeps qakit's contract, and takes what is wrong with a file to the policies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from qakit_mrqa_lines import MRQA_LINES

from qakit.api import Answer, DataError, NoSettings
from qakit.testing import check_component, check_reader

FILE = Path(__file__).parents[1] / "train.jsonl"


def question(name: str, *answers: Any) -> dict[str, Any]:
    return {"qid": name, "question": "Where?", "detected_answers": list(answers)}


def test_the_component_is_declared_well() -> None:
    check_component("readers", MRQA_LINES)


def test_the_reader() -> None:
    examples = check_reader(MRQA_LINES, NoSettings(), FILE, count=4)
    assert [each.answers and each.answers[0].text for each in examples] == ["two", "in the evening", "whales", ()]


def test_what_is_wrong_goes_to_the_policies(tmp_path: Path) -> None:
    wrong = {"text": "Rome", "char_spans": [[0, 3]]}
    context = {"context": "It lies in Rome \ud800.", "qas": [question("a", wrong), {"question": "Why?"}, 3]}
    path = tmp_path / "odd.jsonl"
    path.write_text(f"{json.dumps(context)}\n[]\n")
    with pytest.raises(DataError, match=r"line 1, field 'qas\[1\]\.qid': the field is missing"):
        check_reader(MRQA_LINES, NoSettings(), path)
    policies = {"missing_field": "skip", "wrong_type": "skip"}
    (example,) = check_reader(MRQA_LINES, NoSettings(), path, policies=policies)
    assert (example.contexts, example.answers) == (("It lies in Rome \ufffd.",), (Answer("Rome", 11),))
    path.write_text("{}\n{")
    with pytest.raises(DataError, match="line 2: is no JSON"):
        check_reader(MRQA_LINES, NoSettings(), path, policies=policies)
