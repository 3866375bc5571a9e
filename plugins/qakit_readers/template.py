"""A text that is put together from several cells of a row, such as ``{anchor} [SEP] {target}``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from qakit.api import class_name
from qakit.reading.record import Record, kind_of

_PART = re.compile(r"\{\{|\}\}|\{([^{}]*)\}")
"""A brace that is meant, written twice, or a column in braces."""


@dataclass(frozen=True, slots=True)
class TextTemplate:
    """Columns with texts around them.

    Attributes:
        columns: in their order, one of them perhaps several times.
        around: what stands before, between and behind the cells: one more than columns.
    """

    columns: tuple[str, ...]
    around: tuple[str, ...]

    @staticmethod
    def of(text: str) -> TextTemplate | None:
        """The template that ``text`` is; None where it has no column in braces, or a single brace."""
        columns: list[str] = []
        around, place = [""], 0
        for found in _PART.finditer(text):
            between, place = text[place : found.start()], found.end()
            if "{" in between or "}" in between:
                return None
            around[-1] += between
            if found[1] is None:
                around[-1] += found[0][0]
            else:
                columns.append(found[1])
                around.append("")
        if not columns or "{" in text[place:] or "}" in text[place:]:
            return None
        around[-1] += text[place:]
        return TextTemplate(tuple(columns), tuple(around))

    def fill(self, record: Record, setting: str, *, empty: str) -> str:
        """The text of a row. An empty cell is empty text; numbers and truth values are written as in CSV.

        Args:
            record: the row.
            setting: which of the reader's settings this is, for messages.
            empty: the kind of problem of a row where all these cells are empty.
        """
        cells = [_cell(record, column) for column in self.columns]
        if not any(cell.strip() for cell in cells):
            record.judge(empty, setting, f"there is no text in any of {', '.join(map(repr, self.columns))}")
        return self.around[0] + "".join(cell + behind for cell, behind in zip(cells, self.around[1:], strict=True))


def _cell(record: Record, column: str) -> str:
    value = record.get(column)
    if value is None or value != value:  # NaN, which pandas has for an empty cell
        return ""
    if not isinstance(value, str | int | float):
        record.refuse("wrong_type", column, f"should be text or a number, not {kind_of(value)}")
    return record.sound(value if isinstance(value, str) else class_name(value), column)
