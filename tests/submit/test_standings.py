"""Own figures beside Kaggle's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from qakit.cli import build_app
from qakit.errors import SubmissionError
from qakit.submit.ledger import Ledger
from qakit.submit.record import Record
from qakit.submit.remote import LeaderboardRow, RemoteSubmission
from qakit.submit.standings import (
    beaten,
    foreign,
    in_percent,
    next_baseline,
    own_team,
    rank_correlation,
    rows_of,
    standings,
    sync,
    warnings_of,
)


def record(number: int, **facts: object) -> Record:
    base = {"competition": "qa-cup", "sha256": f"{number:064x}", "bytes": 3, "rows": 1, "file": "a.csv"}
    base |= {"folder": f"20261130-101010-qa-cup-{number:010x}"}
    return Record(f"{number:010x}", **(base | {"ref": number, "state": "COMPLETE"} | facts))  # type: ignore[arg-type]


def scored(*pairs: tuple[float, float], spread: float = 100.0) -> list[Record]:
    return [
        record(number, cv_mean=mean, cv_low=mean - spread, cv_high=mean + spread, public=public)
        for number, (mean, public) in enumerate(pairs, start=1)
    ]


def test_shares_are_shown_in_percent_as_figures_are() -> None:
    [row] = rows_of([record(1, cv_mean=66.5, public=0.65, private=0.6)])
    assert (row.public, row.private) == (65.0, 60.0)
    assert row.gap == pytest.approx(-1.5)
    [row] = rows_of([record(1, cv_mean=66.5, public=65.0)])
    assert row.public == 65.0
    [row] = rows_of([record(1, cv_mean=0.7, public=0.65)])  # figures are in percent: a bad model's, too
    assert row.public == 65.0


def test_losses_are_compared_as_the_negated_figures_that_runs_have() -> None:
    """Else every loss competition's validation and leaderboard would disagree."""
    losses = [
        replace(each, metric="negative_log_loss")
        for each in scored((-1.4, 1.5), (-1.2, 1.3), (-0.9, 0.95), (-0.5, 0.55), spread=0.2)
    ]
    rows = rows_of([*losses, record(9, metric="accuracy", cv_mean=80.0, public=0.6)])
    assert [row.public for row in rows] == [-1.5, -1.3, -0.95, -0.55, 60.0]
    assert rows[0].gap == pytest.approx(-0.1)
    assert warnings_of(rows[:4]) == []


def test_competitions_are_scaled_apart() -> None:
    rows = rows_of([record(1, cv_mean=66.5, public=0.65), record(2, competition="b", cv_mean=66.5, public=65.0)])
    assert [row.public for row in rows] == [65.0, 65.0]


def test_without_a_figure_there_is_no_gap() -> None:
    rows = rows_of([record(1, public=0.5), record(2, cv_mean=50.0)])
    assert [row.gap for row in rows] == [None, None]
    assert warnings_of(rows) == []


def test_disagreeing_orders_are_told() -> None:
    rows = rows_of(scored((60, 0.60), (62, 0.59), (64, 0.58), (66, 0.57)))
    [warning] = warnings_of(rows)
    assert "order your 4 submissions differently (rank correlation -1.00)" in warning
    assert warnings_of(rows[:3]) == []
    assert warnings_of(rows_of(scored((60, 0.5), (62, 0.51), (64, 0.58), (66, 0.57)))) == []


def test_a_score_outside_the_interval_is_told() -> None:
    [warning] = warnings_of(rows_of(scored((66.0, 0.60), spread=2.0)))
    assert "public 60.00 lies outside the 95% interval of the validation figure, 64.00 to 68.00" in warning
    assert warnings_of(rows_of(scored((66.0, 0.65), spread=2.0))) == []


@pytest.mark.parametrize(
    ("ours", "theirs", "words"),
    [
        ("exact_match", "Exact Match", "validation exact_match, 64.00 to 68.00: the test questions"),
        ("f1", "Exact Match", "validation f1, 64.00 to 68.00: unless Kaggle's metric, 'Exact Match', is another one"),
        ("f1", None, "validation f1, 64.00 to 68.00: unless Kaggle's metric is another one, the test questions"),
    ],
)
def test_the_interval_of_another_metric_says_less(ours: str, theirs: str | None, words: str) -> None:
    [one] = scored((66.0, 0.60), spread=2.0)
    [warning] = warnings_of(rows_of([replace(one, metric=ours, kaggle_metric=theirs)]))
    assert words in warning


def test_orders_are_compared_within_one_metric() -> None:
    records = scored((60, 0.60), (62, 0.59), (64, 0.58), (66, 0.57))
    other = [replace(each, metric="f1") for each in records[2:]]
    assert warnings_of(rows_of([*records[:2], *other])) == []


def test_submissions_made_elsewhere_are_shown_in_percent_too() -> None:
    [one] = in_percent([RemoteSubmission(9, "COMPLETE", public=0.5)], [record(1, cv_mean=66.5, public=0.65)])
    assert (one.public, one.private) == (50.0, None)


def test_a_list_read_before_the_score_came_takes_nothing_back(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    with ledger.locked():
        ledger.append(record(1, public=0.5))
    sync(ledger, Listing(RemoteSubmission(1, "PENDING")), ["qa-cup"])  # type: ignore[arg-type]
    assert ledger.read() == [record(1, public=0.5)]


PAIRS = st.lists(st.tuples(st.integers(-50, 50), st.integers(-50, 50)), min_size=4, max_size=30)


def ranks(values: np.ndarray) -> np.ndarray:
    """By definition: how many are smaller, and half of those that are equal."""
    return (values[:, None] > values).sum(1) + ((values[:, None] == values).sum(1) + 1) / 2


@given(PAIRS)
def test_rank_correlation_is_the_correlation_of_ranks(pairs: list[tuple[int, int]]) -> None:
    first, second = (ranks(np.array(side)) for side in zip(*pairs, strict=True))
    if not first.std() or not second.std():
        assert rank_correlation(pairs) is None
    else:
        assert rank_correlation(pairs) == pytest.approx(np.corrcoef(first, second)[0, 1])


@given(PAIRS)
def test_rank_correlation_sees_only_order(pairs: list[tuple[int, int]]) -> None:
    rho = rank_correlation(pairs)
    assert rho is None or -1.000001 <= rho <= 1.000001
    assert rank_correlation([(a**3, b * 2 + 7) for a, b in pairs]) == pytest.approx(rho)
    assert rank_correlation([(b, a) for a, b in pairs]) == pytest.approx(rho)
    assert rank_correlation([(a, -b) for a, b in pairs]) == pytest.approx(None if rho is None else -rho)
    assert rank_correlation(pairs[:3]) is None


def test_baselines() -> None:
    lines = {"strong": 70.0, "simple": 50.0, "medium": 60.0, "boss": 80.0}
    assert beaten(65.0, lines) == ["simple", "medium"]
    assert beaten(0.57 * 100, {"a": 57.0}) == ["a"]
    assert next_baseline(65.0, lines) == ("strong", 5.0)
    assert next_baseline(80.0, lines) is None
    assert (beaten(None, lines), next_baseline(None, lines)) == ([], None)


class Listing:
    """Only what ``sync`` asks for."""

    def __init__(self, *found: RemoteSubmission, **refused: SubmissionError) -> None:
        self.found, self.refused = found, refused

    def submissions(self, slug: str) -> list[RemoteSubmission]:
        if slug in self.refused:
            raise self.refused[slug]
        return list(self.found)


def test_sync_settles_by_reference_and_by_tag(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    pending, lost, private = record(1, state="CREATED"), record(2, ref=None, state="CREATING"), record(3, public=0.5)
    never = record(4, ref=None, state="INTENT")
    with ledger.locked():
        for each in (pending, lost, private, never):
            ledger.append(each)
    remotes = [
        RemoteSubmission(1, "COMPLETE", public=0.4),
        RemoteSubmission(22, "ERROR", error="bad", description=f"m {lost.tag}"),
        RemoteSubmission(3, "COMPLETE", public=0.5, private=0.45),
        RemoteSubmission(99, "COMPLETE", public=0.9, description="by hand", team="Us"),
    ]
    lists = sync(ledger, Listing(*remotes), ["qa-cup", "qa-cup"]).lists  # type: ignore[arg-type]
    after = ledger.read()
    assert [(each.state, each.ref, each.public, each.private) for each in after] == [
        ("COMPLETE", 1, 0.4, None),
        ("ERROR", 22, None, None),
        ("COMPLETE", 3, 0.5, 0.45),
        ("INTENT", None, None, None),
    ]
    assert [each.ref for each in foreign(after, lists["qa-cup"])] == [99]
    size = ledger.file.stat().st_size
    sync(ledger, Listing(*remotes), ["qa-cup"])  # type: ignore[arg-type]
    assert ledger.file.stat().st_size == size, "nothing new, nothing written"
    assert own_team(remotes) == "Us"


def test_a_list_that_cannot_be_read_stops_no_other(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    with ledger.locked():
        for number, slug in enumerate(("gone", "qa-cup", "lost"), start=1):
            ledger.append(record(number, competition=slug, state="CREATED"))
    scored = RemoteSubmission(2, "COMPLETE", public=0.4)
    refused = {"gone": SubmissionError("not there", exit_code=4), "lost": SubmissionError("no answer", exit_code=5)}
    synced = sync(ledger, Listing(scored, **refused), ["gone", "qa-cup", "lost"])  # type: ignore[arg-type]
    assert [each.state for each in ledger.read()] == ["CREATED", "COMPLETE", "CREATED"]
    assert synced.lists == {"qa-cup": [scored]}
    assert synced.problem is not None
    assert str(synced.problem).splitlines() == [
        "gone is not brought up to date: not there",
        "lost is not brought up to date: no answer",
    ]
    assert synced.problem.exit_code == 4, "the first one's"


def test_ranks_follow_kaggles_order() -> None:
    rows = [LeaderboardRow(number, name, score, None) for number, name, score in ((5, "A", "0.9"), (6, "Us", "0.9"))]
    places = standings(rows, own_team="Us")
    assert [(place.rank, place.own) for place in places] == [(1, False), (2, True)]
    assert not any(place.own for place in standings(rows))


def test_each_competition_has_its_own_best_score_and_baselines(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    lines = {"simple": 50.0, "strong": 70.0}
    with ledger.locked():
        ledger.append(record(1, cv_mean=60.0, public=0.6, baselines=lines))
        ledger.append(record(2, public=0.65))
        ledger.append(record(3, competition="b", cv_mean=90.0, public=0.9, baselines={"easy": 80.0}))
    shown = CliRunner().invoke(build_app(), ["kaggle", "submissions", "--ledger", str(tmp_path)])
    assert shown.exit_code == 0
    assert "qa-cup: baselines reached by the best public score (65.00): simple; strong is 5.00 away" in shown.output
    assert "b: baselines reached by the best public score (90.00): easy" in shown.output
