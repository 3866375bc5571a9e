"""What may come back from each method of a plugin: types, shapes, ids. Cheap enough for every call.

Each function gets what the method was called with (its object first) and what it returned, and says what is wrong with
that as the rest of a sentence that begins with the method's name; None for nothing. What lies on a device is not looked
at here, since that would wait for it: scores are checked where they arrive on the CPU.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from qakit.protocols import (
    ContextScores,
    Decoded,
    Distributions,
    HeadOutput,
    LabelScores,
    ParameterRule,
    PositionScores,
    SpanCandidates,
)
from qakit.values import Answer, Example, Prediction, SpanPrediction

Given = tuple[Any, ...]

DECODED: Mapping[str, type[Decoded]] = {
    "spans": SpanCandidates,
    "sets": SpanCandidates,
    "labels": LabelScores,
    "contexts": ContextScores,
}
"""What a head decodes to, by what it says that it gives."""
TEXT_COLUMNS, SEGMENT_COLUMNS = ("example", "query_stop"), ("pair", "first", "stop", "answer_first", "answer_stop")
"""The columns of ``Windows``: one entry for each window, one for each segment."""


def named(value: object) -> str:
    """A value's type, for messages; ``None`` is itself."""
    return "None" if value is None else type(value).__name__


def anything(_: Given, __: object) -> None:
    """Whatever it is, nobody looks at it, or its caller checks it."""


# ------------------------------------------------------------------------------------------------------ readers
def examples(_: Given, found: object) -> str | None:
    """Something that yields."""
    if isinstance(found, Iterable) and not isinstance(found, str | bytes):
        return None
    return f"returned {named(found)}; it must give examples (is `yield` missing?)"


def example_fault(example: object) -> str | None:
    """Why something is no sound example, as a sentence; None where it is one."""
    if not isinstance(example, Example):
        return f"it is {named(example)}, not Example"
    if not isinstance(example.id, str):
        return f"id {example.id!r} is {named(example.id)}, not str"
    if not isinstance(example.question, str):
        return f"{example.id}: question is {named(example.question)}, not str"
    if not isinstance(example.contexts, tuple):
        return f"{example.id}: contexts is {named(example.contexts)}; it must be a tuple"
    if not all(isinstance(text, str) for text in example.contexts):
        return f"{example.id}: contexts must hold str"
    if example.answers is not None:
        if not isinstance(example.answers, tuple):
            return (
                f"{example.id}: answers is {named(example.answers)}; it must be a tuple, or None in an unlabelled file"
            )
        for answer in example.answers:
            if not isinstance(answer, Answer) or not isinstance(answer.text, str):
                return f"{example.id}: answers must hold Answer, with texts"
    if not isinstance(example.document, str):
        return f'{example.id}: document is {named(example.document)}, not str ("" where it is not known)'
    relevant = example.relevant
    if relevant is not None and not (isinstance(relevant, int) and 0 <= relevant < len(example.contexts)):
        return f"{example.id}: relevant is {relevant!r}, of {len(example.contexts)} contexts"
    return None


# ------------------------------------------------------------------------------------------------ preprocessors
def windows(given: Given, found: Any) -> str | None:
    """``Windows`` whose arrays fit together, and slice what there is."""
    import numpy as np

    columns: dict[str, Any] = {}
    for name in (*TEXT_COLUMNS, "pointers", *SEGMENT_COLUMNS):
        columns[name] = getattr(found, name, None)
    for name, column in columns.items():
        if column is None:
            return f"returned {named(found)}; it must return Windows"
        if not isinstance(column, np.ndarray) or column.ndim != 1 or column.dtype.kind != "i":
            return f"returned windows whose `{name}` is no array of integers in one dimension"
    counts = {name: len(column) for name, column in columns.items()}
    texts, segments = counts["example"], counts["pair"]
    wanted = dict.fromkeys(TEXT_COLUMNS, texts) | {"pointers": texts + 1} | dict.fromkeys(SEGMENT_COLUMNS, segments)
    if counts != wanted:
        return f"returned windows whose arrays do not fit together: {counts}"
    pointers, encoded = columns["pointers"], given[1]
    if pointers[0] != 0 or pointers[-1] != segments or (np.diff(pointers) < 0).any():
        return f"returned windows whose `pointers` do not ascend from 0 to the {segments} segments"
    if not _within(columns["example"], len(encoded)):
        return f"returned windows of examples that there are not: `example` must be from 0 to {len(encoded) - 1}"
    pair, lengths = columns["pair"], encoded.context_lengths
    if not _within(pair, len(lengths)):
        return f"returned windows of contexts that there are not: `pair` must be from 0 to {len(lengths) - 1}"
    first, stop = columns["first"], columns["stop"]
    if ((first < 0) | (stop < first) | (stop > lengths[pair])).any():
        return "returned windows that do not lie in their contexts: 0 <= first <= stop <= tokens of the context"
    return None


def _within(numbers: Any, count: int) -> bool:
    return not len(numbers) or (int(numbers.min()) >= 0 and int(numbers.max()) < count)


# ----------------------------------------------------------------------------------------------------- adapters
def module(_: Given, found: object) -> str | None:
    """A backbone."""
    from torch import nn

    return None if isinstance(found, nn.Module) else f"returned {named(found)}; it must return the backbone"


def files(given: Given, _: object) -> str | None:
    """Something was written into the folder."""
    return None if any(Path(given[2]).iterdir()) else "has written no file"


def rule(_: Given, found: object) -> str | None:
    """How a parameter is optimised."""
    if not isinstance(found, ParameterRule):
        return f"returned {named(found)}; it must return a ParameterRule"
    rate = found.rate
    sound = isinstance(rate, int | float) and 0 <= rate < math.inf
    return None if sound else f"returned a rate that is {rate!r}; it must be a finite number from 0 up"


# ---------------------------------------------------------------------------------------------------- backbones
def vectors(given: Given, found: object) -> str | None:
    """A vector for each token."""
    from torch import Tensor

    states = getattr(found, "last_hidden_state", None)
    if not isinstance(states, Tensor):
        return f"returned {named(found)}; it must return a BackboneOutput with last_hidden_state"
    size = getattr(given[0], "hidden_size", "H")  # an adapter's module may not know it
    if states.ndim != 3 or size not in ("H", states.shape[-1]):
        return f"returned last_hidden_state of shape {tuple(states.shape)}; it must be (B, T, {size})"
    return None


# -------------------------------------------------------------------------------------------------------- heads
def head_output(given: Given, found: object) -> str | None:
    """Loss, scores and figures of the right shapes."""
    from torch import Tensor

    if not isinstance(found, HeadOutput):
        return f"returned {named(found)}; it must return a HeadOutput"
    loss = found.loss
    if loss is not None:
        if not isinstance(loss, Tensor) or not loss.is_floating_point():
            return f"gives a loss that is {_typed(loss)}; it must be a tensor of a single float32"
        if loss.ndim:
            return f"gives a loss of shape {tuple(loss.shape)}; it must give the mean, a single number"
    if not isinstance(found.scores, Mapping):
        return f"gives scores that are {named(found.scores)}; they must be tensors by name"
    rows = given[1].shape[0]
    for name, score in found.scores.items():
        if not isinstance(score, Tensor):
            return f"gives scores whose {name!r} is {named(score)}, not a tensor"
        if not score.ndim or score.shape[0] != rows:
            return f"gives scores whose {name!r} has the shape {tuple(score.shape)} for {rows} windows"
    for name, figure in found.figures.items():
        if not isinstance(figure, Tensor) or figure.ndim:
            return f"gives a figure {name!r} that is {_typed(figure)}; it must be a tensor of a single number"
    return None


def _typed(value: Any) -> str:
    dtype, shape = getattr(value, "dtype", None), getattr(value, "shape", None)
    return named(value) if dtype is None else f"{dtype} of shape {tuple(shape or ())}"


def decoded(given: Given, found: object) -> str | None:
    """What the head says that it gives, in tensors."""
    wanted = DECODED[getattr(given[0], "gives", "spans")]
    if not isinstance(found, wanted):
        return (
            f"returned {named(found)}, where {wanted.__name__} is expected: its attribute `gives` must say what it "
            "decodes to"
        )
    if (wrong := _no_tensors(found, wanted)) is not None or not isinstance(found, SpanCandidates):
        return wrong
    windows, places = given[2].input_ids.shape[0], tuple(found.score.shape)
    shapes = {name: tuple(getattr(found, name).shape) for name in ("first", "last", "score", "null")}
    expected = {"first": places, "last": places, "score": places, "null": (windows,)}
    if found.yes_no is not None:
        shapes["yes_no"], expected["yes_no"] = tuple(found.yes_no.shape), (windows, 2)
    if len(places) == 2 and places[0] == windows and places[1] and shapes == expected:
        return None
    told = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
    return (
        f"returned {told} for {windows} windows; first, last and score must be ({windows}, K) with a K of at least 1, "
        f"null ({windows},), and yes_no, if any, ({windows}, 2)"
    )


def _no_tensors(found: Any, kind: type) -> str | None:
    from torch import Tensor

    for name in kind.__slots__:  # type: ignore[attr-defined]
        value = getattr(found, name)
        if not isinstance(value, Tensor) and not (name == "yes_no" and value is None):
            return f"returned {kind.__name__} whose `{name}` is {named(value)}, not a tensor"
    return None


def hidden(given: Given, found: object) -> str | None:
    """Hidden states of a layer's shape."""
    wanted = tuple(given[1][0].shape)
    if tuple(getattr(found, "shape", ())) != wanted:
        return f"returned {_typed(found)}; it must return hidden states of shape {wanted}"
    return None


def position_scores(given: Given, found: object) -> str | None:
    """Scores of a batch's shape."""
    if not isinstance(found, PositionScores):
        return f"returned {named(found)}; it must return PositionScores"
    shape = tuple(given[2].input_ids.shape)
    if wrong := _no_tensors(found, PositionScores):
        return wrong
    if tuple(found.start.shape) != shape or tuple(found.end.shape) != shape:
        return f"returned start {tuple(found.start.shape)} and end {tuple(found.end.shape)}, not {shape}"
    return None


def distributions(_: Given, found: object) -> str | None:
    """One or more, each of one shape."""
    if not isinstance(found, Sequence) or not all(isinstance(each, Distributions) for each in found):
        return f"returned {named(found)}; it must return a list of Distributions"
    for each in found:
        shapes = tuple(each.log_probability.shape), tuple(each.possible.shape)
        if shapes[0] != shapes[1]:
            return f"returned log_probability of shape {shapes[0]} and possible of shape {shapes[1]}"
    return None


# ---------------------------------------------------------------------------------- postprocessors and ensembles
def cleaned(given: Given, found: object) -> str | None:
    """A prediction of the same example."""
    example = given[2]
    if not isinstance(found, Prediction) or found.id != example.id:
        what = f"the id {found.id!r}" if hasattr(found, "id") else named(found)
        return f"returned {what}; it must return a Prediction with the same id"
    if isinstance(found, SpanPrediction) and not isinstance(found.answer, str):
        return f"returned an answer that is {named(found.answer)}, not str"
    return None


def settings(_: Given, found: object) -> str | None:
    """Values by name."""
    return None if isinstance(found, Mapping) else f"returned {named(found)}; it must return values by name"


def combined(given: Given, found: object) -> str | None:
    """A prediction for each question, in their order."""
    if (wrong := pooled(given, found)) is not None:
        return wrong
    assert isinstance(found, list)
    wanted = [each.id for each in given[1][0]]
    if [each.id for each in found] != wanted:
        return f"returned {len(found)} predictions; it must return one for each of {len(wanted)} ids, in their order"
    return None


def pooled(_: Given, found: object) -> str | None:
    """Predictions with sorted candidates."""
    if not isinstance(found, list) or not all(isinstance(each, Prediction) for each in found):
        return f"returned {named(found)}; it must return a list of predictions"
    for each in found:
        if isinstance(each, SpanPrediction) and not all(a.score >= b.score for a, b in pairwise(each.candidates)):
            return f"returned candidates for {each.id!r} that are not sorted, best first"
    return None


def pool(_: Given, found: object) -> str | None:
    """What combines and learns."""
    lacking = [name for name in ("combine", "learn") if not callable(getattr(found, name, None))]
    return f"returned {named(found)}, which has no {' and no '.join(lacking)}" if lacking else None


# ------------------------------------------------------------------------------------------- writers and metrics
def file(given: Given, _: object) -> str | None:
    """The file is there."""
    return None if Path(given[2]).is_file() else "has written no file"


def problems(_: Given, found: object) -> str | None:
    """Texts, and not a single one: its characters would be problems."""
    if isinstance(found, Sequence) and not isinstance(found, str) and all(isinstance(each, str) for each in found):
        return None
    return f"returned {named(found)}; it must return a list of texts, empty where nothing is wrong"


def figures(_: Given, found: object) -> str | None:
    """Numbers by name. Of a few examples they may be undefined: NaN."""
    if not isinstance(found, Mapping):
        return f"returned {named(found)}; it must return figures by name"
    for name, value in found.items():
        if not isinstance(name, str) or isinstance(value, bool) or not isinstance(value, int | float):
            return f"gives {named(value)} for {name!r}; figures are int or float by name"
    return None


def figures_by_example(given: Given, found: object) -> str | None:
    """As many finite numbers as there are examples, under each name."""
    metric, rows = given[0], len(given[1])
    if not isinstance(found, Mapping):
        return f"returned {named(found)}; it must return lists of figures by name"
    counts = {name: len(values) for name, values in found.items()}
    if metric.primary not in counts or set(counts.values()) != {rows}:
        return (
            f"gives {counts or 'nothing'} figures of each of {rows} examples; it must give {metric.primary!r}, and one "
            "for each"
        )
    for name, values in found.items():
        if not all(map(math.isfinite, values)):
            return f"gives {name!r} that is no finite number for some example"
    return None


def figures_by_draw(given: Given, found: object) -> str | None:
    """One figure of each draw, under each name."""
    if not isinstance(found, Mapping):
        return f"returned {named(found)}; it must return arrays of figures by name"
    draws = len(given[3])
    for name, values in found.items():
        if getattr(values, "shape", None) != (draws,):
            return f"gives {name!r} as {_typed(values)}; it must be an array of the shape ({draws},)"
    return None
