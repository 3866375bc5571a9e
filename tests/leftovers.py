"""What a killed process leaves."""

from __future__ import annotations

import re
from pathlib import Path

from qakit.temporary import temporary_path

NOBODY = 4_194_305
"""One more than the largest number that Linux gives to a process."""


def left_behind(target: Path) -> Path:
    """The path of a temporary file or folder for ``target`` whose process is gone; nothing is made."""
    path = temporary_path(target)
    return path.with_name(re.sub(r"-\d+-\d+(\.\w+\.tmp)$", rf"-{NOBODY}-1\1", path.name))
