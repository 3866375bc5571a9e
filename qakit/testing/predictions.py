"""The contracts of what works on predictions: postprocessors, ensemblers, writers, metrics."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from qakit.components import Component, Settings
from qakit.inference.characters import CharacterScores, context_hash
from qakit.protocols import DrawnMetric, EnsembleMember, LearnsSettings, NoRuntime, PerExampleMetric, PoolsMembers
from qakit.testing.components import build_checked, running, type_name
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

CONTEXT = '  李白，字太白。「靜夜思」 was written by Li Bai (701–762), "the Poet"; see A,B.\n'
ANSWERS = ("李白", "", " 李白，", "「靜夜思", "Li Bai (701–762)", '"the Poet"', "A,B", "\n", "e\u0301 😀")


def _examples() -> list[Example]:
    return [
        Example(f"q{number}", "誰？", (CONTEXT,), (_answer(text),) if text.strip() else ())
        for number, text in enumerate(ANSWERS)
    ]


def _answer(text: str) -> Answer:
    start = CONTEXT.find(text)
    return Answer(text, start if start >= 0 else None)


def _predictions(answers: Sequence[str] = ANSWERS) -> list[Prediction]:
    predictions: list[Prediction] = []
    for number, text in enumerate(answers):
        start = CONTEXT.find(text)
        first, end = (start, start + len(text)) if start >= 0 else (None, None)
        candidates = (Candidate(text, first, end, 0, 2.0, 0.7),) if text else ()
        predictions.append(SpanPrediction(f"q{number}", text, candidates, NoAnswer(0.5, 0.3)))
    return predictions


def check_postprocessor(component: Component[Any, Any, Any], settings: Settings) -> None:
    """One prediction gives one of the same question, the same each time; the candidates stay as decoded.

    Settings that it learns are settings of its component.

    Raises:
        AssertionError: with the reason.
    """
    postprocess = build_checked("postprocessors", component, settings, NoRuntime())
    for prediction, example in zip(_predictions(), _examples(), strict=True):
        with running("calling the postprocessor"):
            result = postprocess(prediction, example)
            again = postprocess(prediction, example)
        assert isinstance(result, SpanPrediction), f"a SpanPrediction became {type_name(result)}"
        assert result.id == prediction.id, f"the id {prediction.id!r} became {result.id!r}"
        assert isinstance(result.answer, str), f"the answer is {type_name(result.answer)}, not str"
        assert isinstance(prediction, SpanPrediction)
        kept = (result.candidates, result.null) == (prediction.candidates, prediction.null)
        assert kept, "candidates must stay as decoded; change the answer only"
        assert again == result, "the same prediction gives another result"
    if isinstance(postprocess, LearnsSettings):
        for examples in (_examples(), []):
            with running("learn, or taking what it learnt as settings"):
                component.settings.model_validate(dict(postprocess.learn(examples)))


def check_ensembler(
    component: Component[Any, Any, Any], settings: Settings, *, labels: Sequence[str | float] = ()
) -> None:
    """Members' predictions become one per question, in the first member's order; one member alone keeps its answers.

    An ensembler that pools members does the same there, and leaves out members of weight 0. One that reads character
    scores is looked at in its pool alone.

    Args:
        component: the ensembler.
        settings: its settings.
        labels: classes or numbers, for an ensembler of those.

    Raises:
        AssertionError: with the reason.
    """
    ensembler = build_checked("ensemblers", component, settings, NoRuntime())
    first = _with_shares(labels) if labels else _predictions()
    if isinstance(ensembler, PoolsMembers):
        _check_pool(ensembler, first, labelled=bool(labels))
        if ensembler.reads_characters:
            return
    second = list(reversed(first))
    result = _combine(ensembler, first, second, first)
    assert [each.id for each in result] == [each.id for each in first], "ids must be the first member's, in its order"
    assert _combine(ensembler, first, second, first) == result, "the same members give another result"
    agreed = [each.final for each in first]
    assert [each.final for each in result] == agreed, "members that agree must keep their answers"
    assert [each.final for each in _combine(ensembler, first)] == agreed, "one member alone must keep its answers"


def _check_pool(ensembler: PoolsMembers, predictions: list[Prediction], *, labelled: bool) -> None:
    """``predictions`` as the first of two members; the second one always says the same."""
    examples = _examples()
    if labelled:
        labels = [each.label for each in predictions if isinstance(each, LabelPrediction)]
        examples = [Example(str(number), "text", label=label) for number, label in enumerate(labels)]
    scores = None
    if ensembler.reads_characters:
        predictions = [_at_place(each.id, _in_context(each.final)) for each in predictions]
        scores = _characters(predictions)
    other = [replace(predictions[0], id=each.id) for each in predictions]
    members = [EnsembleMember("first", predictions, scores), EnsembleMember("second", other, scores)]
    with running("pool"):
        pool = ensembler.pool(members, examples)
    with running("combine of the pool"):
        result, again = (pool.combine([1.0, 0.0], [1.0, 1.0], n_best=3) for _ in range(2))
    assert again == result, "the same weights give another result"
    assert [each.id for each in result] == [each.id for each in predictions], "ids must be the members', in their order"
    kept = [each.final for each in result]
    assert kept == [each.final for each in predictions], "a member that has all the weight must keep its answers"
    with running("learn"):
        weights, temperatures = pool.learn(range(len(examples)))
    assert len(weights) == len(temperatures) == 2, "learn must give a weight and a temperature for each member"
    assert all(weight >= 0 for weight in weights), f"a learnt weight is negative: {weights}"
    assert math.isclose(math.fsum(weights), 1, abs_tol=1e-3), f"learnt weights sum to {math.fsum(weights)}, not 1"
    assert all(temperature > 0 for temperature in temperatures), f"a temperature is not above 0: {temperatures}"


def _in_context(answer: str) -> str:
    """The answer without blank ends if the context has it, else "no answer"."""
    return answer.strip() if answer.strip() in CONTEXT else ""


def _at_place(id_: str, answer: str) -> SpanPrediction:
    begin = CONTEXT.index(answer)
    candidates = (Candidate(answer, begin, begin + len(answer), 0, 2.0, 0.7),) if answer else ()
    return SpanPrediction(id_, answer, candidates, NoAnswer(0.5, 0.3))


def _characters(predictions: Sequence[Prediction]) -> CharacterScores:
    """Each character is a token; sure of the answers."""
    start, end = np.full((2, len(predictions), len(CONTEXT)), -9.0, np.float16)
    nulls = np.full((len(predictions), 2), -5.0, np.float32)
    for row, each in enumerate(predictions):
        if each.final:
            begin = CONTEXT.index(each.final)
            start[row, begin] = end[row, begin + len(each.final) - 1] = -0.01
        else:
            nulls[row] = -0.01
    rows = np.arange(len(predictions) + 1)
    return CharacterScores(
        ids=tuple(each.id for each in predictions),
        start=start.ravel(),
        end=end.ravel(),
        no_answer=nulls,
        pointers=rows * len(CONTEXT),
        examples=rows,
        contexts=np.full(len(predictions), context_hash(CONTEXT), np.uint64),
        aggregation="mean",
    )


def _with_shares(labels: Sequence[str | float]) -> list[Prediction]:
    """Predictions of classes, with probabilities, or of numbers."""
    names = list(dict.fromkeys(label for label in labels if isinstance(label, str)))
    rest = 0.3 / max(1, len(names) - 1)
    return [
        LabelPrediction(str(number), label, tuple(0.7 if name == label else rest for name in names))
        for number, label in enumerate(labels)
    ]


def _combine(ensembler: Any, *members: list[Prediction]) -> list[Any]:
    with running("combine"):
        result = ensembler.combine(list(members))
    assert isinstance(result, list), f"combine returns {type_name(result)}, not a list"
    wanted = type(members[0][0])
    for each in result:
        assert isinstance(each, wanted), f"of {wanted.__name__}s, combine makes {type_name(each)}"
    return result


def check_writer(
    component: Component[Any, Any, Any], settings: Settings, folder: Path, *, labels: Sequence[str | float] = ()
) -> Path:
    """The file is written whole, the same each time, leaves nothing beside it, and passes its own check.

    Args:
        folder: an empty folder to write into.
        labels: classes or numbers, for a writer of those; ids are then numbers from 0.

    Returns:
        The written file, for checks of your own.

    Raises:
        AssertionError: with the reason.
    """
    writer = build_checked("writers", component, settings, NoRuntime())
    assert isinstance(writer.suffix, str), f"suffix is {type_name(writer.suffix)}, not str"
    assert writer.suffix.startswith("."), f"suffix is {writer.suffix!r}; it must start with a dot"
    path = folder / f"predictions{writer.suffix}"
    predictions = _labels(labels) if labels else _predictions()
    with running("write"):
        writer.write(predictions, path)
    assert path.is_file(), "write writes no file"
    written = path.read_bytes()
    assert written, "the file is empty"
    with running("writing the file again"):
        writer.write(predictions, path)
    assert path.is_file(), "writing again removes the file"
    assert path.read_bytes() == written, "the same predictions give another file"
    assert [each.name for each in folder.iterdir()] == [path.name], "other files are left in the folder"
    with running("check"):
        problems = writer.check(path, path)
    assert isinstance(problems, list), f"check returns {type_name(problems)}, not a list of problems"
    assert problems == [], f"a file does not pass the check against itself: {problems}"
    return path


def check_metric(
    component: Component[Any, Any, Any],
    settings: Settings,
    *,
    labels: Sequence[str | float] = (),
    contexts: Sequence[int] = (),
) -> None:
    """Figures are finite numbers, the primary one among them, and right answers score above wrong ones.

    The mean of its figures for each example is the figure for all of them; a metric for draws of examples gives of each
    draw what it gives of the examples in it.

    Args:
        labels: gold classes (two or more different ones) or numbers, for a metric of those.
        contexts: gold numbers of the context that holds the answer, for a metric of those.

    Raises:
        AssertionError: with the reason.
    """
    metric = build_checked("metrics", component, settings, NoRuntime())
    examples = [example for example in _examples() if example.answers]
    right = [each for each in _predictions() if each.id in {example.id for example in examples}]
    wrong: list[Prediction] = [SpanPrediction(each.id, "something else") for each in right]
    if labels:
        examples = [Example(str(number), "text", label=label) for number, label in enumerate(labels)]
        right, wrong = _labels(labels), _labels([_another(label, labels) for label in labels])
    if contexts:
        texts = tuple(f"context {number}" for number in range(max(contexts) + 2))
        examples = [Example(str(row), "?", texts, relevant=number) for row, number in enumerate(contexts)]
        right = [ContextPrediction(str(row), number) for row, number in enumerate(contexts)]
        wrong = [ContextPrediction(str(row), number + 1) for row, number in enumerate(contexts)]
    with running("compute"):
        good, bad = metric.compute(examples, right), metric.compute(examples, wrong)
    for figures in (good, bad):
        assert isinstance(figures, dict), f"compute returns {type_name(figures)}, not a dict"
        assert metric.primary in figures, f"the primary figure {metric.primary!r} is not among {sorted(figures)}"
        for name, value in figures.items():
            assert isinstance(value, int | float), f"{name} is {type_name(value)}, not a number"
            assert math.isfinite(value), f"{name} is {value}"
    kinds = "" if labels or contexts else " (a metric of classes, numbers or contexts: pass `labels` or `contexts`)"
    assert good[metric.primary] > bad[metric.primary], f"right answers must score above wrong ones{kinds}"
    mixed = [right[0], *wrong[1:]]
    if isinstance(metric, PerExampleMetric):
        _check_per_example(metric, examples, mixed)
    if isinstance(metric, DrawnMetric):
        _check_draws(metric, examples, mixed)


def _check_per_example(metric: Any, examples: Sequence[Example], predictions: Sequence[Prediction]) -> None:
    with running("per_example"):
        figures = metric.per_example(examples, [each.final for each in predictions])
        whole = metric.compute(examples, predictions)
    assert isinstance(figures, Mapping), f"per_example returns {type_name(figures)}, not a dict"
    assert metric.primary in figures, f"per_example lacks the primary figure {metric.primary!r}"
    for name, values in figures.items():
        assert len(values) == len(examples), (
            f"per_example gives {len(values)} figures {name} for {len(examples)} answers"
        )
        assert name in whole, f"per_example gives {name!r}, which compute does not have"
        mean = math.fsum(values) / len(values)
        same = math.isclose(mean, whole[name], rel_tol=1e-6, abs_tol=1e-6)
        assert same, f"per_example gives {name} as {mean} on the mean where compute gives {whole[name]}"


def _check_draws(metric: Any, examples: Sequence[Example], predictions: Sequence[Prediction]) -> None:
    whole = np.ones(len(examples))
    twice = whole + np.eye(1, len(examples))[0]  # the first one comes once more
    with running("of_draws"):
        drawn = metric.of_draws(examples, [each.final for each in predictions], np.stack([whole, twice]))
        first = replace(examples[0], id="once more")
        again = replace(predictions[0], id=first.id)
        figures = metric.compute(examples, predictions), metric.compute([*examples, first], [*predictions, again])
    assert isinstance(drawn, Mapping), f"of_draws returns {type_name(drawn)}, not a dict"
    for number, wanted in enumerate(figures):
        for name, values in drawn.items():
            assert values.shape == (2,), f"of_draws gives {name} the shape {values.shape}, not (R,)"
            assert name in wanted, f"of_draws gives {name!r}, which compute does not have"
            same = math.isclose(values[number], wanted[name], rel_tol=1e-6, abs_tol=1e-6)
            assert same, f"of_draws gives {name} as {values[number]} where compute gives {wanted[name]}"


def _labels(labels: Sequence[str | float]) -> list[Prediction]:
    return [LabelPrediction(str(number), label) for number, label in enumerate(labels)]


def _another(label: str | float, labels: Sequence[str | float]) -> str | float:
    """A wrong label."""
    return -label if isinstance(label, float) else next(other for other in labels if other != label)
