"""Commands that plugins add to the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer
from typer.main import get_command_name, get_group, solve_typer_info_defaults

from qakit.cli.terminal.console import print_warning
from qakit.discovery import describe, guarded

if TYPE_CHECKING:
    from typer.models import CommandInfo, TyperInfo

    from qakit.discovery import LoadedPlugin


def add_commands(app: typer.Typer, plugin: LoadedPlugin) -> None:
    """Add the commands of one plugin, if it has any.

    A hook that fails, or a command whose name is taken, is left out with a warning; the command line goes on.
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
