"""The picture of the figures against the threshold."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from qakit.inference.threshold import Choices
from qakit.report.curves import draw_threshold_curve

pytestmark = pytest.mark.usefixtures("drawn_pictures")
PNG = b"\x89PNG\r\n\x1a\n"


def choices(differences: list[float], answerable: list[bool]) -> Choices:
    answered = {"exact": np.where(answerable, 100.0, 0.0), "f1": np.where(answerable, 80.0, 20.0)}
    null = {name: np.where(answerable, 0.0, 100.0) for name in answered}
    return Choices(np.array(differences), answered, null, np.array(answerable))


@pytest.mark.parametrize(
    ("differences", "answerable"),
    [
        ([-3.0, 2.0, 0.5], [True, False, True]),
        ([1.0], [True]),  # one kind of question, one threshold that matters
        ([np.inf, -np.inf], [False, True]),  # none that matters
        ([-1e6, 1e6, 0.0], [False, False, False]),
    ],
)
@pytest.mark.parametrize("used", [0.0, 1e9, -1e9])
def test_it_is_drawn(differences: list[float], answerable: list[bool], used: float, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw_threshold_curve(choices(differences, answerable), tmp_path / "a" / "c.png", used=used, title="a$b_$.json")
    assert (tmp_path / "a" / "c.png").read_bytes().startswith(PNG)


def test_it_shows_every_threshold_that_makes_a_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.axes import Axes

    drawn: dict[str, tuple[list[float], list[float]]] = {}
    step = Axes.step

    def recording(self: Axes, x: list[float], y: list[float], *args: object, **options: object) -> object:
        drawn.setdefault(str(options["label"]), (x, y))
        return step(self, x, y, *args, **options)

    monkeypatch.setattr(Axes, "step", recording)
    draw_threshold_curve(choices([-3.0, 2.0, 0.5], [True, False, True]), tmp_path / "c.png", used=1.0, title="t")
    assert set(drawn) == {"all (3)", "answerable (2)", "unanswerable (1)"}
    assert drawn["answerable (2)"][0][1:-1] == [-3.0, 0.5]
    assert drawn["answerable (2)"][1] == [0.0, 50.0, 100.0, 100.0]
    assert drawn["unanswerable (1)"][1] == [100.0, 0.0, 0.0]
    assert drawn["all (3)"][1] == pytest.approx([100 / 3, 200 / 3, 100.0, 200 / 3, 200 / 3])
