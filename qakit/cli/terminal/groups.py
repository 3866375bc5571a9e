"""Groups of commands, whose options' values have names of one case."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args, get_origin

import typer
from typer.core import TyperGroup
from typer.main import get_group

METAVARS: dict[Any, str] = {Path: "FILE", int: "N", float: "X", str: "TEXT"}
"""What an option's value is called in the help, where its declaration does not say."""


class Commands(TyperGroup):
    """Commands with names for their options' values."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        command = super().get_command(ctx, cmd_name)
        if command is not None:
            _name_values(command)
        return command


def as_command(name: str, target: Callable[..., Any] | typer.Typer) -> Any:
    """A function, or a family of commands, as the command of this name."""
    outer = typer.Typer(cls=Commands, add_completion=False, rich_markup_mode=None)
    outer.callback()(lambda: None)
    if isinstance(target, typer.Typer):
        outer.add_typer(target, name=name)
    else:
        outer.command(name)(target)
    return get_group(outer).commands[name]


def _name_values(command: Any) -> None:
    for given in command.params:
        annotation = given.type_descriptor.annotation if hasattr(given, "type_descriptor") else None
        if given.metavar is None and not given.opts[0].startswith("-"):
            given.metavar = given.name.upper()
        elif given.metavar is None:
            given.metavar = METAVARS.get(get_args(annotation)[0] if get_origin(annotation) is list else annotation)
