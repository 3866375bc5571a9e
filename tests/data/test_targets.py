"""Several numbers of one text: the value, and how they become rows of numbers."""

from __future__ import annotations

import copy
import json
import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qakit.data.labels import classes_of, label_numbers, run_classes
from qakit.errors import DataError
from qakit.numbers import parse_targets, targets_of
from qakit.values import Example, LabelPrediction, TargetNames, Targets

ONE = Targets((0.5, math.nan), ("a", "b"))
names = st.lists(st.text(max_size=4), min_size=1, max_size=4, unique=True)


def labelled(*labels: str | float | Targets | None) -> list[Example]:
    return [Example(str(number), "text", label=label) for number, label in enumerate(labels)]


@given(
    names.flatmap(
        lambda keys: st.tuples(
            st.just(keys),
            st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=len(keys), max_size=len(keys)),
        )
    )
)
def test_what_is_written_is_parsed(case: tuple[list[str], list[float]]) -> None:
    keys, values = case
    made = Targets(values, keys)
    again = parse_targets(LabelPrediction("q", made).final)
    assert again == made
    assert again is not None
    assert again.names == made.names == tuple(keys)


@pytest.mark.parametrize(
    "text", ["", "0.5", "{}", '{"a": null}', '{"a": true}', '{"a": "1"}', '{"a": NaN}', "[1]", "{" * 99_999]
)
def test_what_is_no_set_of_numbers(text: str) -> None:
    assert parse_targets(text) is None


def test_what_is_not_known_is_null_as_text_and_equals_itself() -> None:
    assert json.loads(str(ONE)) == {"a": 0.5, "b": None}
    assert Targets((0.5, float("nan")), ("a", "b")) == ONE
    assert hash(ONE) == hash(Targets((0.5, float("nan")), ("a", "b")))
    assert targets_of({"a": 10**400}) is None
    with pytest.raises(ValueError, match="2 numbers have 1 names"):
        Targets((1, 2), ("a",))


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_copies_know_their_names(way) -> None:  # type: ignore[no-untyped-def]
    found = way(ONE)
    assert (found, found.names) == (ONE, ("a", "b"))
    assert isinstance(found.names, TargetNames)


def test_names_are_those_of_the_examples() -> None:
    found = classes_of(labelled(None, ONE, Targets((1, 2), ("a", "b"))))
    assert (found, type(found)) == (("a", "b"), TargetNames)
    assert run_classes(None, labelled(ONE)) == ("a", "b")
    for other in (Targets((1, 2), ("a", "c")), 1.0, "class"):
        with pytest.raises(DataError, match="some texts have other numbers than others"):
            classes_of(labelled(ONE, other))


def test_rows_are_in_the_runs_order() -> None:
    run = TargetNames(("b", "a"))
    found = label_numbers(labelled(ONE, None, Targets((1, 2), ("b", "a"))), run)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [[np.nan, 0.5], [np.nan, np.nan], [1, 2]])
    assert label_numbers([], run).shape == (0, 2)
    assert np.isnan(label_numbers(labelled(ONE), ())).all()  # nobody asked for them


@pytest.mark.parametrize("label", ["x", 1.0, Targets((1,), ("a",)), Targets((1, 2, 3), ("a", "b", "c"))])
def test_other_numbers_than_the_runs_are_an_error(label: str | float | Targets) -> None:
    with pytest.raises(DataError, match=r"id 0: the label .* has not the run's numbers: a, b"):
        label_numbers(labelled(label), TargetNames(("a", "b")))
    with pytest.raises(DataError, match="is none of the run's classes: x, y"):
        label_numbers(labelled(ONE), ("x", "y"))
