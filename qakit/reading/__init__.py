"""What readers are made of, for plugins' readers as for qakit's own.

:mod:`~qakit.reading.files` opens files and says clearly what is no data file; :mod:`~qakit.reading.record` gives a
record's fields their types, and takes what is wrong to the problem policies; :mod:`~qakit.reading.answers` places
answers in their contexts, and repairs offsets.
"""

from __future__ import annotations

from qakit.reading.answers import answer_values, place_answer, read_answer, start_of
from qakit.reading.files import load_json, load_text, parse_json, text_lines
from qakit.reading.record import Record, SkippedRecordError

__all__ = [
    "Record",
    "SkippedRecordError",
    "answer_values",
    "load_json",
    "load_text",
    "parse_json",
    "place_answer",
    "read_answer",
    "start_of",
    "text_lines",
]
