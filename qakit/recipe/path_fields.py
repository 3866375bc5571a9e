"""Fields of a recipe that hold paths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated


@dataclass(frozen=True, slots=True)
class IsPath:
    """Marks a string field as a path: relative to the recipe file that wrote it, with ``${NAME:-default}`` expanded."""

    or_name: bool = False
    """Whether it may also be a name (a package, a model on the hub). It is a path when it starts with ``.``, ``~`` or
    ``/``, or when something of that name lies beside the recipe."""
    or_hub: bool = False
    """Whether it may also be a file on the hub, ``hf://...``."""


RecipePath = Annotated[str, IsPath()]
"""A path in a recipe. Environment variables are expanded in these fields and nowhere else."""
RecipeSource = Annotated[str, IsPath(or_name=True)]
"""A path, or the name of something that is looked up elsewhere."""
