"""First-party readers: SQuAD, NTU ML HW7, NTU ADL, GLUE and tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from qakit.api import Component, NoRuntime, Reader, hookimpl
from qakit_readers.settings import AdlSettings, GlueSettings, Hw7Settings, SquadSettings, TableSettings

__all__ = ["ADL", "GLUE", "HW7", "SQUAD", "TABLE", "qakit_register_readers"]


SQUAD: Component[SquadSettings, NoRuntime, Reader] = Component(
    name="squad",
    summary="SQuAD 1.1 and 2.0 JSON, its relatives (DRCD, CMRC 2018, XQuAD, KorQuAD 2), and lists of such questions",
    settings=SquadSettings,
    build="qakit_readers.squad:SquadReader",
    guess="qakit_readers.guess:guess_squad",
)
HW7: Component[Hw7Settings, NoRuntime, Reader] = Component(
    name="hw7",
    summary="NTU ML HW7 JSON: questions beside paragraphs, inclusive answer_end",
    settings=Hw7Settings,
    build="qakit_readers.hw7:Hw7Reader",
    guess="qakit_readers.guess:guess_hw7",
)
ADL: Component[AdlSettings, NoRuntime, Reader] = Component(
    name="adl",
    summary="NTU ADL JSON: several paragraphs for each question, texts in context.json",
    settings=AdlSettings,
    build="qakit_readers.adl:AdlReader",
    guess="qakit_readers.guess:guess_adl",
)
GLUE: Component[GlueSettings, NoRuntime, Reader] = Component(
    name="glue",
    summary="TSV files of the ten GLUE tasks",
    settings=GlueSettings,
    build="qakit_readers.glue:GlueReader",
    guess="qakit_readers.guess:guess_glue",
)
TABLE: Component[TableSettings, NoRuntime, Reader] = Component(
    name="table",
    summary="CSV, TSV, JSON, JSON Lines or Parquet with a column map",
    settings=TableSettings,
    build="qakit_readers.table:TableReader",
    guess="qakit_readers.guess:guess_table",
)


@hookimpl
def qakit_register_readers() -> Iterable[Component[Any, Any, Any]]:
    """The readers of this package."""
    return (SQUAD, HW7, ADL, GLUE, TABLE)
