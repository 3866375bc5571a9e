"""The parts of ``docs/dev/submitting.md`` that are written by programs."""

from __future__ import annotations

from written_part import DOCS, WrittenPart

TABLE = WrittenPart(
    DOCS / "dev" / "submitting.md",
    "<!-- fault table: written by python tests/submit/fault_table.py --write -->",
    "<!-- end of the fault table -->",
)
TRANSCRIPT = WrittenPart(
    DOCS / "dev" / "submitting.md",
    "<!-- transcript: written by python tests/submit/whole_round.py --write -->",
    "<!-- end of the transcript -->",
)
SESSIONS = WrittenPart(
    DOCS / "kaggle.md",
    "<!-- sessions: written by python tests/submit/two_sessions.py --write -->",
    "<!-- end of the sessions -->",
)
