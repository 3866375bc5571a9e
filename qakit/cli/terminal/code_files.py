"""``qakit --plugin FILE``, and the question whether code that came with a recipe or run may be run."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from qakit.trust import asked_by


@contextmanager
def code_files(files: Sequence[Path]) -> Iterator[None]:
    """Meanwhile these files are plugins, here and in the processes that are started."""
    from qakit.plugin_code import FILES_VARIABLE, named_files
    from qakit.registry import load_registry

    before = os.environ.get(FILES_VARIABLE, "")
    os.environ[FILES_VARIABLE] = os.pathsep.join(map(str, [*named_files(), *(file.absolute() for file in files)]))
    load_registry.cache_clear()
    try:
        yield
    finally:
        os.environ[FILES_VARIABLE] = before
        load_registry.cache_clear()


@contextmanager
def asking() -> Iterator[None]:
    """Meanwhile who sits at a terminal is asked."""
    token = asked_by.set(_ask if sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty() else None)
    try:
        yield
    finally:
        asked_by.reset(token)


def _ask(question: str) -> bool:
    import typer

    from qakit.cli.terminal.console import err, plain

    err.print(plain(question))  # names in it may be anybody's
    return typer.confirm("Have you read it, and shall it be run on this machine?", default=False, err=True)
