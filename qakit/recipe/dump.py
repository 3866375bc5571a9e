"""A recipe -> YAML text that loads back to an equal recipe, and its hash."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator
from typing import Any

from qakit.recipe.model import Recipe
from qakit.recipe.nodes import At
from qakit.recipe.syntax import resolve

_PLAIN = re.compile(r"[A-Za-z0-9_./~][A-Za-z0-9_./+=@~-]*")
"""Texts that need no quotes, if they are not numbers or words of YAML."""
_OTHER_YAML = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null", "~"})
"""Quoted for the sake of readers that take them for something else."""
_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")


def dump_recipe(recipe: Recipe) -> str:
    """The whole recipe as YAML, every value written out."""
    return "".join(line + "\n" for _, line in yaml_lines(recipe_data(recipe)))


def recipe_hash(recipe: Recipe) -> str:
    """SHA-256 of the recipe as canonical JSON, in hexadecimal.

    Values that are the default do not count: a key that a later version adds changes no hash, so runs can be
    resumed, while a default that changes does.
    """
    data = recipe.model_dump(mode="json", exclude_defaults=True)
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def recipe_data(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain dicts, lists and scalars."""
    data: dict[str, Any] = recipe.model_dump(mode="json")
    return data


def yaml_lines(data: Any, at: At = (), indent: int = 0) -> Iterator[tuple[At, str]]:
    """Lines of block YAML, each with the place of the value that it shows."""
    margin = "  " * indent
    if isinstance(data, dict):
        for key, value in data.items():
            here = (*at, str(key))
            if isinstance(value, str) and "\n" in value and (chomping := _chomping(value)) is not None:
                yield here, f"{margin}{_text(str(key))}: |{chomping}"
                for line in value.removesuffix("\n").split("\n"):
                    yield here, f"{margin}  {line}" if line else ""
            elif _fits_a_line(value):
                yield here, f"{margin}{_text(str(key))}: {yaml_flow(value)}"
            else:
                yield here, f"{margin}{_text(str(key))}:"
                yield from yaml_lines(value, here, indent + 1)
    else:
        for index, item in enumerate(data):
            here = (*at, str(index))
            if _fits_a_line(item) or not isinstance(item, dict):
                yield here, f"{margin}- {yaml_flow(item)}"
                continue
            for number, (place, line) in enumerate(yaml_lines(item, here, indent + 1)):
                yield place, line if number else f"{margin}- {line.removeprefix(margin + '  ')}"


def _chomping(text: str) -> str | None:
    """What stands behind ``|`` where a block holds exactly this text; None where it must be quoted."""
    odd = _UNPRINTABLE.search(text) or re.search("[\x00-\x08\x0b-\x1f]", text)
    if odd or text[0] in " \n\t" or text.endswith("\n\n") or re.search("^[ \t]+$", text, re.MULTILINE):
        return None
    return "" if text.endswith("\n") else "-"


def _fits_a_line(value: Any) -> bool:
    if isinstance(value, dict):
        return not value
    return not isinstance(value, list) or not any(isinstance(item, dict) and item for item in value)


def yaml_flow(value: Any) -> str:
    """A value as YAML on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_text(str(key))}: {yaml_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(yaml_flow(item) for item in value) + "]"
    if isinstance(value, float):
        return _number(value)
    return _text(value) if isinstance(value, str) else json.dumps(value)


def _number(value: float) -> str:
    if math.isfinite(value):
        return re.sub(r"e([-+])0*", lambda match: "e" + match[1].strip("+"), repr(value))
    return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"


def _text(text: str) -> str:
    if _PLAIN.fullmatch(text) and isinstance(resolve(text), str) and text.lower() not in _OTHER_YAML:
        return text
    quoted = json.dumps(text, ensure_ascii=False)
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", quoted)
