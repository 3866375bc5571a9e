"""A pipeline is packed for Kaggle with all that its stages name, and comes back under the names here."""

from __future__ import annotations

from pathlib import Path

import pytest

from qakit.data.splits import split_files
from qakit.graph.expand import reload_graph
from qakit.recipe.load import dump_recipe
from qakit.registry import load_registry
from qakit.runs import Run
from qakit.sessions import job, there
from qakit.sessions.job import Limits, brought_back, pack
from qakit.training.events import silence
from qakit.workflows.train import plan_training


def made_up_wheel(_recipes: object, folder: Path, _registry: object) -> list[Path]:
    (folder / "qakit-0.whl").write_bytes(b"wheel")
    return [folder / "qakit-0.whl"]


def test_a_pipeline_goes_there_and_comes_back(
    pipeline_recipe: Path, adl_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "make_wheels", made_up_wheel)
    monkeypatch.setattr(job, "THERE", str(tmp_path / "there"))
    registry, packed, run = load_registry(), tmp_path / "packed", tmp_path / "out" / "two"
    graph = plan_training(pipeline_recipe, None, registry=registry).graph
    packing = pack(graph, packed, registry, Limits(None, 1.0, internet=True), silence)
    assert not any(str(adl_data) in text for text in packing.texts.values())

    order = packing.order() | {"session": "s", "follows": None, "name": "two"}
    there._lay_out(order, packed)
    there._begin(order, packed, run)
    begun = reload_graph(run, registry)
    assert begun.labels == graph.labels
    for node in begun.nodes:
        files = [*split_files(node.recipe, "train"), *split_files(node.recipe, "test")]
        assert files
        for file in (*files, Path(node.recipe.backbone.source), files[0].with_name("context.json")):
            assert file.exists()
            assert file.is_relative_to(tmp_path / "there")

    brought_back(run, packing.places)
    for node in graph.nodes:
        assert Run(run / node.label).recipe_file.read_text("utf-8") == dump_recipe(node.recipe)


def test_the_same_training_is_packed_to_the_same_bytes(
    pipeline_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "make_wheels", made_up_wheel)
    registry = load_registry()
    graph = plan_training(pipeline_recipe, None, registry=registry).graph
    limits = Limits(None, 1.0, internet=True)
    first, second = (pack(graph, tmp_path / name, registry, limits, silence) for name in "ab")
    assert first == second
    assert first.key == second.key
