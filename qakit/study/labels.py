"""Names of values, rows and trials: short, readable, safe as folder names, and distinct."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import Any

from qakit.recipe.dump import yaml_flow

LONGEST = 60
"""Characters of a label."""
_UNSAFE = re.compile(r"[^A-Za-z0-9._+-]+")


def value_label(key: str, value: Any) -> str:
    """A recipe value in a word: ``lora-rank8`` for a block, ``rank8`` for a number, ``bitfit`` for a text.

    ``key`` is the dotted key; its last part stands for what a bare number means.
    """
    last = key.rpartition(".")[2]
    if isinstance(value, dict):
        settings = [value_label(str(name), item) for name, item in value.items() if name != "name"]
        return slug("-".join([str(value["name"]), *settings] if "name" in value else [last, *settings]))
    if isinstance(value, str):
        return slug(value.rstrip("/").rpartition("/")[2] or last)
    if isinstance(value, bool) or value is None:
        return slug(f"{last}-{yaml_flow(value)}")
    if isinstance(value, int | float):
        return slug(last + (f"{value:.4g}" if isinstance(value, float) else str(value)))
    return slug(f"{last}-{yaml_flow(value)}")


def join(parts: Iterable[str]) -> str:
    """Parts of a label, the empty ones left out; a long label is cut, and a digest keeps it apart from others."""
    label = "-".join(part for part in parts if part)
    if len(label) <= LONGEST:
        return label
    return f"{label[: LONGEST - 7]}-{hashlib.sha256(label.encode()).hexdigest()[:6]}"


def slug(text: str) -> str:
    """The text with everything that a folder's name should not have replaced by ``-``."""
    return join([_UNSAFE.sub("-", text).strip("-.") or "value"])


def distinct(labels: Sequence[str]) -> list[str]:
    """The labels, those that came before marked ``-2``, ``-3`` ...; no two are the same whatever the letters' case."""
    seen: set[str] = set()
    found: list[str] = []
    for label in labels:
        candidate, number = label, 2
        while candidate.lower() in seen:
            candidate, number = f"{label}-{number}", number + 1
        seen.add(candidate.lower())
        found.append(candidate)
    return found
