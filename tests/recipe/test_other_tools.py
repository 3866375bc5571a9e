"""Names of other tools are answered with those of recipes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import Invoke

from qakit.errors import RecipeError
from qakit.recipe.annotations import all_keys
from qakit.recipe.load import load_recipe
from qakit.recipe.model import Recipe
from qakit.recipe.other_tools import NAMES, key_hint, options_hint
from qakit.registry import Registry, load_registry

Write = Callable[..., Path]
TEXT = """\
data: {reader: squad, train: a.json}
backbone: {source: some-model}
"""


@pytest.mark.parametrize("name", NAMES)
def test_every_hint_names_a_key_that_is_there(name: str, write: Write) -> None:
    key, _, value = NAMES[name].partition("=")
    known = set(all_keys(Recipe))
    assert key in known and name not in known, "a recipe's own name needs no hint"
    if value:
        assert load_recipe(write(TEXT), [NAMES[name]], registry=load_registry())
    assert key in key_hint(name) and f"{key}=" in options_hint(f"--{name.replace('_', '-')}")


@pytest.mark.parametrize(
    ("setting", "hint"),
    [
        ("train.lr=1e-5", "here it is 'train.learning_rate'"),
        ("model=x", "here it is 'backbone.source'"),
        ("train.fp16=true", "here it is 'train.precision' (fp16)"),
        ("windows.doc_stride=128", "here it is 'preprocess.predict' ({name: stride, overlap: 128}); what transformers"),
        ("train.ecpohs=1", "did you mean 'epochs'?"),
    ],
)
def test_a_key_of_another_tool(write: Write, registry: Registry, setting: str, hint: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(write(TEXT), [setting], registry=registry)
    assert hint in str(caught.value)


@pytest.mark.parametrize(
    ("option", "hint"),
    [
        ("--epochs", "in a recipe's terms: --set train.epochs=VALUE"),
        ("--lr", "in a recipe's terms: --set train.learning_rate=VALUE"),
        ("--doc-stride", "--set 'preprocess.predict={name: stride, overlap: 128}'"),
        ("--fp16", "--set train.precision=fp16"),
    ],
)
def test_an_option_of_another_tool(invoke: Invoke, option: str, hint: str) -> None:
    done = invoke("train", "recipe.yaml", option, "3")
    assert done.exit_code == 2
    assert f"No such option: {option}; " in done.output and hint in done.output
    for known in ("--nonsense", "--fold"):  # the latter wants a value
        assert "in a recipe's terms" not in invoke("train", "recipe.yaml", known).output
    assert "in a recipe's terms" not in invoke("compare", "a", "b", "--seed").output


def test_all_options_of_another_tools_command_line_at_once(invoke: Invoke) -> None:
    done = invoke(
        "train", "a.yaml", "--do_train", "--lr=1e-5", "--set", "seed=1", "--num_train_epochs", "2", "--max_len", "9"
    )
    assert done.exit_code == 2
    assert (
        "No such option: --do_train; and --lr: --set train.learning_rate=VALUE, --num_train_epochs: --set "
        "train.epochs=VALUE, --max_len: --set windows.max_length=VALUE" in " ".join(done.output.split())
    )


def test_a_question_that_begins_with_a_dash(invoke: Invoke) -> None:
    done = invoke("ask", "runs/x", "-what is it?", "-c", "a text")
    assert done.exit_code == 2 and "comes after all options and a --" in " ".join(done.output.split())
