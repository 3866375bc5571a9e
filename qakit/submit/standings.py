"""Own figures beside Kaggle's: ledger and list of submissions, the leaderboard, the medal of a place."""

from __future__ import annotations

import csv
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from qakit.errors import DataError, SubmissionError, UsageError
from qakit.metrics.classification import spearman
from qakit.numbers import finite
from qakit.submit.client import KaggleClient
from qakit.submit.ledger import Ledger
from qakit.submit.reconcile import updated
from qakit.submit.record import SUBMITTED, Record
from qakit.submit.remote import LeaderboardRow, RemoteSubmission

FEWEST = 4
"""Submissions below which two orders cannot be compared."""
AGREEMENT = 0.5
"""Rank correlation below which validation and leaderboard are said to disagree."""

NEGATED = "negative_"
"""How the names of negated losses begin."""


@dataclass(frozen=True, slots=True)
class Row:
    """One submission with its figures in percent, as the metric has them."""

    record: Record
    public: float | None
    private: float | None

    @property
    def gap(self) -> float | None:
        """Public score less validation figure."""
        if self.public is None or self.record.cv_mean is None:
            return None
        return self.public - self.record.cv_mean

    @property
    def outside(self) -> bool:
        """Whether the public score lies outside the bootstrap interval of the validation figure."""
        low, high = self.record.cv_low, self.record.cv_high
        return self.public is not None and low is not None and high is not None and not low <= self.public <= high

    def to_dict(self) -> dict[str, Any]:
        """The record with ``public_percent``, ``private_percent`` and ``gap``."""
        figures = {"public_percent": self.public, "private_percent": self.private, "gap": self.gap}
        return self.record.to_dict() | figures | {"baselines_beaten": beaten(self.public, self.record.baselines)}


@dataclass(frozen=True, slots=True)
class Synced:
    """What Kaggle said about each competition."""

    lists: Mapping[str, list[RemoteSubmission]]
    """Competition -> its submissions."""
    failed: Mapping[str, SubmissionError]
    """Competition -> why its list cannot be read."""

    @property
    def problem(self) -> SubmissionError | None:
        """The competitions that are not up to date, as one error with the first one's exit code; None: all are."""
        if not self.failed:
            return None
        lines = [f"{slug} is not brought up to date: {problem}" for slug, problem in self.failed.items()]
        return SubmissionError("\n".join(lines), exit_code=next(iter(self.failed.values())).exit_code)


def sync(ledger: Ledger, kaggle: KaggleClient, competitions: Iterable[str]) -> Synced:
    """Bring the ledger up to date with Kaggle's lists, as far as they can be read.

    A record whose fate was not known is settled when its tag is found; nothing is sent. A competition whose list cannot
    be read stays as it is and keeps no other from being read.
    """
    lists: dict[str, list[RemoteSubmission]] = {}
    failed: dict[str, SubmissionError] = {}
    for slug in dict.fromkeys(competitions):
        try:
            lists[slug] = list(kaggle.submissions(slug))
        except SubmissionError as problem:
            failed[slug] = problem
    with ledger.locked():
        for record in ledger.read():
            remote = _match(record, lists.get(record.competition, ()))
            if remote is None:
                continue
            known = record if record.state in SUBMITTED else record.to("CREATED", ref=remote.ref, error=None)
            latest = updated(known, remote)
            if latest is not record:
                ledger.append(latest)
    return Synced(lists, failed)


def _match(record: Record, remotes: Iterable[RemoteSubmission]) -> RemoteSubmission | None:
    for remote in remotes:
        if remote.ref == record.ref or record.tag in remote.description:
            return remote
    return None


def foreign(records: Sequence[Record], remotes: Sequence[RemoteSubmission]) -> list[RemoteSubmission]:
    """Submissions that Kaggle has and the ledger does not: made elsewhere."""
    refs, tags = {record.ref for record in records}, [record.tag for record in records]
    return [each for each in remotes if each.ref not in refs and not any(tag in each.description for tag in tags)]


def rows_of(records: Sequence[Record]) -> list[Row]:
    """The records with Kaggle's scores in percent; losses negated where the run's figure is a negated loss."""
    alike: dict[tuple[str, bool], list[Record]] = {}
    for each in records:
        alike.setdefault(_kind(each), []).append(each)
    factors = {kind: _factor(group) for kind, group in alike.items()}
    return [
        Row(each, _times(each.public, factors[_kind(each)]), _times(each.private, factors[_kind(each)]))
        for each in records
    ]


def in_percent(remotes: Iterable[RemoteSubmission], records: Sequence[Record]) -> list[RemoteSubmission]:
    """A competition's submissions that were made elsewhere, their scores shown like those of its ``records``."""
    factor = _factor(records)
    return [replace(each, public=_times(each.public, factor), private=_times(each.private, factor)) for each in remotes]


def warnings_of(rows: Sequence[Row]) -> list[str]:
    """Where validation and leaderboard tell different stories."""
    found = []
    kinds = dict.fromkeys((row.record.competition, row.record.metric) for row in rows if row.gap is not None)
    for slug, metric in kinds:
        scored = [
            row for row in rows if (row.record.competition, row.record.metric) == (slug, metric) and row.gap is not None
        ]
        rho = rank_correlation([(row.record.cv_mean or 0.0, row.public or 0.0) for row in scored])
        if rho is not None and rho < AGREEMENT:
            found.append(
                f"{slug}: validation and public leaderboard order your {len(scored)} submissions differently (rank"
                f" correlation {rho:.2f}); which of them to trust depends on how many questions each has"
            )
        for row in scored:
            record = row.record
            if row.outside and record.cv_low is not None and record.cv_high is not None:
                found.append(
                    f"{slug} ref {record.ref}: public {row.public:.2f} lies outside the 95% interval of the validation"
                    f" {metric or 'figure'}, {record.cv_low:.2f} to {record.cv_high:.2f}: {_unless_other(record)}the"
                    " test questions are of another kind, or validation leaks"
                )
    return found


def _unless_other(record: Record) -> str:
    """What must hold for public score and validation figure to be compared; empty where it is known to hold."""
    ours, theirs = record.metric, record.kaggle_metric
    if ours and theirs and _letters(ours) == _letters(theirs):
        return ""
    return f"unless Kaggle's metric{f', {theirs!r},' if theirs else ''} is another one, "


def _letters(name: str) -> str:
    return "".join(char for char in name.casefold() if char.isalnum())


def rank_correlation(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Spearman's rank correlation; equal values share their mean rank.

    None for fewer than :data:`FEWEST` pairs, and where one side is constant. Source: Spearman, "The proof and
    measurement of association between two things", 1904.
    """
    if len(pairs) < FEWEST or any(len(set(side)) == 1 for side in zip(*pairs, strict=True)):
        return None
    import numpy as np

    first, second = np.array(pairs).T
    return float(spearman(first, second, np.ones((1, len(pairs))))[0])


def beaten(public: float | None, baselines: Mapping[str, float]) -> list[str]:
    """The baselines that a public score (percent) reaches, lowest first."""
    if public is None:
        return []
    ordered = sorted(baselines.items(), key=lambda item: item[1])
    return [name for name, value in ordered if round(public, 6) >= round(value, 6)]


def next_baseline(public: float | None, baselines: Mapping[str, float]) -> tuple[str, float] | None:
    """The lowest baseline that is not reached, and how far away it is."""
    if public is None:
        return None
    above = [(value, name) for name, value in baselines.items() if round(value, 6) > round(public, 6)]
    return (min(above)[1], min(above)[0] - public) if above else None


@dataclass(frozen=True, slots=True)
class Standing:
    """A team's place on the leaderboard."""

    rank: int
    row: LeaderboardRow
    own: bool

    def to_dict(self) -> dict[str, Any]:
        date = None if self.row.date is None else self.row.date.isoformat()
        return {"rank": self.rank, **asdict(self.row), "date": date, "own": self.own}


def standings(rows: Iterable[LeaderboardRow], *, own_team: str | None = None) -> list[Standing]:
    """The leaderboard with ranks: Kaggle sends the rows in order and without them."""
    return [
        Standing(rank, row, own_team is not None and row.team == own_team) for rank, row in enumerate(rows, start=1)
    ]


def own_team(remotes: Iterable[RemoteSubmission]) -> str | None:
    """The user's team, from the own submissions."""
    return next((each.team for each in remotes if each.team), None)


def _factor(records: Sequence[Record]) -> float:
    """100 where Kaggle scores from 0 to 1 and the figures of the runs are in percent; -1 where those are negated
    losses; else 1."""
    if records and all(is_negated_loss(each.metric) for each in records):
        return -1.0
    scores = [value for each in records for value in (each.public, each.private) if value is not None]
    known = any(each.cv_mean is not None or each.baselines for each in records)
    return percent_factor(scores) if known else 1.0


def is_negated_loss(figure: str | None) -> bool:
    """Whether Kaggle's score is this figure with the other sign: every figure that selects is larger for the better."""
    return figure is not None and figure.startswith(NEGATED)


def percent_factor(scores: Sequence[float]) -> float:
    """What Kaggle's scores must be multiplied by, to be in percent as every metric's figures are."""
    return 100.0 if scores and all(-1.0 <= score <= 1.0 for score in scores) else 1.0


def _kind(record: Record) -> tuple[str, bool]:
    """What has scores of one unit."""
    return record.competition, is_negated_loss(record.metric)


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


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
