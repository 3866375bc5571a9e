"""Why answers are wrong: one reason for each."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from qakit.data.encode import encode
from qakit.data.template import PairTemplate
from qakit.inference.error_analysis import (
    LOSSES,
    MEANING,
    ErrorAnalysis,
    Place,
    _occurrences,
    analyse_errors,
    relevant_context,
)
from qakit.inference.evaluation import Judge, finish
from qakit.inference.scoring import ScoringSet, window_runtime
from qakit.recipe.model import Recipe
from qakit.registry import load_registry
from qakit.values import Answer, Candidate, Example, NoAnswer, SpanPrediction

FIRST = "the river flows through the old town and the sea is near"
SECOND = "the king lived in the castle on the hill above the city"


def recipe(**changes: Any) -> Recipe:
    return Recipe.model_validate(
        {
            "data": {"reader": "adl"},
            "backbone": {"source": "x"},
            "windows": {"max_length": 64, "max_question_length": 8},
            "metric": "exact_match",
            **changes,
        }
    )


def example(gold: str | None, *, context: int = 1, relevant: int | None = 1) -> Example:
    texts = (FIRST, SECOND)
    answers = () if gold is None else (Answer(gold, texts[context].find(gold), context),)
    return Example("q", "who is it?", texts, answers=answers, relevant=relevant)


def prediction(*candidates: tuple[str, int], answer: str | None = None, null: bool = False) -> SpanPrediction:
    made = tuple(
        Candidate(text, 0, len(text), context, -float(rank), 0.1) for rank, (text, context) in enumerate(candidates)
    )
    chosen = made[0].text if answer is None else answer
    return SpanPrediction("q", chosen, made, NoAnswer(0.0, 0.1) if null else None)


def losses_of(
    tokenizer: Any, asked: Example, raw: SpanPrediction, settings: Recipe, *, clean: Any = None, known: bool = True
) -> ErrorAnalysis:
    registry = load_registry()
    judge = Judge.of(settings, registry)
    if clean is not None:
        settings = settings.model_copy(update={"postprocess": [settings.metric]})
        judge = replace(judge, recipe=settings, postprocessors=(clean,))
    encoded = encode([asked], tokenizer)
    runtime = window_runtime(settings, PairTemplate.of(tokenizer), training=False)
    ref = settings.preprocess.predict
    windows = registry.build("preprocessors", ref.name, ref.settings, runtime).windows(encoded, epoch=0)
    prepared = ScoringSet([asked], encoded, windows, None, (), settings.predict)  # type: ignore[arg-type]
    context = relevant_context(asked) if known else None
    place = None if context is None else Place(0, context)
    return analyse_errors([asked], [raw], finish([raw], [asked], judge), judge, prepared, [place])


def reason(*arguments: Any, **options: Any) -> str | None:
    return losses_of(*arguments, **options).loss[0]


def test_right_answers_have_no_reason(tokenizer: Any) -> None:
    found = losses_of(tokenizer, example("the castle"), prediction(("the castle", 1)), recipe())
    assert (found.right, found.loss, found.gained) == ((True,), (None,), 0)
    assert set(found.counts) == set(LOSSES) == set(MEANING)
    assert not any(found.counts.values())


def test_the_right_text_from_another_context_is_right(tokenizer: Any) -> None:
    assert losses_of(tokenizer, example("the"), prediction(("the", 0)), recipe()).right == (True,)


def test_clean_up_may_spoil_and_may_help(tokenizer: Any) -> None:
    def clean(answer: SpanPrediction, _: Example) -> SpanPrediction:
        return answer.with_answer(answer.answer.removesuffix(" castle"))

    spoiled = losses_of(tokenizer, example("the castle"), prediction(("the castle", 1)), recipe(), clean=clean)
    assert (spoiled.loss, spoiled.gained) == (("cleanup",), 0)
    helped = losses_of(tokenizer, example("the"), prediction(("the castle", 1)), recipe(), clean=clean)
    assert (helped.loss, helped.gained) == ((None,), 1)


def test_an_answer_from_another_context(tokenizer: Any) -> None:
    raw = prediction(("the sea", 0), ("the castle", 1))
    assert reason(tokenizer, example("the castle"), raw, recipe()) == "wrong paragraph"
    assert reason(tokenizer, example("the castle", relevant=None), raw, recipe()) == "wrong paragraph"  # by its answer
    assert reason(tokenizer, example("the castle"), raw, recipe(), known=False) == "ranked lower"


@pytest.mark.parametrize("preprocessor", ["stride", "every_context", "concatenate"])
def test_an_answer_that_no_window_holds(tokenizer: Any, preprocessor: str) -> None:
    short = recipe(
        windows={"max_length": 16, "max_question_length": 4},
        preprocess={"predict": {"name": preprocessor, "overlap": 0}},
    )
    assert reason(tokenizer, example(SECOND), prediction(("hill", 1)), short) == "window"


def test_borders_that_no_token_has(tokenizer: Any) -> None:
    assert tokenizer.tokenize("the") == ["the"]
    assert reason(tokenizer, example("he"), prediction(("hill", 1)), recipe()) == "window"


def test_an_answer_that_is_not_in_the_text(tokenizer: Any) -> None:
    asked = replace(example("the castle"), answers=(Answer("The Castle", None, 1),))
    assert reason(tokenizer, asked, prediction(("hill", 1)), recipe()) == "window"


def test_an_answer_longer_than_may_be_decoded(tokenizer: Any) -> None:
    short = recipe(predict={"max_answer_length": 1})
    assert reason(tokenizer, example("the castle on the hill"), prediction(("hill", 1)), short) == "decoding"


@pytest.mark.parametrize("preprocessor", ["stride", "every_context", "concatenate"])
def test_what_is_left_is_the_models(tokenizer: Any, preprocessor: str) -> None:
    settings = recipe(preprocess={"predict": preprocessor})
    lower = prediction(("hill", 1), ("the castle", 1))
    assert reason(tokenizer, example("the castle"), lower, settings) == "ranked lower"
    assert reason(tokenizer, example("the castle"), prediction(("hill", 1)), settings) == "model"


def test_no_answer_is_a_reason_of_its_own(tokenizer: Any) -> None:
    settings = recipe(predict={"no_answer": True})
    answered = prediction(("hill", 1), null=True)
    assert reason(tokenizer, example(None, relevant=None), answered, settings) == "no answer"
    assert reason(tokenizer, example("the castle"), prediction(("x", 1), answer="", null=True), settings) == "no answer"


def test_every_wrong_answer_counts_once(tokenizer: Any) -> None:
    raws = [prediction(("hill", 1)), prediction(("the sea", 0)), prediction(("the castle", 1))]
    found = Counter(reason(tokenizer, example("the castle"), raw, recipe()) for raw in raws)
    assert found == {"model": 1, "wrong paragraph": 1, None: 1}


def test_places_of_an_answer_may_overlap() -> None:
    starts, ends = _occurrences("aaa", Example("q", "?", ("aaa",), answers=(Answer("aa", 0, 0),)))
    assert (starts.tolist(), ends.tolist()) == ([0, 1], [2, 3])
