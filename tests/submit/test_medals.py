"""Where a score would stand on a leaderboard."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qakit.errors import DataError, UsageError
from qakit.registry import load_registry
from qakit.submit.standings import medal_places, place_of, read_leaderboard


@pytest.mark.parametrize(
    ("teams", "places"),
    [
        (1, (1, 1, 1)),
        (50, (5, 10, 20)),
        (99, (9, 19, 39)),
        (100, (10, 20, 40)),
        (249, (10, 49, 99)),
        (250, (10, 50, 100)),
        (999, (11, 50, 100)),
        (1000, (12, 50, 100)),
        (2225, (14, 111, 222)),
    ],
)
def test_kaggles_table(teams: int, places: tuple[int, int, int]) -> None:
    assert tuple(medal_places(teams).values()) == places


def test_shares_on_the_leaderboard_and_percent_here() -> None:
    place = place_of(71.0, [0.73, 0.71, 0.7, 0.65, *[0.5] * 46], "f1")
    assert (place.rank, place.teams, place.medal) == (2, 50, "gold")
    assert place.lines == {"gold": 50.0, "silver": 50.0, "bronze": 50.0, "median": 50.0}


@pytest.mark.parametrize("metric", ["log_loss", "columnwise_rmse"])
def test_the_lower_the_better_for_a_loss(metric: str) -> None:
    """The metric's figure is negative, the leaderboard has the loss; more than 1 is no percentage."""
    figure = load_registry().build("metrics", metric, {}, None).primary
    board = [0.2 + number / 100 for number in range(50)]
    assert (place_of(-0.1, board, figure).rank, place_of(-0.1, board, figure).medal) == (1, "gold")
    for loss in (0.9, 1.9):
        assert (place_of(-loss, board, figure).rank, place_of(-loss, board, figure).medal) == (51, None)
    assert place_of(-board[7], board, figure).medal == "silver"


@pytest.mark.parametrize(("figure", "board"), [("f1", [0.2, 0.3]), ("negative_rmse", [0.3, 0.2])])
def test_a_leaderboard_in_the_other_direction_is_refused(figure: str, board: list[float]) -> None:
    with pytest.raises(UsageError, match="put the best team first"):
        place_of(-0.1, board, figure)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=300), st.floats(0, 100))
def test_as_by_counting(scores: list[float], score: float) -> None:
    board = sorted(scores, reverse=True)
    place = place_of(score, board, "f1")
    assert place.rank == 1 + sum(round(100 * each, 8) > round(score, 8) for each in board)
    for medal in ("gold", "silver", "bronze"):
        assert (place.rank <= medal_places(len(board))[medal]) >= (score > place.lines[medal] + 1e-8)


def test_a_leaderboard_is_a_csv_file_with_scores(tmp_path: Path) -> None:
    path = tmp_path / "board.csv"
    path.write_text("Rank,TeamName,Score\n1,a,0.7\n2,b,0.6\n", "utf-8")
    assert read_leaderboard(path) == [0.7, 0.6]
    for text, words in (
        ("Rank,TeamName\n1,a\n", "has no column 'score'; it has Rank, TeamName"),
        ("Score\n", "the leaderboard is empty"),
        ("Score\n0.5\nhigh\n", "team 2: 'high' is not a score"),
        ("Score\n0.5\nnan\n", "team 2: 'nan' is not a score"),
    ):
        path.write_text(text, "utf-8")
        with pytest.raises(DataError, match=words):
            read_leaderboard(path)
