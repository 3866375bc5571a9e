"""Code that comes with a model: said aloud before it runs."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from qakit.names import one_line

logger = logging.getLogger(__name__)

CONFIGURATIONS = ("config.json", "tokenizer_config.json")
"""Files whose ``auto_map`` names classes that transformers would import."""


def announce_remote_code(name: str, folder: Path) -> None:
    """Warn, once per process and folder, that code of a model is about to run on this machine.

    Args:
        name: the model as the recipe or the command names it.
        folder: where its files are; their ``auto_map`` may name further repositories.
    """
    _announce(name, str(folder.resolve()), tuple(code_repositories(folder)))


def code_repositories(folder: Path) -> list[str]:
    """Repositories on the hub that the folder's configurations take classes from, sorted."""
    found = {reference.partition("--")[0] for reference in _references(folder) if "--" in reference}
    return sorted(found)


def wants_remote_code(folder: Path) -> bool:
    """Whether the folder's configurations name classes of their own."""
    return any(True for _ in _references(folder))


def reason(error: BaseException, folder: Path) -> str:
    """Why transformers refused a folder, in our words where it wants to run code."""
    if "trust_remote_code" in str(error) and wants_remote_code(folder):
        return (
            "it needs Python code that comes with the model; if you trust its authors, "
            "set backbone.trust_remote_code: true, which runs that code on this machine"
        )
    return one_line(error)


def is_remote(thing: object) -> bool:
    """Whether its class came with a model, rather than with transformers."""
    return type(thing).__module__.startswith("transformers_modules.")


def code_files(folder: Path) -> list[Path]:
    """Python files that come with a model, where its configurations name classes of their own."""
    if not wants_remote_code(folder):
        return []
    return sorted(file for file in folder.glob("*.py") if file.is_file())  # transformers takes none from deeper down


@lru_cache(maxsize=256)
def _announce(name: str, folder: str, others: tuple[str, ...]) -> None:
    whose = " and ".join([repr(name), *map(repr, others)])
    logger.warning(
        "trust_remote_code is on: Python code of %s runs on this machine with your rights, files in %s; "
        "continue only if you trust its authors (backbone.trust_remote_code: false forbids it)",
        whose,
        folder,
    )


def _references(folder: Path) -> Iterator[str]:
    for name in CONFIGURATIONS:
        try:
            document: Any = json.loads((folder / name).read_text("utf-8"))
        except (OSError, ValueError, RecursionError):  # whoever loads the file says what is wrong with it
            continue
        classes = document.get("auto_map") if isinstance(document, dict) else None
        values = classes.values() if isinstance(classes, dict) else ()
        for value in values:
            yield from (part for part in (value if isinstance(value, list) else [value]) if isinstance(part, str))
