"""Fixtures of the readers' tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qakit.api import Example, NoRuntime, Problems, Reader
from qakit.data.read import read_examples
from qakit.registry import load_registry

Write = Callable[[Any], Path]


@pytest.fixture(scope="session")
def build_reader() -> Callable[..., Reader]:
    """``build_reader(name, **settings)``: a reader by the road that recipes take."""
    registry = load_registry()

    def build(name: str, **settings: Any) -> Reader:
        reader: Reader = registry.build("readers", name, settings, NoRuntime())
        return reader

    return build


@pytest.fixture
def read(build_reader: Callable[..., Reader]) -> Callable[..., tuple[tuple[Example, ...], Problems]]:
    """``read(reader_name, path, policies, **settings)`` -> examples and the file's problems."""

    def read_one(
        name: str, path: Path, policies: dict[str, Any] | None = None, **settings: Any
    ) -> tuple[tuple[Example, ...], Problems]:
        result = read_examples(build_reader(name, **settings), path, policies=policies)
        return result.examples, result.problems[0]

    return read_one


@pytest.fixture
def write_json(tmp_path: Path) -> Write:
    """Write a value as ``data.json`` and return its path."""

    def write(value: Any) -> Path:
        path = tmp_path / "data.json"
        path.write_text(json.dumps(value), encoding="utf-8")
        return path

    return write
