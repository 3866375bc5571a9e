"""A search that continues after its file was edited: in the same space, or in one with wider ranges."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    check_distribution_compatibility,
)

from qakit.errors import UsageError
from qakit.study.space import _holds

Write = Callable[..., Path]
Drive = Any


def search(space: str, trials: int = 1) -> str:
    return f"recipe: base.yaml\nsearch: {{trials: {trials}, space: {{{space}}}}}\n"


RATE = "train.learning_rate: {log: [1e-5, 1e-3]}"


@pytest.mark.parametrize(
    ("before", "now", "message"),
    [
        (
            "train.batch_size: {choice: [8, 4]}",
            "train.batch_size: {choice: [8, 4, 16]}",
            "train.batch_size was {choice: [batch_size8, batch_size4]} and is now {choice: [batch_size8, batch_size4, ",
        ),
        (
            RATE,
            "train.learning_rate: {uniform: [1e-5, 1e-3]}",
            "was {log: [1e-5, 0.001]} and is now {uniform: [1e-5, 0.001]}; change it back, give the study another name",
        ),
        (RATE, "train.learning_rate: {choice: [1e-4]}", "is now {choice: [learning_rate0.0001]}"),
        (RATE, "train.learning_rate: {log: [1e-4, 1e-3]}", "is now {log: [0.0001, 0.001]}"),
        ("train.batch_size: {integer: [2, 9]}", "train.batch_size: {log_integer: [2, 9]}", "was {integer: [2, 9]}"),
        (RATE, f"{RATE}, train.epochs: {{integer: [1, 3]}}", "train.epochs was not searched and is now {integer: "),
        (f"{RATE}, train.epochs: {{integer: [1, 3]}}", RATE, "was {integer: [1, 3]} and is now not searched"),
    ],
)
def test_another_space_is_refused_before_anything_is_trained(
    write: Write, drive: Drive, before: str, now: str, message: str
) -> None:
    drive(write(search(before, 1)))
    with pytest.raises(UsageError) as caught:
        drive(write(search(now, 2)))
    assert str(caught.value).startswith("the search space of study has changed: ")
    assert message in str(caught.value)
    assert set(drive.starts().values()) == {1}


def test_a_grid_does_not_become_a_search(write: Write, drive: Drive) -> None:
    drive(write("recipe: base.yaml\ngrid: {train.batch_size: [8]}\n"))
    with pytest.raises(UsageError, match="holds a grid: give the study another name, or another --output"):
        drive(write(search("train.batch_size: {choice: [8, 16]}")))


def test_a_value_that_is_gone_is_refused_before_a_retry(write: Write, drive: Drive) -> None:
    records = drive(write(search("train.batch_size: {choice: [13]}", 1)))
    assert [record.state for record in records] == ["failed"]
    with pytest.raises(UsageError, match="search space of study has changed"):
        drive(write(search("train.batch_size: {choice: [8]}", 1)), retry_failed=True)


def test_a_range_may_grow_and_trials_may_be_added(write: Write, drive: Drive) -> None:
    first = drive(write(search("train.learning_rate: {log: [1e-4, 1e-3]}", 2)))
    records = drive(write(search("train.learning_rate: {log: [1e-6, 1e-2]}", 5)))
    assert [dict(record.trial.values) for record in records[:2]] == [dict(record.trial.values) for record in first]
    assert {record.state for record in records} == {"finished"}
    assert any(not 1e-4 <= float(record.trial.values["train.learning_rate"]) <= 1e-3 for record in records)
    assert set(drive.starts().values()) == {1}


ENDS = st.tuples(st.integers(1, 4), st.integers(5, 8))
SPACES: st.SearchStrategy[BaseDistribution] = st.one_of(
    st.builds(lambda ends, log: FloatDistribution(*ends, log=log), ENDS, st.booleans()),
    st.builds(lambda ends, log: IntDistribution(*ends, log=log), ENDS, st.booleans()),
    st.builds(CategoricalDistribution, st.lists(st.sampled_from("ab"), min_size=1, max_size=2, unique=True)),
)


@given(SPACES, SPACES)
def test_what_passes_is_what_optuna_takes_and_holds_all_values(now: BaseDistribution, before: BaseDistribution) -> None:
    if not _holds(now, before):
        return
    check_distribution_compatibility(before, now)
    values = before.choices if isinstance(before, CategoricalDistribution) else (before.low, before.high)  # type: ignore[attr-defined]
    assert all(now._contains(now.to_internal_repr(value)) for value in values)
