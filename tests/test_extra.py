"""What a reader may put on an example beside its texts."""

from __future__ import annotations

import copy
import pickle
import re
from dataclasses import replace
from typing import Any

import pytest

from qakit.values import Example


def test_it_is_a_frozen_copy() -> None:
    given: dict[str, Any] = {"level": 2, "votes": [1, {"by": None}], "sure": True, "share": 0.5}
    example = Example("a", "?", extra=given)
    given["votes"].append(3)
    given["more"] = 1
    assert example.extra == {"level": 2, "votes": (1, {"by": None}), "sure": True, "share": 0.5}
    with pytest.raises(TypeError):
        example.extra["level"] = 3  # type: ignore[index]
    with pytest.raises(TypeError):
        example.extra["votes"][1]["by"] = "me"


def test_copies_are_equal_in_other_processes_too() -> None:
    example = Example("a", "?", extra={"votes": [1, {"by": "me"}]})
    for other in (pickle.loads(pickle.dumps(example)), copy.deepcopy(example), replace(example, answers=None)):
        assert other == example
        assert hash(other) == hash(example)
        assert repr(other) == repr(example), "what processes compare"
    assert Example("a", "?") != example
    assert Example("a", "?", extra={}) == Example("a", "?")


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        (None, "extra is NoneType; it must be a mapping"),
        (["a"], "extra is list; it must be a mapping"),
        ({0: "a"}, "extra has the name 0; names must be texts"),
        ({"a": {"b": {1}}}, "extra['a']['b'] is set; it must be text, a finite number, true, false, None, a list or"),
        ({"a": [1.0, float("nan")]}, "extra['a'][1] is nan; it must be"),
    ],
)
def test_what_no_file_could_hold_is_refused(given: Any, wrong: str) -> None:
    with pytest.raises(TypeError, match=re.escape(wrong)):
        Example("a", "?", extra=given)
