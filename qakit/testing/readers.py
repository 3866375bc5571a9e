"""The contract of readers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qakit.components import Component, Settings
from qakit.errors import DataError
from qakit.problems import Policy, Problems
from qakit.protocols import NoRuntime
from qakit.testing.components import build_checked, running
from qakit.values import Answer, Example


def check_reader(
    component: Component[Any, Any, Any],
    settings: Settings,
    path: Path,
    *,
    policies: Mapping[str, Policy] | None = None,
    count: int | None = None,
) -> list[Example]:
    """The reader yields the file's examples, the same ones each time, every placed answer where it says.

    Args:
        policies: what to do about which kind of problem in a record; by default every problem is an error.
        count: how many examples the file holds, where you know it.

    Returns:
        The examples, for checks of your own.

    Raises:
        AssertionError: with the reason.
        DataError: the file has a problem that the policies do not forgive.
    """
    reader = build_checked("readers", component, settings, NoRuntime())

    def read() -> list[Example]:
        with running("read", passing=DataError):
            return list(reader.read(path, Problems(path, policies or {}, declared=component.problems)))

    examples = read()
    assert examples, f"{path}: no examples"
    seen: set[str] = set()
    for example in examples:
        assert example.id not in seen, f"the id {example.id!r} occurs twice"
        seen.add(example.id)
        for answer in example.answers or ():
            _check_answer(example, answer)
    assert read() == examples, f"{path}: a second reading gives other examples"
    assert count in (None, len(examples)), f"{path}: {len(examples)} examples, not {count}"
    return examples


def _check_answer(example: Example, answer: Answer) -> None:
    assert 0 <= answer.context < len(example.contexts), f"{example.id}: answer in context {answer.context}"
    if answer.start is not None:
        assert answer.start >= 0, f"{example.id}: an answer starts at {answer.start}"
        found = example.contexts[answer.context][answer.start : answer.end]
        assert found == answer.text, (
            f"{example.id}: the context has {found!r} where the answer {answer.text!r} should be"
        )
    length = len(example.contexts[answer.context])
    for first, end in answer.others:
        assert 0 <= first < end <= length, f"{example.id}: an answer's other place is {first} to {end} of {length}"
