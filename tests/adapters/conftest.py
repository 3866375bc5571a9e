"""Fresh small models, and the helper modules of these tests."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from adapted_models import CLASSES, CPU, Make

from qakit.modeling.assemble import Assembled, assemble
from qakit.recipe.model import Recipe
from qakit.registry import load_registry


@pytest.fixture
def make(tiny_backbone: Path) -> Make:
    """A recipe and its fresh model: ``make(adapter, head, train=..., backbone=...)``."""

    def made(adapter: Any, head: Any = "linear_span", **sections: Any) -> tuple[Recipe, Assembled]:
        recipe = Recipe.model_validate(
            {
                "data": {"reader": "squad"},
                "backbone": {"source": str(tiny_backbone)} | sections.pop("backbone", {}),
                "windows": {"max_length": 64},
                "adapter": adapter,
                "head": head,
                "train": {"learning_rate": 0.01, "attention": "eager"} | sections.pop("train", {}),
                **sections,
            }
        )
        return recipe, assemble(recipe, load_registry(), device=CPU, classes=CLASSES)

    return made
