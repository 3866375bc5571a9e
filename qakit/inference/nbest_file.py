"""``nbest.jsonl``: predictions with all their candidates, one JSON object a line.

Spans::

    {"id", "answer", "candidates": [{"text", "start", "end", "context", "score", "probability"}],
     "null": {"score", "probability"} or null}

All answers to a question with several: ``{"id", "answers": [text], "candidates"}``.
Classes and numbers: ``{"id", "label", "scores"}``, where several numbers are an object, name -> number; contexts:
``{"id", "context", "scores"}``. Floats are written with all their digits, so reading gives the same predictions back.
Text stays readable UTF-8; only a line with a lone surrogate, which UTF-8 cannot hold, is ASCII with ``\\u`` escapes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import Any, TypeVar

from qakit.data.splits import read_split
from qakit.errors import DataError
from qakit.files import atomic_path
from qakit.numbers import finite_or_none, targets_of
from qakit.recipe.model import Recipe
from qakit.registry import Registry
from qakit.runs import Run
from qakit.values import (
    Candidate,
    ContextPrediction,
    Example,
    LabelPrediction,
    NoAnswer,
    Prediction,
    SetPrediction,
    SpanPrediction,
    SpeltClass,
    Targets,
)

T = TypeVar("T")

_COLUMNS = ("text", "start", "end", "context", "score", "probability")
_VALUES, _ENTRIES = attrgetter(*_COLUMNS), itemgetter(*_COLUMNS)
_TYPES = (str, int, int, int, float, float)

_ENCODE = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
_ENCODE_ASCII = json.JSONEncoder(ensure_ascii=True, allow_nan=False).encode


def write_nbest(path: Path, predictions: Iterable[Prediction]) -> None:
    """Write the file atomically.

    Raises:
        DataError: a score is NaN or infinite.
    """
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        for prediction in predictions:
            try:
                file.write(_line(_as_json(prediction)))
            except ValueError as error:
                problem = f"cannot be written: a score is NaN or infinite ({error})"
                raise DataError(problem, path=path, row=f"id {prediction.id}") from error


def read_nbest(path: Path) -> list[Prediction]:
    """Read what :func:`write_nbest` wrote.

    Raises:
        DataError: the file cannot be read, or a line is not a prediction; says which line and field.
    """
    return list(iter_nbest(path))


def iter_nbest(path: Path) -> Iterator[Prediction]:
    """One prediction after the other: :func:`read_nbest` for files that would fill the memory.

    Raises:
        DataError: as :func:`read_nbest`, when the damaged line is reached.
    """
    try:
        with path.open("rb") as file:  # bytes: only \n ends a line, not U+2028 or U+0085
            for number, line in enumerate(file, start=1):
                if line.isspace():
                    continue
                try:
                    prediction = _prediction(_Fields.parse(line))
                except _BrokenError as broken:
                    raise DataError(broken.problem, path=path, row=f"line {number}", field=broken.field) from None
                yield prediction
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", path=path) from None


def _line(value: dict[str, Any]) -> bytes:
    try:
        return (_ENCODE(value) + "\n").encode("utf-8")
    except UnicodeEncodeError:
        return (_ENCODE_ASCII(value) + "\n").encode("ascii")


def _as_json(prediction: Prediction) -> dict[str, Any]:
    if isinstance(prediction, LabelPrediction):
        label = prediction.label
        if isinstance(label, Targets):
            return {"id": prediction.id, "label": label.by_name(), "scores": prediction.scores}
        spelt = {"written": label.written} if isinstance(label, SpeltClass) else {}
        return {"id": prediction.id, "label": label, **spelt, "scores": prediction.scores}
    if isinstance(prediction, ContextPrediction):
        return {"id": prediction.id, "context": prediction.context, "scores": prediction.scores}
    candidates = [dict(zip(_COLUMNS, _VALUES(each), strict=True)) for each in prediction.candidates]
    if isinstance(prediction, SetPrediction):
        return {"id": prediction.id, "answers": prediction.answers, "candidates": candidates}
    null = prediction.null
    return {
        "id": prediction.id,
        "answer": prediction.answer,
        "candidates": candidates,
        "null": None if null is None else {"score": null.score, "probability": null.probability},
    }


class _BrokenError(Exception):
    """A line that is not a prediction."""

    def __init__(self, problem: str, field: str | None = None) -> None:
        self.problem, self.field = problem, field
        super().__init__(problem)


class _Fields:
    """A JSON object whose fields are taken out with a check of their type."""

    def __init__(self, value: Any, place: str = "") -> None:
        if not isinstance(value, dict):
            raise _BrokenError("must be a JSON object", place or None)
        self.values, self.place = value, place

    @staticmethod
    def parse(line: bytes) -> _Fields:
        try:
            return _Fields(json.loads(line.decode("utf-8")))
        except (ValueError, RecursionError) as error:  # JSON and UTF-8 errors are ValueErrors
            raise _BrokenError(f"not a line of nbest.jsonl ({error}); write the file again") from None

    def name(self, field: str) -> str:
        return f"{self.place}.{field}" if self.place else field

    def take(self, field: str, check: Callable[[Any], T | None], wanted: str) -> T:
        """The field's value as ``check`` gives it back; None from ``check`` says that it is not what is ``wanted``."""
        if field not in self.values:
            raise _BrokenError("is missing", self.name(field))
        value = check(self.values[field])
        if value is None:
            raise _BrokenError(f"must be {wanted}", self.name(field))
        return value

    def text(self, field: str) -> str:
        return self.take(field, _text, "text")

    def number(self, field: str) -> float:
        return self.take(field, finite_or_none, "a finite number")

    def integer(self, field: str) -> int:
        return self.take(field, _integer, "a whole number, 0 or more")

    def optional_integer(self, field: str) -> int | None:
        return None if self.values.get(field, ...) is None else self.integer(field)

    def items(self, field: str) -> list[Any]:
        return self.take(field, lambda value: value if isinstance(value, list) else None, "a list")


def _prediction(fields: _Fields) -> Prediction:
    if "label" in fields.values:
        label = fields.values["label"]
        if isinstance(label, dict):
            label = fields.take("label", targets_of, "finite numbers by their names")
        elif not isinstance(label, str):
            label = fields.take("label", finite_or_none, "text or a finite number")
        elif "written" in fields.values:
            label = SpeltClass(label, fields.text("written"))
        scores = fields.take("scores", _numbers, "a list of finite numbers")
        return LabelPrediction(fields.text("id"), label, scores)
    if "context" in fields.values:
        scores = fields.take("scores", _numbers, "a list of finite numbers")
        return ContextPrediction(fields.text("id"), fields.integer("context"), scores)
    items = fields.items("candidates")
    candidates = tuple(_plain_candidate(item) or _candidate(item, number) for number, item in enumerate(items))
    if "answers" in fields.values:
        return SetPrediction(fields.text("id"), fields.take("answers", _texts, "a list of texts"), candidates)
    null = fields.values.get("null")
    return SpanPrediction(
        fields.text("id"),
        fields.text("answer"),
        candidates,
        None if null is None else _no_answer(_Fields(null, "null")),
    )


def _plain_candidate(value: Any) -> Candidate | None:
    """A candidate as :func:`write_nbest` writes almost all of them; None for whatever needs a closer look.

    It agrees with :func:`_candidate` and takes a fourth of its time, which is most of a file's.
    """
    try:
        columns = _ENTRIES(value)
    except (KeyError, TypeError):
        return None
    if tuple(map(type, columns)) != _TYPES or min(columns[1:4]) < 0 or not all(map(math.isfinite, columns[4:])):
        return None
    return Candidate(*columns)


def _candidate(value: Any, number: int) -> Candidate:
    fields = _Fields(value, f"candidates[{number}]")
    return Candidate(
        text=fields.text("text"),
        start=fields.optional_integer("start"),
        end=fields.optional_integer("end"),
        context=fields.integer("context"),
        score=fields.number("score"),
        probability=fields.number("probability"),
    )


def _no_answer(fields: _Fields) -> NoAnswer:
    return NoAnswer(fields.number("score"), fields.number("probability"))


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _texts(value: Any) -> tuple[str, ...] | None:
    return tuple(value) if isinstance(value, list) and all(isinstance(item, str) for item in value) else None


def _integer(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _numbers(value: Any) -> tuple[float, ...] | None:
    numbers = [finite_or_none(item) for item in value] if isinstance(value, list) else [None]
    return None if None in numbers else tuple(number for number in numbers if number is not None)


def kept_validation(
    run: Run, recipe: Recipe, registry: Registry
) -> tuple[Sequence[Example], Mapping[str, SpanPrediction]] | None:
    """The validation examples and the kept predictions by id; None where the run has none, or no validation file.

    The two need not fit together: the file may have changed since.

    Raises:
        DataError: a file cannot be read.
    """
    if not run.validation_nbest.is_file():
        return None
    split = read_split(recipe, registry, "validation")
    if split is None:
        return None
    kept = {each.id: each for each in read_nbest(run.validation_nbest) if isinstance(each, SpanPrediction)}
    return split.examples, kept
