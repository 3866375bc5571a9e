"""``qakit leaderboard``: a competition's public leaderboard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from qakit.cli.kaggle.submit import CompetitionOption, JsonOption, LedgerOption
from qakit.cli.terminal.console import out, plain, print_json, print_warning
from qakit.errors import SubmissionError, UsageError

if TYPE_CHECKING:
    from qakit.submit.ledger import Ledger


def leaderboard(
    competition: CompetitionOption = None,
    top: Annotated[int, typer.Option("--top", min=1, help="Rows to show; your own team is always shown.")] = 20,
    ledger: LedgerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Teams by rank, your own marked. Without -c: the only competition of the ledger. JSON holds all rows."""
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
    rows = []
    for place in places:
        if place.rank <= top or place.own:
            date = "-" if place.row.date is None else f"{place.row.date:%Y-%m-%d %H:%M}"
            rows.append((place.rank, plain(place.row.team, "bold" if place.own else ""), place.row.score, date))
    print_table(slug, ("rank", "team", "score", "last submission (UTC)"), rows, numbers=("rank", "score"))
    if len(places) > top:
        out.print(plain(f"{len(places):,} teams"))


def _only_one(ledger: Ledger) -> str:
    slugs = list(dict.fromkeys(record.competition for record in ledger.read()))
    if len(slugs) != 1:
        known = f" ({', '.join(slugs)})" if slugs else ""
        raise UsageError(f"which competition? -c NAME{known}")
    return slugs[0]
