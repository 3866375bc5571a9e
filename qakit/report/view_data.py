"""What the page of ``qakit view`` draws from: one JSON value of what runs keep, whose short keys
:func:`view_data` explains."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any, Literal

from qakit.inference.answering import Examined
from qakit.inference.calibration import RIGHT
from qakit.inference.error_analysis import MEANING, analyse_errors, relevant_context
from qakit.inference.evaluation import EXACT_MATCH, Judge, choices_of
from qakit.numbers import finite_or_none
from qakit.protocols import PerExampleMetric
from qakit.report.compare_runs import Answered
from qakit.report.curves import drawn_figures
from qakit.runs import VALIDATION_LOSS, Run, classes_of
from qakit.values import ContextPrediction, Example, LabelPrediction, Prediction, SetPrediction, SpanPrediction, Targets

Kind = Literal["spans", "sets", "labels", "contexts"]

CANDIDATES = 5
"""Of each answer, on the page."""
MOST_CLASSES = 40
"""Of a table of confusions."""
MOST_POINTS = 400
"""Of a curve of the training loss: more would be one pixel each."""
BINS = 10
"""Of confidence."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What an evaluation knows beside the answers, and no file keeps."""

    threshold: float
    """The no-answer threshold that it answered with."""
    examined: Examined | None = None
    """Why each wrong answer is wrong, and the windows."""
    source: str = "a file"
    """Where the questions are from."""


def view_data(
    runs: Sequence[Answered],
    names: Sequence[str],
    judges: Sequence[Judge],
    examples: Sequence[Example],
    findings: Findings | None = None,
) -> dict[str, Any]:
    """What the script reads.

    ``keys``: the metric's figures of single questions; ``exact`` and ``primary``: the places of exact match and of the
    figure that runs are selected by. ``texts``: the distinct contexts.

    A question has its id ``i``, text ``q``, contexts ``c`` (places in ``texts``) and right answer ``g``: ``[text,
    start, context, end]`` each (characters, end exclusive), a class or number, or the right context; and, where they
    are known, its windows ``w``: ``[context, start, end]``. Of the kind ``sets`` all right answers belong together, and
    so do all candidates of an answer.

    An answer has its text ``a``; candidates ``n``: ``[start, end, context, probability, score]``, and the text
    where it has no place, or probabilities alone; "no answer" ``o``: ``[probability, score]``; figures ``f``; whether
    it is right ``r``; the cause ``c`` if not; its confidence ``p``; and for the threshold the null score less the best
    one's ``d``, and the figures if answered and if not, ``t``.
    """
    predictions = [[run.predictions[example.id] for example in examples] for run in runs]
    kind = _kind(predictions[0])
    metric = judges[0].metric
    keys = list(metric.per_example(examples[:1], [""])) if isinstance(metric, PerExampleMetric) and examples else []
    exact = next((keys.index(key) for key in EXACT_MATCH if key in keys), None)
    places: dict[str, int] = {}
    questions = []
    for example in examples:
        contexts = [places.setdefault(text, len(places)) for text in example.contexts]
        questions.append({"i": example.id, "q": example.question, "c": contexts, "g": _gold(example, kind)})
    if findings is not None and findings.examined is not None and findings.examined.windows:
        questions = [each | {"w": own} for each, own in zip(questions, findings.examined.windows, strict=True)]
    described, answers = [], []
    for number, (run, name, judge) in enumerate(zip(runs, names, judges, strict=True)):
        own = _answers(judge, examples, predictions[number], keys, exact, findings, with_threshold=number == 0)
        answers.append(own)
        described.append(
            {
                "name": name,
                "threshold": _threshold(run, findings) if any("t" in answer for answer in own) else None,
                "log": training_log(run.run),
                "calibration": _calibration(own),
                "labels": list(classes_of(run.run) or ()),
                "confusion": _confusion(examples, predictions[number]) if kind == "labels" else None,
            }
        )
    return {
        "kind": kind,
        "keys": keys,
        "exact": exact,
        "primary": keys.index(metric.primary) if metric.primary in keys else 0,
        "causes": dict(MEANING),
        "runs": described,
        "texts": list(places),
        "questions": questions,
        "answers": answers,
    }


def _kind(predictions: Sequence[Prediction]) -> Kind:
    first = predictions[0] if predictions else None
    if isinstance(first, LabelPrediction):
        return "labels"
    if isinstance(first, SetPrediction):
        return "sets"
    return "contexts" if isinstance(first, ContextPrediction) else "spans"


def _gold(example: Example, kind: Kind) -> Any:
    if kind == "labels":
        return None if example.label is None else _written(LabelPrediction(example.id, example.label))
    if kind == "contexts":
        return relevant_context(example)
    if example.answers is None:
        return None
    found = []
    for answer in example.answers:
        spans = answer.places or ((None, None),)
        found += [[answer.text, begin, answer.context, end] for begin, end in spans]
    return [list(each) for each in dict.fromkeys(map(tuple, found))]


def _answers(
    judge: Judge,
    examples: Sequence[Example],
    predictions: Sequence[Prediction],
    keys: Sequence[str],
    exact: int | None,
    findings: Findings | None,
    *,
    with_threshold: bool,
) -> list[dict[str, Any]]:
    finals = [prediction.final for prediction in predictions]
    figures: Mapping[str, Sequence[float]] = {}
    if isinstance(judge.metric, PerExampleMetric):
        figures = judge.metric.per_example(examples, finals)
    rows = [[_short(figures[key][row]) for key in keys] for row in range(len(examples))]
    right = [_is_right(example, final, row, exact) for example, final, row in zip(examples, finals, rows, strict=True)]
    spans = [prediction for prediction in predictions if isinstance(prediction, SpanPrediction)]
    causes: Sequence[str | None] = [None] * len(examples)
    chosen = choices = None
    if len(spans) == len(predictions) and rows and keys:
        raw = [_raw(prediction) for prediction in spans]
        examined = None if findings is None else findings.examined
        causes = (analyse_errors(examples, raw, spans, judge) if examined is None else examined.errors).loss
        if with_threshold and judge.recipe.predict.no_answer:
            choices = choices_of(raw, examples, judge)
    found = []
    for row, prediction in enumerate(predictions):
        answer = {"a": _written(prediction), "f": rows[row], "r": right[row], "c": causes[row], **_options(prediction)}
        if choices is not None:
            chosen = finite_or_none(float(choices.differences[row]))
            answer |= {
                "d": chosen,
                "t": [[_short(values[key][row]) for key in keys] for values in (choices.answered, choices.null)],
            }
        found.append(answer)
    return found


def _written(prediction: Prediction) -> str:
    """An answer as the page shows it: several numbers with their names, a context by its place."""
    if isinstance(prediction, LabelPrediction) and isinstance(prediction.label, Targets):
        held = prediction.label.by_name()
        return ", ".join(f"{name} {'-' if math.isnan(value) else f'{value:.3g}'}" for name, value in held.items())
    if isinstance(prediction, SetPrediction):
        return " · ".join(prediction.answers)
    return prediction.final


def _options(prediction: Prediction) -> dict[str, Any]:
    """What the answer was chosen from, and how sure the choice is."""
    if not isinstance(prediction, SpanPrediction | SetPrediction):
        return {
            "n": [_short(score) for score in prediction.scores],
            "p": _short(max(prediction.scores, default=math.nan)),
        }
    options = []
    shown = prediction.candidates[: None if isinstance(prediction, SetPrediction) else CANDIDATES]
    for each in shown:
        option: list[Any] = [each.start, each.end, each.context, _short(each.probability), _short(each.score)]
        options.append(option if each.start is not None else [*option, each.text])
    if isinstance(prediction, SetPrediction):
        return {"n": options, "p": None}
    null, best = prediction.null, prediction.best
    sure = None
    if prediction.answer and best is not None:
        sure = _short(best.probability)
    elif not prediction.answer and null is not None:
        sure = _short(null.probability)
    return {"n": options, "o": None if null is None else [_short(null.probability), _short(null.score)], "p": sure}


def _raw(prediction: SpanPrediction) -> SpanPrediction:
    """Before clean-up, as far as it is known: the best candidate, where there is an answer."""
    best = prediction.best
    return replace(prediction, answer=best.text if prediction.answer and best is not None else prediction.answer)


def _is_right(example: Example, final: str, figures: Sequence[float | None], exact: int | None) -> int | None:
    """1 for right, 0 for wrong, None where it cannot be said (a number, an unlabelled question)."""
    if isinstance(example.label, str):
        return int(final == example.label)
    if example.together and example.answers is not None:
        return int({*SetPrediction.texts(final)} == {answer.text for answer in example.answers})
    if exact is not None and example.label is None:
        value = figures[exact]
        return int(value is not None and value >= RIGHT)
    if example.answers is None and example.relevant is not None:
        return int(final == str(example.relevant))
    return None


def _threshold(run: Answered, findings: Findings | None) -> float:
    if findings is not None:
        return findings.threshold
    return finite_or_none(run.run.read_json(run.run.decision_file).get("null_threshold")) or 0.0


def training_log(run: Run) -> dict[str, Any]:
    """The run's training loss and figures by step, ``[step, value]`` each; empty for what was not trained in one
    piece."""
    lines = list(run.metrics())
    loss = [[line["step"], line["loss"]] for line in lines if line["type"] == "train"]
    loss = [point for point in loss if finite_or_none(point[1]) is not None]
    evaluations = [line for line in lines if line["type"] == "evaluation"]
    judged = [[line["step"], line.get(VALIDATION_LOSS)] for line in evaluations]
    judged = [point for point in judged if finite_or_none(point[1]) is not None]
    figures = {}
    for name in drawn_figures(evaluations):
        points = [[line["step"], line[name]] for line in evaluations if finite_or_none(line.get(name)) is not None]
        if points:
            figures[name] = points
    return {"loss": _thinned(loss), "validation": judged, "figures": figures}


def _thinned(points: Sequence[list[float]]) -> list[list[float]]:
    """At most so many points, each the mean of its neighbours."""
    width = -(-len(points) // MOST_POINTS) or 1
    groups = [points[at : at + width] for at in range(0, len(points), width)]
    return [[group[-1][0], _short(sum(value for _, value in group) / len(group)) or 0.0] for group in groups]


def _calibration(answers: Iterable[Mapping[str, Any]]) -> list[list[float]]:
    """Mean confidence, share of right answers and how many, for each range of confidence that occurs."""
    known = [(answer["p"], answer["r"]) for answer in answers if answer["p"] is not None and answer["r"] is not None]
    bins: dict[int, list[tuple[float, int]]] = {}
    for confidence, right in known:
        bins.setdefault(min(int(confidence * BINS), BINS - 1), []).append((confidence, right))
    return [
        [*(round(fmean(values), 4) for values in zip(*bins[number], strict=True)), len(bins[number])]
        for number in sorted(bins)
    ]


def _confusion(examples: Sequence[Example], predictions: Sequence[Prediction]) -> dict[str, Any] | None:
    pairs = Counter(
        (str(example.label), prediction.final)
        for example, prediction in zip(examples, predictions, strict=True)
        if isinstance(example.label, str)
    )
    labels = sorted({name for pair in pairs for name in pair})
    if not labels or len(labels) > MOST_CLASSES:
        return None
    return {"labels": labels, "cells": [[pairs[gold, said] for said in labels] for gold in labels]}


def _short(value: float) -> float | None:
    """Four decimals are more than anybody sees."""
    number = finite_or_none(float(value))
    return None if number is None else round(number, 4)
