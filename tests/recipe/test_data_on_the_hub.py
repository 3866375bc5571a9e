"""Data on the hub in a recipe: how it is written, what is inherited, and which commit a training begins with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hub.server import HubServer
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from qakit.errors import RecipeError
from qakit.recipe.load import dump_recipe, load_recipe, load_resolved
from qakit.recipe.model import DataSection, HubFiles, HubSplit, Recipe
from qakit.registry import Registry

REST = "backbone: {source: some/model}\n"
SET = "{dataset: o/n, split: train}"


@pytest.fixture
def load(write, registry: Registry) -> Callable[..., Recipe]:
    """``load(train, *overrides)``: the recipe with this text as its ``data.train``."""

    def load_it(train: str, *overrides: str, **options: bool) -> Recipe:
        path = write(f"{REST}data:\n  reader: squad\n  train: {train}\n")
        return load_recipe(path, overrides, registry=registry, **options).recipe

    return load_it


def data(**named: object) -> DataSection:
    return DataSection.model_validate({"reader": {"name": "squad"}, **named})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hf://datasets/o/n/train.json", HubFiles("o/n", None, "train.json")),
        ("hf://datasets/o/n@v1/a/b.json", HubFiles("o/n", "v1", "a/b.json")),
        ("hf://datasets/o/n@refs/convert/parquet/x/*.parquet", HubFiles("o/n", "refs/convert/parquet", "x/*.parquet")),
        ("hf://datasets/o/n@refs/pr/3/x", HubFiles("o/n", "refs/pr/3", "x")),
        ("hf://datasets/o/n@my%2Fbranch/x", HubFiles("o/n", "my/branch", "x")),
    ],
)
def test_a_file_on_the_hub_is_written_as_everywhere_else(text, expected):
    assert HubFiles.parse(text) == expected
    assert HubFiles.parse(str(expected)) == expected


NAMES = ["a.json", "data/a.json", "data/b.json", "data/deep/a.json", "data/a.jsonl", "data/train-0[1].json"]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a.json", ["a.json"]),
        ("data/*.json", ["data/a.json", "data/b.json", "data/train-0[1].json"]),
        ("**/a.json", ["a.json", "data/a.json", "data/deep/a.json"]),
        ("data/?.json", ["data/a.json", "data/b.json"]),
        ("data/**", NAMES[1:]),
        ("data/train-0[1].json", ["data/train-0[1].json"]),
        ("b.json", []),
    ],
)
def test_wildcards_stop_at_folders_unless_doubled(path, expected):
    assert HubFiles("o/n", None, path).among(NAMES) == expected


@given(st.text(alphabet="abc/.-_*?[]()+ $%\\日", min_size=1).filter(lambda path: not path.startswith("/")))
def test_every_name_stands_for_itself(path: str) -> None:
    assert HubFiles("o/n", None, path).among([path, f"{path}x"])[0] == path
    assert HubFiles.parse(f"hf://datasets/o/n@v1/{path}") == HubFiles("o/n", "v1", path)


@pytest.mark.parametrize(
    ("train", "said"),
    [
        ("{dataset: o/n}", "r.yaml:4:3: missing key 'split' in data.train"),
        ("{dataset: o/n, split: train, subset: x}", "r.yaml:4:39: unknown key 'subset' in data.train"),
        ("{dataset: o n, split: train}", "r.yaml:4:20: data.train.dataset: a dataset on the hub is called OWNER/NAME"),
        ("{dataset: o/n, split: 'train[:9]'}", "r.yaml:4:32: data.train.split: 'train[:9]' is no split's name"),
        ("hf://datasets/o/n", "r.yaml:4:10: data.train: a file on the hub is written hf://datasets/OWNER/NAME[@"),
        ("[r.yaml, hf://o/n/x]", "r.yaml:4:19: data.train.1: a file on the hub is written"),
        ("3", "r.yaml:4:10: data.train should be a path, a mapping with `dataset` and `split`, a list of"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_line_and_column(train, said, load):
    for check_files in (False, True):  # neither asks the hub for it
        with pytest.raises(RecipeError) as caught:
            load(train, check_files=check_files)
        assert str(caught.value).startswith(said)
        assert len(caught.value.issues) == 1


def test_another_dataset_inherits_the_split_alone(load):
    whole = "{dataset: o/n, config: c, split: train, revision: v1, local: /none}"
    assert load(whole, "data.train.dataset=p/m").data.train == HubSplit(dataset="p/m", split="train")
    assert load(whole, "data.train.dataset=o/n").data.train == HubSplit(
        dataset="o/n", config="c", split="train", revision="v1"
    )
    given = load(whole, "data.train.config=d", "data.train.dataset=p/m").data.train
    assert given == HubSplit(dataset="p/m", config="d", split="train")
    assert load(whole, "data.train=a.json").data.train == str(Path("a.json").absolute())


def test_extending_recipes_inherit_datasets_by_the_same_rule(write, load, registry):
    load("{dataset: o/n, config: c, split: train}")
    child = write("extends: r.yaml\ndata: {train: {dataset: p/m}}\n", "child.yaml")
    assert load_recipe(child, registry=registry).recipe.data.train == HubSplit(dataset="p/m", split="train")


LOCAL = "{dataset: o/n, split: train, local: '${QAKIT_T:-there}/a.json'}"


def test_a_local_file_is_read_instead_where_it_is(load, tmp_path, monkeypatch):
    monkeypatch.delenv("QAKIT_T", raising=False)
    assert load(LOCAL).data.train == HubSplit(dataset="o/n", split="train")
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "a.json").touch()
    assert load(LOCAL).data.train == str(tmp_path / "there" / "a.json")
    # of another part of the dataset this is no copy
    assert load(LOCAL, "data.train.split=test").data.train == HubSplit(dataset="o/n", split="test")
    assert load(LOCAL, "data.train.revision=v1").data.train == HubSplit(dataset="o/n", split="train", revision="v1")


def test_a_variable_that_is_set_must_name_a_file(load, tmp_path, monkeypatch):
    monkeypatch.setenv("QAKIT_T", str(tmp_path / "gone"))
    assert load(LOCAL).data.train == str(tmp_path / "gone" / "a.json")
    with pytest.raises(RecipeError, match=r"r.yaml:4:\d+: data.train: file not found: .*gone/a.json"):
        load(LOCAL, check_files=True)


def test_a_variable_without_default_that_is_not_set_is_no_mistake(load, monkeypatch):
    monkeypatch.delenv("QAKIT_T", raising=False)
    assert load("{dataset: o/n, split: train, local: '${QAKIT_T}/a.json'}").data.train == HubSplit(
        dataset="o/n", split="train"
    )


@pytest.mark.parametrize("train", [SET, "hf://datasets/o/n/a.json", f"[{SET}, hf://datasets/o/n/a.json]"])
def test_a_training_keeps_the_commit_that_the_data_has(train, load, hub: HubServer, registry):
    commit = hub.publish_dataset("o/n", {"README.md": "hello", "a.json": "{}"})
    loaded = load(train, check_files=True)
    sources = loaded.data.train if isinstance(loaded.data.train, list) else [loaded.data.train]
    for source in sources:
        assert (source.revision if isinstance(source, HubSplit) else HubFiles.parse(source).revision) == commit
    assert (
        len([one for one in hub.asked if one.what == "info" and one.kind == "datasets"]) == 1
    )  # however often it is named
    assert hub.fetched("o/n", kind="datasets") == ["README.md"]  # the data itself is fetched when it is read
    path = Path("resolved.yaml")
    path.write_text(dump_recipe(loaded), "utf-8")
    hub.publish_dataset("o/n", {"README.md": "changed", "a.json": "[]"})
    assert load_resolved(path, registry=registry).data.train == loaded.data.train


def test_without_check_the_hub_is_not_asked(load, hub: HubServer):
    assert load(SET).data.train == HubSplit(dataset="o/n", split="train")
    assert not hub.asked


def test_a_dataset_that_is_not_there_is_a_problem_of_the_recipe(load, hub: HubServer):
    with pytest.raises(RecipeError) as caught:
        load(f"[{SET}, {SET}]", check_files=True)
    (issue,) = caught.value.issues  # said once
    assert (issue.line, issue.column) == (4, 21)
    assert issue.message.startswith("data.train.0: dataset 'o/n': the hub (http")
    assert "has no public dataset of that name" in issue.message


def test_questions_to_be_labelled_may_be_on_the_hub(load):
    pseudo = "pseudo={from_run: run, file: {dataset: o/n, split: unlabelled}}"
    found = load("a.json", pseudo).pseudo
    assert found is not None
    assert found.file == HubSplit(dataset="o/n", split="unlabelled")


@pytest.mark.parametrize("config", ["/tmp/victim", "../victim", "a/b", "..", "", "a\\b", "C:x", "a\nb", "x" * 256])
def test_a_configuration_is_a_name_and_no_way_out_of_the_cache(config: str) -> None:
    """The split is written into a folder of this name."""
    with pytest.raises(ValidationError, match="config"):
        HubSplit(dataset="a/b", config=config, split="train")
    assert HubSplit(dataset="a/b", config="20231101.zh-min-nan", split="train").config == "20231101.zh-min-nan"


@pytest.mark.parametrize("revision", ["/tmp/victim", "../victim", "a//b", "", "a\nb"])
def test_a_revision_is_no_path(revision: str) -> None:
    with pytest.raises(ValidationError, match="revision"):
        HubSplit(dataset="a/b", revision=revision, split="train")
    assert HubSplit(dataset="a/b", revision="refs/pr/1", split="train").revision == "refs/pr/1"
