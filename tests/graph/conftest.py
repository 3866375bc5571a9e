"""Recipes of every kind that are never trained, and graphs of nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from folds.conftest import article, write_squad

from qakit.graph.expand import graph_of, load
from qakit.graph.nodes import Graph, share_weights
from qakit.recipe.model import BackboneSection, DataSection, PluginRef, Recipe
from qakit.registry import Registry, load_registry
from qakit.study.load import load_study
from qakit.workflows.study import RUNS, plan_study

NOTHING = Recipe(name="nothing", data=DataSection(reader=PluginRef(name="squad")), backbone=BackboneSection(source="x"))
BASE: dict[str, Any] = {
    "data": {"reader": "squad", "train": "data.json", "validation": "data.json"},
    "backbone": {"source": "nothing"},
    "predict": {"character_scores": True},
}
ADL = BASE | {"data": {"reader": "adl", "train": "adl.json", "validation": "adl.json"}}
FOLDS = {"k": 3}
RATES = {"train.learning_rate": [1e-3, 2e-3]}
KINDS: dict[str, dict[str, Any]] = {
    "plain": BASE,
    "folds": BASE | {"folds": FOLDS},
    "selection": ADL
    | {
        "head": "multiple_choice",
        "metric": "selection",
        "preprocess": {"train": "every_context", "predict": "every_context"},
    },
    "span": ADL | {"metric": "exact_match", "preprocess": {"predict": {"name": "stride", "overlap": 32}}},
    "pipeline": {"stages": {"selection": "selection.yaml", "span": "span.yaml"}, "combine": {"top_k": 2}},
    "ensemble": {
        "ensemble": {
            "method": "char_average",
            "train": {"recipe": "plain.yaml", "grid": RATES | {"preprocess.predict.overlap": [16, 32]}},
        }
    },
    "ensemble-of-folds": {"ensemble": {"method": "char_average", "train": {"recipe": "folds.yaml", "seeds": [1, 2]}}},
    "ensemble-of-pipelines": {
        "ensemble": {
            "method": "nbest",
            "train": {"recipe": "pipeline.yaml", "grid": {"span.preprocess.predict.overlap": [32, 48]}},
        }
    },
    "study": {"recipe": "plain.yaml", "grid": RATES | {"predict.n_best": [5, 6]}},
    "study-of-folds": {"recipe": "folds.yaml", "grid": RATES},
    "study-of-pipelines": {"recipe": "pipeline.yaml", "grid": {"span.preprocess.predict.overlap": [32, 48]}},
}

GraphOf = Callable[..., Graph]


@pytest.fixture(scope="session")
def registry() -> Registry:
    """The installed plugins."""
    return load_registry()


@pytest.fixture
def graph(registry: Registry, tmp_path: Path) -> GraphOf:
    """``graph(kind, **changed)``: of one of :data:`KINDS`, whose recipes lie in ``tmp_path/recipes``.

    ``changed`` are keys of files: ``plain={"seed": 3}``.
    """
    folder = tmp_path / "recipes"
    folder.mkdir()
    write_squad(folder / "data.json", [article(name) for name in ("abbey", "bridge", "castle", "dome")])
    answer = {"text": "Ann", "start": 3}
    question = {"id": "1", "question": "Who?", "paragraphs": [0, 1], "relevant": 0, "answer": answer}
    (folder / "adl.json").write_text(json.dumps([question]), "utf-8")
    (folder / "context.json").write_text('["By Ann.", "No."]', "utf-8")

    def make(kind: str, **changed: dict[str, Any]) -> Graph:
        for name, recipe in KINDS.items():
            text = json.dumps(recipe | changed.get(name.replace("-", "_"), {}))
            (folder / f"{name}.yaml").write_text(text, "utf-8")
        file = folder / f"{kind}.yaml"
        if not kind.startswith("study"):
            return graph_of(load(file, registry))
        trials = plan_study(load_study(file), registry)
        nodes = [node for each in trials for node in graph_of(each.loaded).placed(f"{RUNS}/{each.label}")]
        return Graph(kind, share_weights(nodes))

    return make
