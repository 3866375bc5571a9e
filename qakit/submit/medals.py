"""Where a score would stand on a leaderboard, and which medal it would have."""

from __future__ import annotations

import csv
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from qakit.errors import DataError, UsageError
from qakit.numbers import finite
from qakit.submit.standings import is_negated_loss, percent_factor


@dataclass(frozen=True, slots=True)
class Place:
    """A score among the teams of a leaderboard, all in the unit of the score."""

    rank: int
    """1 is the best; equal teams are behind it."""
    teams: int
    lines: Mapping[str, float]
    """Medal -> the score of the last team that has it; ``median`` -> the median."""
    medal: str | None


def place_of(score: float, leaderboard: Sequence[float], figure: str) -> Place:
    """Where ``score`` would stand.

    Args:
        leaderboard: the teams' scores, best first.
        figure: what the score is; of a negated loss, the leaderboard has the loss itself.

    Raises:
        UsageError: the leaderboard's order is not the figure's.
    """
    loss = is_negated_loss(figure)
    if leaderboard[0] < leaderboard[-1] if not loss else leaderboard[0] > leaderboard[-1]:
        better = "lower scores are better" if loss else "higher scores are better"
        raise UsageError(
            f"by {figure} {better}, but the leaderboard's first team has {leaderboard[0]:g} and its last one "
            f"{leaderboard[-1]:g}: put the best team first, or judge by the competition's own metric"
        )
    factor = -1.0 if loss else percent_factor(leaderboard)
    teams = sorted((round(each * factor, 8) for each in leaderboard), reverse=True)
    rank = bisect_left([-each for each in teams], -round(score, 8)) + 1
    last = medal_places(len(teams))
    lines = {medal: teams[place - 1] for medal, place in last.items()} | {"median": median(teams)}
    return Place(rank, len(teams), lines, next((medal for medal, place in last.items() if rank <= place), None))


def medal_places(teams: int) -> dict[str, int]:
    """The last place of each medal, best medal first.

    Source: kaggle.com/progression.
    """
    gold = 10 + teams // 500 if teams >= 250 else 10 if teams >= 100 else teams // 10
    silver = teams // 20 if teams >= 1000 else 50 if teams >= 250 else teams // 5
    bronze = teams // 10 if teams >= 1000 else 100 if teams >= 250 else 2 * teams // 5
    return {medal: max(1, place) for medal, place in (("gold", gold), ("silver", silver), ("bronze", bronze))}


def read_leaderboard(path: Path) -> list[float]:
    """The scores of a leaderboard, best first, from a CSV file with a column "score": Kaggle's download, for example.

    Raises:
        DataError: there is no such column, or no score.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            column = next((name for name in rows.fieldnames or () if name.casefold() == "score"), None)
            if column is None:
                raise DataError(
                    f"has no column 'score'; it has {', '.join(rows.fieldnames or ()) or 'none'}", path=path
                )
            return as_scores([row[column] for row in rows], str(path))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot be read: {error}", path=path) from None


def as_scores(texts: Sequence[str | None], source: str) -> list[float]:
    """Raises: DataError: one is no number, or there is none."""
    scores = []
    for number, text in enumerate(texts, start=1):
        try:
            scores.append(finite(float(text or "")))
        except ValueError:
            raise DataError(f"{text!r} is not a score", path=source, row=f"team {number}") from None
    if not scores:
        raise DataError("the leaderboard is empty", path=source)
    return scores
