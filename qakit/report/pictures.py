"""Figures on their way into files."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from qakit.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def save_picture(figure: Figure, path: Path, *, dpi: int = 110) -> None:
    """Write a PNG. Letters that matplotlib's font lacks (Chinese names of runs) are boxes, and no warnings.

    Raises:
        OutputError: it cannot be written.
    """
    with atomic_path(path) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .*missing from")
        figure.savefig(temporary, format="png", dpi=dpi, facecolor="white")
