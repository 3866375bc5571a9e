"""The generated reference: complete, and as committed."""

from __future__ import annotations

from pathlib import Path

from qakit.recipe.model import Recipe
from qakit.recipe.reference import recipe_reference
from qakit.registry import Registry, load_registry

COMMITTED = Path(__file__).resolve().parents[2] / "docs" / "recipe-reference.md"


def test_the_committed_page_is_up_to_date() -> None:
    now = recipe_reference(load_registry(), package="qakit")
    assert COMMITTED.read_text(encoding="utf-8") == now, (
        "run: qakit recipes reference --output docs/recipe-reference.md"
    )


def test_every_field_and_plugin_is_there(registry: Registry) -> None:
    page = recipe_reference(registry)
    for name in Recipe.model_fields:
        assert f"| `{name}` |" in page
    for line in (
        "| `learning_rate` | a number greater than 0 | `3e-5` | Peak rate of the backbone (AdamW). |",
        (
            "| `evaluate_every` | 'epoch' or an integer greater than 0 | `epoch` | "
            "Evaluate on the validation file every `epoch` or every N steps. |"
        ),
        (
            "| `source` | a path or a name | **required** | "
            "Looked up as a local folder, then as an installed package that carries weights, then on the hub. |"
        ),
        "#### `crf`",
        "| `smoothing` | a number of at least 0 and of at most 1 | `0.0` | How much. |",
        "| `layers` | a list of integers | `[1, 2]` | Which layers. |",
        "| `task` | text | **required** |  |",
    ):
        assert line in page


def test_other_packages_can_be_left_out(registry: Registry) -> None:
    assert "#### `crf`" not in recipe_reference(registry, package="other")
