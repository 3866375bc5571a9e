"""``qakit data convert``: files in another format."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from qakit.cli.terminal.console import out, plain, print_json, print_warning
from qakit.errors import UsageError
from qakit.outputs import folder_to_fill


def convert(
    inputs: Annotated[
        list[str],
        typer.Argument(metavar="FILE...", help="Data files (also hf://...); each becomes a file of its own."),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where the files go.", callback=folder_to_fill)
    ],
    reader: Annotated[str, typer.Option(help="How to read the FILEs: squad, hw7, adl, glue, table ...")],
    to: Annotated[
        Literal["adl", "jsonl", "parquet"],
        typer.Option(
            help="`adl`: NTU ADL's context.json, and questions with several paragraphs of which one has the answer. "
            "`jsonl`, `parquet`: one row to a question, for the `table` reader."
        ),
    ],
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting of the reader.")
    ] = None,
    paragraphs: Annotated[int, typer.Option(min=2, help="With adl: paragraphs of each question.")] = 4,
    rows: Annotated[
        int | None,
        typer.Option(min=1, help="With jsonl and parquet: rows of a file at most; more go into further files."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="With adl: of the paragraphs' order.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there already.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout, for programs.")] = False,
) -> None:
    """Write data files in another format."""
    from qakit.cli.terminal.component_settings import build_component
    from qakit.data.convert import check_free, write_adl, write_tables
    from qakit.data.read import read_examples
    from qakit.data.sources import local_files
    from qakit.files import without_gz
    from qakit.registry import load_registry

    files = [file for text in inputs for file in local_files(text, named="FILE")]
    names = [without_gz(file).stem for file in files]
    if len(set(names)) < len(names):
        raise UsageError("two of the files have the same name; convert them one after the other, into two folders")
    check_free(files, output, form=to, overwrite=overwrite)
    built = build_component(load_registry(), "readers", reader, overrides)
    splits = {}
    for name, file in zip(names, files, strict=True):
        result = read_examples(built, file)
        splits[name] = result.examples
        for problems in result.problems:
            for line in problems.describe():
                print_warning(line)
    if to == "adl":
        done = write_adl(splits, output, paragraphs=paragraphs, seed=seed)
    else:
        done = write_tables(splits, output, form=to, rows=rows)
    if as_json:
        print_json({"folder": str(output), "files": done.files, "left_out": done.left_out})
        return
    for name, count in done.files.items():
        out.print(plain(f"{count:,} questions in {output / name}"))
    for name, count in done.left_out.items():
        if count:
            print_warning(
                f"{name}: {count:,} questions are left out: no answer with a place in a context, or too few other "
                "contexts without it"
            )
