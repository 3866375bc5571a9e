"""Paths: variables, home, relative to what, names that are no paths, and files that are not there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from qakit.errors import RecipeError
from qakit.recipe.load import load_recipe
from qakit.recipe.model import Recipe
from qakit.registry import Registry

Write = Callable[..., Path]


def text(train: str = "null", source: str = "some-model", reader: str = "squad") -> str:
    return f"data: {{reader: {reader}, train: {train}}}\nbackbone: {{source: {source}}}\n"


@pytest.fixture
def load(write: Write, registry: Registry) -> Callable[..., Recipe]:
    def load_text(content: str, *overrides: str, name: str = "r.yaml", check_files: bool = False) -> Recipe:
        return load_recipe(write(content, name), overrides, registry=registry, check_files=check_files).recipe

    return load_text


Load = Callable[..., Recipe]


def test_relative_to_the_file_that_wrote_them(load: Load, tmp_path: Path) -> None:
    recipe = load(text("../data/a.json"), "data.test=b.json", name="recipes/deep/r.yaml")
    assert recipe.data.train == str(tmp_path / "recipes" / "data" / "a.json")
    assert recipe.data.test == str(tmp_path / "b.json")


def test_variables_and_defaults(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QAKIT_T", "/data")
    monkeypatch.setenv("QAKIT_EMPTY", "")
    monkeypatch.delenv("QAKIT_NONE", raising=False)
    items = "['${QAKIT_T}/a', '${QAKIT_NONE:-/b}', '${QAKIT_EMPTY:-/c}', '/d/$HOME', '${QAKIT_T:-x}${QAKIT_NONE:-}/e']"
    assert load(text(items)).data.train == ["/data/a", "/b", "/c", "/d/$HOME", "/data/e"]


@pytest.mark.parametrize(
    "name",
    ["KAGGLE_KEY", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "WANDB_API_KEY", "AWS_SECRET_ACCESS_KEY", "my_password"],
)
@pytest.mark.parametrize("default", ["", ":-x"])
def test_secrets_do_not_get_into_a_recipe(name: str, default: str, load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "hunter2-hunter2")
    with pytest.raises(
        RecipeError, match=f"data.train: the environment variable {name} is a secret by its name"
    ) as told:
        load(text(f"'/data/${{{name}{default}}}.json'"))
    assert "hunter2" not in str(told.value)


@pytest.mark.parametrize("name", ["TOKENIZER", "KEYBOARD", "MONKEY", "DATA_TOKENS"])
def test_other_variables_are_no_secrets(name: str, load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "a")
    assert load(text(f"'/data/${{{name}}}.json'")).data.train == "/data/a.json"


def test_home(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert load(text("~/a.json")).data.train == "/home/me/a.json"


def test_nothing_is_expanded_elsewhere(load: Load) -> None:
    assert load(text() + "description: ${HOME} ~\n").description == "${HOME} ~"


def test_a_source_is_a_path_only_where_it_looks_like_one_or_exists(load: Load, tmp_path: Path) -> None:
    assert load(text(source="bert-base")).backbone.source == "bert-base"
    assert load(text(source="org/model")).backbone.source == "org/model"
    assert load(text(source="./bert")).backbone.source == str(tmp_path / "bert")
    assert load(text(source="/x/bert")).backbone.source == "/x/bert"
    (tmp_path / "org" / "model").mkdir(parents=True)
    assert load(text(source="org/model")).backbone.source == str(tmp_path / "org" / "model")


def test_a_plugins_path_settings_are_paths_too(load: Load, tmp_path: Path) -> None:
    recipe = load(text(reader="{name: table, question: q, extra: x.json}"))
    assert recipe.data.reader.settings == {"question": "q", "text": None, "extra": str(tmp_path / "x.json")}


def test_a_number_given_as_a_path_on_the_command_line_is_a_file_name(load: Load, tmp_path: Path) -> None:
    assert load(text(), "data.train=2021").data.train == str(tmp_path / "2021")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (
            "'${QAKIT_NONE}/a'",
            (
                "data.train: the environment variable QAKIT_NONE is not set\n{snippet}\n"
                "  hint: set it, or write a default: ${QAKIT_NONE:-default}"
            ),
        ),
        ("'${QAKIT NONE}/a'", "data.train: '${QAKIT NONE}' is not of the form ${NAME} or ${NAME:-default}\n{snippet}"),
        ("'a/${QAKIT'", "data.train: '${QAKIT' is not of the form ${NAME} or ${NAME:-default}\n{snippet}"),
        ("''", "data.train: the path is empty\n{snippet}"),
        ("'${QAKIT_NONE:-}'", "data.train: the path is empty: ${QAKIT_NONE:-}\n{snippet}"),
        ('"a\\0b"', "data.train: the path contains a NUL character\n{snippet}"),
    ],
)
def test_paths_that_cannot_be_resolved(load: Load, value: str, expected: str) -> None:
    content = text(value)
    snippet = f"    1 | {content.splitlines()[0]}\n      | {' ' * 29}^"
    with pytest.raises(RecipeError) as caught:
        load(content)
    assert str(caught.value) == "r.yaml:1:30: " + expected.replace("{snippet}", snippet)


def test_files_are_looked_for_only_when_asked(load: Load, tmp_path: Path) -> None:
    (tmp_path / "here.json").write_text("[]")
    assert load(text("here.json"), check_files=True).data.train == str(tmp_path / "here.json")
    assert load(text("gone.json")).data.train == str(tmp_path / "gone.json")
    with pytest.raises(RecipeError) as caught:
        load(text("[here.json, gone.json]"), check_files=True)
    assert str(caught.value) == (
        f"r.yaml:1:42: data.train.1: file not found: {tmp_path / 'gone.json'}\n"
        "    1 | data: {reader: squad, train: [here.json, gone.json]}\n"
        f"      | {' ' * 41}^\n"
        "  hint: say where it is with --set data.train.1=PATH"
    )


def test_a_missing_file_names_the_variable_that_leads_to_it(load: Load) -> None:
    with pytest.raises(RecipeError) as caught:
        load(text("'${QAKIT_NONE:-data}/a.json'"), check_files=True)
    (issue,) = caught.value.issues
    assert issue.hint == "say where it is with --set data.train=PATH or with the environment variable QAKIT_NONE"


def test_the_backbone_is_not_looked_for(load: Load) -> None:
    assert load(text(source="./nowhere"), check_files=True).backbone.source.endswith("/nowhere")


def test_a_source_that_a_variable_should_name_is_told_with_the_variable(
    load: Load, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("QAKIT_T", raising=False)
    content = text(source="'${QAKIT_T:-../encoder}'")
    assert load(content).backbone.source.endswith("encoder")
    with pytest.raises(RecipeError, match=r"backbone\.source: file not found: .*encoder\s(.|\s)*variable QAKIT_T"):
        load(content, check_files=True)
    monkeypatch.setenv("QAKIT_T", "org/name")
    assert load(content, check_files=True).backbone.source == "org/name"
    monkeypatch.delenv("QAKIT_T")
    write("", "run/recipe.yaml")
    load(content, "backbone.from_run=run", check_files=True)
