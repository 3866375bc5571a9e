"""Every installed component keeps the contract of its kind, checked with what plugin authors use."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qakit import testing
from qakit.components import KINDS
from qakit.registry import Entry, load_registry
from qakit.values import Targets

ENTRIES = [entry for entry in load_registry().entries() if entry.package == "qakit"]

SETTINGS: dict[str, list[dict[str, Any]]] = {
    "readers/glue": [{"task": "SST-2"}],
    "readers/table": [{"question": "q", "context": "c", "answer_text": "a"}],
    "backbones/drqa": [
        {"embedding": 8, "width": 4},
        {"embedding": 5, "width": 3, "layers": 1, "longest_match": 1, "dropout": 0.0},
    ],
    "adapters/bitfit": [{}, {"which": "attention"}, {"which": "mlp"}],
    "adapters/freeze": [{}, {"layers": 1}, {"embeddings": False, "layers": 1}],
    "preprocessors/stride": [{}, {"overlap": 0}, {"overlap": 5}, {"step": 1}],
    "preprocessors/random_window": [{}, {"per_example": 3}],
    "preprocessors/every_context": [{}, {"train_contexts": 2}],
    "preprocessors/concatenate": [{}, {"overlap": 3}],
    "metrics/squad_v2": [{}, {"primary": "exact"}],
    "metrics/glue": [{"task": "SST-2"}, {"task": "MRPC"}, {"task": "CoLA"}],
    "writers/csv": [{}, {"line_end": "\r\n", "bom": True}, {"quoting": "all", "header": False}],
}
"""Settings to check beside (or instead of) the defaults, by kind and name."""

CLASSES, NUMBERS = ("1", "0", "0", "1"), (0.5, 4.0, 2.0, 2.0)
SEVERAL = [Targets(pair, ("a", "b")) for pair in ((1, 0), (0, 1), (0, 0), (1, 1))]
OPTIONS: dict[str, dict[str, Any]] = {
    "heads/classifier": {"labels": CLASSES[:2]},
    "preprocessors/truncate": {"texts": True},
    "ensemblers/mean": {"labels": CLASSES},
    "writers/glue": {"labels": CLASSES},
    "metrics/accuracy": {"labels": CLASSES},
    "metrics/accuracy_f1": {"labels": CLASSES},
    "metrics/auc": {"labels": CLASSES},
    "metrics/log_loss": {"labels": CLASSES},
    "metrics/columnwise_auc": {"labels": SEVERAL},
    "metrics/columnwise_rmse": {"labels": SEVERAL},
    "metrics/columnwise_spearman": {"labels": SEVERAL},
    "metrics/glue": {"labels": CLASSES},
    "metrics/matthews": {"labels": CLASSES},
    "metrics/pearson_spearman": {"labels": NUMBERS},
    "metrics/quadratic_kappa": {"labels": ("1", "3", "2")},
    "metrics/selection": {"contexts": (0, 2, 1)},
}
"""What a check must know of a component that is not for spans."""

CONTEXT = "The tide comes twice a day."
FILES: dict[str, dict[str, Any]] = {
    "squad": {
        "data.json": {
            "data": [
                {
                    "title": "t",
                    "paragraphs": [
                        {
                            "context": CONTEXT,
                            "qas": [{"id": "1", "question": "q?", "answers": [{"text": "twice", "answer_start": 15}]}],
                        }
                    ],
                }
            ]
        }
    },
    "hw7": {
        "data.json": {
            "questions": [
                {
                    "id": 0,
                    "paragraph_id": 0,
                    "question_text": "q?",
                    "answer_text": "twice",
                    "answer_start": 15,
                    "answer_end": 19,
                }
            ],
            "paragraphs": [CONTEXT],
        }
    },
    "adl": {
        "data.json": [
            {
                "id": "1",
                "question": "q?",
                "paragraphs": [1, 0],
                "relevant": 0,
                "answer": {"text": "twice", "start": 15},
            }
        ],
        "context.json": [CONTEXT, CONTEXT],
    },
    "mrqa": {
        "data.jsonl": {
            "context": CONTEXT,
            "qas": [
                {
                    "qid": "1",
                    "question": "q?",
                    "answers": ["twice"],
                    "detected_answers": [{"text": "twice", "char_spans": [[15, 19]]}],
                }
            ],
        }
    },
    "natural_questions": {
        "data.jsonl": {
            "example_id": 1,
            "question_text": "q?",
            "document_text": CONTEXT,
            "long_answer_candidates": [{"start_token": 0, "end_token": 6, "top_level": True}],
            "annotations": [
                {
                    "long_answer": {"start_token": 0, "end_token": 6},
                    "short_answers": [{"start_token": 3, "end_token": 4}],
                }
            ],
        }
    },
    "hotpotqa": {"data.json": [{"_id": "1", "question": "q?", "answer": "twice", "context": [["t", [CONTEXT]]]}]},
    "multispanqa": {
        "data.json": {
            "data": [
                {
                    "id": "1",
                    "question": ["q?"],
                    "context": CONTEXT.split(),
                    "label": ["O", "O", "O", "B", "O", "B"],
                    "num_span": 2,
                }
            ]
        }
    },
    "newsqa": {
        "data.json": {
            "data": [{"storyId": "s", "text": CONTEXT, "questions": [{"q": "q?", "consensus": {"s": 15, "e": 20}}]}]
        }
    },
    "triviaqa": {
        "data.json": {
            "Data": [
                {
                    "QuestionId": "1",
                    "Question": "q?",
                    "Answer": {"Value": "twice"},
                    "EntityPages": [{"Filename": "tides", "wiki_context": CONTEXT}],
                }
            ]
        }
    },
    "brat": {"data.ann": "T1\tCount 15 20\ttwice\n", "data.txt": CONTEXT},
    "label_studio": {
        "data.json": [
            {
                "id": 1,
                "data": {"text": CONTEXT},
                "annotations": [{"result": [{"value": {"start": 15, "end": 20, "labels": ["Count"]}}]}],
            }
        ]
    },
    "glue": {"data.tsv": "sentence\tlabel\na fine film\t1\n"},
    "table": {"data.csv": f"q,c,a\nq?,{CONTEXT},twice\n"},
}
"""A small file for each reader; the first one is read."""


OWN_TESTS = ("writers/natural_questions",)
"""Components that need more than settings."""


def of_kind(kind: str) -> Any:
    """Parametrises a test over the components of one kind and their settings."""
    cases = [
        pytest.param(entry, settings, id=f"{entry.name}-{number}")
        for entry in ENTRIES
        if entry.kind == kind and f"{kind}/{entry.name}" not in OWN_TESTS
        for number, settings in enumerate(SETTINGS.get(f"{entry.kind}/{entry.name}", [{}]))
    ]
    return pytest.mark.parametrize(("entry", "settings"), cases)


def checked(check: Callable[..., Any], entry: Entry, settings: dict[str, Any], *arguments: Any) -> Any:
    options = OPTIONS.get(f"{entry.kind}/{entry.name}", {})
    return check(entry.component, entry.component.settings.model_validate(settings), *arguments, **options)


@of_kind("observers")
def test_observers(entry: Entry, settings: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip(entry.name)
    checked(testing.check_observer, entry, settings, tmp_path)


def test_the_expected_components_are_there() -> None:
    assert {kind: [entry.name for entry in ENTRIES if entry.kind == kind] for kind in KINDS} == {
        "readers": [
            "adl",
            "brat",
            "glue",
            "hotpotqa",
            "hw7",
            "label_studio",
            "mrqa",
            "multispanqa",
            "natural_questions",
            "newsqa",
            "squad",
            "table",
            "triviaqa",
        ],
        "preprocessors": ["centred", "concatenate", "every_context", "random_window", "stride", "truncate"],
        "backbones": ["drqa"],
        "adapters": ["bitfit", "freeze", "full", "ia3", "layernorm", "lora", "prompt"],
        "heads": ["classifier", "crf", "joint_span", "linear_span", "multiple_choice", "paragraph_scorer"],
        "postprocessors": ["length_prior", "number_units", "special_chars", "trim_to_tokens"],
        "ensemblers": ["char_average", "mean", "nbest", "voting"],
        "writers": ["csv", "glue", "jsonl", "natural_questions", "squad_json"],
        "metrics": [
            "accuracy",
            "accuracy_f1",
            "auc",
            "cmrc2018",
            "columnwise_auc",
            "columnwise_rmse",
            "columnwise_spearman",
            "exact_match",
            "glue",
            "jaccard",
            "log_loss",
            "matthews",
            "micro_f1",
            "multi_span",
            "pearson_spearman",
            "quadratic_kappa",
            "selection",
            "squad_v1",
            "squad_v2",
        ],
        "observers": ["mlflow", "swanlab", "tensorboard", "trackio", "wandb"],
    }


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: f"{entry.kind}-{entry.name}")
def test_declaration(entry: Entry) -> None:
    testing.check_component(entry.kind, entry.component)
    assert not entry.component.summary.endswith("."), "summaries are titles: no full stop"


@of_kind("readers")
def test_readers(entry: Entry, settings: dict[str, Any], tmp_path: Path) -> None:
    for name, content in FILES[entry.name].items():
        text = content if isinstance(content, str) else json.dumps(content)
        (tmp_path / name).write_text(text, encoding="utf-8")
    examples = checked(testing.check_reader, entry, settings, tmp_path / next(iter(FILES[entry.name])))
    assert len(examples) == 1


@of_kind("preprocessors")
def test_preprocessors(entry: Entry, settings: dict[str, Any]) -> None:
    checked(testing.check_preprocessor, entry, settings)


@of_kind("backbones")
def test_backbones(entry: Entry, settings: dict[str, Any]) -> None:
    checked(testing.check_backbone, entry, settings)


@of_kind("adapters")
def test_adapters(entry: Entry, settings: dict[str, Any]) -> None:
    checked(testing.check_adapter, entry, settings)


@of_kind("heads")
def test_heads(entry: Entry, settings: dict[str, Any]) -> None:
    checked(testing.check_head, entry, settings)


@of_kind("postprocessors")
def test_postprocessors(entry: Entry, settings: dict[str, Any]) -> None:
    checked(testing.check_postprocessor, entry, settings)


@of_kind("ensemblers")
def test_ensemblers(entry: Entry, settings: dict[str, Any]) -> None:
    checked(testing.check_ensembler, entry, settings)


@of_kind("writers")
def test_writers(entry: Entry, settings: dict[str, Any], tmp_path: Path) -> None:
    checked(testing.check_writer, entry, settings, tmp_path)


def test_the_writer_of_natural_questions(tmp_path: Path) -> None:
    """It wants the file of the questions: theirs, and the answers that their context has not, in one document."""
    from qakit.testing.answers import ANSWERS, CONTEXT

    text = " ".join([CONTEXT, *(answer for answer in ANSWERS if answer not in CONTEXT)])
    passage = {"start_token": 0, "end_token": len(text.split(" ")), "top_level": True}
    rows = [
        {"example_id": f"q{number}", "document_text": text, "long_answer_candidates": [passage]}
        for number in range(len(ANSWERS))
    ]
    questions = tmp_path / "questions.jsonl"
    questions.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    (tmp_path / "written").mkdir()
    (entry,) = (each for each in ENTRIES if each.kind == "writers" and each.name == "natural_questions")
    checked(testing.check_writer, entry, {"questions": str(questions)}, tmp_path / "written")


@of_kind("metrics")
def test_metrics(entry: Entry, settings: dict[str, Any]) -> None:
    checked(testing.check_metric, entry, settings)
