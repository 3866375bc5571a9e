"""The help of every command: one grammar, and an example that is right."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from qakit.cli import build_app


def commands(group: Any, *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """All that are shown, each with its words after ``qakit``."""
    for name in group.list_commands(typer.Context(group)):
        command = group.get_command(typer.Context(group), name)
        if hasattr(command, "list_commands"):
            yield from commands(command, *path, name)
        elif not command.hidden:
            yield (*path, name), command


ALL = list(commands(typer.main.get_command(build_app())))


@pytest.mark.parametrize(("path", "command"), ALL, ids=[" ".join(path) for path, _ in ALL])
def test_a_command_has_an_example_and_names_its_values_alike(
    path: tuple[str, ...], command: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qakit.runs.open_run", lambda _: None)  # the example's run need not be there
    (example,) = re.findall(r"Example: qakit (.*)", command.help)
    words = shlex.split(example)
    assert tuple(words[: len(path)]) == path
    command.make_context(path[-1], words[len(path) :])
    for given in command.params:
        named = given.metavar or ""
        assert named == named.upper() or "FILE" in named or "|" in named, (given.name, named)
        quiet = {"-q", "--quiet"} & {*given.opts}
        assert not quiet or len(quiet) == 2, given.opts
        assert "--set" not in given.opts or "recipe" in given.help.lower() or path == ("pretrain",), given.help
