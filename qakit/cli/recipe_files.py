"""Where recipes lie: the folder ./recipes, and those that come with qakit."""

from __future__ import annotations

from pathlib import Path

from qakit.errors import RecipeError
from qakit.recipe.bundled import bundled_recipes, with_ending
from qakit.recipe.issues import Issue

OWN_FOLDER = Path("recipes")


def found_recipe(path: Path) -> Path:
    """The file that ``path`` means: itself if it exists, else the recipe of that name in ./recipes or in the package.

    Raises:
        RecipeError: there is none, but a recipe of that name in a folder: ``sst2`` for ``glue/sst2``. Without any,
            the answer is ``path`` itself, for the loader to refuse.
    """
    bundled = bundled_recipes()
    relative = Path(*path.parts[1:]) if path.parts[:1] == (OWN_FOLDER.name,) else path
    name = with_ending(relative)
    folders = [folder for folder in (OWN_FOLDER, bundled) if folder is not None and not path.is_absolute()]
    candidates = [path, *(folder / name for folder in folders)]
    found = next((candidate for candidate in candidates if candidate.is_file()), None)
    if found is None and not path.exists():
        _refuse_without_folder(path, name, folders)
    return found or path


def _refuse_without_folder(path: Path, name: Path, folders: list[Path]) -> None:
    meant = sorted({file.relative_to(folder).as_posix() for folder in folders for file in folder.rglob(name.name)})
    if meant:
        named = ", ".join(f"'{file.removesuffix('.yaml')}'" for file in meant)
        raise RecipeError([Issue(str(path), None, None, "", "file not found", f"did you mean {named}?")])
