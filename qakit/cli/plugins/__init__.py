"""``qakit plugins``: what is installed, what is broken and why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.text import Text

from qakit.cli.plugins.commands import add_commands
from qakit.cli.plugins.settings_view import view_settings
from qakit.cli.terminal.console import out, plain, print_json
from qakit.components import KINDS, Kind
from qakit.registry import DISABLE_VARIABLE, Entry, Registry, load_registry


def register_plugin_commands(app: typer.Typer) -> None:
    """Add the commands of every installed plugin."""
    for plugin in load_registry().plugins:
        add_commands(app, plugin)


def list_plugins(
    kind: Annotated[Kind | None, typer.Option(help="Only this kind of component.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with a description of every setting.")] = False,
) -> None:
    """List the installed components and their settings, and the plugins that are broken or switched off."""
    registry = load_registry()
    if as_json:
        print_json(_document(registry, kind))
        return
    for each in KINDS:
        entries = registry.entries(each)
        if kind == each or (kind is None and entries):
            out.print(plain(each, "bold"))
            for line in _listing(entries):
                out.print(line)
            out.print()
    for line in _trouble(registry, kind):
        out.print(line)


def _listing(entries: tuple[Entry, ...]) -> Iterator[Text]:
    if not entries:
        yield plain("  no installed plugin offers any")
    for entry in entries:
        yield plain(f"  {entry.name}", "cyan") + plain(f"  {entry.package} {entry.version}", "dim")
        yield plain(f"      {entry.component.summary}", "default")
        for setting in view_settings(entry.component.settings):
            yield plain(f"      - {setting}", "dim")


def _trouble(registry: Registry, kind: Kind | None) -> Iterator[Text]:
    for broken in registry.broken:
        yield plain(f"broken: {broken.origin}: {broken.error}", "bold red")
    for conflict in registry.conflicts:
        if kind in (None, conflict.kind):
            yield plain(f"conflict: {conflict}", "bold red")
    for origin in registry.disabled:
        yield plain(f"switched off by {DISABLE_VARIABLE}: {origin}", "yellow")
    for pattern in registry.unmatched:
        yield plain(f"warning: {DISABLE_VARIABLE} names {pattern!r}, which matches no installed plugin", "yellow")


def _document(registry: Registry, kind: Kind | None) -> dict[str, Any]:
    conflicts = [conflict for conflict in registry.conflicts if kind in (None, conflict.kind)]
    return {
        "components": [_component(entry) for entry in registry.entries(kind)],
        "broken": [
            {
                "plugin": broken.origin.name,
                "package": broken.origin.package,
                "version": broken.origin.version,
                "error": broken.error,
                "traceback": broken.traceback,
            }
            for broken in registry.broken
        ],
        "conflicts": [
            {"kind": conflict.kind, "name": conflict.name, "plugins": [entry.plugin for entry in conflict.entries]}
            for conflict in conflicts
        ],
        "disabled": [
            {"plugin": origin.name, "package": origin.package, "version": origin.version}
            for origin in registry.disabled
        ],
        "warnings": [
            f"{DISABLE_VARIABLE} names {pattern!r}, which matches no installed plugin" for pattern in registry.unmatched
        ],
    }


def _component(entry: Entry) -> dict[str, Any]:
    return {
        "kind": entry.kind,
        "name": entry.name,
        "plugin": entry.plugin,
        "package": entry.package,
        "version": entry.version,
        "summary": entry.component.summary,
        "settings": [
            {
                "name": setting.name,
                "type": setting.type,
                "required": setting.required,
                "default": setting.default,
                "description": setting.description,
            }
            for setting in view_settings(entry.component.settings)
        ],
    }
