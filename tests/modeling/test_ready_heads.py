"""A checkpoint's own head is where training begins, wherever it is the recipe's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForMultipleChoice,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertModel,
    DistilBertConfig,
    DistilBertForQuestionAnswering,
    DistilBertForSequenceClassification,
    PreTrainedModel,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from qakit.modeling.assemble import Assembled, assemble
from qakit.modeling.start import take_head
from qakit.recipe.model import Recipe
from qakit.registry import load_registry
from qakit.values import TargetNames

CPU = torch.device("cpu")
REGISTRY = load_registry()
SIZE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
NAMES = {0: "NEGATIVE", 1: "NEUTRAL", 2: "POSITIVE"}


def named(names: dict[int, str]) -> dict[str, Any]:
    return {"id2label": names, "label2id": {name: number for number, name in names.items()}}


@pytest.fixture
def published(tiny_backbone: Path, tmp_path: Path) -> Any:
    tokenizer = AutoTokenizer.from_pretrained(tiny_backbone)

    def publish(kind: type[PreTrainedModel], **entries: Any) -> Path:
        torch.manual_seed(7)
        if kind.__name__.startswith("DistilBert"):
            config: Any = DistilBertConfig(
                vocab_size=len(tokenizer), dim=32, n_layers=2, n_heads=2, hidden_dim=64, **entries
            )
        elif kind.__name__.startswith("Roberta"):
            config = RobertaConfig(vocab_size=len(tokenizer), type_vocab_size=2, pad_token_id=0, **SIZE, **entries)
        else:
            config = BertConfig(vocab_size=len(tokenizer), max_position_embeddings=160, **SIZE, **entries)
        folder = tmp_path / "published"
        kind(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return folder

    return publish


def begun(
    source: Path, head: Any = "linear_span", classes: tuple[str, ...] = (), backbone: dict[str, Any] | None = None
) -> tuple[Assembled, Assembled, str]:
    """The model before and after, and the line."""
    recipe = Recipe.model_validate(
        {
            "data": {"reader": "squad"},
            "backbone": {"source": str(source)} | (backbone or {}),
            "windows": {"max_length": 64},
            "head": head,
        }
    )
    registry = REGISTRY
    before = assemble(recipe, registry, device=CPU, classes=classes)
    after, line = take_head(assemble(recipe, registry, device=CPU, classes=classes), recipe, registry)
    return before, after, line


def is_fresh(before: Assembled, after: Assembled) -> bool:
    held = after.model.head.state_dict()
    return all(torch.equal(value, held[name]) for name, value in before.model.head.state_dict().items())


@pytest.mark.parametrize("kind", [BertForQuestionAnswering, DistilBertForQuestionAnswering])
@pytest.mark.parametrize("head", ["linear_span", "joint_span"])
def test_a_span_head_is_taken_and_said(published: Any, kind: Any, head: str) -> None:
    source = published(kind)
    before, after, line = begun(source, head)
    theirs = kind.from_pretrained(source).qa_outputs
    assert line == f"begins with the encoder and the head of {source}"
    assert torch.equal(after.model.head.features.linear.weight, theirs.weight)  # type: ignore[union-attr,arg-type]
    assert "qa_outputs.weight" in before.unexpected
    assert not any(name.startswith("qa_outputs") for name in after.unexpected)


def test_other_weights_stay_listed_as_unused(published: Any) -> None:
    _, after, _ = begun(published(BertForSequenceClassification), "linear_span")
    assert "classifier.weight" in after.unexpected


def test_fresh_layers_are_named_beside_the_taken_head(published: Any) -> None:
    _, _, line = begun(published(BertForQuestionAnswering), backbone={"reinit_layers": 1})
    assert line.endswith(", but for the top 1 of its layers, which are fresh (backbone.reinit_layers)")


@pytest.mark.parametrize(
    ("kind", "head", "setting", "why"),
    [
        (BertForQuestionAnswering, "linear_span", "fresh", "backbone.head is fresh"),
        (BertForQuestionAnswering, "crf", "auto", "crf with its settings is built otherwise than the checkpoint's"),
        (
            BertForQuestionAnswering,
            {"name": "linear_span", "answerability_weight": 0.1},
            "auto",
            "linear_span with its settings is built otherwise than the checkpoint's",
        ),
        (
            BertForSequenceClassification,
            "linear_span",
            "auto",
            "the checkpoint's is for another task (SequenceClassification) than linear_span",
        ),
        (
            BertForTokenClassification,
            "classifier",
            "auto",
            "the checkpoint's is for another task (TokenClassification) than classifier",
        ),
        (
            DistilBertForSequenceClassification,
            "classifier",
            "auto",
            "classifier with its settings is built otherwise than the checkpoint's",
        ),
    ],
)
def test_another_head_is_fresh_and_the_reason_is_said(
    published: Any, kind: Any, head: Any, setting: str, why: str
) -> None:
    source = published(kind)
    classes = ("no", "yes") if head == "classifier" else ()
    before, after, line = begun(source, head, classes, {"head": setting})
    assert is_fresh(before, after)
    assert line == f"begins with the encoder of {source}; the head is fresh: {why}"


def test_a_backbone_without_a_head_for_a_task_needs_no_word(published: Any) -> None:
    before, after, line = begun(published(BertModel))
    assert line == "" and is_fresh(before, after)


def test_a_backbone_from_scratch_has_no_head_to_take(published: Any) -> None:
    _, _, line = begun(published(BertForQuestionAnswering), backbone={"init": "scratch"})
    assert line == ""


@pytest.mark.parametrize("kind", [BertForSequenceClassification, RobertaForSequenceClassification])
@pytest.mark.parametrize("classes", [("NEGATIVE", "NEUTRAL", "POSITIVE"), ("neutral", "positive", "negative")])
def test_the_classes_of_a_classifier_are_put_into_our_order(
    published: Any, kind: Any, classes: tuple[str, ...]
) -> None:
    source = published(kind, **named(NAMES))
    _, after, line = begun(source, "classifier", classes)
    assert line == f"begins with the encoder and the head of {source}"
    theirs = kind.from_pretrained(source).eval()
    inputs = {"input_ids": torch.tensor([[2, 40, 41, 3]]), "attention_mask": torch.ones(1, 4, dtype=torch.int64)}
    with torch.no_grad():
        hidden = after.model.backbone.eval()(**inputs).last_hidden_state
        batch: Any = type("Masked", (), {"attention_mask": inputs["attention_mask"], "target_label": None})
        ours = after.model.head.eval()(hidden, batch).scores["logits"][0]
        logits = theirs(**inputs).logits[0]
    by_name = {name.casefold(): float(logits[number]) for number, name in NAMES.items()}
    for name, value in zip(classes, ours.tolist(), strict=True):
        assert value == pytest.approx(by_name[name.casefold()], abs=1e-5)


def test_classes_without_names_are_the_numbers_in_the_data(published: Any) -> None:
    source = published(BertForSequenceClassification)
    assert begun(source, "classifier", ("0", "1"))[2] == f"begins with the encoder and the head of {source}"


@pytest.mark.parametrize(
    ("entries", "classes", "others"),
    [
        ({}, ("no", "yes"), "LABEL_0, LABEL_1; here: no, yes"),
        (named(NAMES), ("negative", "positive"), "NEGATIVE, NEUTRAL, POSITIVE; here: negative, positive"),
        (named({0: "score"}), ("negative", "positive"), "a number; here: negative, positive"),
        (named(NAMES), (), "NEGATIVE, NEUTRAL, POSITIVE; here: a number"),
        (named({0: "a", 1: "b"}), ("A", "a"), "a, b; here: A, a"),
        (named({0: "A", 1: "a"}), ("a", "b"), "A, a; here: a, b"),
    ],
)
def test_other_classes_mean_a_fresh_head(
    published: Any, entries: dict[str, Any], classes: tuple[str, ...], others: str
) -> None:
    before, after, line = begun(published(BertForSequenceClassification, **entries), "classifier", classes)
    assert is_fresh(before, after)
    assert line.endswith(f"the head is fresh: its classes are others ({others})")


def test_a_regression_goes_on_as_one(published: Any) -> None:
    source = published(BertForSequenceClassification, **named({0: "LABEL_0"}))
    assert begun(source, "classifier")[2] == f"begins with the encoder and the head of {source}"


def test_a_choice_among_contexts_is_taken_whatever_its_labels(published: Any) -> None:
    source = published(BertForMultipleChoice)
    assert begun(source, "multiple_choice")[2] == f"begins with the encoder and the head of {source}"


@pytest.mark.parametrize(
    ("loss", "theirs", "taken"),
    [
        ("mse", "regression", True),
        ("binary_cross_entropy", "multi_label_classification", True),
        ("mse", "multi_label_classification", False),
        ("binary_cross_entropy", "regression", False),
        ("mse", None, False),
    ],
)
def test_several_numbers_are_taken_where_they_mean_the_same(
    published: Any, loss: str, theirs: str | None, taken: bool
) -> None:
    source = published(BertForSequenceClassification, problem_type=theirs, **named({0: "toxic", 1: "rude"}))
    head = {"name": "classifier", "loss": loss}
    before, after, line = begun(source, head, TargetNames(("rude", "toxic")))
    if not taken:
        assert is_fresh(before, after)
        assert f"the checkpoint's gives no such numbers ({theirs or 'it does not say what it gives'})" in line
        return
    assert line == f"begins with the encoder and the head of {source}"
    weights = BertForSequenceClassification.from_pretrained(source).classifier.weight
    assert torch.equal(after.model.head.features.linear.weight, weights[[1, 0]])  # type: ignore[union-attr,arg-type]
