"""What a recipe may say about GLUE's files."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from qakit.api import Settings

GlueFile = Literal["CoLA", "SST-2", "MRPC", "STS-B", "MNLI-m", "MNLI-mm", "QNLI", "QQP", "RTE", "WNLI", "AX"]


class GlueWriterSettings(Settings):
    """Settings of the ``glue`` writer."""

    task: GlueFile | None = Field(
        None,
        description="Which of GLUE's eleven files this is: `qakit glue pack` goes by it, and classes that the task "
        "does not have are refused. MNLI has one file for each of its two test sets.",
    )
