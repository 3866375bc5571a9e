"""How long something took, in words."""

from __future__ import annotations


def duration(seconds: float | None) -> str:
    """Seconds as people read them: ``48 s``, ``12.5 min``, ``3.2 h``; ``-`` where they are not known."""
    if seconds is None:
        return "-"
    for limit, unit, name in ((120, 1, "s"), (7200, 60, "min")):
        if seconds < limit:
            return f"{seconds / unit:.{0 if unit == 1 else 1}f} {name}"
    return f"{seconds / 3600:.1f} h"
