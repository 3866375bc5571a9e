"""Where recipes are kept: a project's own, and those that come with qakit."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

OWN_FOLDER = Path("recipes")


def bundled_recipes() -> Path | None:
    """Their folder: in the installed package, or in the checkout that an editable install runs from.

    None where there is none, or where the package is not unpacked into a folder.
    """
    package = resources.files("qakit")
    folder = package / "bundled" / "recipes"
    if isinstance(folder, Path) and folder.is_dir():
        return folder
    checkout = Path(str(package)).parent  # pyproject.toml tells it from a folder of packages
    return checkout / "recipes" if (checkout / "pyproject.toml").is_file() else None


def with_ending(recipe: Path) -> Path:
    """A recipe's file by its name, which may leave ``.yaml`` out."""
    return recipe if recipe.suffix else recipe.with_suffix(".yaml")
