"""YAML 1.2's core schema, limits, and arbitrary input."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from qakit.errors import RecipeError
from qakit.recipe.dump import yaml_lines
from qakit.recipe.load import load_recipe
from qakit.recipe.nodes import Findings, Node, Source, plain
from qakit.recipe.syntax import MAX_NODES, parse, resolve
from qakit.registry import Registry


def tree(text: str) -> Node | None:
    return parse(text, Source("t", Path()), Findings())


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-5", 1e-5),
        ("1E5", 1e5),
        (".5", 0.5),
        ("5.", 5.0),
        ("-0", 0),
        ("012", 12),
        ("0o17", 15),
        ("0x1F", 31),
        ("+3", 3),
        ("no", "no"),
        ("Yes", "Yes"),
        ("on", "on"),
        ("true", True),
        ("FALSE", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("1_000", "1_000"),
        ("12:30:45", "12:30:45"),
        ("2024-01-01", "2024-01-01"),
        ("0b1", "0b1"),
        ("=", "="),
        ("<<", "<<"),
        ("-.inf", -math.inf),
        ("9" * 101, "9" * 101),
    ],
)
def test_the_core_schema(text: str, value: Any) -> None:
    assert resolve(text) == value
    assert type(resolve(text)) is type(value)


def test_quotes_and_tags_make_text() -> None:
    root = tree("[\"1\", '2', !!str 3, ! 4, !!float 5.0, !!int 6]")
    assert root is not None
    assert plain(root) == ["1", "2", "3", "4", 5.0, 6]


def test_aliases_copy_the_value() -> None:
    root = tree("a: &x {b: [1]}\nc: *x\n")
    assert root is not None
    assert plain(root) == {"a": {"b": [1]}, "c": {"b": [1]}}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 30)),
            f"more than {MAX_NODES:,} values, aliases written out: this is no recipe",
        ),
        ("[" * 50 + "]" * 50, "nested more than 40 levels deep"),
        ("a: &x [*x]", "the alias *x has no anchor &x before it"),
        ('a: "\\ud800"', "the text contains half of a character (a lone surrogate)"),
        ("a: !!binary eA==", "the tag !!binary is not allowed here"),
        ("'': 1", "a key is empty"),
        ("&x a: 1\n*x : 2", "a key must be text, not an alias"),
    ],
)
def test_limits(text: str, problem: str) -> None:
    with pytest.raises(RecipeError) as caught:
        tree(text)
    assert caught.value.issues[0].message == problem


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
DATA = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**60), 10**60) | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS.filter(bool), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(TEXTS.filter(bool), DATA, min_size=1, max_size=4))
@example({"a": "\x85\u2028\ufeff\x7f\t\r\n", "b": [[], {}, [{}], [[{"x": 1}]]], "c": [{"d": {"e": []}, "f": [1]}]})
@example({"no": "yes", "1": "2", "~": "null", "-": "- a", "a: b": "# c", "e": "1e5", "f": "0x1", "g": " x "})
@settings(max_examples=150, deadline=None)
def test_what_is_written_reads_back_the_same(data: dict[str, Any]) -> None:
    text = "".join(line + "\n" for _, line in yaml_lines(data))
    root = tree(text)
    assert root is not None
    assert _typed(plain(root)) == _typed(data)


def _typed(value: Any) -> Any:
    """With types, so that 1, 1.0 and true differ."""
    if isinstance(value, dict):
        return {key: _typed(item) for key, item in value.items()}
    return [_typed(item) for item in value] if isinstance(value, list) else (type(value), value)


def _load_quietly(path: Path, content: bytes, registry: Registry) -> None:
    path.write_bytes(content)
    with contextlib.suppress(RecipeError):
        load_recipe(path, registry=registry)


QUIET = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(content=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")))
@QUIET
def test_no_bytes_are_more_than_a_recipe_error(tmp_path: Path, registry: Registry, content: bytes) -> None:
    _load_quietly(tmp_path / "r.yaml", content, registry)


@given(text=st.text("{}[]:,-?&*!|>'\"%@#~ \n\tab1.$\\<=", max_size=60))
@example(text='a: "\\UFFFFFFFF"')
@settings(QUIET, max_examples=400)
def test_no_yaml_like_text_is_more_than_a_recipe_error(tmp_path: Path, registry: Registry, text: str) -> None:
    _load_quietly(tmp_path / "r.yaml", text.encode(), registry)


KEYS = st.sampled_from(
    [
        "data",
        "backbone",
        "train",
        "head",
        "name",
        "extends",
        "reader",
        "source",
        "postprocess",
        "preprocess",
        "windows",
        "epochs",
        "betas",
        "smoothing",
        "layers",
        "step",
        "predict",
        "metric",
        "overrides",
        "problems",
        "baselines",
        "x",
    ]
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["crf", "stride", "table", "squad", "", "${A}", "~", ".", "epoch", "error", "3", "\0", "a/b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=25,
)


@given(data=st.dictionaries(KEYS, VALUES, max_size=6), override=st.tuples(KEYS, KEYS, VALUES))
@example(data={"extends": "\0"}, override=("data", "data", None))
@QUIET
def test_no_nested_data_is_more_than_a_recipe_error(
    tmp_path: Path, registry: Registry, data: dict[str, Any], override: tuple[str, str, Any]
) -> None:
    good = {"data": {"reader": "squad"}, "backbone": {"source": "m"}}
    path = tmp_path / "r.yaml"
    path.write_text("".join(line + "\n" for _, line in yaml_lines({**good, **data})), encoding="utf-8")
    value = next(iter(yaml_lines({"x": override[2]})))[1].partition(": ")[2]
    for overrides in ([], [f"{override[0]}.{override[1]}={value}", f"{override[0]}.0={value}"]):
        with contextlib.suppress(RecipeError):
            load_recipe(path, overrides, registry=registry)
