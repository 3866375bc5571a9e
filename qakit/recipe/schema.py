"""JSON Schema (draft 2020-12) of recipes, for editors: completion, documentation, errors while typing.

An editor sees one file without its parents, so keys that may be inherited are required only where there is no
``extends``; everything else is as strict as the check itself.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from qakit.components import Kind, singular
from qakit.recipe.annotations import at_path, field_doc, sections
from qakit.recipe.model import PLUGIN_FIELDS, PluginRef, Recipe
from qakit.recipe.section import is_path_field
from qakit.registry import Entry, Registry

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_PATH_NOTE = "`${NAME}` and `${NAME:-default}` are expanded; a relative path starts at the recipe's folder."


def recipe_schema(registry: Registry) -> dict[str, Any]:
    """The schema of a recipe file, with the settings of every installed plugin."""
    entries = registry.entries()
    models: list[type[BaseModel]] = list(dict.fromkeys([Recipe, *(entry.component.settings for entry in entries)]))
    names, shared = models_json_schema([(model, "validation") for model in models], ref_template="#/$defs/{model}")
    definitions: dict[str, Any] = shared.get("$defs", {})
    name_of = {model: names[model, "validation"]["$ref"].removeprefix("#/$defs/") for model in models}
    root = definitions.pop(name_of[Recipe])
    required = _take_required(root, definitions)
    for entry in entries:
        definitions[_definition(entry)] = _plugin_object(entry, definitions[name_of[entry.component.settings]])
    for field, kind in PLUGIN_FIELDS.items():
        definitions[kind] = _plugin_choice(kind, registry)
        _set_plugin(root, definitions, field, kind)
    _document(Recipe, root, definitions)
    for schema in root["properties"].values():
        if "$ref" in schema and isinstance(schema.get("default"), dict):
            del schema["default"]  # a section's: each key has its own
    _drop_unused(root, definitions)
    text = {"type": "string", "minLength": 1}
    properties = {
        "extends": {
            "description": "The recipe that this one builds on: a path relative to this file, or a list of them.",
            "anyOf": [text, {"type": "array", "items": text}],
        },
        **root["properties"],
    }
    return {
        "$schema": DIALECT,
        "title": "qakit recipe",
        **{key: value for key, value in root.items() if key not in ("properties", "title", "required")},
        "properties": properties,
        "if": {"not": {"required": ["extends"]}},
        "then": required,
        "$defs": dict(sorted(definitions.items())),
    }


def _drop_unused(root: dict[str, Any], definitions: dict[str, Any]) -> None:
    """Remove definitions that nothing refers to (any more)."""
    while text := json.dumps([root, definitions]):
        unused = [name for name in definitions if json.dumps(f"#/$defs/{name}") not in text]
        if not unused:
            return
        for name in unused:
            del definitions[name]


def _definition(entry: Entry) -> str:
    return f"{singular(entry.kind)}.{entry.name}"


def _plugin_object(entry: Entry, settings: dict[str, Any]) -> dict[str, Any]:
    name = {"const": entry.name, "description": entry.component.summary}
    return {
        "type": "object",
        "title": entry.name,
        "description": entry.component.summary,
        "properties": {"name": name, **settings.get("properties", {})},
        "required": ["name"],  # required settings may be inherited
        "additionalProperties": settings.get("additionalProperties", True),
    }


def _plugin_choice(kind: Kind, registry: Registry) -> dict[str, Any]:
    choices: list[dict[str, Any]] = [{"$ref": f"#/$defs/{_definition(entry)}"} for entry in registry.entries(kind)]
    names = list(registry.names(kind))
    return {
        "description": f"A {singular(kind)}: its name, or a mapping with `name` and settings.",
        "anyOf": [
            {"type": "string", "enum": names} if names else {"type": "string"},
            *choices,
            {"type": "object", "not": {"required": ["name"]}, "description": "Settings of the inherited plugin."},
        ],
    }


def _section(root: dict[str, Any], definitions: dict[str, Any], path: list[str]) -> dict[str, Any]:
    """The schema of a section; ``[]`` is the recipe."""
    schema = root
    for part in path:
        value = schema["properties"][part]
        reference = value.get("$ref") or (value.get("allOf") or value["anyOf"])[0]["$ref"]
        schema = definitions[reference.removeprefix("#/$defs/")]
    return schema


def _set_plugin(root: dict[str, Any], definitions: dict[str, Any], field: str, kind: Kind) -> None:
    *path, key = field.split(".")
    properties = _section(root, definitions, path)["properties"]
    old = properties[key]
    choice: dict[str, Any] = {"$ref": f"#/$defs/{kind}"}
    new: dict[str, Any] = {"type": "array", "items": choice} if old.get("type") == "array" else choice
    default = old.get("default")
    if {"type": "null"} in old.get("anyOf", ()):
        new = {"anyOf": [new, {"type": "null"}]}
    if default is not None:
        new = {**new, "default": default["name"] if isinstance(default, dict) else default}
    properties[key] = new


_INSTEAD = {"backbone": ("source", "from_run", "architecture")}
"""Sections of which one of these keys is required: the others fill in the first."""


def _take_required(root: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Remove the required keys of the recipe and its sections; return them as one schema for a recipe by itself."""
    required: dict[str, Any] = {"required": root.pop("required", []), "properties": {}}
    for name in root["properties"]:
        annotation = at_path(Recipe, [name])
        if isinstance(annotation, type) and issubclass(annotation, BaseModel) and annotation.__name__ in definitions:
            keys = definitions[annotation.__name__].get("required")
            if keys and annotation.__name__ != "PluginRef":
                choices = [{"required": [key]} for key in _INSTEAD.get(name, ())]
                required["properties"][name] = {"anyOf": choices} if choices else {"required": keys}
                del definitions[annotation.__name__]["required"]
    return required


def _document(model: type[BaseModel], schema: dict[str, Any], definitions: dict[str, Any]) -> None:
    """Give every field of the recipe's sections its description, and say in which ones variables are expanded."""
    for name, field in model.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel) and section is not PluginRef:
            _document(section, definitions[section.__name__], definitions)
            continue
        for inner in sections(section):
            _document(inner, definitions[inner.__name__], definitions)
        words = [field_doc(model, name), _PATH_NOTE if is_path_field(field) else ""]
        if description := " ".join(part for part in words if part):
            schema["properties"][name]["description"] = description
