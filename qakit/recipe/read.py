"""A recipe file -> its tree."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from qakit.errors import RecipeError
from qakit.recipe.issues import Issue, did_you_mean
from qakit.recipe.nodes import Findings, MapNode, ScalarNode, Source
from qakit.recipe.syntax import LINE_BREAK, parse

MAX_BYTES = 1 << 20
"""A larger file is no recipe."""
SUFFIXES = (".yaml", ".yml")
_ENCODINGS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}


NEEDS = {"recipe": "`data` and `backbone`, or `extends`", "study": "`recipe`, or `recipes` by name"}
"""The keys without which there is nothing to train."""


def read_recipe_file(path: Path, findings: Findings, *, kind: str = "recipe") -> MapNode:
    """The file's mapping. A UTF-8 byte order mark is skipped; duplicate keys are added to ``findings``.

    Raises:
        RecipeError: the file cannot be read, is not YAML, or holds no mapping.
    """
    root, issues = _parsed(path, recipe_text(path), kind)
    for issue in issues:
        findings.add(issue)
    return root


@lru_cache(maxsize=64)  # a parent of several recipes is parsed once
def _parsed(path: Path, text: str, kind: str) -> tuple[MapNode, tuple[Issue, ...]]:
    source, findings = Source(str(path), path.parent, tuple(LINE_BREAK.split(text))), Findings()
    root = parse(text, source, findings)
    if root is None or (isinstance(root, ScalarNode) and root.value is None):
        raise _unusable(path, f"the file is empty: a {kind} needs at least {NEEDS[kind]}")
    if not isinstance(root, MapNode):
        found = "text" if isinstance(root, ScalarNode) else "a list"
        issue = root.place.issue((), f"a {kind} is a mapping (key: value), but this file holds {found}")
        raise RecipeError([*findings.issues, issue])
    return root, tuple(findings.issues)


def missing_file_hint(path: Path) -> str:
    """The recipe beside a missing one that was probably meant."""
    try:
        names = [file.name for file in path.parent.iterdir() if file.suffix in SUFFIXES]
    except OSError:
        return ""
    return did_you_mean(path.name, sorted(names))


def recipe_text(path: Path) -> str:
    """What the file holds, without a byte order mark.

    Raises:
        RecipeError: it cannot be read, or is no text of a recipe's size.
    """
    try:
        if path.is_dir():
            raise _unusable(path, "this is a folder: name a recipe file in it")
        if not path.exists():
            raise _unusable(path, "file not found", missing_file_hint(path))
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise _unusable(path, f"the file cannot be read: {reason}") from None
    if len(data) > MAX_BYTES:
        raise _unusable(path, "the file is larger than 1 MiB: this is no recipe")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        encoding = _ENCODINGS.get(data[:2])
        found = f"it looks like {encoding}" if encoding else f"byte {error.start + 1} is 0x{data[error.start]:02x}"
        raise _unusable(path, f"the file is not UTF-8 text: {found}", "save it as UTF-8") from None


def _unusable(path: Path, message: str, hint: str = "") -> RecipeError:
    return RecipeError([Issue(str(path), None, None, "", message, hint)])
