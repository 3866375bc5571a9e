"""First-party writers: CSV as Kaggle wants it, SQuAD's prediction file, JSON Lines."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from qakit.api import Component, NoRuntime, Writer, hookimpl
from qakit_writers.settings import CsvSettings, JsonlSettings, SquadJsonSettings

__all__ = ["CSV", "JSONL", "SQUAD_JSON", "qakit_register_writers"]


def _build_csv(settings: CsvSettings, _: NoRuntime) -> Writer:
    from qakit_writers.table import CsvWriter

    return CsvWriter(settings)


def _build_squad_json(settings: SquadJsonSettings, _: NoRuntime) -> Writer:
    from qakit_writers.json_files import SquadJsonWriter

    return SquadJsonWriter(settings)


def _build_jsonl(_: JsonlSettings, __: NoRuntime) -> Writer:
    from qakit_writers.json_files import JsonlWriter

    return JsonlWriter()


CSV: Component[CsvSettings, NoRuntime, Writer] = Component(
    name="csv",
    summary="A table of ids and answers, quoted where needed and checked against the sample submission",
    settings=CsvSettings,
    build=_build_csv,
)
SQUAD_JSON: Component[SquadJsonSettings, NoRuntime, Writer] = Component(
    name="squad_json",
    summary="SQuAD's prediction file: one JSON object, id -> text",
    settings=SquadJsonSettings,
    build=_build_squad_json,
)
JSONL: Component[JsonlSettings, NoRuntime, Writer] = Component(
    name="jsonl",
    summary="One JSON object a line, with id and answer (or label)",
    settings=JsonlSettings,
    build=_build_jsonl,
)


@hookimpl
def qakit_register_writers() -> Iterable[Component[Any, Any, Any]]:
    """The writers of this package."""
    return (CSV, SQUAD_JSON, JSONL)
