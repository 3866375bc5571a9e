"""``qakit glue``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from qakit.api import new_path

app = typer.Typer(help="What GLUE's server takes.", no_args_is_help=True)
app.callback()(lambda: None)  # a group stays one with a single command


@app.command("pack")
def pack_command(
    sources: Annotated[
        list[Path],
        typer.Argument(metavar="RUNS...", help="Run folders with the writer `glue`, and files such as MNLI-mm.tsv."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The zip.", callback=new_path)] = Path("glue.zip"),
    fill: Annotated[
        bool, typer.Option("--fill", help="Give test sets without predictions the most frequent class.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout, for programs.")] = False,
) -> None:
    """Pack test predictions into the zip that gluebenchmark.com takes, after checking every file.

    Example: qakit glue pack runs/sst2 runs/cola --fill
    """
    from qakit_glue.pack import pack

    packed = pack(sources, output, fill=fill)
    if as_json:
        files = {name: str(path) for name, path in packed.sources.items()}
        typer.echo(json.dumps({"output": str(output), "files": files, "filled": list(packed.filled)}))
        return
    for name, path in packed.sources.items():
        typer.echo(f"{name}: {path}")
    if packed.filled:
        typer.echo(f"the most frequent class: {', '.join(packed.filled)}")
    typer.echo(f"wrote {output}")
