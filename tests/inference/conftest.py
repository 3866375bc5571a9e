"""What several of these tests have: helper modules that can be imported, and what is loaded once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from answered_shards import RECIPE

from qakit.recipe.load import load_recipe
from qakit.recipe.model import Recipe
from qakit.registry import Registry, load_registry


@pytest.fixture(scope="session")
def registry() -> Registry:
    """What is installed."""
    return load_registry()


@pytest.fixture(scope="session")
def tokenizer(tiny_backbone: Path) -> Any:
    """The tiny backbone's."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_backbone)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe that names no backbone, and a folder that looks like a run."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "recipe.yaml").write_text(RECIPE)
    (folder / "run" / "model").mkdir(parents=True)
    (folder / "run" / "model" / "model.safetensors").write_bytes(b"weights")
    return folder


@pytest.fixture(scope="session")
def nameless(home: Path, registry: Registry) -> Recipe:
    """The recipe there."""
    return load_recipe(home / "recipe.yaml", registry=registry).recipe
