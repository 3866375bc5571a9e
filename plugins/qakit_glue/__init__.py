"""GLUE's upload: the writer of one task's file, and the command that packs the eleven of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import Field

from qakit.api import Component, NoRuntime, Settings, Writer, hookimpl

GlueFile = Literal["CoLA", "SST-2", "MRPC", "STS-B", "MNLI-m", "MNLI-mm", "QNLI", "QQP", "RTE", "WNLI", "AX"]


class GlueWriterSettings(Settings):
    task: GlueFile | None = Field(
        None,
        description="Which of GLUE's eleven files this is: `qakit glue pack` goes by it, and classes that the task "
        "does not have are refused. MNLI has one file for each of its two test sets.",
    )


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
