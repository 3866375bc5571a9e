"""A made-up ADL set of the project's own sample, a trained pipeline, and tiny runs that are handed in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import Invoke, checkpoints_kept
from sample_questions import write_first_questions
from tiny_handins import GLUE, ODD, SQUAD, Train

STAGE = """\
data:
  reader: adl
  train: {data}/train.json
  validation: {data}/valid.json
  test: {data}/test.json
  sample_submission: {data}/sample_submission.csv
backbone: {{source: {backbone}}}
windows: {{max_length: 144, max_question_length: 24}}
train:
  epochs: 1
  batch_size: 16
  learning_rate: 2e-3
  precision: fp32
writer: {{name: csv, id_column: id, answer_column: answer}}
"""
SELECTION = (
    STAGE
    + """\
preprocess: {{train: every_context, predict: every_context}}
head: multiple_choice
metric: selection
"""
)
SPAN = (
    STAGE
    + """\
preprocess:
  train: {{name: stride, overlap: 32, contexts: answer, negatives: none}}
  predict: {{name: stride, overlap: 32}}
metric: exact_match
"""
)
TWO_STAGE = """\
description: two stages
stages:
  selection: selection.yaml
  span: span.yaml
combine: {top_k: 2}
"""


@pytest.fixture(scope="session")
def adl_data(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """context.json; train.json (24), valid.json (20), test.json (8) of four paragraphs each; sample_submission.csv."""
    folder = tmp_path_factory.mktemp("adl")
    contexts: list[str] = []
    for name, source, limit in (("train", "train", 24), ("valid", "dev", 20), ("test", "dev", 8)):
        records = []
        for article in json.loads((samples / f"squad-{source}.json").read_text("utf-8"))["data"]:
            for paragraph in article["paragraphs"]:
                number = len(contexts)
                contexts.append(paragraph["context"])
                answered = [item for item in paragraph["qas"] if item.get("answers")]
                records += [_record(item, number, labelled=name != "test") for item in answered[:3]]
        step = max(1, len(records) // limit)
        chosen = records[step // 2 :: step][:limit]
        for place, record in enumerate(chosen):
            others = [(record["paragraphs"][0] + shift) % len(contexts) for shift in (1, 2, 3)]
            others.insert(place % 4, record["paragraphs"][0])
            record["paragraphs"] = others
        (folder / f"{name}.json").write_text(json.dumps(chosen, ensure_ascii=False), "utf-8")
    (folder / "context.json").write_text(json.dumps(contexts, ensure_ascii=False), "utf-8")
    ids = [record["id"] for record in json.loads((folder / "test.json").read_text("utf-8"))]
    (folder / "sample_submission.csv").write_bytes(b"id,answer\r\n" + b"".join(f"{id_},\r\n".encode() for id_ in ids))
    return folder


def _record(item: dict[str, Any], number: int, *, labelled: bool) -> dict[str, Any]:
    record = {"id": item["id"], "question": item["question"], "paragraphs": [number]}
    if labelled:
        answer = item["answers"][0]
        record |= {"relevant": number, "answer": {"text": answer["text"], "start": answer["answer_start"]}}
    return record


@pytest.fixture(scope="session")
def pipeline_recipe(adl_data: Path, tiny_backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """two-stage.yaml beside selection.yaml and span.yaml."""
    folder = tmp_path_factory.mktemp("recipes")
    for name, text in (("selection", SELECTION), ("span", SPAN)):
        (folder / f"{name}.yaml").write_text(text.format(data=adl_data, backbone=tiny_backbone), "utf-8")
    (folder / "two-stage.yaml").write_text(TWO_STAGE, "utf-8")
    return folder / "two-stage.yaml"


@pytest.fixture(scope="session")
def trained_pipeline(pipeline_recipe: Path, invoke: Invoke, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished pipeline, with the checkpoints of its stages."""
    folder = tmp_path_factory.mktemp("runs") / "two"
    with checkpoints_kept():
        result = invoke("train", pipeline_recipe, "--output", folder, "--quiet")
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture(scope="session")
def questions(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train.json (32), dev.json (24), test.json (8); some texts are odd."""
    folder = tmp_path_factory.mktemp("questions")
    write_first_questions(samples, folder, train=32, dev=24, test=8)
    file = folder / "dev.json"
    held = json.loads(file.read_text("utf-8"))
    texts = ("Who wrote it?", "\u8ab0\u5beb\u7684\uff1f", "e\u0301 \U0001f600")
    asked = [{"id": f"odd {number}", "question": text, "answers": []} for number, text in enumerate(texts)]
    held["data"].append({"title": "odd", "paragraphs": [{"context": ODD * 9, "qas": asked}]})
    blank = [{"id": "blank", "question": "What?", "answers": []}]
    held["data"].append({"title": "blank", "paragraphs": [{"context": " . ", "qas": blank}]})
    file.write_text(json.dumps(held, ensure_ascii=False), "utf-8")
    return folder


@pytest.fixture(scope="session")
def train_tiny(questions: Path, tiny_backbone: Path, invoke: Invoke, tmp_path_factory: pytest.TempPathFactory) -> Train:
    """``train_tiny("name", "head=crf", ...)``: a finished run of the tiny recipe under these settings, made once."""
    folder = tmp_path_factory.mktemp("handin")
    recipe = folder / "tiny.yaml"
    recipe.write_text(SQUAD.format(data=questions, backbone=tiny_backbone), "utf-8")

    def train(name: str, *settings: str, text: str | None = None) -> Path:
        run, file = folder / "runs" / name, recipe
        if run.is_dir():
            return run
        if text is not None:
            file = folder / f"{name}.yaml"
            file.write_text(text, "utf-8")
        chosen: list[Any] = [part for setting in settings for part in ("--set", setting)]
        result = invoke("train", file, *chosen, "--output", run, "--quiet")
        assert result.exit_code == 0, result.output
        return run

    return train


@pytest.fixture(scope="session")
def linear_run(train_tiny: Train) -> Path:
    """Start and end scores, averaged over windows; with the evaluations that courses want to see."""
    return train_tiny("linear", "train.evaluations=5")


@pytest.fixture(scope="session")
def glue_recipe(tiny_backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """A recipe for a made-up file of a GLUE task."""

    def text(task: str) -> str:
        folder = tmp_path_factory.mktemp(task)
        for name, count in (("train", 24), ("dev", 12)):
            rows = [f"the film number {n} is {'good' if n % 3 else 'bad and long'}" for n in range(count)]
            lines = ["sentence\tlabel", *(f"{row}\t{n % 2}" for n, row in enumerate(rows))]
            if task == "STS-B":
                lines = ["index\tsentence1\tsentence2\tscore"]
                lines += [f"{n}\t{row}\t{rows[n - 1]} indeed\t{n % 5}.5" for n, row in enumerate(rows)]
            (folder / f"{name}.tsv").write_text("\n".join(lines) + "\n", "utf-8")
        return GLUE.format(data=folder, backbone=tiny_backbone, task=task)

    return text


@pytest.fixture(scope="session")
def handed_in(linear_run: Path, invoke: Invoke, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with start and end scores."""
    folder = tmp_path_factory.mktemp("handed-in") / "r12345678"
    result = invoke("handin", linear_run, "--output", folder)
    assert result.exit_code == 0, result.output
    assert "its answers to 28 questions are those of qakit predict" in result.output
    return folder
