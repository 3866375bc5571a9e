"""What is wrong with input records, and what is done about each kind of problem."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from qakit.errors import DataError

Policy = Literal["error", "skip", "repair", "keep"]
"""``error``: stop. ``skip``: leave the record out, counted. ``repair``: mend it where the repair is certain, else stop.
``keep``: use what is sound (an answer's text without its place), counted."""

EXAMPLES_KEPT = 5
"""How many occurrences of each kind are remembered for the report."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem in one record."""

    kind: str
    row: str
    field: str
    message: str
    outcome: str
    """``skipped``, ``repaired`` or ``kept``."""


@dataclass(slots=True)
class Problems:
    """Collects the problems of one file while it is read. One per file and reading.

    Raises from :meth:`judge`:
        DataError: the policy for this kind is ``error``, or ``repair`` where no repair is certain.
    """

    path: Path
    policies: Mapping[str, Policy] = field(default_factory=dict)
    """Policy per kind of problem; ``default`` for the others."""
    default: Policy = "error"
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Occurrences by (kind, outcome)."""
    examples: dict[str, list[Problem]] = field(default_factory=dict)
    """The first few of each kind."""

    def judge(self, kind: str, *, row: str, field: str, message: str, repairable: bool = False) -> Policy:
        """Say what to do with a problem, and count it. Returns ``skip``, ``keep`` or (if repairable) ``repair``."""
        policy = self.policies.get(kind, self.default)
        if policy == "error" or (policy == "repair" and not repairable):
            raise DataError(message, path=self.path, row=row, field=field)
        outcome = {"skip": "skipped", "repair": "repaired", "keep": "kept"}[policy]
        self.counts[kind, outcome] += 1
        seen = self.examples.setdefault(kind, [])
        if len(seen) < EXAMPLES_KEPT:
            seen.append(Problem(kind, row, field, message, outcome))
        return policy
