"""Every context token belongs to the one window that sees most around it."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from qakit.data.windows import Windows, owned_tokens

Layout = list[tuple[int, int, int]]


def windows_of(layout: Layout) -> Windows:
    """Windows from (pair, first, stop)."""
    pair, first, stop = np.array(layout, np.int64).reshape(-1, 3).T
    nothing = np.full(len(layout), -1)
    return Windows.single(
        example=pair, query_stop=pair * 0, pair=pair, first=first, stop=stop, answer_first=nothing, answer_stop=nothing
    )


def owned(layout: Layout) -> list[tuple[int, int]]:
    first, stop = owned_tokens(windows_of(layout))
    return list(zip(first.tolist(), stop.tolist(), strict=True))


def test_neighbours_part_in_the_middle_of_what_they_share() -> None:
    assert owned([(0, 0, 10), (0, 6, 16)]) == [(0, 8), (8, 16)]


def test_a_tie_goes_to_the_earlier_window() -> None:
    # Token 5 has 3 tokens around it on the near side in both windows.
    assert owned([(0, 0, 9), (0, 2, 11)]) == [(0, 6), (6, 11)]


def test_windows_that_share_nothing_keep_all() -> None:
    assert owned([(0, 0, 5), (0, 5, 8), (1, 0, 4)]) == [(0, 5), (5, 8), (0, 4)]


def test_a_window_within_another_owns_nothing() -> None:
    first, stop = owned_tokens(windows_of([(0, 2, 5), (0, 0, 9)]))
    assert (stop - first).tolist() == [0, 9]


def test_windows_without_tokens() -> None:
    assert owned([(0, 0, 0), (1, 0, 0)]) == [(0, 0), (0, 0)]
    assert owned([]) == []


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    """Evenly spaced windows, or any windows at all, in any order."""
    layout: Layout = []
    for pair in range(draw(st.integers(1, 3))):
        if draw(st.booleans()):
            length, room = draw(st.integers(0, 60)), draw(st.integers(1, 20))
            step = draw(st.integers(1, room))
            count = 1 + -(-max(length - room, 0) // step)
            layout += [(pair, i * step, min(i * step + room, length)) for i in range(count)]
        else:
            spans = draw(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=6))
            layout += [(pair, min(span), max(span)) for span in spans]
    return draw(st.permutations(layout))


@given(layouts())
def test_every_token_once_and_where_most_is_around_it(layout: Layout) -> None:
    owners: dict[tuple[int, int], int] = {}
    for window, (first, stop) in enumerate(owned(layout)):
        pair, window_first, window_stop = layout[window]
        assert first == stop or window_first <= first < stop <= window_stop
        for token in range(first, stop):
            assert (pair, token) not in owners
            owners[pair, token] = window
    covered = {(pair, token) for pair, first, stop in layout for token in range(first, stop)}
    assert owners.keys() == covered
    for (pair, token), owner in owners.items():
        around = [
            min(token - first, stop - 1 - token)
            for other, first, stop in layout
            if other == pair and first <= token < stop
        ]
        _, first, stop = layout[owner]
        assert min(token - first, stop - 1 - token) == max(around)
