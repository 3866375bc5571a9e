"""The ``qakit`` command. Each module of this package holds a command, or a family of them as ``app``."""

from __future__ import annotations

import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from qakit import __version__
from qakit.cli.commands import AllCommands
from qakit.cli.terminal.groups import Commands
from qakit.cli.terminal.harmless import show_logged_warnings
from qakit.cli.terminal.streams import lost_output, steady_streams
from qakit.distributed import AbandonedError, adopt_slurm, launched_processes, lost_neighbour
from qakit.errors import DEBUG_VARIABLE, OutputError, QakitError
from qakit.system import refused_by_system


class _Commands(Commands):
    """All commands, imported when they are used; they know what options of other tools are called here."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands: Any = AllCommands()

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - of the protocol
        """The commands' names, qakit's own first."""
        return list(self.commands)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - of the protocol
        for title, rows in self.commands.sections():
            with formatter.section(title):
                formatter.write_dl(rows)

    def invoke(self, ctx: Any) -> Any:
        """Run the command that is asked for."""
        given = list(ctx.args)
        try:
            return super().invoke(ctx)
        except Exception as error:  # an unknown option's, whose class has no public name
            if hasattr(error, "option_name") and hasattr(error, "possibilities"):
                from qakit.recipe.other_tools import options_hint

                hint = options_hint(error.option_name, [word for word in given if word not in _options(error)])
                if not error.option_name.startswith("--"):
                    hint = "what begins with a dash and is no option comes after all options and a --"
                if hint:
                    vars(error).update(message=f"{vars(error)['message']}; {hint}", possibilities=None)
            raise


def _options(error: Any) -> set[str]:
    """The options of the command that an error is of."""
    return {name for option in error.ctx.command.params for name in option.opts + option.secondary_opts}


def build_app() -> typer.Typer:
    """The whole command line, with the commands of installed plugins."""
    show_logged_warnings()
    app = typer.Typer(
        name="qakit",
        cls=_Commands,
        help="Extractive question answering and GLUE-style fine-tuning competitions.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,  # typer's rich help loads a Markdown parser: a quarter of the start-up time
    )

    @app.callback()
    def root(
        context: typer.Context,
        version: Annotated[  # noqa: ARG001 - its callback is all
            bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
        ] = False,
        plugin: Annotated[
            list[Path] | None,
            typer.Option(metavar="FILE", help="Run this file of Python as a plugin; may be given several times."),
        ] = None,
    ) -> None:
        from qakit.cli.terminal.code_files import asking, code_files
        from qakit.cli.terminal.file_progress import FileDisplay

        context.with_resource(asking())
        if plugin:
            context.with_resource(code_files(plugin))
        context.with_resource(FileDisplay())

    return app


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"qakit {__version__}")
        raise typer.Exit


def _print_error(message: object) -> None:
    from qakit.cli.terminal.console import print_error

    print_error(message)


def _print_traceback(error: BaseException) -> None:
    import traceback

    from qakit.cli.terminal.console import err, plain

    err.print(plain("".join(traceback.format_exception(error))))


def main() -> None:
    """Entry point: errors that the user can act on come without a traceback; anything else is a bug and keeps it."""
    steady_streams()
    adopt_slurm()
    try:
        _run()
    except SystemExit as end:
        if lost := lost_output():
            _print_error(lost)
            sys.exit(end.code or OutputError.exit_code)
        raise


def _run() -> None:
    try:
        build_app()()
    except QakitError as error:
        _end(error)
    except (OSError, RuntimeError, MemoryError) as error:
        known = refused_by_system(error) or (lost_neighbour(error) if isinstance(error, RuntimeError) else None)
        if known is None:
            raise
        _end(known)


def _end(error: QakitError) -> NoReturn:
    if is_told_here(error):
        if os.environ.get(DEBUG_VARIABLE):
            _print_traceback(error)
        _print_error(error)
    sys.exit(error.exit_code)


PATIENCE = timedelta(seconds=10)
"""How long to look for the launcher's store before telling without it."""


def is_told_here(error: QakitError) -> bool:
    """Whether this process tells the user of its error: the first one to fail does, for all of them."""
    if isinstance(error, AbandonedError):
        return False
    if launched_processes() == 1:
        return True
    from torch.distributed import TCPStore  # type: ignore[attr-defined]  # public, but not marked as such

    try:
        # The launcher's own store, or the first process's: it can be asked before and after any process group.
        address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        store = TCPStore(address, port, is_master=False, timeout=PATIENCE, wait_for_workers=False)
        return bool(store.add(f"qakit/failed/{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", 1) == 1)
    except (KeyError, ValueError, RuntimeError):
        return True
