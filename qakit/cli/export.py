"""``qakit export``: a run in a form that works elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qakit.cli.console import out, plain, print_json
from qakit.cli.submit import CompetitionOption, JsonOption
from qakit.cli.trained_runs import RunArgument
from qakit.errors import UsageError


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(export)


def export(
    run: RunArgument,
    kaggle: Annotated[
        Path, typer.Option("--kaggle", metavar="FOLDER", help="Write a Kaggle dataset and a notebook into this folder.")
    ],
    competition: CompetitionOption = None,
    user: Annotated[
        str | None, typer.Option("--user", help="Your Kaggle user name; by default the credentials'.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """For competitions that take notebooks only: the model as a dataset, and a notebook that answers the test file.

    The notebook runs without a network.
    """
    from qakit.runs import open_run
    from qakit.submit.credentials import find_credentials
    from qakit.submit.notebook import export_run
    from qakit.submit.target import slug_of

    opened = open_run(run)
    slug = slug_of(competition, opened.recipe())
    name = user or next((each.user for each in find_credentials().found if each.user), None)
    if name is None:
        raise UsageError("whose dataset will it be? --user NAME (your name on Kaggle)")
    done = export_run(opened, kaggle, user=name, slug=slug)
    if as_json:
        print_json(
            {
                "dataset": str(done.dataset),
                "notebook": str(done.notebook),
                "dataset_id": done.dataset_id,
                "notebook_id": done.notebook_id,
                "requirements": list(done.requirements),
            }
        )
        return
    steps = (
        f"written: {done.dataset} and {done.notebook}",
        f"1. kaggle datasets create -p {done.dataset} --dir-mode zip",
        f"2. kaggle kernels push -p {done.notebook}     (when the dataset is ready)",
        f"3. qakit submit --notebook {done.notebook_id} --version 1 -c {slug} --run {run}     (when it has run)",
    )
    for step in steps:
        out.print(plain(step))
