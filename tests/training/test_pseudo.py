"""Which answers of another run become training examples, and as what. The labelling run is a folder of answers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from qakit.data.splits import Split
from qakit.errors import UsageError
from qakit.files import file_sha256, write_json
from qakit.inference.inputs import Inputs
from qakit.inference.output import save_predictions
from qakit.inference.trained import TrainedRun
from qakit.recipe.model import Recipe
from qakit.registry import load_registry
from qakit.runs import create_run
from qakit.training.events import Event, Preparing, Remark
from qakit.training.pseudo import check_learnt, labelled_by, predictions_for, pseudo_labelled
from qakit.values import (
    Answer,
    Candidate,
    ContextPrediction,
    Example,
    LabelPrediction,
    NoAnswer,
    Prediction,
    SpanPrediction,
)

REGISTRY = load_registry()
CONTEXTS = ("The abbey is red.", "The mill is green.", "The inn is blue.")
QUESTION = "Which colour has the mill?"
ASKED = Example("q", QUESTION, CONTEXTS)
KNOWN = Example("v", QUESTION, CONTEXTS, (Answer("green", 12, 1),), relevant=1)
SURE = 0.75


def span(id_: str = "q", *, probability: float = SURE, context: int = 1, null: float | None = None) -> SpanPrediction:
    """The colour that a context ends with; with ``null`` the answer is "no answer"."""
    text = CONTEXTS[context].split()[-1].rstrip(".")
    start = CONTEXTS[context].index(text)
    best = Candidate(text, start, start + len(text), context, 1.0, probability)
    return SpanPrediction(id_, "" if null is not None else text, (best,), None if null is None else NoAnswer(2.0, null))


class Labelling:
    """A run that has answered a file, and a recipe that takes its answers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said: list[str] = []

    def taken(
        self,
        questions: list[Example],
        predictions: list[Prediction],
        *,
        validation: tuple[Example, ...] = (),
        min_confidence: float = 0.5,
        **data: Any,
    ) -> Split:
        """What :func:`pseudo_labelled` makes of these answers."""
        file, contexts = self.folder / "more.json", self.folder / "context.json"
        texts = sorted({text for question in questions for text in question.contexts})
        contexts.write_text(json.dumps(texts), "utf-8")
        records = [
            {"id": each.id, "question": each.question, "paragraphs": [texts.index(text) for text in each.contexts]}
            for each in questions
        ]
        file.write_text(json.dumps(records), "utf-8")
        run = self.folder / "first"
        recipe = Recipe.model_validate(
            {
                "data": {"reader": {"name": "adl", "contexts": str(contexts)}, **data},
                "backbone": {"source": "nowhere"},
                "pseudo": {"from_run": str(run), "file": str(file), "min_confidence": min_confidence},
            }
        )
        labeller = create_run(recipe.model_copy(update={"pseudo": None}), run)
        inputs = Inputs({str(file): file_sha256(file)})
        save_predictions(labeller.predictions, predictions, recipe, run="first", inputs=inputs)
        judged = Split("validation", (), validation, ()) if validation else None
        return pseudo_labelled(
            recipe, REGISTRY, judged, device=torch.device("cpu"), cache=self.folder, listener=self._listen
        )

    def _listen(self, event: Event) -> None:
        if isinstance(event, Remark):
            self.said.append(event.message)


@pytest.fixture
def labelling(tmp_path: Path) -> Labelling:
    return Labelling(tmp_path)


def test_the_label_is_the_answer_where_it_stands(labelling: Labelling) -> None:
    alone = Example("one", QUESTION, CONTEXTS[1:2])
    best = Candidate("green", 12, 17, 0, 1.0, SURE)
    split = labelling.taken([alone, ASKED], [SpanPrediction("one", "green", (best,)), span(context=2)])
    assert split.name == "pseudo"
    assert split.files == (labelling.folder / "more.json",)
    one, several = split.examples
    assert (one.id, one.answers, one.relevant) == ("pseudo:one", (Answer("green", 12, 0),), None)
    assert (several.id, several.answers, several.relevant) == ("pseudo:q", (Answer("blue", 11, 2),), 2)
    for example in split.examples:
        assert example.answers is not None
        (answer,) = example.answers
        assert answer.start is not None
        assert example.contexts[answer.context][answer.start : answer.end] == answer.text
    said = (
        f"2 of 2 questions of more.json, to which {labelling.folder / 'first'} answers with a confidence of 0.5 or more"
    )
    assert labelling.said == [f"pseudo-labels: {said}"]


def test_no_answer_is_an_answer_unless_only_answerable_questions_are_wanted(labelling: Labelling) -> None:
    (example,) = labelling.taken([ASKED], [span(null=0.9)]).examples
    assert example.answers == ()
    assert example.relevant is None


def test_an_answer_that_is_empty_where_every_question_has_one_is_no_label(labelling: Labelling) -> None:
    """As where clean-up leaves nothing of it, or there is no candidate."""
    other = Example("r", "Which colour has the inn?", CONTEXTS)
    split = labelling.taken([ASKED, other], [SpanPrediction("q", ""), span("r", context=2)], min_confidence=0)
    assert [example.id for example in split.examples] == ["pseudo:r"]
    assert labelling.said[0].endswith("; left out: 1 with an answer that has no place in its context")


def test_answerable_only_holds_for_pseudo_labels(labelling: Labelling) -> None:
    other = Example("r", "Which colour has the inn?", CONTEXTS)
    split = labelling.taken([ASKED, other], [span(null=0.9), span("r", context=2)], answerable_only=True)
    assert [example.id for example in split.examples] == ["pseudo:r"]
    assert labelling.said[0].endswith('; left out: 1 answered with "no answer" (data.answerable_only)')


@pytest.mark.parametrize("null", [False, True])
def test_an_answer_just_as_sure_as_wanted_is_taken(tmp_path: Path, null: bool) -> None:
    sure, below = 0.7, float(np.nextafter(0.7, 0))
    answers = [span(null=each) if null else span(probability=each) for each in (sure, below)]
    (tmp_path / "at").mkdir()
    (tmp_path / "below").mkdir()
    assert len(Labelling(tmp_path / "at").taken([ASKED], [answers[0]], min_confidence=sure).examples) == 1
    with pytest.raises(UsageError, match=r"1 answered with a confidence under 0\.7 \(at most 0\.700\): lower pseudo"):
        Labelling(tmp_path / "below").taken([ASKED], [answers[1]], min_confidence=sure)


UNKNOWN_CONTEXT = Example("v", QUESTION, CONTEXTS, ())


@pytest.mark.parametrize("known", [KNOWN, UNKNOWN_CONTEXT], ids=["with its context", "without an answer"])
@pytest.mark.parametrize("contexts", [CONTEXTS, CONTEXTS[::-1], CONTEXTS[1:2]], ids=["same", "turned", "one"])
def test_validation_questions_are_left_out_however_they_are_given(
    labelling: Labelling, known: Example, contexts: tuple[str, ...]
) -> None:
    copy = Example("q", "which colour has the MILL", contexts)
    other = Example("r", "Which colour has the inn?", CONTEXTS)
    answers = [SpanPrediction("q", "", (), NoAnswer(1.0, 1.0)), span("r", context=2)]
    split = labelling.taken([copy, other], answers, validation=(known,))
    assert [example.id for example in split.examples] == ["pseudo:r"]
    assert labelling.said[0].endswith("; left out: 1 among the validation questions")


def test_the_same_words_about_another_text_are_another_question(labelling: Labelling) -> None:
    elsewhere = Example("q", QUESTION, (CONTEXTS[0], CONTEXTS[2]))
    answer = SpanPrediction("q", "red", (Candidate("red", 13, 16, 0, 1.0, SURE),))
    assert len(labelling.taken([elsewhere], [answer], validation=(KNOWN,)).examples) == 1


def test_a_file_of_validation_questions_alone_is_called_that(labelling: Labelling) -> None:
    with pytest.raises(UsageError) as caught:
        labelling.taken([ASKED], [span()], validation=(KNOWN,), min_confidence=0)
    text = str(caught.value)
    assert "labels none of the 1 questions" in text
    assert "1 among the validation questions: name another pseudo.file" in text
    assert "confidence" not in text


GIVES = {
    "spans": span(),
    "contexts": ContextPrediction("q", 2, (0.1, 0.1, 0.8)),
    "labels": LabelPrediction("q", "yes", (0.2, 0.8)),
}


@pytest.mark.parametrize("learns", ["spans", "contexts", "labels"])
@pytest.mark.parametrize("gives", GIVES)
def test_a_head_learns_from_labels_of_its_own_kind(labelling: Labelling, gives: str, learns: Any) -> None:
    split = labelling.taken([ASKED], [GIVES[gives]])
    recipe = Recipe.model_validate(
        {"data": {"reader": "adl"}, "backbone": {"source": "x"}, "pseudo": {"from_run": "first"}}
    )
    if gives == learns or (gives, learns) == ("spans", "contexts"):
        check_learnt(split, learns, ("no", "yes"), recipe)
        return
    with pytest.raises(UsageError, match=rf"first gives {gives}, but the head 'linear_span' learns {learns}"):
        check_learnt(split, learns, ("no", "yes"), recipe)


def test_a_choice_without_scores_is_not_sure() -> None:
    run: Any = SimpleNamespace(folder=Path("first"))
    assert labelled_by(ASKED, ContextPrediction("q", 2), run)[0] == 0.0


@pytest.mark.parametrize(
    ("classes", "problem"), [(("a", "b"), r"none of this recipe's classes \(a, b\)"), ((), "no number")]
)
def test_a_label_is_one_of_the_classes(labelling: Labelling, classes: tuple[str, ...], problem: str) -> None:
    split = labelling.taken([ASKED], [GIVES["labels"]])
    recipe = Recipe.model_validate(
        {"data": {"reader": "adl"}, "backbone": {"source": "x"}, "pseudo": {"from_run": "first"}}
    )
    with pytest.raises(UsageError, match=f"gives the label 'yes', which is {problem}"):
        check_learnt(split, "labels", classes, recipe)


def test_answers_that_were_kept_serve_until_the_weights_are_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the labelling run was interrupted, and has been resumed since."""
    recipe = Recipe.model_validate({"data": {"reader": "adl"}, "backbone": {"source": "nowhere"}})
    run = create_run(recipe, tmp_path / "first")
    (tmp_path / "more.json").write_text("[]", "utf-8")
    questions = Split("pseudo", (tmp_path / "more.json",), (ASKED,), ())
    trained = SimpleNamespace(recipe=recipe, infer=lambda *_, **__: SimpleNamespace(predictions=[span()]))
    asked: list[int] = []
    heard: list[Event] = []

    def load(*_: object, **__: object) -> SimpleNamespace:
        asked.append(1)
        return trained

    monkeypatch.setattr(TrainedRun, "load", load)

    def answered() -> int:
        found = predictions_for(
            run, REGISTRY, questions, device=torch.device("cpu"), cache=tmp_path, listener=heard.append
        )
        assert list(found) == ["q"]
        return len(asked)

    write_json(run.decision_file, {"step": 10})
    assert (answered(), answered()) == (1, 1)
    assert heard == [Preparing(f"labelling with {run.folder}")]
    write_json(run.decision_file, {"step": 20})
    assert (answered(), answered()) == (2, 2)
    shutil.rmtree(run.model)  # what it has answered stays
    assert answered() == 2
