"""``qakit kaggle``: what stands between this machine and a submission."""

from __future__ import annotations

import typer

from qakit.cli.kaggle.submit import CompetitionOption, JsonOption
from qakit.cli.terminal.console import out, plain, print_json

STYLES = {"ok": "green", "note": "yellow", "bad": "bold red"}


app = typer.Typer(name="kaggle", help="The way to Kaggle.", no_args_is_help=True)
app.callback()(lambda: None)


@app.command()
def doctor(competition: CompetitionOption = None, as_json: JsonOption = False) -> None:
    """Check client, credentials, network and, with -c, a competition's rules, deadline and quota. Shows no secret.

    Exit code 0: a submission can be made. 4: something is in the way.
    """
    from qakit.cli.terminal.tables import new_table
    from qakit.submit.doctor import examine, to_dicts
    from qakit.submit.settings import settings_from
    from qakit.submit.target import slug_of

    slug = None if competition is None else slug_of(competition, None)
    checks = examine(settings_from(), slug)
    if as_json:
        print_json(to_dicts(checks))
    else:
        table = new_table(None, "", "", "")
        for check in checks:
            table.add_row(plain(check.name), plain(check.verdict, style=STYLES[check.verdict]), plain(check.detail))
        out.print(table)
    raise typer.Exit(4 if any(check.verdict == "bad" for check in checks) else 0)
