"""The official scripts' figures on real predictions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from qakit.metrics.cmrc import cmrc2018, cmrc2018_official_format
from qakit.metrics.squad import squad_v1, squad_v2
from qakit.values import Answer, Example

pytestmark = pytest.mark.shared_data


def load(shared_data: Path, name: str) -> tuple[dict[str, Any], list[Example]]:
    """The case, and its gold examples straight from the JSON."""
    case = json.loads((shared_data / "metric_parity" / f"{name}.json").read_text(encoding="utf-8"))
    gold = next(
        path for path in (shared_data / case["gold"], shared_data / "metric_parity" / case["gold"]) if path.exists()
    )
    examples = [
        Example(
            question["id"],
            question["question"],
            (paragraph["context"],),
            tuple(Answer(answer["text"], None) for answer in question["answers"]),
        )
        for article in json.loads(gold.read_text(encoding="utf-8"))["data"]
        for paragraph in article["paragraphs"]
        for question in paragraph["qas"]
    ]
    return case, examples


def test_squad_v1(shared_data: Path) -> None:
    case, examples = load(shared_data, "squad_v1")
    assert squad_v1(examples, case["predictions"]) == pytest.approx(case["expected"], abs=1e-6)


def test_squad_v2(shared_data: Path) -> None:
    case, examples = load(shared_data, "squad_v2")
    assert squad_v2(examples, case["predictions"]) == pytest.approx(case["expected"], abs=1e-6)


def test_squad_v2_with_probabilities(shared_data: Path) -> None:
    case, examples = load(shared_data, "squad_v2")
    figures = squad_v2(examples, case["predictions"], no_answer_probability=case["no_answer_probability"])
    assert figures == pytest.approx(case["expected_with_no_answer_probability"], abs=1e-6)


def test_cmrc2018(shared_data: Path) -> None:
    case, examples = load(shared_data, "cmrc2018")
    assert cmrc2018_official_format(cmrc2018(examples, case["predictions"])) == case["expected"]
