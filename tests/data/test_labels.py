"""Class names and regression targets as numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qakit.data.labels import classes_of, label_numbers
from qakit.errors import DataError
from qakit.values import Example


def labelled(*labels: str | float | None) -> list[Example]:
    return [Example(str(number), "text", label=label) for number, label in enumerate(labels)]


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (("b", "a", None, "b"), ("a", "b")),
        (("10", "9", "-1", "1.5"), ("-1", "1.5", "9", "10")),
        (("x", "2", "10"), ("2", "10", "x")),
        ((1.5, 0.0, None), ()),
        ((None, None), ()),
        ((), ()),
    ],
)
def test_classes_are_sorted_numbers_by_value(labels: tuple[str | float | None, ...], classes: tuple[str, ...]) -> None:
    assert classes_of(labelled(*labels)) == classes


def test_names_and_numbers_do_not_mix() -> None:
    with pytest.raises(DataError, match="some labels are class names and others are numbers"):
        classes_of(labelled("1", 2.0))


def test_a_label_is_its_place_and_a_missing_one_is_not_a_number() -> None:
    found = label_numbers(labelled("no", None, "yes"), ("yes", "no"))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [1, np.nan, 0])
    np.testing.assert_array_equal(label_numbers(labelled(2.5, None, 0.0), ()), [2.5, np.nan, 0])
    assert label_numbers([], ("yes",)).shape == (0,)


def test_a_label_that_is_no_class_is_an_error_that_names_it() -> None:
    with pytest.raises(DataError, match=r"'maybe' is none of the run's classes: no, yes") as caught:
        label_numbers(labelled("no", "maybe"), ("no", "yes"))
    assert "id 1" in str(caught.value)
    with pytest.raises(DataError, match=r"3.0 is none of the run's classes"):
        label_numbers(labelled(3.0), ("no", "yes"))


@pytest.mark.parametrize("label", [1e39, -1e308])
def test_a_number_that_training_cannot_hold_is_an_error_that_names_it(label: float) -> None:
    with pytest.raises(DataError, match="is larger than training's numbers of 32 bits") as caught:
        label_numbers(labelled(1.0, label), ())
    assert "id 1" in str(caught.value)
    assert label_numbers(labelled(3e38), ()).tolist() == [np.float32(3e38)]


def test_a_class_called_nan_has_its_place_whatever_comes_first() -> None:
    for names in (("2", "NaN", "1"), ("NaN", "1", "2"), ("1", "2", "NaN")):
        assert classes_of(labelled(*names)) == ("1", "2", "NaN")


@given(st.lists(st.one_of(st.none(), st.text(max_size=3), st.integers(-5, 50).map(str)), max_size=20))
def test_every_label_is_found_at_its_number(labels: list[str | None]) -> None:
    examples = labelled(*labels)
    classes = classes_of(examples)
    assert set(classes) == {label for label in labels if label is not None}
    assert classes_of(examples[::-1]) == classes
    for label, number in zip(labels, label_numbers(examples, classes), strict=True):
        assert np.isnan(number) if label is None else classes[int(number)] == label
