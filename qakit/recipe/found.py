"""Where recipes lie: the folder ./recipes, and those that come with qakit."""

from __future__ import annotations

from difflib import get_close_matches
from importlib import resources
from pathlib import Path

from qakit.errors import RecipeError
from qakit.recipe.issues import Issue
from qakit.recipe.read import missing_file_hint

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
    return recipe if recipe.suffix or not recipe.name else recipe.with_suffix(".yaml")


_CLOSE = 0.8
"""Names at least this similar are one name misspelt (``difflib``'s ratio)."""


def found_recipe(path: Path) -> Path:
    """The file that ``path`` means: itself if it exists, else the recipe of that name in ./recipes or in the package.

    Raises:
        RecipeError: there is none, but a recipe of that name in a folder (``sst2`` for ``glue/sst2``), or one of nearly
            that name (``quickstrat``); or ``path`` is a bare name. Otherwise the answer is ``path`` itself, for the
            loader to refuse.
    """
    bundled = bundled_recipes()
    relative = Path(*path.parts[1:]) if path.parent.parts[:1] == (OWN_FOLDER.name,) else path
    name = with_ending(relative)
    folders = [folder for folder in (OWN_FOLDER, bundled) if folder is not None and not path.is_absolute()]
    candidates = [path, *(folder / name for folder in folders)]
    found = next((candidate for candidate in candidates if candidate.is_file()), None)
    if found is None and not path.exists():
        _suggest(path, name, folders)
    return found or path


def _suggest(path: Path, name: Path, folders: list[Path]) -> None:
    """Refuse the path with the recipes that were probably meant: of that name in a folder, or of nearly that name."""
    names = {
        file.relative_to(folder).with_suffix("").as_posix() for folder in folders for file in folder.rglob("*.yaml")
    }
    stem = name.with_suffix("")
    meant = [each for each in names if Path(each).name == stem.name]
    if not meant and missing_file_hint(path):
        return  # the loader tells of a file beside the missing one
    meant = meant or get_close_matches(stem.as_posix(), names, n=1, cutoff=_CLOSE)
    if not meant:
        close = get_close_matches(stem.as_posix(), {Path(each).name for each in names}, n=1, cutoff=_CLOSE)
        meant = [each for each in names if Path(each).name in close]
    if meant:
        named = ", ".join(f"'{each}'" for each in sorted(meant))
        raise RecipeError([Issue(str(path), None, None, "", "file not found", f"did you mean {named}?")])
    if not path.suffix and len(path.parts) == 1:
        raise RecipeError([Issue(str(path), None, None, "", "file not found", "qakit recipes list shows qakit's own")])
