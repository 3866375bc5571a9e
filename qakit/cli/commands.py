"""The commands by name: qakit's own, and those of installed plugins; each imported when it is used.

A plugin's command is an entry point of the group ``qakit.commands``: its name is the command's, its value a function
for typer, or a ``typer.Typer`` for a family of commands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import cache, cached_property, partial
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import typer

from qakit.cli.terminal.groups import as_command
from qakit.entry_points import COMMANDS_GROUP, disabled_patterns, guarded, is_disabled, origin_of

COMMANDS = {
    "init": ("init:init", "Look at data files and write a recipe for them"),
    "train": ("train:train", "Train a recipe, evaluate, predict the test file"),
    "pretrain": ("pretrain:pretrain", "Continue a backbone's pretraining on texts"),
    "predict": ("predict:predict", "Answer every question of a file"),
    "evaluate": ("evaluate:evaluate", "Score a run on a labelled file"),
    "ask": ("ask:ask", "Ask one question"),
    "serve": ("serve:serve", "A page to ask a model, and POST /answer for programs"),
    "score": ("score:score", "Score answers as the official scripts do"),
    "view": ("view:view", "A page about a run: figures, curves, every question"),
    "compare": ("compare:compare", "Compare runs, with paired intervals"),
    "ladder": ("ladder:ladder", "Train a chain of recipes: what does each step add?"),
    "ensemble": ("ensemble:ensemble", "Combine the answers of several runs or files"),
    "tune-postprocess": ("tune_postprocess:tune_postprocess", "Search for clean-up steps"),
    "submit": ("kaggle.submit:submit", "Check a submission and send it to Kaggle"),
    "export": ("export:export", "A run as plain weights, ONNX, or a Kaggle notebook"),
    "handin": ("handin:handin", "A folder that runs on the graders' machine"),
    "push": ("push:push", "Publish a run's best weights on the model hub"),
    "plugins": ("plugins:app", "List the installed components; write and check one"),
    "study": ("study:app", "Many trainings that differ in chosen values"),
    "kaggle": ("kaggle:app", "Train on Kaggle, and what a competition knows"),
    "recipes": ("recipes:app", "List, show and check recipes"),
    "data": ("data:app", "Look into data files, convert and split them"),
    "runs": ("runs:app", "What was trained here"),
    "cache": ("cache:app", "What qakit keeps to be quicker the next time"),
}
"""Name -> where it is in :mod:`qakit.cli`, and what ``qakit --help`` says of it."""


ENDINGS = (SystemExit, BrokenPipeError, typer.Exit, typer.Abort, typer.BadParameter.__mro__[2])
"""How commands end on purpose, and what typer sees to; the last is the base of its errors, which has no public name."""


class AllCommands(Mapping[str, Any]):
    """Every command by its name; looking one up imports it, and nothing else does."""

    def __getitem__(self, name: str) -> Any:
        return _own(name) if name in COMMANDS else load_command(self._of_plugins[name])

    def __iter__(self) -> Iterator[str]:
        yield from COMMANDS
        yield from self._of_plugins

    def __len__(self) -> int:
        return len(COMMANDS) + len(self._of_plugins)

    @cached_property
    def _of_plugins(self) -> Mapping[str, EntryPoint]:
        return plugin_commands()[0]

    def sections(self) -> Iterator[tuple[str, list[tuple[str, str]]]]:
        """For the help: what qakit's commands do, and whose the others are, without importing any."""
        yield "Commands", [(name, summary) for name, (_, summary) in COMMANDS.items()]
        if self._of_plugins:
            origins = {name: origin_of(found) for name, found in self._of_plugins.items()}
            yield "Commands of plugins", [(name, f"{each.package} {each.version}") for name, each in origins.items()]


def plugin_commands() -> tuple[Mapping[str, EntryPoint], tuple[str, ...]]:
    """The commands of installed plugins that are not switched off, and what is wrong: names that are taken.

    qakit's own names stay its own; of two plugins, the first by name has it.
    """
    patterns = disabled_patterns()
    found: dict[str, EntryPoint] = {}
    problems: list[str] = []
    for candidate in sorted(entry_points(group=COMMANDS_GROUP), key=lambda each: str(origin_of(each))):
        origin = origin_of(candidate)
        if is_disabled(origin, patterns):
            continue
        if candidate.name in COMMANDS or candidate.name in found:
            problems.append(f"the command {candidate.name!r} of plugin {origin} is left out: that name is taken")
        else:
            found[candidate.name] = candidate
    return found, tuple(problems)


def load_command(candidate: EntryPoint) -> Any:
    """A plugin's command. What its code raises is attributed to it.

    Raises:
        PluginFaultError: it cannot be imported, or is nothing that typer makes a command of.
    """
    from qakit.attribution import Owner, calling  # not for the help, which imports no command

    origin = origin_of(candidate)
    owner = Owner("commands", candidate.name, origin.package, origin.version, candidate.module.partition(".")[0])
    with guarded(), calling(owner, "import", place=candidate.value):
        target = candidate.load()
        if not callable(target):
            raise TypeError("it is neither a function nor a typer.Typer")
        command = as_command(candidate.name, target)
    return _inside(partial(calling, owner, "__call__", place=candidate.value, passing=ENDINGS), command)


def _inside(guard: Callable[[], AbstractContextManager[None]], command: Any) -> Any:
    """The same command, which takes its words and runs with this around it."""

    class Inside(type(command)):  # type: ignore[misc]
        def make_context(self, *given: Any, **named: Any) -> Any:
            with guard():
                return super().make_context(*given, **named)

        def invoke(self, ctx: Any) -> Any:
            with guard():
                return super().invoke(ctx)

    command.__class__ = Inside
    return command


def command_summary(candidate: EntryPoint) -> str:
    """What a plugin's command does; where it cannot be used, why."""
    try:
        return str(load_command(candidate).get_short_help_str(limit=100))
    except Exception as error:
        return f"broken: {error}"


@cache
def _own(name: str) -> Any:
    module, _, attribute = COMMANDS[name][0].partition(":")
    return as_command(name, getattr(import_module(f"qakit.cli.{module}"), attribute))
