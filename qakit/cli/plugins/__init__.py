"""``qakit plugins``: what is installed, what is broken and why; and for authors, where to begin and what to check."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated, Any

import typer
from pydantic_core import to_json
from rich.text import Text

from qakit.cli.commands import command_summary, plugin_commands
from qakit.cli.plugins.check import check
from qakit.cli.plugins.new import new
from qakit.cli.terminal.console import out, plain, print_json
from qakit.cli.terminal.groups import Commands
from qakit.components import KINDS, Kind, Settings
from qakit.entry_points import COMMANDS_GROUP, DISABLE_VARIABLE, PluginOrigin, matches, origin_of
from qakit.recipe.annotations import describe, field_annotation
from qakit.registry import Entry, Registry, load_registry


@dataclass(frozen=True, slots=True)
class SettingView:
    name: str
    type: str
    """As the recipe reference has it: ``an integer of at least 1``."""
    required: bool
    default: Any
    """JSON-like; None also when there is no default."""
    description: str

    def __str__(self) -> str:
        value = "  (required)" if self.required else f" = {json.dumps(self.default, ensure_ascii=False)}"
        return f"{self.name}: {self.type}{value}"


def view_settings(model: type[Settings]) -> tuple[SettingView, ...]:
    """The settings of a component, in the order of their declaration."""
    return tuple(
        SettingView(
            name=field.alias or name,
            type=describe(field_annotation(model, name)),
            required=field.is_required(),
            default=None if field.is_required() else _json_like(field.get_default(call_default_factory=True)),
            description=" ".join((field.description or "").split()),
        )
        for name, field in model.model_fields.items()
    )


def _json_like(value: Any) -> Any:
    return json.loads(to_json(value, inf_nan_mode="strings", fallback=str))


app = typer.Typer(cls=Commands, name="plugins", invoke_without_command=True)
app.command()(new)
app.command()(check)


@app.callback()
def list_plugins(
    context: typer.Context,
    kind: Annotated[Kind | None, typer.Option(help="Only this kind of component.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with a description of every setting.")] = False,
) -> None:
    """List the installed components and their settings, and the plugins that are broken or switched off.

    Example: qakit plugins --kind heads
    """
    if context.invoked_subcommand is not None:
        return
    registry = load_registry()
    commands, problems = plugin_commands() if kind is None else ({}, ())
    if as_json:
        print_json(_document(registry, kind, commands, problems))
        return
    for each in KINDS:
        entries = registry.entries(each)
        if kind == each or (kind is None and entries):
            out.print(plain(each, "bold"))
            for line in _listing(entries):
                out.print(line)
            out.print()
    if commands:
        out.print(plain("commands", "bold"))
        for name, candidate in commands.items():
            origin = origin_of(candidate)
            out.print(plain(f"  {name}", "cyan") + plain(f"  {origin.package} {origin.version}", "dim"))
            out.print(plain(f"      {command_summary(candidate)}", "default"))
        out.print()
    for line in _trouble(registry, kind):
        out.print(line)
    for problem in [*problems, *_without_a_plugin(registry)]:
        out.print(plain(f"warning: {problem}", "yellow"))


def _without_a_plugin(registry: Registry) -> Iterator[str]:
    """What is wrong with ``QAKIT_DISABLE_PLUGINS``."""
    others = [origin_of(each) for each in entry_points(group=COMMANDS_GROUP)]
    for pattern in registry.unmatched:
        if not any(matches(pattern, origin) for origin in others):
            yield f"{DISABLE_VARIABLE} names {pattern!r}, which matches no installed plugin"


def _listing(entries: tuple[Entry, ...]) -> Iterator[Text]:
    if not entries:
        yield plain("  no installed plugin offers any")
    for entry in entries:
        yield plain(f"  {entry.name}", "cyan") + plain(f"  {entry.package} {entry.version}", "dim")
        yield plain(f"      {entry.component.summary}", "default")
        for setting in view_settings(entry.component.settings):
            yield plain(f"      - {setting}", "dim")
        for kind in entry.component.problems:
            yield plain(f"      - data.problems.{kind.name}: {' | '.join(kind.policies)} = {kind.default}", "dim")


def _trouble(registry: Registry, kind: Kind | None) -> Iterator[Text]:
    for broken in registry.broken:
        yield plain(f"broken: {broken.origin}: {broken.error}", "bold red")
    for conflict in registry.conflicts:
        if kind in (None, conflict.kind):
            yield plain(f"conflict: {conflict}", "bold red")
    for origin in registry.disabled:
        yield plain(f"switched off by {DISABLE_VARIABLE}: {origin}", "yellow")


def _document(
    registry: Registry, kind: Kind | None, commands: Mapping[str, EntryPoint], problems: Iterable[str]
) -> dict[str, Any]:
    conflicts = [conflict for conflict in registry.conflicts if kind in (None, conflict.kind)]
    return {
        "components": [_component(entry) for entry in registry.entries(kind)],
        "commands": [
            _origin(origin_of(candidate)) | {"name": name, "summary": command_summary(candidate)}
            for name, candidate in commands.items()
        ],
        "broken": [
            _origin(broken.origin) | {"error": broken.error, "traceback": broken.traceback}
            for broken in registry.broken
        ],
        "conflicts": [
            {"kind": conflict.kind, "name": conflict.name, "plugins": [entry.plugin for entry in conflict.entries]}
            for conflict in conflicts
        ],
        "disabled": [_origin(origin) for origin in registry.disabled],
        "warnings": [*problems, *_without_a_plugin(registry)],
    }


def _origin(origin: PluginOrigin) -> dict[str, str]:
    return {"plugin": origin.name, "package": origin.package, "version": origin.version}


def _component(entry: Entry) -> dict[str, Any]:
    return {
        "kind": entry.kind,
        "name": entry.name,
        "plugin": entry.plugin,
        "package": entry.package,
        "version": entry.version,
        "summary": entry.component.summary,
        "settings": [asdict(setting) for setting in view_settings(entry.component.settings)],
        "problems": [asdict(kind) for kind in entry.component.problems],
    }
