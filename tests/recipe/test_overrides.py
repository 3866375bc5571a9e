"""``--set a.b=value``: parsed as YAML, typed by the model, refused with its own text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qakit.errors import RecipeError
from qakit.recipe.load import load_recipe
from qakit.registry import Registry

Write = Callable[..., Path]
TEXT = """\
data: {reader: squad, train: [a.json, b.json]}
backbone: {source: some-model}
postprocess: [strip, {name: strip, mode: none}]
"""


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("train.epochs=3", "train.epochs", 3.0),
        ("train.learning_rate=1e-5", "train.learning_rate", 1e-5),
        ("train.compile=true", "train.compile", True),
        ("train.evaluate_every=100", "train.evaluate_every", 100),
        ("train.evaluate_every=epoch", "train.evaluate_every", "epoch"),
        ("train.max_grad_norm=null", "train.max_grad_norm", None),
        ("train.max_grad_norm=", "train.max_grad_norm", None),
        ("train.betas=[0.8, 0.9]", "train.betas", [0.8, 0.9]),
        ("train={epochs: 7}", "train.epochs", 7.0),
        ("name=2024", "name", "2024"),
        ("backbone.revision=1e5", "backbone.revision", "1e5"),
        ("description=no", "description", "no"),
        ("description= a # b ", "description", "a"),
        ("head=crf", "head.name", "crf"),
        ("head={name: crf, smoothing: 0.5}", "head.smoothing", 0.5),
        ("postprocess.1.mode=all", "postprocess.1.mode", "all"),
        ("postprocess.0.mode=none", "postprocess.0.mode", "none"),
        ("postprocess=[]", "postprocess", []),
        ("baselines.boss=0.8", "baselines.boss", 0.8),
        ("backbone.overrides.hidden_dropout_prob=0.2", "backbone.overrides.hidden_dropout_prob", 0.2),
        ("preprocess.train.step=9", "preprocess.train.step", 9),
    ],
)
def test_values_are_yaml_and_typed_by_the_model(
    write: Write, registry: Registry, override: str, path: str, value: Any
) -> None:
    loaded = load_recipe(write(TEXT), [override], registry=registry)
    found: Any = loaded.recipe.model_dump(mode="json")
    for part in path.split("."):
        found = found[int(part)] if isinstance(found, list) else found[part]
    assert found == value
    assert type(found) is type(value)
    if value not in ([], [0.8, 0.9]):
        assert str(loaded.provenance[path]) == f"--set {override}"


def test_later_ones_win_and_build_on_earlier_ones(write: Write, registry: Registry) -> None:
    overrides = ["head=crf", "head.smoothing=0.1", "head.smoothing=0.2"]
    recipe = load_recipe(write(TEXT), overrides, registry=registry).recipe
    assert recipe.head.model_dump() == {"name": "crf", "smoothing": 0.2, "layers": [1, 2]}


def test_a_number_for_a_text_of_a_plugin_is_text(write: Write, registry: Registry) -> None:
    recipe = load_recipe(write(TEXT), ["data.reader={name: glue, task: 7}"], registry=registry).recipe
    assert recipe.data.reader.settings == {"task": "7"}


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("train", "expected KEY=VALUE, with a dotted KEY\n  hint: write it like --set train.epochs=3"),
        ("=3", "expected KEY=VALUE, with a dotted KEY\n  hint: write it like --set train.epochs=3"),
        ("train..epochs=3", "expected KEY=VALUE, with a dotted KEY\n  hint: write it like --set train.epochs=3"),
        ("extends=a.yaml", "extends cannot be set from the command line"),
        ("train.epochs=three", "train.epochs should be a number greater than 0, not the text 'three'"),
        ("train.epocs=3", "unknown key 'epocs' in train\n  hint: did you mean 'epochs'?"),
        ("trian.epochs=3", "unknown key 'trian'\n  hint: did you mean 'train'?"),
        ("train.epochs.x=3", "train.epochs should be a number greater than 0, not a mapping"),
        ("head=crff", "head: no head is called 'crff'\n  hint: did you mean 'crf'?"),
        ("postprocess.2.mode=all", "postprocess has 2 items: there is no item 2"),
        ("postprocess.x=all", "postprocess is a list of 2 items: use an index from 0, not 'x'"),
        ("description=a: b", "description should be text, not a mapping\n  hint: put a text in quotes"),
        ("description=@a", "the value is not valid YAML: a value cannot start with '@'\n  hint: put it in quotes"),
        (
            "description=[a",
            (
                "the value is not valid YAML: expected ',' or ']', but got '<stream end>' "
                "(while parsing a flow sequence that starts on line 1)\n  hint: put it in quotes"
            ),
        ),
        ("train={epochs: 1, epochs: 2}", "duplicate key 'epochs'\n  hint: it is first given on line 1"),
        (f"{'a.' * 2000}b=1", "expected KEY=VALUE, with a dotted KEY\n  hint: write it like --set train.epochs=3"),
    ],
)
def test_errors_name_the_text(write: Write, registry: Registry, override: str, expected: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(write(TEXT), [override], registry=registry)
    assert str(caught.value) == f"--set {override}: {expected}"


def test_nothing_is_no_null_that_takes_a_value_away(write: Write, registry: Registry) -> None:
    """As an unset variable of a shell gives it; a training with the default instead of the file's value is another."""
    path = write(TEXT + "predict: {n_best: 7}\n")
    assert load_recipe(path, ["predict.n_best=null"], registry=registry).recipe.predict.n_best != 7
    with pytest.raises(RecipeError, match=r"n_best=: predict\.n_best should be"):
        load_recipe(path, ["predict.n_best="], registry=registry)


def test_a_missing_key_is_placed_in_the_file_not_in_the_override(write: Write, registry: Registry) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(
            write("data: {reader: squad}\nbackbone:\n  init: scratch\n"), ["backbone.revision=x"], registry=registry
        )
    assert str(caught.value).startswith("r.yaml:2:1: missing key 'source' in backbone\n")


@pytest.mark.parametrize(
    ("overrides", "culprit"),
    [
        (["train.ema={decay: 0.9}", "train.swa={}"], "--set train.swa={}: train: ema and swa are two averages"),
        (
            ["seed=3", "train.adversarial={method: fgm, step_size: 2}"],
            "--set train.adversarial={method: fgm, step_size: 2}: train.adversarial: step_size is of awp",
        ),
    ],
)
def test_a_rule_over_several_values_is_told_at_the_override(
    write: Write, registry: Registry, overrides: list[str], culprit: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(write(TEXT), overrides, registry=registry)
    assert str(caught.value).startswith(culprit)


def test_a_value_that_yaml_would_cut_at_a_comment_wants_quotes(write: Write, registry: Registry) -> None:
    path = write(TEXT)
    with pytest.raises(RecipeError, match="what follows ' #' would be a comment") as caught:
        load_recipe(path, ["backbone.source=/data/a #b"], registry=registry)
    assert "put the value in quotes" in str(caught.value)
    loaded = load_recipe(path, ['backbone.source="/data/a #b"'], registry=registry)
    assert loaded.recipe.backbone.source == "/data/a #b"
