"""What ``qakit.pipeline`` refuses beside the old one's cases: one line each, before anything is scored or loaded."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import published
import pytest
from torch import nn

import qakit
from qakit.errors import ModelError, QakitError, UsageError
from qakit.inference import checkpoint
from qakit.inference.question_answering import QuestionAnsweringPipeline

FOUNDED, PARIS = "Where was HuggingFace founded ?", "HuggingFace was founded in Paris."


@pytest.fixture(scope="module")
def pipe(tmp_path_factory: pytest.TempPathFactory) -> QuestionAnsweringPipeline:
    folder = published.publish("Bert", [FOUNDED, PARIS], tmp_path_factory.mktemp("published") / "bert")
    return qakit.pipeline("question-answering", model=folder, device="cpu")


@pytest.mark.parametrize(
    ("args", "named"),
    [
        ((), {}),
        ((), {"question": FOUNDED}),
        ((), {"context": PARIS}),
        # The old pipeline took the rest, and answered from what nobody meant.
        ((" \n", PARIS), {}),
        ((FOUNDED, "\t"), {}),
        ((FOUNDED, [PARIS]), {}),
        (({FOUNDED}, PARIS), {}),
        ((FOUNDED, PARIS, PARIS), {}),
        (({"question": FOUNDED, "context": PARIS},), {"data": []}),
        ((), {"X": {"question": FOUNDED, "context": PARIS}, "data": {"question": FOUNDED, "context": PARIS}}),
    ],
)
def test_input_that_cannot_be_meant(
    pipe: QuestionAnsweringPipeline, args: tuple[Any, ...], named: dict[str, Any]
) -> None:
    with pytest.raises(UsageError) as raised:
        pipe(*args, **named)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("argument", "problem"),
    [
        ({"top_k": 0}, "top_k is 0; it must be at least 1"),
        ({"top_k": True}, "top_k is True; it must be a whole number of at least 1"),
        ({"top_k": "3"}, "top_k is '3'; it must be a whole number of at least 1"),
        ({"topk": -1}, "topk is -1; it must be at least 1"),
        ({"max_answer_len": 0}, "max_answer_len is 0; it must be at least 1"),
        ({"max_seq_len": 64.0}, "max_seq_len is 64.0; it must be a whole number of at least 1"),
        ({"max_seq_len": 161}, "max_seq_len is 161 but the backbone reads at most 160 tokens"),
        ({"doc_stride": -1}, "doc_stride is -1; it must be at least 1"),
        ({"doc_stride": 64, "max_seq_len": 64}, "doc_stride is 64; it must be less than max_seq_len (64)"),
        ({"handle_impossible_answer": 1}, "handle_impossible_answer is 1; it must be True or False"),
        ({"align_to_words": "no"}, "align_to_words is 'no'; it must be True or False"),
        ({"batch_size": 0}, "batch_size is 0; it must be at least 1"),
        ({"max_seq_length": 64}, "the pipeline has no argument 'max_seq_length'; did you mean 'max_seq_len'?"),
    ],
)
def test_arguments_are_checked_before_anything_is_scored(
    pipe: QuestionAnsweringPipeline, monkeypatch: pytest.MonkeyPatch, argument: dict[str, Any], problem: str
) -> None:
    monkeypatch.setattr(type(pipe.trained), "score", lambda *_, **__: pytest.fail("scored"))
    with pytest.raises(QakitError) as raised:
        pipe(question=FOUNDED, context=PARIS, **argument)
    assert str(raised.value) == problem


def test_old_arguments_without_meaning_are_passed_over(pipe: QuestionAnsweringPipeline) -> None:
    plain = pipe(question=FOUNDED, context=PARIS)
    assert pipe(question=FOUNDED, context=PARIS, padding="max_length", num_workers=2, doc_stride=None) == plain


def test_windows_may_do_without_overlap(pipe: QuestionAnsweringPipeline) -> None:
    answer: Any = pipe(question=FOUNDED, context=PARIS * 12, max_seq_len=64, doc_stride=0)
    assert answer["answer"] in PARIS * 12


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"task": "summarization"}, "qakit has no pipeline for 'summarization', only 'question-answering'"),
        ({"device": "gpu"}, "device is 'gpu'; here it must be 'cpu'"),
        ({"device": 1.5}, "device is 1.5; here it must be 'cpu'"),
        ({"dtype": "int8"}, "dtype is 'int8'; it must be float32, bfloat16 or float16"),
        ({"top_k": 0}, "top_k is 0; it must be at least 1"),
        ({"batch_size": 0}, "batch_size is 0; it must be at least 1"),
        ({"frame": "pt"}, "the pipeline has no argument 'frame'"),
    ],
)
def test_options_of_the_pipeline_are_checked_before_a_model_is_loaded(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(UsageError) as raised:
        qakit.pipeline(model="deepset/nosuch", **options)
    assert str(raised.value) == problem


def test_what_has_no_scores_of_its_own_is_refused() -> None:
    stages: Any = SimpleNamespace(run=SimpleNamespace(folder="runs/two"))
    with pytest.raises(UsageError, match=r"^runs/two \(a pipeline of two stages\) has no start and end scores"):
        QuestionAnsweringPipeline(stages)


def test_a_revision_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str | None] = []

    def find(source: str, *, revision: str | None, **_: Any) -> Any:
        asked.append(revision)
        raise ModelError("not found")

    monkeypatch.setattr(checkpoint, "find_source", find)
    for revision in ("v2", None):
        with pytest.raises(ModelError, match="not found"):
            checkpoint.load_checkpoint("somebody/model", revision=revision)
    assert asked == ["v2", None]


def test_a_model_without_a_name_is_called_as_its_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "trained_of", lambda published, *_, **__: published.name)
    model, tokenizer = nn.Linear(1, 1), cast(Any, None)
    assert checkpoint.load_objects(model, tokenizer) == "Linear"
    model.name_or_path = "somebody/model"  # type: ignore[assignment]
    assert checkpoint.load_objects(model, tokenizer) == "somebody/model"
