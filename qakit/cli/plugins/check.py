"""``qakit plugins check``: the contract checks of an installed package's components, or of those of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from qakit.cli.terminal.console import out, plain
from qakit.components import Component, Kind, singular
from qakit.errors import PluginError, QakitError, UsageError
from qakit.plugin_code import PluginCode
from qakit.registry import Registry, load_registry


def check(
    plugin: Annotated[str, typer.Argument(metavar="PACKAGE|FILE", help="An installed package, or a file of Python.")],
    component: Annotated[str | None, typer.Option(help="Only the component of this name.")] = None,
    settings: Annotated[str | None, typer.Option(help="Its settings, such as '{width: 8}'.")] = None,
    labels: Annotated[str | None, typer.Option(help="Classes, such as a,b,c, of what is for classification.")] = None,
    texts: Annotated[bool, typer.Option("--texts", help="Of a preprocessor: it is for classification.")] = False,
    file: Annotated[Path | None, typer.Option("--input", help="Of a reader: a file that it reads.")] = None,
) -> None:
    """Run the contract checks on each component of a plugin.

    Example: qakit plugins check ./my_head.py
    """
    from qakit.testing.plugin import Given, check_any

    given = Given(_settings(settings), tuple(labels.split(",")) if labels else (), texts, file)
    found = [each for each in _components(plugin) if component in (None, each[1].name)]
    if not found:
        raise UsageError(f"{plugin} offers no component" + (f" called {component!r}" if component else ""))
    failed = 0
    for kind, each in found:
        what = f"{singular(kind)} {each.name}"
        try:
            left = check_any(kind, each, given)
        except (AssertionError, QakitError) as error:
            failed += 1
            out.print(plain(f"{what}: {error}", "bold red"))
        else:
            out.print(plain(f"{what}: {left or 'keeps the contract'}", "yellow" if left else "green"))
    if failed:
        raise PluginError(f"{plugin}: {failed} of {len(found)} component{'s' * (len(found) > 1)} failed")


def _components(plugin: str) -> list[tuple[Kind, Component[Any, Any, Any]]]:
    """Those of a file, which is run because it is named, or of a package."""
    if plugin.endswith(".py"):
        from qakit.cli.terminal.code_files import code_files

        with code_files([Path(plugin)]):
            registry, package = load_registry(), PluginCode.read(Path(plugin)).package
            return _offered(registry, package)
    registry = load_registry()
    broken = [each for each in registry.broken if plugin in (each.origin.package, each.origin.name)]
    if broken:
        raise PluginError(f"{broken[0].origin}: {broken[0].error}")
    return _offered(registry, plugin)


def _offered(registry: Registry, package: str) -> list[tuple[Kind, Component[Any, Any, Any]]]:
    return [(each.kind, each.component) for each in registry.entries() if package in (each.package, each.plugin)]


def _settings(text: str | None) -> dict[str, Any]:
    """A mapping as in a recipe."""
    from qakit.recipe.nodes import Findings, Source
    from qakit.recipe.nodes import plain as values_of
    from qakit.recipe.syntax import parse

    if text is None:
        return {}
    value = values_of(node) if (node := parse(text, Source("--settings", Path.cwd()), Findings())) is not None else None
    if not isinstance(value, dict):
        raise UsageError("--settings: write them like '{width: 8, dropout: 0.1}'")
    return value
