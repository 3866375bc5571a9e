"""``qakit init``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qakit.cli.terminal.console import err, out, plain, print_json
from qakit.cli.terminal.options import JsonOption
from qakit.errors import DataError, UsageError
from qakit.names import quoted
from qakit.outputs import new_path

_USUAL_NAMES = frozenset({"train", "training", "train_data", "data", "dataset", "labeled", "labelled"})
"""File names that say nothing: the folder's name is better."""


def init(
    train: Annotated[Path, typer.Argument(metavar="TRAIN", help="The training file.")],
    validation: Annotated[Path | None, typer.Option(metavar="FILE", help="Labelled, to judge by.")] = None,
    test: Annotated[Path | None, typer.Option(metavar="FILE", help="To be answered.")] = None,
    sample_submission: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The competition's: its columns are written.")
    ] = None,
    contexts: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Texts of contexts that lie in a file of their own (ADL).")
    ] = None,
    backbone: Annotated[
        str | None, typer.Option(metavar="NAME", help="A folder or a name on the hub; by default by language.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The recipe's name; by default the folder's or the file's.")] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The recipe; by default recipes/NAME.yaml.", callback=new_path),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the recipe.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Look at data files and write a recipe for them that trains, with the reason for each value beside it.

    Nothing is asked and nothing is fetched: format, columns, task, language and lengths are seen, the rest has
    defaults.

    Example: qakit init train.csv --test test.csv -o recipe.yaml
    """
    from qakit.drafting.draft import Files, draft
    from qakit.files import refuse_special, write_text
    from qakit.recipe.load import name_from
    from qakit.recipe.read import SUFFIXES
    from qakit.registry import load_registry

    files = Files(train, validation, test, sample_submission, contexts)
    given = [path for path in (train, validation, test, sample_submission, contexts) if path is not None]
    for path in given:
        refuse_special(path, DataError)
        if not path.is_file():
            raise DataError("is a folder; name a file in it" if path.is_dir() else "there is no such file", path=path)
    stem = name_from(Path(name or _name_of(train)))
    recipe = output or Path("recipes") / f"{stem}.yaml"
    if recipe.suffix not in SUFFIXES:
        raise UsageError(f"{recipe}: a recipe's name ends with {' or '.join(SUFFIXES)}")
    if any(recipe.exists() and recipe.samefile(path) for path in given):
        raise UsageError(f"{recipe} is one of the data files, which it would take the place of: name another --output")
    if recipe.exists() and not overwrite:
        raise UsageError(f"{recipe} is there already: name another --output, or replace it with --overwrite")
    with err.status("reading"):
        drafted = draft(files, load_registry(), recipe=recipe, backbone=backbone)
    write_text(recipe, drafted.text())
    following = [f"qakit data check {quoted(recipe)}", f"qakit train {quoted(recipe)}"]
    if as_json:
        values, reasons, notes = drafted.values, drafted.reasons, list(drafted.notes)
        print_json({"recipe": str(recipe), "values": values, "reasons": reasons, "notes": notes, "next": following})
        return
    out.print(plain(f"{recipe}: {drafted.values['description']}"))
    for note in drafted.notes:
        out.print(plain(f"  note: {note}"))
    out.print(plain("next:\n" + "\n".join(f"  {command}" for command in following)))


def _name_of(train: Path) -> str:
    """What the recipe is called: the file's name, or its folder's where that says more."""
    stem = train.name.partition(".")[0]
    folder = train.absolute().parent.name
    return folder if stem.casefold() in _USUAL_NAMES and folder else stem
