"""Names that users give to new files and folders, looked at before anything is done."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from qakit.outputs import check_name

PathOrNone = TypeVar("PathOrNone", Path | None, str | None)


def new_path(value: PathOrNone) -> PathOrNone:
    """The callback of every option that names something to be written.

    Raises:
        UsageError: the name cannot be used.
    """
    if value is not None:
        check_name(Path(value))
    return value
