"""Offsets that a file counts differently: all of them off by the same number of characters."""

from __future__ import annotations

from collections.abc import Mapping

from qakit.data.checks.findings import Finding

_FEWEST = 3
_NEARLY_ALL = 0.9


def shift_findings(shifts: Mapping[int, int]) -> list[Finding]:
    """Say so when (nearly) all answers of a file would fit after the same shift.

    Args:
        shifts: answers by how many characters after its offset each one's text is; see ``Problems.shifts``.
    """
    total = sum(shifts.values())
    shift, count = max(shifts.items(), key=lambda item: item[1], default=(0, 0))
    if shift == 0 or count < _FEWEST or count < _NEARLY_ALL * total:
        return []
    distance = "one character" if abs(shift) == 1 else f"{abs(shift)} characters"
    where = "earlier" if shift < 0 else "later"
    why = "does the file count from 1?" if shift == -1 else "does the file count other characters than these?"
    return [Finding("shifted_offsets", "warning", count, f"of {total:,} answers would fit {distance} {where}: {why}")]
