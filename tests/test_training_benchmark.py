"""``benchmarks/training.py`` and ``benchmarks/glue.py`` with toy sizes: the peers' side is ours to get right, too."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def training() -> Iterator[Any]:
    """The script as a module. Its folder is not on the path for longer: others there have common names."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")
        import training

        yield training


def test_the_peers_windows_hold_the_answers(training: Any, samples: Path, tiny_backbone: Path) -> None:
    examples = training.read(samples / "squad-dev.json")[:40]
    tokenizer = AutoTokenizer.from_pretrained(tiny_backbone)
    rows = training.features(tokenizer, examples, padded=False, targets=False)
    labelled = training.features(tokenizer, examples, padded=False)
    found = set()
    for row, target in zip(rows, labelled, strict=True):
        example, first, last = examples[row["example"]], target["start_positions"], target["end_positions"]
        if last:
            start, end = row["offsets"][first][0], row["offsets"][last][1]
            assert start <= example.answers[0].start < example.answers[0].end <= end
            found.add(example.id)
    assert len(found) > 30
    padded = training.features(tokenizer, examples[:2], padded=True)
    assert {len(each["input_ids"]) for each in padded} == {training.WIDTH}


@pytest.mark.slow
def test_all_sides_train_and_answer(
    training: Any, tiny_backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "figures.json"
    monkeypatch.setattr(training, "WIDTH", 160)
    monkeypatch.setattr(training, "OVERLAP", 48)
    sizes = "--questions 20 --dev-questions 4 --epochs 1 --steps 2 --rounds 1 --learn"
    monkeypatch.setattr(
        sys, "argv", ["training.py", "--backbone", str(tiny_backbone), *sizes.split(), "--output", str(file)]
    )
    training.main()
    figures = json.loads(file.read_text("utf-8"))
    assert figures["rates"].keys() == figures["learnt"].keys() == {"qakit", "run_qa", "trainer"}
    assert all(rate > 0 for rate in figures["rates"].values())
    assert len({side["windows"] for side in figures["learnt"].values()}) == 1, "the same windows on all sides"
    assert all(len(side["exact_match"]) == 4 for side in figures["learnt"].values())


@pytest.mark.slow
def test_all_sides_train_and_classify(tiny_backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    glue = importlib.import_module("glue")
    rows = [f"a {word} film\t{number % 2}" for number, word in enumerate(["dull", "good"] * 6)]
    for name in ("train.tsv", "dev.tsv"):
        (tmp_path / name).write_text("\n".join(["sentence\tlabel", *rows, ""]), "utf-8")
    file = tmp_path / "figures.json"
    sizes = ["--sentences", "8", "--epochs", "4", "--backbone", str(tiny_backbone), "--output", str(file)]
    monkeypatch.setattr(glue, "BATCH", 4)
    monkeypatch.setattr(sys, "argv", ["glue.py", str(tmp_path), *sizes])
    glue.main()
    figures = json.loads(file.read_text("utf-8"))
    assert figures.keys() == {"qakit", "run_glue", "trainer"}
    assert {side["sentences"] for side in figures.values()} == {32}
    assert all(len(side["accuracy"]) == 12 for side in figures.values())
