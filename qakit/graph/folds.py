"""Cross-validation as a graph: one training for each fold, and their join.

::

    runs/NAME-TIME/
      folds.json         k, group_by, seed ...; the training files with their SHA-256; questions and groups of each fold
      recipe.yaml        the recipe, with its block `folds`
      fold-1/ ...        the folds' own run folders, each judged on the part that it did not see
      meta.json          as in every run
      metrics.json       one score with its spread, once all folds are trained; folds.png: the same, drawn
      predictions/validation/    the out-of-fold predictions of all training examples, and their character scores where
                         the recipe keeps them
      predictions/       the joint answer of the folds' models to the test file, the submission, and likewise their mean
                         character scores
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qakit.data.folds import Assignment
from qakit.data.splits import Split, part_of, read_folds
from qakit.errors import RunError
from qakit.files import json_text
from qakit.graph.nodes import Graph, Joined, Node, Train
from qakit.inference.inputs import Inputs
from qakit.numbers import load_json
from qakit.recipe.model import Recipe
from qakit.recipe.staged import SPLIT_FIELDS
from qakit.registry import Registry
from qakit.runs import FOLDS, Run
from qakit.training.events import Listener, Remark


def folds_graph(recipe: Recipe) -> Graph:
    """A training for each fold, and their join.

    Raises:
        RunError: a run that the recipe builds on has folds itself, and not all of them are trained.
    """
    assert recipe.folds is not None
    parts = [Node(f"fold-{number}", fold_recipe(recipe, number), Train()) for number in range(1, recipe.folds.k + 1)]
    root = Node("", recipe, OutOfFold(recipe), tuple(node.label for node in parts))
    return Graph(recipe.name or "run", (*parts, root))


def fold_recipe(recipe: Recipe, fold: int) -> Recipe:
    """The recipe of a fold, counted from 1.

    Where it builds on a run that has folds itself, it takes that run's model of the same fold: the one that did not see
    the part that this fold is judged on.

    Raises:
        RunError: that run is not where the recipe says, or has not trained this fold.
    """
    from qakit.training.lineage import FROM_RUN, HARD, LABELS, NEGATIVES, WEIGHTS, negatives_from

    assert recipe.folds is not None
    backbone, pseudo, train = recipe.backbone, recipe.pseudo, recipe.preprocess.train
    if backbone.from_run is not None:
        path = _of_fold(WEIGHTS, backbone.from_run, fold)
        backbone = backbone.model_copy(update={"from_run": path, "source": f"{path}/model"})
    if pseudo is not None:
        pseudo = pseudo.model_copy(update={"from_run": _of_fold(LABELS, pseudo.from_run, fold)})
    negatives = negatives_from(recipe)
    if negatives is not None:
        train = train.model_copy(
            update={HARD: {**train.settings[HARD], FROM_RUN: _of_fold(NEGATIVES, negatives, fold)}}
        )
    return recipe.model_copy(
        update={
            "name": f"{recipe.name or 'run'}-fold-{fold}",
            "folds": recipe.folds.model_copy(update={"fold": fold}),
            "data": recipe.data.model_copy(update={"validation": None, "validation_limit": None}),
            "backbone": backbone,
            "pseudo": pseudo,
            "preprocess": recipe.preprocess.model_copy(update={"train": train}),
        }
    )


def _of_fold(key: str, path: str, fold: int) -> str:
    run = Run(Path(path))
    if not run.folder.exists():
        raise RunError(f"{key}: {path} is not there: put it back where it was")
    if not run.is_folds:
        return path
    own = run.fold(fold)
    if not own.finished:
        raise RunError(f"{key}: {run.folder} has not trained its fold {fold} yet, from which fold {fold} would begin")
    return str(own.folder)


@dataclass(frozen=True, slots=True)
class OutOfFold:
    """Each example answered by the model that did not see it; the test file by all models."""

    recipe: Recipe

    def prepare(self, graph: Graph, label: str, registry: Registry, listener: Listener) -> Mapping[str, str]:
        """Read the examples and their folds, and try to combine answers as ``folds.combine`` says."""
        from qakit.folds import check_combining

        if self.recipe.data.validation is not None:
            listener(Remark("data.validation is left alone: each fold is judged on its own part of data.train"))
        split, assignment = read_folds(self.recipe, registry)
        node = graph.node(label)
        first = graph.node(node.needs[0]).recipe
        check_combining(self.recipe, registry, split, first=first)
        self._check_origins(registry, graph, node, split, assignment, listener)
        return {FOLDS: json_text(self._described(split, assignment))}

    def check_same(self, run: Run, files: Mapping[str, str]) -> None:
        """The training files, and with them the folds, are those of before."""
        if run.read_json(run.folds_file) != load_json(files[FOLDS]):
            raise RunError(f"{run.folder} was begun with other training files, so the folds are others now: begin anew")

    def finish(self, run: Run, registry: Registry, listener: Listener) -> Joined:
        """Out-of-fold predictions, one score with its spread, one answer to the test file."""
        from qakit.folds import finish_folds

        finish_folds(run, registry, *read_folds(self.recipe, registry), listener)
        return Joined()

    def dry_run(self, registry: Registry) -> Mapping[str, Any]:
        """The sizes of the folds."""
        assert self.recipe.folds is not None
        return {"folds": read_folds(self.recipe, registry)[1].sizes(self.recipe.folds.k)}

    def _described(self, split: Split, assignment: Assignment) -> Mapping[str, Any]:
        """What folds.json holds."""
        assert self.recipe.folds is not None
        section = self.recipe.folds.model_dump(mode="json", include=set(SPLIT_FIELDS))
        return section | Inputs.of(split).as_json("files") | {"folds": assignment.sizes(self.recipe.folds.k)}

    def _check_origins(
        self, registry: Registry, graph: Graph, node: Node, split: Split, assignment: Assignment, listener: Listener
    ) -> None:
        """What is wrong with a run that the last fold would begin with is known before the first one is trained."""
        from qakit.modeling.start import check_start
        from qakit.training.lineage import edges_of, trace

        if not edges_of(self.recipe):
            return
        for number, label in enumerate(node.needs, start=1):
            own = graph.node(label).recipe
            listener(Remark(f"checking what fold {number} builds on"))
            check_start(own.backbone)
            train = part_of(own, split, assignment, "train", fold=number)
            validation = part_of(own, split, assignment, "validation", fold=number)
            trace(own, registry, train.examples, validation.examples)
