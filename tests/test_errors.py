"""What an error says: one line for one problem, a list for several."""

from __future__ import annotations

from pathlib import Path

from qakit.errors import DataError


def test_one_problem_is_one_line_whatever_the_names_hold() -> None:
    error = DataError("is odd", path="a\nb.csv", row="id 1\u2028", field="x")
    assert str(error) == "a\\nb.csv, id 1\\u2028, field 'x': is odd"
    assert error.problem == "is odd"


def test_several_problems_are_a_list_one_a_line() -> None:
    error = DataError(["the first", "the\nsecond"], path=Path("ours.csv"))
    assert str(error).splitlines() == ["ours.csv: 2 problems:", "  - the first", "  - the\\nsecond"]
    assert error.problems == ("the first", "the\nsecond")


def test_a_list_of_one_is_no_list() -> None:
    assert str(DataError(["the only one"], path="a")) == "a: the only one"
    assert str(DataError(["one", "two"])) == "2 problems:\n  - one\n  - two"
