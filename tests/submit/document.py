"""The parts of ``docs/kaggle.md`` that are written by programs: each between two comments."""

from __future__ import annotations

from pathlib import Path

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "kaggle.md"
TABLE = (
    "<!-- fault table: written by python tests/submit/fault_table.py --write -->",
    "<!-- end of the fault table -->",
)
TRANSCRIPT = (
    "<!-- transcript: written by python tests/submit/whole_round.py --write -->",
    "<!-- end of the transcript -->",
)


def read_between(marks: tuple[str, str]) -> str:
    """What stands between two comments."""
    _, rest = DOCUMENT.read_text("utf-8").split(marks[0])
    return rest.split(marks[1])[0].strip()


def write_between(marks: tuple[str, str], text: str) -> None:
    """Put something else there."""
    before, rest = DOCUMENT.read_text("utf-8").split(marks[0])
    _, after = rest.split(marks[1])
    DOCUMENT.write_text(f"{before}{marks[0]}\n\n{text.strip()}\n\n{marks[1]}{after}", "utf-8")
