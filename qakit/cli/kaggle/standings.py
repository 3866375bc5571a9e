"""``qakit kaggle submissions`` and ``leaderboard``: what was submitted, beside local figures and other teams."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qakit.cli.kaggle.submit import CompetitionOption, LedgerOption
from qakit.cli.terminal.console import out, plain, print_json, print_warning
from qakit.cli.terminal.options import JsonOption
from qakit.errors import SubmissionError, UsageError

if TYPE_CHECKING:
    from datetime import datetime

    from qakit.submit.ledger import Ledger
    from qakit.submit.remote import RemoteSubmission
    from qakit.submit.standings import Row


def submissions(
    competition: CompetitionOption = None,
    sync: Annotated[bool, typer.Option("--sync", help="Ask Kaggle for scores first.")] = False,
    ledger: LedgerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Every submission of the ledger: validation figure, public and private score, and their gap.

    Warns when validation and leaderboard disagree. Scores from 0 to 1 are shown in percent, like the figures.

    Example: qakit kaggle submissions --sync
    """
    from qakit.submit.client import connect
    from qakit.submit.ledger import Ledger
    from qakit.submit.settings import ledger_folder
    from qakit.submit.standings import foreign, in_percent, rows_of, warnings_of
    from qakit.submit.standings import sync as bring_up_to_date
    from qakit.submit.target import slug_of

    book = Ledger(ledger_folder(ledger))
    only = None if competition is None else slug_of(competition, None)
    records = [record for record in book.read() if only in (None, record.competition)]
    others: dict[str, list[RemoteSubmission]] = {}
    problem = None
    if sync:
        slugs = [only] if only is not None else list(dict.fromkeys(record.competition for record in records))
        if slugs:
            synced = bring_up_to_date(book, connect(say=print_warning), slugs)
            problem = synced.problem
            records = [record for record in book.read() if only in (None, record.competition)]
            others = {slug: foreign(records, found) for slug, found in synced.lists.items()}
    rows = rows_of(records)
    warnings = warnings_of(rows)
    if as_json:
        print_json(
            {
                "submissions": [row.to_dict() for row in rows],
                "elsewhere": [_foreign_dict(slug, each) for slug, found in others.items() for each in found],
                "warnings": warnings,
            }
        )
    elif rows or any(others.values()):
        for slug, found in others.items():
            others[slug] = in_percent(found, [each for each in records if each.competition == slug])
        _show(rows, others, book.folder)
        for warning in warnings:
            print_warning(warning)
    elif problem is None:
        out.print(plain(f"nothing was submitted from {book.folder}; `qakit submit RUN` does it"))
    if problem is not None:
        raise problem


def _show(rows: list[Row], others: dict[str, list[RemoteSubmission]], folder: Path) -> None:
    from qakit.cli.terminal.tables import print_table

    cells: list[tuple[object, ...]] = []
    for row in rows:
        record, scores = row.record, (_figure(row.public), _figure(row.private))
        ref, what = "-" if record.ref is None else record.ref, record.run_id or record.notebook or record.file
        local, gap = _with_spread(record.cv_mean, record.cv_std), "-" if row.gap is None else f"{row.gap:+.2f}"
        cells.append((_moment(record.asked), record.competition, ref, what, local, *scores, gap, record.state))
    for slug, other in ((slug, each) for slug, found in others.items() for each in found):
        scores, what = (_figure(other.public), _figure(other.private)), other.description or other.file_name
        cells.append((_moment(other.date), slug, other.ref, what, "-", *scores, "-", f"{other.status} elsewhere"))
    numbers = ("ref", "validation", "public", "private", "gap")
    columns = ("submitted (UTC)", "competition", "ref", "what", *numbers[1:], "state")
    print_table(None, columns, cells, numbers=numbers)
    _show_baselines(rows)
    unsure = [row.record for row in rows if row.record.state in ("CREATING", "UNKNOWN")]
    if unsure:
        print_warning(f"{len(unsure)} submissions of {folder} are in doubt; --sync looks them up at Kaggle")


def _show_baselines(rows: list[Row]) -> None:
    """What the best public score of each competition reaches."""
    from qakit.submit.standings import beaten, next_baseline

    slugs = list(dict.fromkeys(row.record.competition for row in rows))
    for slug in slugs:
        scored = [row for row in rows if row.record.competition == slug and row.public is not None]
        best = max(scored, key=lambda row: row.public or 0.0, default=None)
        baselines = next((row.record.baselines for row in reversed(scored) if row.record.baselines), None)
        if best is None or not baselines:
            continue
        done = ", ".join(beaten(best.public, baselines)) or "none"
        ahead = next_baseline(best.public, baselines)
        rest = f"; {ahead[0]} is {ahead[1]:.2f} away" if ahead else ""
        where = f"{slug}: " if len(slugs) > 1 else ""
        out.print(plain(f"{where}baselines reached by the best public score ({best.public:.2f}): {done}{rest}"))


def _foreign_dict(slug: str, remote: RemoteSubmission) -> dict[str, Any]:
    from dataclasses import asdict

    return {"competition": slug} | asdict(remote) | {"date": None if remote.date is None else remote.date.isoformat()}


def _moment(date: datetime | None) -> str:
    return "-" if date is None else f"{date:%Y-%m-%d %H:%M}"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _with_spread(mean: float | None, spread: float | None) -> str:
    return _figure(mean) + (f" ± {spread:.2f}" if mean is not None and spread is not None else "")


def leaderboard(
    competition: CompetitionOption = None,
    top: Annotated[int, typer.Option("--top", min=1, help="Rows to show; your own team is always shown.")] = 20,
    ledger: LedgerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Teams by rank, your own marked. Without -c: the only competition of the ledger. JSON holds all rows.

    Example: qakit kaggle leaderboard -c ml2022spring-hw7 --top 10
    """
    from qakit.cli.terminal.tables import print_table
    from qakit.submit.client import connect
    from qakit.submit.ledger import Ledger
    from qakit.submit.settings import ledger_folder
    from qakit.submit.standings import own_team, standings
    from qakit.submit.target import slug_of

    slug = slug_of(competition, None) if competition else _only_one(Ledger(ledger_folder(ledger)))
    kaggle = connect(say=print_warning)
    rows = list(kaggle.leaderboard(slug))
    try:
        team = own_team(kaggle.submissions(slug))
    except SubmissionError:
        team = None  # who has not entered has no submissions, and may look all the same
    places = standings(rows, own_team=team)
    if as_json:
        print_json({"competition": slug, "team": team, "leaderboard": [place.to_dict() for place in places]})
        return
    if not places:
        out.print(plain(f"the leaderboard of {slug} is empty"))
        return
    shown: list[tuple[object, ...]] = []
    for place in places:
        if place.rank <= top or place.own:
            team_cell = plain(place.row.team, "bold" if place.own else "")
            shown.append((place.rank, team_cell, place.row.score, _moment(place.row.date)))
    print_table(slug, ("rank", "team", "score", "last submission (UTC)"), shown, numbers=("rank", "score"))
    if len(places) > top:
        out.print(plain(f"{len(places):,} teams"))


def _only_one(ledger: Ledger) -> str:
    slugs = list(dict.fromkeys(record.competition for record in ledger.read()))
    if len(slugs) != 1:
        known = f" ({', '.join(slugs)})" if slugs else ""
        raise UsageError(f"which competition? -c NAME{known}")
    return slugs[0]
