"""A study's trials: every combination once, and every mistake at its place."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qakit.errors import RecipeError
from qakit.graph.expand import graph_of
from qakit.recipe.dump import yaml_flow
from qakit.registry import Registry
from qakit.study.load import load_study
from qakit.study.plan import PlannedTrial
from qakit.study.space import LONGEST, distinct, sampled, value_label
from qakit.workflows.study import plan_study

Write = Callable[..., Path]


def planned(file: Path, registry: Registry) -> tuple[PlannedTrial, ...]:
    return plan_study(load_study(file), registry)


def refusal(file: Path, registry: Registry) -> str:
    with pytest.raises(RecipeError) as caught:
        planned(file, registry)
    return str(caught.value)


def test_recipe_by_recipe_row_by_row_seed_by_seed(write: Write, registry: Registry) -> None:
    file = write(
        """\
recipes: {one: base.yaml, two: base.yaml}
set: {train.epochs: 7}
variants:
  lora: {adapter: {name: lora, rank: 2}, train.learning_rate: 5e-4}
  full: {}
grid: {train.batch_size: [4, 8]}
seeds: [3, 5]
"""
    )
    trials = planned(file, registry)
    assert [trial.label for trial in trials][:5] == [
        "one-lora-batch_size4-s3",
        "one-lora-batch_size4-s5",
        "one-lora-batch_size8-s3",
        "one-lora-batch_size8-s5",
        "one-full-batch_size4-s3",
    ]
    assert len(trials) == 2 * 2 * 2 * 2 == len({trial.label for trial in trials}) == len({t.key for t in trials})
    first, last = trials[0], trials[-1]
    assert (first.loaded.recipe.adapter.name, first.loaded.recipe.adapter.settings["rank"]) == ("lora", 2)
    assert (
        first.loaded.recipe.train.learning_rate,
        first.loaded.recipe.train.batch_size,
        first.loaded.recipe.seed,
    ) == (5e-4, 4, 3)
    assert (last.loaded.recipe.adapter.name, last.loaded.recipe.train.learning_rate, last.loaded.recipe.seed) == (
        "full",
        1e-4,
        5,
    )
    assert {trial.loaded.recipe.train.epochs for trial in trials} == {7}
    assert dict(first.values) == {
        "adapter": "{name: lora, rank: 2}",
        "train.learning_rate": "0.0005",
        "train.batch_size": "4",
    }


def test_a_block_of_another_plugin_replaces_and_the_same_is_merged(write: Write, registry: Registry) -> None:
    file = write("recipe: base.yaml\nset: {adapter: {name: lora, alpha: 3}}\ngrid: {adapter: [{rank: 4}, bitfit]}\n")
    lora, bitfit = planned(file, registry)
    assert (lora.loaded.recipe.adapter.settings["alpha"], lora.loaded.recipe.adapter.settings["rank"]) == (3, 4)
    assert bitfit.loaded.recipe.adapter.name == "bitfit" and "alpha" not in bitfit.loaded.recipe.adapter.settings
    assert (lora.label, bitfit.label) == ("adapter-rank4", "bitfit")


def test_paths_are_relative_to_the_file_that_wrote_them(write: Write, registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    file = write("recipe: ../base.yaml\ngrid: {data.train: [a.json, ../b.json]}\n", "deep/study.yaml")
    a, b = planned(file, registry)
    assert (a.loaded.recipe.data.train, b.loaded.recipe.data.train) == (
        str(tmp_path / "deep/a.json"),
        str(tmp_path / "b.json"),
    )
    assert a.loaded.recipe.data.validation == str(tmp_path / "dev.json")


def test_trials_whose_names_come_out_the_same_are_told_apart(write: Write, registry: Registry) -> None:
    text = "recipes: {a: base.yaml, a-b: base.yaml}\nvariants: {b-c: {}, c: {train.epochs: 3}}\n"
    assert [trial.label for trial in planned(write(text), registry)] == ["a-b-c", "a-c", "a-b-b-c", "a-b-c-2"]


def test_what_has_folds_needs_no_validation(write: Write, registry: Registry) -> None:
    (trial,) = planned(write("recipe: base.yaml\nset: {folds: {k: 3}, data.validation: null}\n"), registry)
    assert [node.label for node in graph_of(trial.loaded).nodes] == ["fold-1", "fold-2", "fold-3", ""]


def test_a_study_without_anything_to_vary_is_one_trial(write: Write, registry: Registry) -> None:
    (only,) = planned(write("recipe: base.yaml\n"), registry)
    assert (only.label, only.row, only.seed, dict(only.values)) == ("trial", "", 0, {})


def test_the_key_is_what_is_trained_not_what_it_is_called(write: Write, registry: Registry) -> None:
    before = planned(write("recipe: base.yaml\nvariants: {a: {train.epochs: 1}, b: {train.epochs: 2}}\n"), registry)
    after = planned(write("recipe: base.yaml\ngrid: {train.epochs: [2, 3, 1]}\n"), registry)
    assert {trial.key for trial in before} < {trial.key for trial in after}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.integers(1, 99), unique=True, min_size=1, max_size=3),
    names=st.lists(st.sampled_from(["a", "A", "a-2", "b", "batch_size1", "x" * 70]), unique=True, max_size=4),
    seeds=st.lists(st.integers(0, 9), unique=True, max_size=3),
)
def test_every_combination_once_in_a_folder_of_its_own(
    write: Write, registry: Registry, sizes: list[int], names: list[str], seeds: list[int]
) -> None:
    variants = {name: {"train.epochs": index + 1} for index, name in enumerate(names)}
    study = {"recipe": "base.yaml", "variants": variants, "grid": {"train.batch_size": sizes}, "seeds": seeds}
    trials = planned(write(yaml_flow(study)), registry)
    found = [
        (trial.loaded.recipe.train.epochs, trial.loaded.recipe.train.batch_size, trial.loaded.recipe.seed)
        for trial in trials
    ]
    epochs = [float(index + 1) for index in range(len(names))] or [2.0]
    assert found == list(product(epochs, sizes, seeds or [0]))
    assert len({trial.label.lower() for trial in trials}) == len({trial.key for trial in trials}) == len(trials)


@given(st.lists(st.text(max_size=80), max_size=8))
def test_labels_are_distinct_folder_names(values: list[str]) -> None:
    labels = distinct([value_label("train.x", value) for value in values])
    assert len({label.lower() for label in labels}) == len(values)
    for label in labels:
        assert len(label) <= LONGEST + 3
        assert label == Path(label).name and label not in (".", "..") and label.isascii() and " " not in label


ENDLESS = "grid: {" + ", ".join(f"train.x{key}: {list(range(10))}" for key in range(10)) + "}\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "recipe: base.yaml\nset: {train.epocs: 1}\n",
            "study.yaml:2:7: unknown key 'epocs' in train\n    2 | set: {train.epocs: 1}\n      |       ^\n  hint: did",
        ),
        ("recipe: base.yaml\nseeed: [1]\n", "study.yaml:2:1: unknown key 'seeed'"),
        ("recipe: base.yaml\nepochs: 1\n", "  hint: keys here: name, description, about, recipe"),
        ("", "study.yaml: the file is empty: a study needs at least `recipe`, or `recipes` by name"),
        ("- a\n", "study.yaml:1:1: a study is a mapping (key: value), but this file holds a list"),
        ("recipe: bas.yaml\n", "hint: did you mean 'base.yaml'?"),
        ("grid: {seed: [1]}\n", "study.yaml:1:1: the study: give `recipe`, or `recipes` for several by name"),
        ("recipe: base.yaml\ngrid: {adapter: []}\n", "study.yaml:2:7: grid: adapter: the list is empty"),
        ("recipe: base.yaml\ngrid: {seed: [1]}\n", "study.yaml:2:8: grid.seed: seeds are given by `seeds`"),
        ("recipe: base.yaml\nseeds: [1, 1]\n", "study.yaml:2:8: seeds: 1 is given twice"),
        ("recipe: base.yaml\ngrid: {train.epochs: [1, 1]}\n", "study.yaml:2:26: grid.train.epochs: 1 is given twice"),
        ("recipe: base.yaml\nbaseline: ful\nvariants: {full: {}}\n", "study.yaml:2:11: baseline: no row is 'ful'"),
        ("recipe: base.yaml\nvariants: {a: {}, b: {}}\n", "study.yaml:2:11: 'a' and 'b' have the same values"),
        (f"recipe: base.yaml\n{ENDLESS}", "study.yaml:2:7: grid: 10,000,000,000 trials; 10,000 at most"),
        ("recipe: base.yaml\nvariants: {a/b: {}}\n", "the name 'a/b' may have letters, digits and . _ - only"),
        (
            "recipe: base.yaml\nvariants: {a: {}, ..: {train.epochs: 1}}\n",
            "study.yaml:2:11: variants: the name '..' may",
        ),
        ("recipe: base.yaml\nvariants: {.: {}}\n", "the name '.' may have"),
        ("recipe: base.yaml\nvariants: {-x: {}}\n", "the name '-x' may have"),
        ("recipe: base.yaml\nvariants: {a+b: {}}\n", "the name 'a+b' may have"),
        ("recipes: {..: base.yaml}\n", "study.yaml:1:10: recipes: the name '..' may have"),
        (
            "recipe: base.yaml\nvariants: {a: {train.epochs: 1}}\ngrid: {train.epochs: [1]}\n",
            "study.yaml:3:8: grid.train.epochs is also set by the variant 'a'",
        ),
        ("recipe: base.yaml\nset: {extends: x.yaml}\n", "extends cannot be set: it belongs to the recipe's own file"),
        ("recipe: base.yaml\nset: {train..epochs: 1}\n", "expected a dotted key, such as train.epochs"),
        (
            "recipe: base.yaml\nset: {data.validation: null}\n",
            "study.yaml:1:9: recipe: the recipe sets no data.validation, but trials are compared on it",
        ),
        (
            "recipe: base.yaml\nseeds: [0, 1]\nsearch: {space: {train.epochs: {integer: [1, 3]}}}\n",
            "`search` trains each trial once",
        ),
        (
            "recipe: base.yaml\nsearch: {space: {train.epochs: {log: [3, 1]}}}\n",
            "study.yaml:2:32: search.space.train.epochs: log: the first number must be smaller than the second",
        ),
        ("recipe: base.yaml\nsearch: {space: {train.epochs: {}}}\n", "give one of `uniform`, `log`, `integer`"),
        ("recipe: base.yaml\nsearch: {space: {}}\n", "name at least one recipe value"),
        ("recipe: base.yaml\nsearch: {space: {train.epochs: {log: [0, 1]}}}\n", "both numbers must be greater than 0"),
    ],
)
def test_a_mistake_is_named_at_its_place(write: Write, registry: Registry, text: str, expected: str) -> None:
    assert expected in refusal(write(text), registry)


def test_mistakes_of_all_trials_come_at_once_and_each_once(write: Write, registry: Registry) -> None:
    message = refusal(
        write(
            """\
recipe: base.yaml
variants:
  a: {adapter: {name: lora, rnk: 2}}
  b: {adapter: ful}
grid:
  train.batch_size: [0, 8]
seeds: [0, 1, 2]
"""
        ),
        registry,
    )
    assert message.count("study.yaml:") == 3
    for expected in (
        "study.yaml:3:29: unknown key 'rnk' for the adapter 'lora'",
        "study.yaml:4:16: adapter: no adapter is called 'ful'",
        "study.yaml:6:22: train.batch_size should be an integer greater than 0, not 0",
    ):
        assert expected in message


def test_both_ends_of_a_search_and_all_its_choices_are_checked(write: Write, registry: Registry) -> None:
    message = refusal(
        write(
            """\
recipe: base.yaml
search:
  space:
    train.weight_decay: {uniform: [-1, 1]}
    train.betas: {choice: [[0.9, 0.99], [0.9, 1.5]]}
    adapter: {choice: [lora, {name: lora, rank: 0}, bitfit]}
"""
        ),
        registry,
    )
    assert message.count("study.yaml:") == 3
    for expected in ("4:5: train.weight_decay", "5:47: train.betas.1", "6:49: adapter.rank"):
        assert expected in message


def test_what_is_drawn_becomes_recipe_values(write: Write) -> None:
    loaded = load_study(
        write(
            "recipe: base.yaml\nsearch: {space: {train.learning_rate: {log: [1e-5, 1e-3]}, "
            "adapter: {choice: [{name: lora, rank: 8}, bitfit]}}}\n"
        )
    )
    label, values = sampled(loaded, {"train.learning_rate": 0.0001234, "adapter": "lora-rank8"})
    assert label == "learning_rate0.0001234-lora-rank8"
    assert [value.at for value in values] == [("train", "learning_rate"), ("adapter",)]


@pytest.mark.parametrize("override", ["train.epochs=1", "train={epochs: 1}", "train.epochs.x=1"])
def test_what_the_trials_differ_in_cannot_be_overridden(write: Write, registry: Registry, override: str) -> None:
    loaded = load_study(write("recipe: base.yaml\ngrid: {train.epochs: [1, 2]}\n"))
    assert {trial.loaded.recipe.seed for trial in plan_study(loaded, registry, overrides=["seed=7"])} == {7}
    with pytest.raises(RecipeError) as caught:
        plan_study(loaded, registry, overrides=[override])
    assert str(caught.value.issues[0]).startswith(f"--set {override}: train.epochs is what the models differ in")
