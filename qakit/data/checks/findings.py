"""What the data doctor says: frozen values, ready for JSON."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

Level = Literal["stops", "warning", "note"]
"""``stops``: training would stop here. A ``note`` is normal in many data sets."""
EXAMPLES_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """Something worth knowing about a split or a pair of splits."""

    name: str
    """Stable, for programs."""
    level: Level
    count: int
    meaning: str
    """One sentence for people; the count stands before it."""
    examples: tuple[str, ...] = ()
    """The first few, as ids or short texts."""

    def __str__(self) -> str:
        """Count, meaning and the first examples, as training says it."""
        more = ", ..." if self.count > len(self.examples) else ""
        where = f" ({', '.join(self.examples)}{more})" if self.examples else ""
        return f"{self.count:,} {self.meaning}{where}"


@dataclass(frozen=True, slots=True)
class Lengths:
    """Percentiles of lengths, in characters or in tokens."""

    p50: int
    p95: int
    max: int


@dataclass(frozen=True, slots=True)
class ProblemCount:
    """Problems of one kind and outcome in one file."""

    file: str
    kind: str
    outcome: str
    """``skipped``, ``repaired``, ``kept``, or ``stops``: training would stop here."""
    count: int
    examples: tuple[str, ...]


def _found(level: Level, name: str, meaning: str, found: list[str]) -> Finding:
    """A finding from the full list of its occurrences."""
    return Finding(name, level, len(found), meaning, tuple(found[:EXAMPLES_SHOWN]))


stops, warning, note = partial(_found, "stops"), partial(_found, "warning"), partial(_found, "note")
