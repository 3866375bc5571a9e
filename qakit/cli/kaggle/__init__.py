"""``qakit kaggle``: what stands between this machine and a submission, and trainings there."""

from __future__ import annotations

from dataclasses import asdict

import typer

from qakit.cli.kaggle import download, sessions, standings
from qakit.cli.kaggle.submit import CompetitionOption
from qakit.cli.terminal.console import plain, print_json
from qakit.cli.terminal.groups import Commands
from qakit.cli.terminal.options import JsonOption

STYLES = {"ok": "green", "note": "yellow", "bad": "bold red"}


app = typer.Typer(cls=Commands, name="kaggle", help="The way to Kaggle.", no_args_is_help=True)
app.callback()(lambda: None)
for command in (download.download, standings.submissions, standings.leaderboard, *sessions.COMMANDS):
    app.command()(command)


@app.command()
def doctor(competition: CompetitionOption = None, as_json: JsonOption = False) -> None:
    """Check client, credentials, network and, with -c, a competition's rules, deadline and quota. Shows no secret.

    Exit code 0: a submission can be made. 4: something is in the way.

    Example: qakit kaggle doctor -c ml2022spring-hw7
    """
    from qakit.cli.terminal.tables import print_table
    from qakit.submit.doctor import examine
    from qakit.submit.settings import settings_from
    from qakit.submit.target import slug_of

    slug = None if competition is None else slug_of(competition, None)
    checks = examine(settings_from(), slug)
    if as_json:
        print_json([asdict(check) for check in checks])
    else:
        rows = [(each.name, plain(each.verdict, STYLES[each.verdict]), each.detail) for each in checks]
        print_table(None, ("", "", ""), rows)
    raise typer.Exit(4 if any(check.verdict == "bad" for check in checks) else 0)
