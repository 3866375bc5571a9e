"""Where recipes lie: the folder ./recipes, and those that come with qakit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

OWN_FOLDER = Path("recipes")


@contextmanager
def bundled_recipes() -> Iterator[Path | None]:
    """The folder of recipes in the installed package; None in a checkout, which has them in ./recipes."""
    from importlib.resources import as_file, files

    bundled = files("qakit") / "bundled" / "recipes"
    if not bundled.is_dir():
        yield None
        return
    with as_file(bundled) as folder:
        yield folder


@contextmanager
def found_recipe(path: Path) -> Iterator[Path]:
    """The file that ``path`` means: itself if it exists, else the recipe of that name in ./recipes or in the package.

    Without any such file it is ``path`` itself, for the loader to refuse.
    """
    with ExitStack() as stack:
        bundled = stack.enter_context(bundled_recipes())
        relative = Path(*path.parts[1:]) if path.parts[:1] == (OWN_FOLDER.name,) else path
        names = [relative] if relative.suffix else [relative.with_suffix(".yaml")]
        folders = [folder for folder in (OWN_FOLDER, bundled) if folder is not None and not path.is_absolute()]
        candidates = [path, *(folder / name for folder in folders for name in names)]
        yield next((candidate for candidate in candidates if candidate.is_file()), path)
