"""Which windows go through the model together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qakit.data.batching import MEGA_BATCHES, prediction_batches, split, training_batches

lengths_lists = st.lists(st.integers(1, 50), max_size=120).map(lambda values: np.array(values, np.int32))


def padded(lengths: np.ndarray, batches: list[np.ndarray]) -> int:
    return sum(len(batch) * int(lengths[batch].max()) for batch in batches)


@given(
    lengths=lengths_lists,
    batch_size=st.integers(1, 9),
    budget=st.none() | st.integers(1, 200),
    group=st.booleans(),
    epoch=st.integers(0, 3),
)
def test_an_epoch_holds_every_window_once(
    lengths: np.ndarray, batch_size: int, budget: int | None, group: bool, epoch: int
) -> None:
    batches = training_batches(
        lengths, batch_size=batch_size, token_budget=budget, group_by_length=group, seed=1, epoch=epoch
    )
    assert sorted(np.concatenate([[], *batches]).tolist()) == list(range(len(lengths)))
    for batch in batches:
        if budget is None:
            assert 1 <= len(batch) <= batch_size
        else:
            assert len(batch) == 1 or len(batch) * lengths[batch].max() <= budget
    if budget is None:
        assert len(batches) == -(-len(lengths) // batch_size)
        assert sum(len(batch) < batch_size for batch in batches) <= 1


@given(
    lengths=lengths_lists, batch_size=st.integers(1, 9), budget=st.none() | st.integers(1, 200), group=st.booleans(),
    data=st.data(),
)  # fmt: skip
def test_groups_stay_together(
    lengths: np.ndarray, batch_size: int, budget: int | None, group: bool, data: st.DataObject
) -> None:
    groups = np.array(
        data.draw(st.lists(st.integers(0, 12), min_size=len(lengths), max_size=len(lengths))), dtype=np.int64
    )
    batches = training_batches(
        lengths, batch_size=batch_size, token_budget=budget, group_by_length=group, seed=0, epoch=0, groups=groups
    )
    assert sorted(np.concatenate([[], *batches]).tolist()) == list(range(len(lengths)))
    for batch in batches:
        for number in set(groups[batch].tolist()):
            members = batch[groups[batch] == number].tolist()
            assert members == np.flatnonzero(groups == number).tolist()
        several = len(set(groups[batch].tolist())) > 1
        fits = len(batch) <= batch_size if budget is None else len(batch) * lengths[batch].max() <= budget
        assert fits or not several


def test_the_order_comes_from_seed_and_epoch() -> None:
    lengths = np.arange(1, 200, dtype=np.int32)

    def order(seed: int, epoch: int) -> list[int]:
        batches = training_batches(lengths, batch_size=8, group_by_length=True, seed=seed, epoch=epoch)
        return np.concatenate(batches).tolist()

    assert order(0, 0) == order(0, 0)
    assert order(0, 0) != order(0, 1) != order(1, 1)


@pytest.mark.parametrize("budget", [None, 2048])
def test_grouping_by_length_saves_padding_and_still_mixes(budget: int | None) -> None:
    lengths = np.random.default_rng(0).integers(20, 384, 5000).astype(np.int32)

    def batches(*, group: bool) -> list[np.ndarray]:
        return training_batches(lengths, batch_size=16, token_budget=budget, group_by_length=group, seed=0, epoch=0)

    assert padded(lengths, batches(group=True)) < 1.1 * lengths.sum()
    assert padded(lengths, batches(group=False)) > 1.25 * lengths.sum()
    means = [lengths[batch].mean() for batch in batches(group=True)]
    assert abs(np.corrcoef(means[:-1], means[1:])[0, 1]) < 0.2  # long and short batches take turns
    assert len(lengths) > MEGA_BATCHES * 16


@given(lengths=lengths_lists, batch_size=st.integers(1, 9), budget=st.none() | st.integers(1, 200))
def test_prediction_goes_from_long_to_short(lengths: np.ndarray, batch_size: int, budget: int | None) -> None:
    batches = prediction_batches(lengths, batch_size=batch_size, token_budget=budget)
    order = np.concatenate([np.zeros(0, np.int64), *batches])
    assert sorted(order.tolist()) == list(range(len(lengths)))
    assert (np.diff(lengths[order]) <= 0).all()
    for batch in batches:
        if budget is None:
            assert len(batch) <= batch_size
        else:
            assert len(batch) == 1 or len(batch) * lengths[batch].max() <= budget


@given(count=st.integers(0, 40), parts=st.integers(1, 8))
def test_split(count: int, parts: int) -> None:
    pieces = split(np.arange(count), parts=parts)
    sizes = [len(piece) for piece in pieces]
    assert len(pieces) == parts
    assert max(sizes) - min(sizes) <= 1
    assert np.concatenate(pieces).tolist() == list(range(count))


@given(st.lists(st.integers(1, 4), min_size=1, max_size=12), st.integers(1, 6))
def test_a_cut_never_parts_a_group(sizes: list[int], parts: int) -> None:
    groups = np.repeat(7 * np.arange(len(sizes))[::-1], sizes)  # neighbours, in any order of their numbers
    rows = np.arange(100, 100 + len(groups))
    pieces = split(rows, parts=parts, groups=groups)
    assert np.concatenate(pieces).tolist() == rows.tolist()
    held = [set(groups[np.isin(rows, piece)].tolist()) for piece in pieces]
    assert sum(map(len, held)) == len(sizes)
    assert max(map(len, held)) - min(map(len, held)) <= 1
