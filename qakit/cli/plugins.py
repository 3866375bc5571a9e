"""``qakit plugins``: what is installed, what is broken and why."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic.fields import FieldInfo
from pydantic_core import to_json
from rich.text import Text
from typer.main import get_command_name, get_group, solve_typer_info_defaults

from qakit.cli.terminal.console import out, plain, print_json, print_warning
from qakit.components import KINDS, Kind, Settings
from qakit.discovery import PluginOrigin, describe, guarded
from qakit.registry import DISABLE_VARIABLE, Entry, Registry, load_registry

if TYPE_CHECKING:
    from typer.models import CommandInfo, TyperInfo

    from qakit.discovery import LoadedPlugin


_BOUNDS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<", "min_length": "length >=", "max_length": "length <="}
_NAMES = {str: "str", NoneType: "null", Any: "any"}


@dataclass(frozen=True, slots=True)
class SettingView:
    """One setting."""

    name: str
    type: str
    """As in a recipe: ``int >= 1``, ``"mean" | "max" | null``."""
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
            type=_bounded(_type_text(field.annotation), field.metadata),
            required=field.is_required(),
            default=None if field.is_required() else _json_like(field.get_default(call_default_factory=True)),
            description=" ".join((field.description or "").split()),
        )
        for name, field in model.model_fields.items()
    )


def _json_like(value: Any) -> Any:
    return json.loads(to_json(value, inf_nan_mode="strings", fallback=str))


def _type_text(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " | ".join("null" if value is None else json.dumps(value, ensure_ascii=False) for value in arguments)
    if origin in (Union, UnionType):
        return " | ".join(_type_text(argument) for argument in arguments)
    if origin is Annotated:
        return _bounded(_type_text(arguments[0]), arguments[1:])
    if arguments:
        inner = ", ".join("..." if argument is Ellipsis else _type_text(argument) for argument in arguments)
        return f"{_type_text(origin)}[{inner}]"
    return _NAMES.get(annotation) or getattr(annotation, "__name__", None) or str(annotation)


def _bounded(text: str, metadata: Iterable[Any]) -> str:
    # Inside a union, `Annotated[int, Field(ge=0)]` still holds the whole Field.
    constraints = [
        inner for outer in metadata for inner in (outer.metadata if isinstance(outer, FieldInfo) else [outer])
    ]
    bounds = (
        f"{sign} {getattr(constraint, key)}"
        for constraint in constraints
        for key, sign in _BOUNDS.items()
        if getattr(constraint, key, None) is not None
    )
    return " ".join([text, ", ".join(bounds)]).rstrip()


def register_plugin_commands(app: typer.Typer) -> None:
    """Add the commands of every installed plugin."""
    for plugin in load_registry().plugins:
        add_commands(app, plugin)


def list_plugins(
    kind: Annotated[Kind | None, typer.Option(help="Only this kind of component.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with a description of every setting.")] = False,
) -> None:
    """List the installed components and their settings, and the plugins that are broken or switched off.

    Example: qakit plugins --kind heads
    """
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
            _origin(broken.origin) | {"error": broken.error, "traceback": broken.traceback}
            for broken in registry.broken
        ],
        "conflicts": [
            {"kind": conflict.kind, "name": conflict.name, "plugins": [entry.plugin for entry in conflict.entries]}
            for conflict in conflicts
        ],
        "disabled": [_origin(origin) for origin in registry.disabled],
        "warnings": [
            f"{DISABLE_VARIABLE} names {pattern!r}, which matches no installed plugin" for pattern in registry.unmatched
        ],
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
    }


def add_commands(app: typer.Typer, plugin: LoadedPlugin) -> None:
    """Add the commands of one plugin, if it has any.

    A hook that fails, or a command whose name is taken, is left out with a warning; the command line continues.
    """
    if not plugin.hooks.qakit_register_commands.get_hookimpls():
        return
    # The plugin fills an app of its own: whatever it does to that, ours stays as it is.
    own = typer.Typer()
    try:
        with guarded():
            plugin.hooks.qakit_register_commands(app=own)
            get_group(own)  # finds parameters that typer cannot handle, which would stop every command
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        print_warning(f"the commands of plugin {plugin.origin} are left out: {describe(error)}")
        return
    taken = {_command_name(command) for command in app.registered_commands}
    taken |= {_group_name(group) for group in app.registered_groups}
    for command in own.registered_commands:
        if _is_free(_command_name(command), taken, plugin):
            app.registered_commands.append(command)
    for group in own.registered_groups:
        if _is_free(_group_name(group), taken, plugin):
            app.registered_groups.append(group)


def _is_free(name: str, taken: set[str], plugin: LoadedPlugin) -> bool:
    if not name:
        print_warning(f"a command group of plugin {plugin.origin} is left out: it has no name")
    elif name in taken:
        print_warning(f"the command {name!r} of plugin {plugin.origin} is left out: that name is taken")
    else:
        taken.add(name)
        return True
    return False


def _command_name(command: CommandInfo) -> str:
    return command.name or get_command_name(getattr(command.callback, "__name__", ""))


def _group_name(group: TyperInfo) -> str:
    return solve_typer_info_defaults(group).name or ""
