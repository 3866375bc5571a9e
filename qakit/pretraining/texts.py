"""Documents: from text files, and the contexts of a recipe's data."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from qakit.data.splits import SplitName, read_files, split_files
from qakit.errors import DataError, UsageError
from qakit.recipe.model import Recipe
from qakit.registry import Registry

_BLANK_LINES = re.compile(r"\n[^\S\n]*\n\s*")


def read_documents(path: Path) -> Iterator[str]:
    """The documents of a UTF-8 text file: separated by blank lines if it has any, else one a line.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", path=path) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise DataError("is not UTF-8 text; save it as UTF-8", path=path, row=f"line {line}") from error
    text = text.replace("\r\n", "\n").strip()  # not splitlines: U+2028 or a form feed ends no line of a file
    parts = _BLANK_LINES.split(text) if _BLANK_LINES.search(text) else text.split("\n")
    yield from (part.strip() for part in parts if part.strip())


def contexts_of(recipe: Recipe, registry: Registry, splits: Sequence[SplitName]) -> Iterator[str]:
    """The contexts of a recipe's files, read by its reader.

    Raises:
        DataError: a file cannot be read.
        UsageError: the recipe names no file for a split.
    """
    for name in splits:
        files = split_files(recipe, name)
        if not files:
            raise UsageError(f"the recipe names no {name} file: set data.{name}, or choose another --split")
        for example in read_files(recipe, registry, files, name=name, predicted_only=name == "test").examples:
            yield from example.contexts


def distinct(texts: Iterable[str]) -> list[str]:
    """Each text once, in the order of first occurrence; blank ones are left out.

    Raises:
        DataError: there is none.
    """
    found = list(dict.fromkeys(text for text in texts if text.strip()))
    if not found:
        raise DataError("there is no text to train on")
    return found
