"""``folds.combine`` names a plugin like other places of a recipe."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from qakit.errors import RecipeError
from qakit.recipe.load import dump_recipe, load_recipe, load_resolved
from qakit.recipe.schema import recipe_schema
from qakit.registry import load_registry

Write = Callable[..., Path]
TEXT = "data: {reader: squad, train: a.json}\nbackbone: {source: some-model}\n"


def test_a_name_or_a_name_with_settings(write: Write, tmp_path: Path) -> None:
    path = write(TEXT + "folds: {k: 2, combine: {name: voting, ties: score}}\n")
    recipe = load_recipe(path).recipe
    assert recipe.folds is not None
    assert recipe.folds.combine.name == "voting"
    assert recipe.folds.combine.settings["ties"] == "score"
    resolved = tmp_path / "resolved.yaml"
    resolved.write_text(dump_recipe(recipe), "utf-8")
    assert load_resolved(resolved) == recipe
    named = load_recipe(path, ["folds.combine=nbest"]).recipe
    assert named.folds is not None
    assert named.folds.combine.model_dump() == {"name": "nbest"}


def test_the_default_is_there_with_folds_alone(write: Write) -> None:
    assert load_recipe(write(TEXT)).recipe.folds is None
    recipe = load_recipe(write(TEXT + "folds: {}\n")).recipe
    assert recipe.folds is not None
    assert recipe.folds.combine.name == "voting"


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("{k: 2, combine: votng}", "folds.combine: no ensembler is called 'votng'\n  hint: did you mean 'voting'?"),
        ("{combine: {name: votng}}", "folds.combine: no ensembler is called 'votng'\n  hint: did you mean 'voting'?"),
        ("{combine: {name: voting, tie: score}}", "unknown key 'tie' for the ensembler 'voting'"),
        ("{combine: [voting]}", "folds.combine should be a plugin (its name, or a mapping with `name`)"),
    ],
)
@pytest.mark.parametrize("by_override", [False, True])
def test_mistakes_are_found_before_anything_is_trained(
    write: Write, block: str, message: str, by_override: bool
) -> None:
    with pytest.raises(RecipeError) as caught:
        if by_override:
            load_recipe(write(TEXT), [f"folds={block}"])
        else:
            load_recipe(write(TEXT + f"folds: {block}\n"))
    found = "\n".join(line for line in str(caught.value).split("\n") if "|" not in line)
    assert message in found


def test_editors_know_the_ensemblers() -> None:
    schema = recipe_schema(load_registry())
    place = schema["$defs"]["FoldsSection"]["properties"]["combine"]
    assert place["$ref"] == "#/$defs/ensemblers"
    assert place["default"] == "voting"
    assert "nbest" in schema["$defs"]["ensemblers"]["anyOf"][0]["enum"]
