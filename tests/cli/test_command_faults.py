"""What fails in a plugin's command is one line that says where in its file; how it ends on purpose stays."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
import typer
from command_line import Invoke

from qakit.errors import DataError, PluginFaultError

COMMANDS = """
import typer

def give(error):
    if isinstance(error, BaseException):
        raise error  # the innermost line

def checked(text):
    give(WANTED["option"])

def stats(name: str = typer.Option("", callback=checked)):
    give(WANTED["stats"])

WANTED = {"option": None, "stats": None}
family = typer.Typer(callback=lambda: give(WANTED["option"]))
family.command("first")(stats)
family.command("second")(stats)
"""


@pytest.fixture
def command(
    install: Callable[..., tuple[EntryPoint, ...]], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., dict[str, Any]]:
    """``command("stats")`` makes this attribute of the module a plugin's command ``count``; what it will raise."""
    from qakit.cli import commands

    def offer(attribute: str, source: str = COMMANDS) -> dict[str, Any]:
        (plugin,) = install("acme", version="2.1", stats=source)
        found = EntryPoint("count", f"acme_stats:{attribute}", commands.COMMANDS_GROUP)._for(plugin.dist)  # type: ignore[attr-defined]
        monkeypatch.setattr(commands, "entry_points", lambda group: (found,))
        return import_module("acme_stats").WANTED if source == COMMANDS else {}  # type: ignore[no-any-return]

    return offer


@pytest.mark.parametrize(
    ("attribute", "words", "fails"),
    [
        ("stats", ("count",), "stats"),
        ("stats", ("count", "--name", "x"), "option"),
        ("family", ("count", "second"), "stats"),
        ("family", ("count", "second"), "option"),
    ],
)
def test_a_command_that_fails_is_one_line(
    command: Callable[..., dict[str, Any]], invoke: Invoke, attribute: str, words: tuple[str, ...], fails: str
) -> None:
    command(attribute)[fails] = KeyError("x")
    result = invoke(*words)
    assert isinstance(result.exception, PluginFaultError)
    line = Path(import_module("acme_stats").__file__ or "").read_text().split("raise error")[0].count("\n") + 1
    assert str(result.exception) == (
        f"in command 'count' of plugin acme 2.1: the call fails: KeyError: 'x' (acme_stats.py:{line})"
    )


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (typer.Exit(3), 3),
        (SystemExit(4), 4),
        (typer.Abort(), 1),
        (typer.BadParameter("so not"), 2),
        (KeyboardInterrupt(), 130),
        (BrokenPipeError(32, "Broken pipe"), 1),
        (DataError("is odd", path="a.csv"), 2),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize(("attribute", "word"), [("stats", "count"), ("family", "second")])
def test_how_a_command_ends_on_purpose_stays_as_it_is(
    command: Callable[..., dict[str, Any]], invoke: Invoke, attribute: str, word: str, error: BaseException, code: int
) -> None:
    command(attribute)["stats"] = error
    result = invoke(*dict.fromkeys(("count", word)))
    assert result.exit_code == code
    assert not isinstance(result.exception, PluginFaultError)
    assert "so not" in result.output if isinstance(error, typer.BadParameter) else True


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import qakit_no_such_module", "ModuleNotFoundError: No module named 'qakit_no_such_module' (acme_stats.py:"),
        ("def stats(:", "SyntaxError: invalid syntax (acme_stats.py, line "),
    ],
)
def test_a_command_that_cannot_be_imported_is_one_line(
    command: Callable[..., dict[str, Any]], invoke: Invoke, source: str, said: str
) -> None:
    command("stats", source)
    result = invoke("count")
    assert isinstance(result.exception, PluginFaultError)
    assert str(result.exception).startswith(f"in command 'count' of plugin acme 2.1: import fails: {said}")
    assert f"broken: {result.exception}" in invoke("plugins").stdout
