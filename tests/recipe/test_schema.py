"""The JSON Schema for editors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from qakit.recipe.annotations import field_doc, sections
from qakit.recipe.model import Recipe, Section
from qakit.recipe.schema import recipe_schema
from qakit.registry import Registry, load_registry

RECIPES = Path(__file__).resolve().parents[2] / "recipes"


@pytest.fixture(scope="module")
def schema(registry: Registry) -> dict[str, Any]:
    return recipe_schema(registry)


def test_every_reference_has_its_definition(schema: dict[str, Any]) -> None:
    text = json.dumps(schema)
    names = {part.split('"')[0] for part in text.split('"#/$defs/')[1:]}
    assert names == set(schema["$defs"])
    assert len(names) > 15


def test_plugins_are_a_name_or_a_block(schema: dict[str, Any]) -> None:
    names, *blocks = schema["$defs"]["heads"]["anyOf"]
    assert names == {"type": "string", "enum": ["crf", "linear_span"]}
    assert blocks[0] == {"$ref": "#/$defs/head.crf"}
    crf = schema["$defs"]["head.crf"]
    assert crf["properties"]["name"]["const"] == "crf"
    assert crf["properties"]["smoothing"]["maximum"] == 1
    assert crf["additionalProperties"] is False


def test_fields_carry_their_documentation(schema: dict[str, Any]) -> None:
    train = schema["$defs"]["TrainSection"]["properties"]
    assert train["epochs"]["description"] == "Passes over the training examples; fractions are allowed."
    data = schema["$defs"]["DataSection"]["properties"]
    assert "${NAME:-default}" in data["train"]["description"]
    assert "${NAME" not in data["train_limit"]["description"]
    assert schema["properties"]["head"]["description"] == "Loss, scores and their decoding."


def test_every_field_of_the_recipe_is_documented() -> None:
    held: list[type[Section]] = [Recipe]
    for section in held:  # grows
        held += [inner for field in section.model_fields.values() for inner in sections(field.annotation)]
    assert len(held) > 10
    undocumented = [
        f"{section.__name__}.{name}"
        for section in held
        for name, field in section.model_fields.items()
        if not (isinstance(field.annotation, type) and issubclass(field.annotation, Section))
        if not field_doc(section, name)
    ]
    assert undocumented == []


GOOD = [
    "data: {reader: squad}\nbackbone: {source: m}\n",
    "data: {reader: squad}\nbackbone: {from_run: runs/a}\n",
    "extends: a.yaml\n",
    "extends: [a.yaml, b.yaml]\ntrain: {epochs: 3, betas: [0.9, 0.99]}\ndata: {train: x}\n",
    "extends: a.yaml\nhead: {smoothing: 0.5}\npostprocess: [strip, {name: strip, step: 3}]\n",
    "extends: a.yaml\ndata: {reader: {name: glue}}\n",
]
BAD = [
    "backbone: {source: m}\n",
    "data: {}\nbackbone: {source: m}\n",
    "data: {reader: squad}\nbackbone: {init: scratch}\n",
    "extends: a.yaml\ntrain: {epoch: 3}\n",
    "extends: a.yaml\ntrain: {epochs: x}\n",
    "extends: a.yaml\nhead: crff\n",
    "extends: a.yaml\nhead: {name: crf, smoothing: 2}\n",
    "extends: a.yaml\nhead: {name: crf, smothing: 1}\n",
    "extends: a.yaml\npostprocess: strip\n",
]


@pytest.mark.parametrize(("text", "valid"), [(text, True) for text in GOOD] + [(text, False) for text in BAD])
def test_good_recipes_pass_and_bad_ones_do_not(schema: dict[str, Any], text: str, valid: bool) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(schema)
    assert jsonschema.Draft202012Validator(schema).is_valid(YAML(typ="safe", pure=True).load(text)) is valid


def test_the_projects_own_recipes_pass() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(recipe_schema(load_registry()))
    files = sorted(file for file in RECIPES.rglob("*.yaml") if file.parent.name != "studies")
    assert files
    for file in files:
        document = YAML(typ="safe", pure=True).load(file)
        if not {"stages", "ensemble"} & document.keys():  # recipes of another kind
            assert not [error.message for error in validator.iter_errors(document)], file
