"""Models of ``AutoModelForQuestionAnswering`` answer without a run, with the very scores of transformers."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import published
import pytest
import torch
from hub import models
from hub.server import HubServer
from transformers import AutoModelForQuestionAnswering, AutoTokenizer

import qakit
from qakit.errors import ModelError, RecipeError, RunError, UsageError
from qakit.inference.answerer import Answerer
from qakit.inference.checkpoint import load_checkpoint
from qakit.runs import is_model_alone
from qakit.values import Example
from qakit.workflows.loading import load_trained

QUESTION = "Where is Normandy?"
CONTEXT = "The Normans gave their name to Normandy, a region in France, in the 10th century."
TEXTS = [QUESTION, CONTEXT, "William the Conqueror was a duke of Normandy and a king of England."]

Publish = Callable[[str], Path]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Publish:
    """A published model, made once."""
    root = tmp_path_factory.mktemp("published")

    def make(kind: str) -> Path:
        folder = root / kind
        return folder if folder.exists() else published.publish(kind, TEXTS * 3, folder)

    return make


@pytest.mark.parametrize(
    "kind", ["Bert", "DistilBert", "Roberta", "DebertaV2", "ModernBert", "BigBird", "Splinter", "Longformer"]
)
def test_scores_are_those_of_transformers_own_class(model: Publish, kind: str) -> None:
    folder = model(kind)
    reply = qakit.load(folder).answer(QUESTION, CONTEXT, top_k=8)
    tokenizer, theirs = AutoTokenizer.from_pretrained(folder), AutoModelForQuestionAnswering.from_pretrained(folder)
    inputs = tokenizer(QUESTION, CONTEXT, return_tensors="pt", return_offsets_mapping=True)
    offsets, sequence = inputs.pop("offset_mapping")[0].tolist(), inputs.sequence_ids()
    if kind == "DistilBert":
        del inputs["token_type_ids"]
    with torch.no_grad():
        output = theirs.eval()(**inputs)
    context = [place for place, part in enumerate(sequence) if part == 1]
    spans = sorted(
        (
            (float(output.start_logits[0, i] + output.end_logits[0, j]), offsets[i][0], offsets[j][1])
            for i in context
            for j in context
            if i <= j < i + 30
        ),
        reverse=True,
    )
    best: dict[str, float] = {}
    for score, start, end in spans:
        best.setdefault(CONTEXT[start:end], score)
    assert [each.text for each in reply.candidates] == list(best)[:8]
    assert [each.score for each in reply.candidates] == pytest.approx(list(best.values())[:8], rel=1e-6, abs=1e-5)


def test_an_answer_does_not_depend_on_what_was_asked_before(model: Publish) -> None:
    answerer, long = qakit.load(model("BigBird")), " ".join([CONTEXT] * 3)
    first = answerer.answer(QUESTION, long, top_k=8)
    answerer.answer("who", "they")  # short enough for full attention
    assert answerer.answer(QUESTION, long, top_k=8) == first


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        ("T5", r"is an encoder-decoder \(t5\); choose an encoder"),
        ("Lxmert", r"model '.*' \(lxmert\) cannot answer: `visual_feats` cannot be `None`"),
    ],
)
def test_what_does_not_read_texts_alone_is_refused_in_one_line(model: Publish, kind: str, problem: str) -> None:
    with pytest.raises(ModelError, match=problem) as raised:
        qakit.load(model(kind))
    assert "\n" not in str(raised.value)


def test_an_encoder_that_was_not_trained_to_answer_is_told_from_one_that_was(tiny_backbone: Path) -> None:
    with pytest.raises(ModelError, match=r"has no question-answering head .*qa_outputs.* would be random"):
        qakit.load(tiny_backbone)


def test_an_architecture_without_such_a_class_is_refused(model: Publish, tmp_path: Path) -> None:
    folder = shutil.copytree(model("Bert"), tmp_path / "other")
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text.replace('"bert"', '"eurobert"'))
    with pytest.raises(ModelError, match="is a eurobert, for which transformers has no question-answering model"):
        qakit.load(folder)


def test_without_a_run_the_defaults_are_plain(model: Publish) -> None:
    trained = load_checkpoint(str(model("Bert")))
    recipe = trained.recipe
    assert (recipe.windows.max_length, recipe.windows.max_question_length) == (160, 64)  # what it reads; 384 at most
    assert not recipe.predict.no_answer
    assert (trained.null_threshold, trained.temperature, trained.precision) == (0.0, 1.0, "fp32")
    assert load_checkpoint(str(model("ModernBert"))).recipe.windows.max_length == 384


def test_values_of_the_recipe_can_be_given(model: Publish) -> None:
    given = ["predict.no_answer=true", "predict.null_threshold=-2.5", "windows.max_length=64", "train.precision=bf16"]
    trained = load_checkpoint(str(model("Bert")), overrides=given)
    assert (trained.null_threshold, trained.precision, trained.recipe.windows.max_length) == (-2.5, "bf16", 64)
    with pytest.raises(ModelError, match=r"windows\.max_length is 200 but the backbone reads at most 160 tokens"):
        load_checkpoint(str(model("Bert")), overrides=["windows.max_length=200"])
    with pytest.raises(UsageError, match="head crf: a model without a run answers with its own start and end scores"):
        load_checkpoint(str(model("Bert")), overrides=["head=crf"])
    with pytest.raises(RecipeError, match="did you mean 'n_best'"):
        load_checkpoint(str(model("Bert")), overrides=["predict.n_bst=3"])


def test_a_classifier_is_not_loaded_to_be_asked(model: Publish, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = load_checkpoint(str(model("Bert")))
    monkeypatch.setattr(trained.assembled.model.head, "gives", "labels", raising=False)
    with pytest.raises(UsageError, match=r"answers with classes or numbers, not with pieces of a text; give it a file"):
        Answerer(trained)


def test_more_candidates_than_n_best_are_sought_not_cut(model: Publish) -> None:
    answerer = qakit.load(model("Bert"))
    assert answerer.trained.recipe.predict.n_best == 20
    few, many = (answerer.answer(QUESTION, CONTEXT, top_k=top_k).candidates for top_k in (20, 75))
    assert len({each.text for each in many}) == len(many) == 75
    assert [each.text for each in many[:20]] == [each.text for each in few]
    assert [each.score for each in many] == sorted((each.score for each in many), reverse=True)


def test_the_answer_is_that_of_predict_however_many_candidates_are_wanted(model: Publish) -> None:
    """The clean-up chooses among the candidates that prediction keeps, not among all that are shown."""
    prior = "postprocess=[{name: length_prior, median: 80, spread: 0.1, weight: 5}]"
    trained = load_checkpoint(str(model("Bert")), overrides=[prior])
    (wanted,) = trained.predict([Example("q", QUESTION, (CONTEXT,))])
    for top_k in (1, 20, 21, 75, 500):
        reply = Answerer(trained).answer(QUESTION, CONTEXT, top_k=top_k)
        assert reply.answer == wanted.final
        assert len(reply.candidates) == min(top_k, len({each.text for each in reply.candidates}))
    assert any(len(each.text) > len(wanted.final) for each in reply.candidates), "the prior would choose another one"


def test_places_of_one_text_do_not_use_up_the_candidates(model: Publish) -> None:
    """The best spans of a window are one word at its many places; other texts are found all the same."""
    answerer = qakit.load(model("Bert"))
    repeated = "Normandy Normandy Normandy Normandy " * 10 + "France in England."
    candidates = answerer.answer(QUESTION, repeated, top_k=40).candidates
    assert len({each.text for each in candidates}) == len(candidates) == 40
    everything = answerer.answer(QUESTION, "a duke.", top_k=500).candidates
    assert len(everything) == len({each.text for each in everything}) < 20  # no more texts are there


def test_many_are_answered_as_each_alone_and_in_order(model: Publish) -> None:
    answerer = qakit.load(model("DistilBert"))
    questions, contexts = [QUESTION, "Who?", "When was it?"], [CONTEXT * 6, "in England.", [TEXTS[2], CONTEXT]]
    told: list[tuple[int, int]] = []
    together = answerer.answer(questions, contexts, top_k=3, progress=lambda done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1] > 3
    for reply, question, context in zip(together, questions, contexts, strict=True):
        alone: Any = answerer.answer(question, context, top_k=3)
        assert [each.text for each in reply.candidates] == [each.text for each in alone.candidates]
        assert reply.answer == alone.answer
        for one, other in zip(reply.candidates, alone.candidates, strict=True):
            assert one.score == pytest.approx(other.score, abs=1e-5)
    items = [{"question": question, "context": context} for question, context in zip(questions, contexts, strict=True)]
    assert [reply.answer for reply in answerer.answer(items)] == [reply.answer for reply in together]


def test_nothing_is_scored_before_everything_is_checked(model: Publish, monkeypatch: pytest.MonkeyPatch) -> None:
    answerer = qakit.load(model("Bert"))
    monkeypatch.setattr(type(answerer.trained), "score", lambda *_, **__: pytest.fail("scored"))
    for top_k in (True, 2.0, "3", 0, -1, None):
        with pytest.raises(UsageError, match=r"^top_k is"):
            answerer.answer(QUESTION, CONTEXT, top_k=top_k)  # type: ignore[call-overload]
    with pytest.raises(UsageError, match="question 2 of 2 is blank"):
        answerer.answer([QUESTION, " "], CONTEXT)


def test_a_folder_is_told_from_a_run_and_from_a_name(tmp_path: Path, model: Publish, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    assert is_model_alone(model("Bert"))
    assert is_model_alone("deepset/roberta-base-squad2")
    assert is_model_alone("distilbert-base-cased-distilled-squad")
    for run in ("runs/best", "./best", "../best", "~/best", "a/b/c", str(tmp_path / "best"), "runs"):
        assert not is_model_alone(run), run
    with pytest.raises(RunError, match="there is no run runs/best"):
        load_trained("runs/best")


def test_a_folder_with_the_name_of_a_model_is_meant(tmp_path: Path, model: Publish, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(model("Bert"), tmp_path / "deepset" / "bert")
    assert qakit.load("deepset/bert").trained.run.model == (tmp_path / "deepset" / "bert").resolve()


def test_a_model_on_the_hub_is_fetched_once_and_answers(hub: HubServer) -> None:
    name = "deepset/roberta-base-squad2"
    hub.publish(name, models.files_of(name))
    reply = qakit.load(name).answer(QUESTION, CONTEXT)
    assert reply.answer in CONTEXT
    fetched = hub.fetched(name)
    assert "model.safetensors" in fetched and "pytorch_model.bin" not in fetched
    assert qakit.load(name).answer(QUESTION, CONTEXT) == reply
    assert hub.fetched(name) == fetched


def test_a_name_that_is_nothing_says_what_can_be_named(hub: HubServer) -> None:
    with pytest.raises(ModelError, match=r"^model 'deepset/nosuch'.*; name a run's folder .* or a model on the hub"):
        qakit.load("deepset/nosuch")
