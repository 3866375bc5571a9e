"""The curves of several runs: what one evaluation leaves to see."""

from __future__ import annotations

from typing import Any

import pytest

from qakit.report.compare_curves import LOSS, _draw


class Axes:
    """Notes what is drawn."""

    def __init__(self) -> None:
        self.lines: list[tuple[int, str]] = []

    def plot(self, xs: Any, ys: Any, *, marker: str, **_style: Any) -> list[str]:
        """Note how many points a line has, and its marker."""
        self.lines.append((len(xs), marker))
        return ["line"]


@pytest.mark.parametrize("key", [LOSS, "f1"])
def test_a_seed_with_one_point_is_seen(key: str) -> None:
    axes = Axes()
    _draw(axes, [[(1.0, 30.0)], [(1.0, 40.0)]], key, {})
    assert [points for points, _ in axes.lines] == [1, 1, 1]
    assert all(marker for _, marker in axes.lines), "a line of one point without a marker shows nothing"


def test_only_lines_of_one_point_are_marked_for_seeds() -> None:
    axes = Axes()
    curve = [(1.0, 30.0), (2.0, 40.0)]
    _draw(axes, [curve, curve], "f1", {})
    assert axes.lines == [(2, ""), (2, ""), (2, "o")]
