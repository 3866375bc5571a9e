"""Whole-word masking: how much, whole words, what stands in their place, and what decides it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from qakit.data.batch import Batch
from qakit.pretraining.masking import MaskedBatch, MaskWords

MASK, SPECIAL = 4, 5
ORDINARY = np.arange(SPECIAL, 100)


def batch_of(lengths: list[int]) -> Batch:
    """Windows of so many text tokens between two special ones, padded."""
    width = max(lengths) + 2
    ids, token = np.zeros((2, len(lengths), width), np.int64)
    token -= 1
    at = 0
    for row, length in enumerate(lengths):
        ids[row, [0, length + 1]] = 2, 3
        ids[row, 1 : length + 1] = 10 + np.arange(length) % 80
        token[row, 1 : length + 1] = np.arange(at, at + length)
        at += length
    held: dict[str, Any] = dict.fromkeys(Batch.__slots__)
    return Batch(**held | {"input_ids": torch.from_numpy(ids), "token": token, "window": np.arange(len(lengths))})


def masked(lengths: list[int], begins: np.ndarray, rate: float, *, keys: Any = None, epoch: int = 0) -> MaskedBatch:
    mask = MaskWords(begins, rate, MASK, ORDINARY, 3)
    return mask(batch_of(lengths), np.arange(len(lengths)) << 20 if keys is None else keys, epoch=epoch)


def chosen(batch: MaskedBatch) -> np.ndarray:
    assert batch.labels is not None
    return batch.labels.numpy() >= 0


@given(lengths=st.lists(st.integers(1, 60), min_size=1, max_size=4), rate=st.floats(0.02, 0.9))
def test_where_every_token_is_a_word_the_count_is_exact(lengths: list[int], rate: float) -> None:
    batch = masked(lengths, np.ones(sum(lengths), bool), rate)
    assert chosen(batch).sum(1).tolist() == [max(1, round(rate * length)) for length in lengths]


@given(data=st.data(), rate=st.floats(0.05, 0.6), epoch=st.integers(0, 2))
def test_words_are_masked_whole_and_never_more_than_the_rate_allows(data: Any, rate: float, epoch: int) -> None:
    begins = np.array(data.draw(st.lists(st.booleans(), min_size=1, max_size=60)))
    length = len(begins)
    batch = masked([length], begins, rate, epoch=epoch)
    taken = chosen(batch)[0, 1 : length + 1]
    assert not chosen(batch)[0, [0, length + 1]].any()
    starts = [0, *(i for i in range(1, length) if begins[i]), length]
    words = [taken[first:stop] for first, stop in pairwise(starts)]
    assert all(word.all() or not word.any() for word in words)
    budget, hidden = max(1, round(rate * length)), [len(word) for word in words if word.all()]
    assert hidden
    assert sum(hidden) <= budget or len(hidden) == 1
    left = budget - sum(hidden)
    assert all(len(word) > left for word in words if not word.any())  # none that would still fit was left out


def test_eight_in_ten_are_hidden_one_is_another_token_and_one_stays() -> None:
    lengths = [400] * 20
    batch, plain = masked(lengths, np.ones(8000, bool), 0.5), batch_of(lengths).input_ids.numpy()
    at, shown = chosen(batch), batch.input_ids.numpy()
    assert (shown[~at] == plain[~at]).all()
    assert batch.labels is not None
    assert (batch.labels.numpy()[at] == plain[at]).all()
    hidden, same = (shown[at] == MASK).mean(), (shown[at] == plain[at]).mean()
    assert abs(hidden - 0.8) < 0.02
    assert abs(same - 0.1) < 0.02
    other = shown[at][(shown[at] != MASK) & (shown[at] != plain[at])]
    assert other.min() >= SPECIAL
    assert len(set(other.tolist())) > 90  # of 95


def test_a_window_is_masked_alike_in_any_batch_and_anew_in_each_epoch() -> None:
    begins = np.ones(120, bool)
    three = masked([40, 40, 40], begins, 0.3, keys=np.array([7, 8, 9]) << 20)
    turned = masked([40, 40, 40], begins, 0.3, keys=np.array([9, 8, 7]) << 20)
    assert (chosen(three)[0] == chosen(turned)[2]).all()
    assert (chosen(three)[0] != chosen(three)[1]).any()
    later = masked([40, 40, 40], begins, 0.3, keys=np.array([7, 8, 9]) << 20, epoch=1)
    assert (chosen(three) != chosen(later)).any(1).all()
