"""First-party readers: SQuAD, NTU ML HW7, NTU ADL, GLUE and tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from qakit.api import Component, NoRuntime, Reader, hookimpl
from qakit_readers.settings import AdlSettings, GlueSettings, Hw7Settings, SquadSettings, TableSettings

__all__ = ["ADL", "GLUE", "HW7", "SQUAD", "TABLE", "qakit_register_readers"]


def _build_squad(settings: SquadSettings, _: NoRuntime) -> Reader:
    from qakit_readers.squad import SquadReader

    return SquadReader(settings)


def _build_hw7(_: Hw7Settings, __: NoRuntime) -> Reader:
    from qakit_readers.hw7 import Hw7Reader

    return Hw7Reader()


def _build_adl(settings: AdlSettings, _: NoRuntime) -> Reader:
    from qakit_readers.adl import AdlReader

    return AdlReader(settings)


def _build_glue(settings: GlueSettings, _: NoRuntime) -> Reader:
    from qakit_readers.glue import GlueReader

    return GlueReader(settings)


def _build_table(settings: TableSettings, _: NoRuntime) -> Reader:
    from qakit_readers.table import TableReader

    return TableReader(settings)


SQUAD: Component[SquadSettings, NoRuntime, Reader] = Component(
    name="squad",
    summary="SQuAD 1.1 and 2.0 JSON, its relatives (DRCD, CMRC 2018, XQuAD, KorQuAD 2), and lists of such questions",
    settings=SquadSettings,
    build=_build_squad,
)
HW7: Component[Hw7Settings, NoRuntime, Reader] = Component(
    name="hw7",
    summary="NTU ML HW7 JSON: questions beside paragraphs, inclusive answer_end",
    settings=Hw7Settings,
    build=_build_hw7,
)
ADL: Component[AdlSettings, NoRuntime, Reader] = Component(
    name="adl",
    summary="NTU ADL JSON: several paragraphs for each question, texts in context.json",
    settings=AdlSettings,
    build=_build_adl,
)
GLUE: Component[GlueSettings, NoRuntime, Reader] = Component(
    name="glue",
    summary="TSV files of the ten GLUE tasks",
    settings=GlueSettings,
    build=_build_glue,
)
TABLE: Component[TableSettings, NoRuntime, Reader] = Component(
    name="table",
    summary="CSV, TSV, JSON, JSON Lines or Parquet with a column map",
    settings=TableSettings,
    build=_build_table,
)


@hookimpl
def qakit_register_readers() -> Iterable[Component[Any, Any, Any]]:
    """The readers of this package."""
    return (SQUAD, HW7, ADL, GLUE, TABLE)
