"""First-party writers: CSV as Kaggle wants it, SQuAD's prediction file, JSON Lines."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from qakit.api import Component, NoRuntime, Writer, hookimpl
from qakit_writers.settings import CsvSettings, JsonlSettings, SquadJsonSettings

__all__ = ["CSV", "JSONL", "SQUAD_JSON", "qakit_register_writers"]


CSV: Component[CsvSettings, NoRuntime, Writer] = Component(
    name="csv",
    summary="A table of ids and answers, quoted where needed and checked against the sample submission",
    settings=CsvSettings,
    build="qakit_writers.table:CsvWriter",
)
SQUAD_JSON: Component[SquadJsonSettings, NoRuntime, Writer] = Component(
    name="squad_json",
    summary="SQuAD's prediction file: one JSON object, id -> text",
    settings=SquadJsonSettings,
    build="qakit_writers.json_files:SquadJsonWriter",
)
JSONL: Component[JsonlSettings, NoRuntime, Writer] = Component(
    name="jsonl",
    summary="One JSON object a line, with id and answer (or label)",
    settings=JsonlSettings,
    build="qakit_writers.json_files:JsonlWriter",
)


@hookimpl
def qakit_register_writers() -> Iterable[Component[Any, Any, Any]]:
    """The writers of this package."""
    return (CSV, SQUAD_JSON, JSONL)
