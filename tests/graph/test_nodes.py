"""What a graph is, and which trainings are one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from graph.conftest import NOTHING, GraphOf
from hypothesis import given
from hypothesis import strategies as st

from qakit.errors import RecipeError, RunError
from qakit.graph.expand import LoadedEnsemble, load
from qakit.graph.nodes import Graph, Node, Repredict, Train, check_recipe, share_weights, training_key
from qakit.recipe.model import Recipe
from qakit.registry import Registry
from qakit.runs import create_run
from qakit.study.load import load_study
from qakit.workflows.study import plan_study


def changed(recipe: Recipe, **values: Any) -> Recipe:
    """A recipe with other values: ``predict__n_best=3``."""
    data = recipe.model_dump()
    for key, value in values.items():
        *blocks, last = key.split("__")
        place = data
        for block in blocks:
            place = place[block]
        place[last] = value
    return Recipe.model_validate(data)


def labels(graph: Graph, kind: type) -> list[str]:
    return [node.label for node in graph.nodes if isinstance(node.work, kind)]


def test_a_recipe_of_each_kind_is_a_graph_in_order(graph: GraphOf) -> None:
    assert graph("plain").labels == [""]
    assert graph("folds").labels == ["fold-1", "fold-2", "fold-3", ""]
    assert graph("pipeline").labels == ["selection", "span", ""]
    assert graph("ensemble-of-folds").labels == [
        *(f"members/s{seed}{part}" for seed in (1, 2) for part in ("/fold-1", "/fold-2", "/fold-3", "")),
        "",
    ]
    of_folds = graph("study-of-folds")
    assert of_folds.labels[3] == "runs/learning_rate0.001" and len(of_folds.nodes) == 8
    for node in of_folds.nodes:
        assert set(node.needs) <= set(of_folds.labels[: of_folds.labels.index(node.label)])


def test_members_that_differ_in_prediction_alone_train_once(graph: GraphOf) -> None:
    found = graph("ensemble")
    assert labels(found, Train) == [f"members/learning_rate{rate}-overlap16" for rate in ("0.001", "0.002")]
    assert [found.node(f"members/learning_rate{rate}-overlap32").work for rate in ("0.001", "0.002")] == [
        Repredict(f"members/learning_rate{rate}-overlap16") for rate in ("0.001", "0.002")
    ]
    assert labels(graph("ensemble-of-pipelines"), Train) == ["members/overlap32/selection", "members/overlap32/span"]
    assert len(labels(graph("study"), Train)) == 2 and len(graph("study").nodes) == 4
    assert len(labels(graph("ensemble-of-folds"), Train)) == 6, "another seed is another training"


@pytest.mark.parametrize(
    "values",
    [
        {"predict__n_best": 3},
        {"predict__character_scores": True},
        {"preprocess__predict": {"name": "stride", "overlap": 7}},
        {"metric": {"name": "squad_v1"}},
        {"writer": {"name": "csv"}},
        {"postprocess": [{"name": "trim_words"}]},
        {"data__test": "test.json"},
        {"data__sample_submission": "sample.csv"},
        {"name": "other"},
        {"description": "Other"},
        {"baselines": {"low": 1.0}},
    ],
)
def test_what_prediction_alone_looks_at_needs_no_second_training(values: dict[str, Any]) -> None:
    assert training_key(NOTHING) == training_key(changed(NOTHING, **values))


@pytest.mark.parametrize(
    "values",
    [
        {"seed": 1},
        {"train__epochs": 9},
        {"backbone__source": "y"},
        {"head": {"name": "classifier"}},
        {"adapter": {"name": "lora"}},
        {"windows__max_length": 99},
        {"data__train": "other.json"},
        {"data__validation": "other.json"},
        {"preprocess__train": {"name": "stride", "overlap": 7}},
        {"folds": {"k": 3}},
    ],
)
def test_what_training_looks_at_is_another_training(values: dict[str, Any]) -> None:
    assert training_key(NOTHING) != training_key(changed(NOTHING, **values))


def test_pseudo_labels_of_a_test_file_are_trained_on() -> None:
    one = changed(NOTHING, pseudo={"from_run": "run"})
    assert training_key(one) != training_key(changed(one, data__test="test.json"))


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Nodes in folders of each other, each after those that it needs; some of the same training."""
    names = draw(st.lists(st.sampled_from("abcdefgh"), unique=True, min_size=1, max_size=8))
    nodes: list[Node] = []
    for name in names:
        needs = draw(st.lists(st.sampled_from([node.label for node in nodes]), unique=True)) if nodes else []
        parent = draw(st.sampled_from(["", *(f"{node.label}/" for node in nodes)]))
        recipe = NOTHING.model_copy(update={"seed": draw(st.integers(0, 2))})
        nodes.append(Node(f"{parent}{name}", recipe, Train(), tuple(needs)))
    return Graph("some", share_weights(nodes))


@given(graphs())
def test_equal_trainings_train_once_whatever_the_graph(found: Graph) -> None:
    trained = {node.recipe.seed: node.label for node in found.nodes if isinstance(node.work, Train)}
    for node in found.nodes:
        if isinstance(node.work, Repredict):
            assert node.work.source == trained[node.recipe.seed]
            assert found.labels.index(node.work.source) < found.labels.index(node.label)
    assert len(trained) == sum(isinstance(node.work, Train) for node in found.nodes)
    assert share_weights(found.nodes) == found.nodes, "shared once is shared"


@given(graphs(), st.sampled_from(["", "x", "x/y"]))
def test_a_graph_in_a_folder_is_the_same_graph(found: Graph, folder: str) -> None:
    placed = Graph("larger", found.placed(folder))
    prefix = f"{folder}/" if folder else ""
    assert placed.labels == [f"{prefix}{label}" for label in found.labels]
    for before, after in zip(found.nodes, placed.nodes, strict=True):
        assert placed.needs(after) == tuple(f"{prefix}{label}" for label in found.needs(before))
    assert Graph("larger", found.placed("x")).placed("y") == found.placed("y/x")


@given(graphs(), st.data())
def test_one_node_and_all_that_it_needs(found: Graph, data: st.DataObject) -> None:
    label = data.draw(st.sampled_from(found.labels))
    wanted, added = {label}, True
    while added:
        more = {need for each in wanted for need in found.needs(found.node(each))} - wanted
        wanted, added = wanted | more, bool(more)
    assert found.only(label).labels == [each for each in found.labels if each in wanted]
    assert found.only(label).root == found.node(label)


def test_needs_outside_of_a_graph_are_there_already() -> None:
    nodes = (Node("a", NOTHING, Repredict("../elsewhere"), ("gone",)), Node("b", NOTHING, Train(), ("a",)))
    found = Graph("some", nodes)
    assert [found.needs(node) for node in nodes] == [(), ("a",)]
    assert Graph("x", found.placed("deep/er")).node("deep/er/a").work == Repredict("deep/elsewhere")


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [(None, {"k": 3}, ("folds: null", "folds.k: 3")), ({"k": 3}, None, ("folds.k: 3", "folds: null"))],
)
def test_a_block_that_is_null_in_one_recipe_is_told_from_that_of_the_other(
    before: Any, after: Any, told: tuple[str, str], tmp_path: Path
) -> None:
    run = create_run(changed(NOTHING, folds=before), tmp_path / "run")
    with pytest.raises(RunError) as refused:
        check_recipe(run, changed(run.recipe(), folds=after))
    assert re.findall("begun with (.*), but the recipe now says (.*); choose", str(refused.value)) == [told]


def test_values_for_the_ensembles_own_block_are_not_its_members(
    graph: GraphOf, registry: Registry, tmp_path: Path
) -> None:
    graph("ensemble")
    (file := tmp_path / "recipes" / "tried.yaml").write_text(
        "recipe: ensemble.yaml\ngrid: {ensemble.method: [voting, nbest], train.epochs: [1]}\n", "utf-8"
    )
    texts = ["ensemble.method=nbest", "ensemble.weights=[1, 2, 3, 4]", "seed=3"]
    loaded = load(file.with_name("ensemble.yaml"), registry, overrides=texts)
    assert isinstance(loaded, LoadedEnsemble)
    assert (loaded.plan.method, loaded.plan.weights) == ("nbest", (1, 2, 3, 4))
    assert [each.recipe.seed for each in loaded.members.values()] == [3, 3, 3, 3]
    plans = [trial.loaded for trial in plan_study(load_study(file), registry)]
    assert [each.plan.method for each in plans if isinstance(each, LoadedEnsemble)] == ["voting", "nbest"]
    assert {each.recipe.train.epochs for each in plans} == {1}
    plain = load(file.with_name("ensemble.yaml"), registry, overrides=["ensemble.method=null"])
    assert isinstance(plain, LoadedEnsemble)
    assert plain.plan.method == "voting", "as without it"
    with pytest.raises(RecipeError, match=r"--set ensemble\.weights=heavy: ensemble\.weights should be"):
        load(file.with_name("ensemble.yaml"), registry, overrides=["ensemble.weights=heavy"])
