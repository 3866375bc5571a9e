"""``qakit view``: a run to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qakit.cli.terminal.console import out, plain, print_json
from qakit.cli.terminal.options import JsonOption
from qakit.cli.terminal.tables import size
from qakit.outputs import new_path


def view(
    runs: Annotated[list[Path], typer.Argument(metavar="RUNS", help="Folders of runs, one or more.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="The page, NAME.html; else view.html in the run's folder, or here for several runs.",
            callback=new_path,
        ),
    ] = None,
    members: Annotated[
        bool, typer.Option("--members", help="Beside an ensemble, what each of its members said.")
    ] = False,
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write one page about a run: figures, curves, and every validation question with its answer.

    The page needs no network and no server. Right and predicted answers are marked in their contexts, questions can be
    searched and filtered by what went wrong, and the no-answer threshold can be moved. With several runs, what one gets
    right and another wrong.

    Example: qakit view runs/quickstart --open
    """
    from qakit.workflows.view import view as write_view

    page = write_view(runs, output=output, members=members)
    if as_json:
        print_json({"page": str(page), "bytes": page.stat().st_size})
    else:
        out.print(plain(f"{page} ({size(page.stat().st_size)})"))
    if show:
        typer.launch(str(page))
