"""``qakit kaggle download``: a competition's data files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qakit.cli.terminal.console import out, plain, print_json, print_warning
from qakit.cli.terminal.options import JsonOption
from qakit.outputs import folder_to_fill


def download(
    competition: Annotated[str, typer.Option("--competition", "-c", metavar="NAME", help="Its name or address.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FOLDER", help="By default data/NAME.", callback=folder_to_fill),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Download although nothing has changed.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Fetch a Kaggle competition's data files, whole or not at all; skipped when the folder has them.

    Example: qakit kaggle download -c ml2022spring-hw7
    """
    from qakit.cli.terminal.progress import bar
    from qakit.submit.client import connect
    from qakit.submit.download import download as fetch
    from qakit.submit.target import slug_of

    slug = slug_of(competition, None)
    with bar("downloading") as progress:
        kaggle = connect(say=print_warning)
        done = fetch(slug, output or Path("data") / slug, kaggle, force=force, say=print_warning, progress=progress)
    if as_json:
        print_json({"competition": slug, "folder": str(done.folder), "fresh": done.fresh, "files": done.files})
        return
    size = sum(int(facts["bytes"]) for facts in done.files.values())
    what = "downloaded" if done.fresh else "unchanged"
    out.print(plain(f"{what}: {len(done.files)} files, {size:,} bytes in {done.folder}"))
