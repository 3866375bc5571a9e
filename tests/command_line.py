"""A ``qakit`` command line in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from typer.testing import CliRunner, Result

from qakit.cli import build_app
from qakit.errors import QakitError

Invoke = Callable[..., Result]


@contextmanager
def checkpoints_kept() -> Iterator[None]:
    """Meanwhile trainings leave their checkpoints when they are finished, for tests that continue from one of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("qakit.training.finish.forget_training", lambda run: None)
        yield


def invoke(*arguments: object) -> Result:
    """Run a command line; a QakitError becomes what ``main`` makes of it."""
    result = CliRunner().invoke(build_app(), [str(argument) for argument in arguments])
    if isinstance(result.exception, QakitError):
        result.exit_code = result.exception.exit_code
    elif result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result
