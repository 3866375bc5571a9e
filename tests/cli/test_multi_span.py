"""From MultiSpanQA's files to lists of answers, their score and their page."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from command_line import Invoke

NAMES = ("Ulm", "Bonn", "Kiel", "Jena")


def question(number: int, *, labelled: bool = True) -> dict[str, Any]:
    """The names in a text are the answer: none, one, or several."""
    held = [name for place, name in enumerate(NAMES) if number >> place & 1]
    context = ["They", "saw", *(word for name in held for word in (name, "and")), "the", "tide", str(number), "."]
    asked = {"id": f"q{number}", "question": ["which", "towns", "?"], "context": context}
    labels = ["B" if word in NAMES else "O" for word in context]
    return asked | ({"label": labels, "num_span": len(held)} if labelled else {})


@pytest.fixture(scope="module")
def run(tiny_backbone: Path, invoke: Invoke, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained run; its data and recipe lie beside it."""
    folder = tmp_path_factory.mktemp("multispan")
    for name, numbers, labelled in (
        ("train", range(48), True),
        ("valid", range(48, 64), True),
        ("test", range(3), False),
    ):
        rows = [question(number, labelled=labelled) for number in numbers]
        (folder / f"{name}.json").write_text(json.dumps({"version": 1.0, "data": rows}))
    recipe = {
        "data": {
            "reader": "multispanqa",
            "train": "train.json",
            "validation": "valid.json",
            "test": "test.json",
        },
        "backbone": {"source": str(tiny_backbone)},
        "windows": {"max_length": 16, "max_question_length": 4},  # several windows for a question
        "preprocess": {"train": {"name": "stride", "overlap": 3}, "predict": {"name": "stride", "overlap": 3}},
        "head": {"name": "crf", "spans": "many"},
        "train": {"epochs": 4, "batch_size": 8, "learning_rate": 5e-3, "precision": "fp32"},
        "predict": {"max_answer_length": 6},
        "metric": "multi_span",
        "writer": "squad_json",
    }
    (folder / "recipe.yaml").write_text(json.dumps(recipe))
    done = invoke("train", folder / "recipe.yaml", "--output", folder / "run", "--quiet")
    assert done.exit_code == 0, done.output
    return folder / "run"


def test_all_answers_are_learnt_written_and_scored(run: Path, invoke: Invoke) -> None:
    figures = json.loads((run / "metrics.json").read_text())["validation"]
    assert figures["exact_match_f1"] > 90
    written = json.loads((run / "predictions" / "submission.json").read_text())
    assert written["q0"] == []
    assert written.keys() == {"q0", "q1", "q2"}
    kept = [json.loads(line) for line in (run / "predictions/validation/nbest.jsonl").open()]
    for line in kept:
        context = " ".join(question(int(line["id"][1:]))["context"])
        assert line["answers"] == [context[each["start"] : each["end"]] for each in line["candidates"]]
    answers = {line["id"]: line["answers"] for line in kept}
    (run.parent / "answers.json").write_text(json.dumps(answers))
    files = ("--predictions", run.parent / "answers.json", "--gold", run.parent / "valid.json")
    scored = invoke("score", *files, "--reader", "multispanqa", "--metric", "multi_span", "--json")
    assert scored.exit_code == 0, scored.output
    again = json.loads(scored.stdout)
    assert all(again[name] == pytest.approx(figures[name]) for name in again)


def test_evaluate_predict_and_ensemble_know_sets(run: Path, invoke: Invoke, tmp_path: Path) -> None:
    assert invoke("evaluate", run).exit_code == 0
    for name in ("answers.jsonl", "answers.json"):
        done = invoke("predict", run, "-i", run.parent / "test.json", "-o", tmp_path / name)
        assert done.exit_code == 0, done.output
    lines = [json.loads(line) for line in (tmp_path / "answers.jsonl").open()]
    assert {line["id"]: line["answer"] for line in lines} == json.loads((tmp_path / "answers.json").read_text())
    shutil.copytree(run, tmp_path / "again")
    voted = invoke("ensemble", run, tmp_path / "again", "--method", "voting", "-o", tmp_path / "voted.json")
    assert voted.exit_code == 0, voted.output
    assert (tmp_path / "voted.json").read_text() == (tmp_path / "answers.json").read_text()


def test_the_page_marks_every_answer(run: Path, invoke: Invoke, tmp_path: Path) -> None:
    assert invoke("view", run, "-o", tmp_path / "page.html").exit_code == 0
    found = re.search(r'<script[^>]*id="data"[^>]*>(.*?)</script>', (tmp_path / "page.html").read_text(), re.DOTALL)
    assert found is not None
    data = json.loads(found[1])
    assert data["kind"] == "sets"
    rows = zip(data["questions"], data["answers"][0], strict=True)
    assert all(len(asked["g"]) == len(said["n"]) for asked, said in rows if said["r"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("head=linear_span", "have several answers that are right only together, and the head 'linear_span' gives one"),
        (
            "predict.aggregation=max",
            "is for a single answer, and the head 'crf' gives all answers of a window together",
        ),
        ("predict.character_scores=true", "is for a single answer"),
        ("metric=squad_v1", "this metric scores single answers, but"),
        ("folds={k: 2, combine: nbest, repeats: ignore}", "is all answers together; nbest is for single ones"),
    ],
)
def test_what_cannot_work_is_refused_before_training(run: Path, invoke: Invoke, change: str, message: str) -> None:
    refused = invoke("train", run.parent / "recipe.yaml", "--set", change, "--output", run.parent / "other")
    assert refused.exit_code != 0
    assert message in f"{refused.output} {refused.exception}"
    assert not (run.parent / "other").exists()
