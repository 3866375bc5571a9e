"""The resolved recipe: text and back, hash, name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qakit.errors import RecipeError
from qakit.recipe.dump import recipe_data
from qakit.recipe.load import dump_recipe, load_recipe, load_resolved, name_from, recipe_hash
from qakit.recipe.model import Recipe
from qakit.registry import Registry

Write = Callable[..., Path]
TEXT = """\
description: "no: #1"
data: {reader: {name: table, question: q}, train: [a.json, "${NOPE:-x}"], problems: {answer_offset: skip}}
backbone: {source: some-model, overrides: {hidden_size: 8, rate: 0.1, flag: true, kind: "1"}}
train: {learning_rate: 1e-5, evaluate_every: 10, betas: [0.9, 0.99]}
predict: {null_threshold: -1}
head: {name: crf, layers: [3]}
postprocess: [strip, {name: strip, step: 3}]
baselines: {boss: 0.8}
"""


def test_the_text_loads_back_to_an_equal_recipe(write: Write, registry: Registry, tmp_path: Path) -> None:
    recipe = load_recipe(write(TEXT), registry=registry).recipe
    (tmp_path / "run").mkdir()
    resolved = tmp_path / "run" / "recipe.yaml"
    resolved.write_text(dump_recipe(recipe), encoding="utf-8")
    again = load_resolved(resolved, registry=registry)
    assert again == recipe
    assert dump_recipe(again) == dump_recipe(recipe)
    assert recipe_hash(again) == recipe_hash(recipe)
    assert load_recipe(resolved, registry=registry).recipe == recipe
    assert Recipe.model_validate(json.loads(json.dumps(recipe_data(recipe)))) == recipe  # on its way to other processes


def test_the_text_is_complete_and_readable(write: Write, registry: Registry, tmp_path: Path) -> None:
    text = dump_recipe(load_recipe(write(TEXT), registry=registry).recipe)
    assert text.startswith('name: r\ndescription: "no: #1"\nabout: null\nseed: 0\ndata:\n  reader:\n    name: table\n')
    assert f"  train: [{tmp_path}/a.json, {tmp_path}/x]\n" in text
    assert "  learning_rate: 1e-5\n" in text
    assert "postprocess:\n  - name: strip\n    step: null\n    mode: all\n  - name: strip\n    step: 3\n" in text


def test_a_resolved_recipe_is_taken_as_it_is(write: Write, registry: Registry) -> None:
    path = write("name: x\ndata: {reader: squad, train: '/a/${HOME}/b'}\nbackbone: {source: m}\n")
    assert load_resolved(path, registry=registry).data.train == "/a/${HOME}/b"


def test_a_resolved_recipe_that_was_broken_by_hand(write: Write, registry: Registry) -> None:
    with pytest.raises(RecipeError, match=r"^r\.yaml:1:1: unknown key 'zzz'"):
        load_resolved(write("zzz: 1\ndata: {reader: squad}\nbackbone: {source: m}\n"), registry=registry)


def test_the_hash_tells_recipes_apart(write: Write, registry: Registry) -> None:
    path = write(TEXT)
    hashes = {
        recipe_hash(load_recipe(path, overrides, registry=registry).recipe)
        for overrides in ([], ["seed=1"], ["head.smoothing=0.1"], ["postprocess.1.step=4"])
    }
    assert len(hashes) == 4
    assert all(len(digest) == 64 for digest in hashes)


def test_the_hash_does_not_depend_on_how_it_was_written(write: Write, registry: Registry) -> None:
    short = load_recipe(write("data: {reader: squad}\nbackbone: {source: m}\n"), registry=registry).recipe
    long = load_recipe(
        write("backbone:\n  source: 'm'\nhead: {name: linear_span}\ntrain: {}\ndata: {reader: {name: squad}}\n"),
        registry=registry,
    ).recipe
    assert recipe_hash(short) == recipe_hash(long)


@pytest.mark.parametrize(
    ("file", "name"),
    [("boss.yaml", "boss"), ("a b.yaml", "a-b"), ("中文.yaml", "recipe"), ("_base.v2.yaml", "base.v2"), (".x", "x")],
)
def test_the_name_comes_from_the_file(file: str, name: str) -> None:
    assert name_from(Path(file)) == name


@given(stem=st.text(min_size=1))
def test_every_file_name_makes_a_valid_name(stem: str) -> None:
    assert Recipe.model_validate(
        {"name": name_from(Path(stem)), "data": {"reader": "squad"}, "backbone": {"source": "m"}}
    )


@given(
    description=st.text(st.characters(exclude_categories=["Cs"])),
    rate=st.floats(min_value=0, exclude_min=True, allow_infinity=False),
    overrides=st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
        st.integers() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        max_size=3,
    ),
)
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_recipe_survives_the_round_trip(
    tmp_path: Path, registry: Registry, description: str, rate: float, overrides: dict[str, int | float | str | bool]
) -> None:
    recipe = Recipe.model_validate(
        {
            "name": "x",
            "description": description,
            "data": {"reader": "squad"},
            "backbone": {"source": "m", "overrides": overrides},
            "train": {"learning_rate": rate},
        }
    )
    path = tmp_path / "recipe.yaml"
    path.write_text(dump_recipe(recipe), encoding="utf-8")
    first = load_resolved(path, registry=registry)
    assert (first.description, first.train, first.backbone) == (recipe.description, recipe.train, recipe.backbone)
    path.write_text(dump_recipe(first), encoding="utf-8")
    assert load_resolved(path, registry=registry) == first
