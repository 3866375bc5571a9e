"""GLUE's upload: the writer of one task's file, and the command that packs the eleven of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from qakit.api import Component, NoRuntime, Writer, hookimpl
from qakit_glue.settings import GlueWriterSettings

if TYPE_CHECKING:
    import typer

__all__ = ["GLUE", "qakit_register_commands", "qakit_register_writers"]


GLUE: Component[GlueWriterSettings, NoRuntime, Writer] = Component(
    name="glue",
    summary="One task's file for GLUE's server: TSV with index and prediction, sorted",
    settings=GlueWriterSettings,
    build="qakit_glue.writer:GlueWriter",
)


@hookimpl
def qakit_register_writers() -> Iterable[Component[Any, Any, Any]]:
    """The writer of this package."""
    return (GLUE,)


@hookimpl
def qakit_register_commands(app: typer.Typer) -> None:
    """``qakit glue pack``."""
    from qakit_glue.commands import register

    register(app)
