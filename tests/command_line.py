"""A ``qakit`` command line in this process."""

from __future__ import annotations

from collections.abc import Callable

from typer.testing import CliRunner, Result

from qakit.cli import build_app
from qakit.errors import QakitError

Invoke = Callable[..., Result]


def invoke(*arguments: object) -> Result:
    """Run a command line; a QakitError becomes what ``main`` makes of it."""
    result = CliRunner().invoke(build_app(), [str(argument) for argument in arguments])
    if isinstance(result.exception, QakitError):
        result.exit_code = result.exception.exit_code
    elif result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result
