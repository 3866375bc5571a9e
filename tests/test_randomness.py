"""Addressed randomness."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from qakit.randomness import derive_seed, permutation, uniform

KEYS = np.random.default_rng(0).integers(0, 2**63 - 1, 20_000)


def test_a_draw_does_not_depend_on_the_other_draws() -> None:
    together = uniform(3, 1, KEYS, stream="x")
    assert np.array_equal(together[::-7], uniform(3, 1, KEYS[::-7], stream="x"))


def test_every_part_of_the_address_counts() -> None:
    base = uniform(0, 0, KEYS, stream="x")
    for other in (
        uniform(1, 0, KEYS, stream="x"),
        uniform(0, 1, KEYS, stream="x"),
        uniform(0, 0, KEYS, stream="y"),
        uniform(0, 0, KEYS, stream=0),
        uniform(0, 0, KEYS + 1, stream="x"),
    ):
        assert abs(np.corrcoef(base, other)[0, 1]) < 0.03


def test_draws_are_uniform_for_random_and_for_consecutive_keys() -> None:
    for keys in (KEYS, np.arange(20_000), np.arange(20_000) * 2**32):
        draws = uniform(0, 0, keys, stream="x")
        assert draws.min() >= 0 and draws.max() < 1
        counts = np.histogram(draws, bins=20, range=(0, 1))[0]
        assert abs(counts - 1000).max() < 150  # five standard deviations
        assert abs(np.corrcoef(draws[:-1], draws[1:])[0, 1]) < 0.03


def test_values_stay_the_same_from_version_to_version() -> None:
    """A resumed run must draw what the interrupted one would have drawn."""
    assert derive_seed(0, "head", 3) == 6428841032441456329
    assert uniform(0, 0, np.array([0, 1, -1]), stream="x").tolist() == [
        0.5260793526331291,
        0.7499286576942464,
        0.9837819593783611,
    ]
    assert permutation(8, 0, 0, stream="x").tolist() == [4, 0, 3, 7, 1, 6, 5, 2]


@given(st.integers(0, 300), st.integers(0, 5), st.integers(0, 5))
def test_permutation_holds_every_number_once(n: int, seed: int, epoch: int) -> None:
    drawn = permutation(n, seed, epoch, stream="order")
    assert drawn.dtype == np.int64
    assert sorted(drawn.tolist()) == list(range(n))


def test_permutations_differ_by_epoch() -> None:
    assert permutation(50, 0, 0, stream="a").tolist() != permutation(50, 0, 1, stream="a").tolist()


@given(st.integers(0, 2**32), st.lists(st.one_of(st.integers(-5, 10**6), st.text(max_size=3)), max_size=4))
def test_derived_seeds_fit_63_bits_and_tell_addresses_apart(seed: int, address: list[int | str]) -> None:
    derived = derive_seed(seed, *address)
    assert 0 <= derived < 2**63
    assert derived != derive_seed(seed, *address, 0)
    assert derived != derive_seed(seed, *address, "")


def test_numbers_and_strings_are_different_addresses() -> None:
    assert derive_seed(0, 1) != derive_seed(0, "1")
    assert derive_seed(0, "a", "b") != derive_seed(0, "ab")
