"""What all sections of a recipe are, and values that several of them hold."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel, ConfigDict, PositiveInt

Every = Literal["epoch"] | PositiveInt
"""At the end of each epoch, or after every so many optimiser steps."""

FOLDER_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
"""What names a folder: neither a path nor ``..``."""


def check_folder_names(names: Iterable[str]) -> None:
    """Make sure that names may be those of folders.

    Raises:
        ValueError: one may not.
    """
    for name in names:
        if re.fullmatch(FOLDER_NAME, name) is None:
            raise ValueError(
                f"the name {name!r} may have letters, digits and . _ - only, a letter or digit first: it names folders"
            )


class Section(BaseModel):
    """Base of every recipe section: frozen, unknown keys are errors. The string below a field documents it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)
