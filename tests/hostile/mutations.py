"""Valid documents with one value after the other taken out, or swapped for one of a wrong type."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

WRONG: tuple[Any, ...] = (
    None, True, 0, -1, 10**400, 1.5, float("nan"), float("inf"), "", " ", "x", "19", "\ud800", "a\nb\x1b[31m",
    [], [None], ["x"], [[]], {}, {"a": 1}, {"text": "x"},
)  # fmt: skip
"""Values of every JSON type, among them those that break programs."""

Place = tuple[str | int, ...]


def places(document: Any, at: Place = ()) -> Iterator[Place]:
    """Every value of a document, the document itself included."""
    yield at
    keys: Any = ()
    if isinstance(document, dict):
        keys = list(document)
    elif isinstance(document, list):
        keys = range(len(document))
    for key in keys:
        yield from places(document[key], (*at, key))


def mutants(document: Any) -> Iterator[tuple[Place, str, Any]]:
    """Place, what was done there, and the document with it."""
    for at in places(document):
        for value in WRONG:
            yield at, f"is {str(value)[:20]!r}", _with(document, at, value)
        if at:
            yield at, "is missing", _without(document, at)
            yield at, "is there twice", _doubled(document, at)


def _with(document: Any, at: Place, value: Any) -> Any:
    if not at:
        return value
    changed = copy.deepcopy(document)
    _parent(changed, at)[at[-1]] = value
    return changed


def _without(document: Any, at: Place) -> Any:
    changed = copy.deepcopy(document)
    del _parent(changed, at)[at[-1]]
    return changed


def _doubled(document: Any, at: Place) -> Any:
    """A list's item twice; a key's value as a list of it twice."""
    changed = copy.deepcopy(document)
    parent = _parent(changed, at)
    if isinstance(parent, list):
        parent.append(copy.deepcopy(parent[int(at[-1])]))
    else:
        parent[at[-1]] = [parent[at[-1]]] * 2
    return changed


def _parent(document: Any, at: Place) -> Any:
    for key in at[:-1]:
        document = document[key]
    return document
