"""Which files the predictions in a folder are of, and whether these files are still the same."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from qakit.errors import RunError
from qakit.files import file_sha256
from qakit.runs import Run


def answered_files(folder: Path) -> Mapping[str, str]:
    """The files that were answered, with their SHA-256 then; empty where nobody noted them.

    Raises:
        RunError: what the folder says of its predictions is damaged.
    """
    inputs = Run(folder).read_json(folder / "meta.json").get("inputs", {})
    if not isinstance(inputs, dict) or not all(isinstance(value, str) for value in inputs.values()):
        raise RunError(f"{folder / 'meta.json'} is damaged: it does not say which files were answered")
    return inputs


def changed_file(inputs: Mapping[str, str]) -> Path | None:
    """The first of the answered files that has other content now; None where there is none, or the files are gone."""
    there = ((Path(name), digest) for name, digest in inputs.items() if Path(name).is_file())
    return next((file for file, digest in there if file_sha256(file) != digest), None)


def all_there(inputs: Mapping[str, str]) -> bool:
    """Whether it is known which files were answered, and none of them is gone."""
    return bool(inputs) and all(Path(name).is_file() for name in inputs)
