"""Beginning with another run's weights: its encoder is the backbone's source, its head comes along where it fits."""

from __future__ import annotations

from pathlib import Path

from qakit.errors import RunError
from qakit.modeling.adapter_file import read_weights
from qakit.modeling.assemble import Assembled
from qakit.modeling.folder import WEIGHTS, read_layout
from qakit.recipe.model import BackboneSection, Recipe
from qakit.runs import Run, not_one_model, open_run


def check_start(section: BackboneSection) -> None:
    """Make sure that ``backbone.from_run``, if there is one, is a run with whole weights.

    Raises:
        RunError: it is not.
    """
    if section.from_run is None:
        return
    run = open_run(section.from_run)
    if why := not_one_model(run):
        raise RunError(f"backbone.from_run: {why}")
    if run.is_composed:
        raise RunError(f"backbone.from_run: {run.folder} is made of several models: name the run of one of them")
    if not run.model.is_dir():
        raise RunError(f"backbone.from_run: {run.folder} has no trained model yet")
    if read_layout(run.model).get("weights") == "adapter":
        raise RunError(
            f"backbone.from_run: {run.folder} keeps only what it trained (train.keep: adapter); make a whole model "
            f"with `qakit export {run.folder} --merge --output FOLDER` and name that as backbone.source"
        )


def take_head(assembled: Assembled, recipe: Recipe) -> str:
    """Fill the head with the weights of ``backbone.from_run`` where it is the same head; says what was taken.

    Raises:
        RunError: the run is damaged.
    """
    assert recipe.backbone.from_run is not None
    run, head, again = Run(Path(recipe.backbone.from_run)), assembled.model.head, recipe.backbone.reinit_layers
    but = f", but for the top {again} of its layers, which are fresh (backbone.reinit_layers)" if again else ""
    why = _why_not(run, recipe, assembled)
    if not why:
        weights, names = read_weights(run.model / WEIGHTS), read_layout(run.model).get("head_names", {})
        found = {own: weights[stored] for own, stored in names.items() if stored in weights}
        wanted = head.state_dict()
        if {own: value.shape for own, value in found.items()} == {own: value.shape for own, value in wanted.items()}:
            head.load_state_dict(found)
            return f"begins with the encoder and the head of {run.folder}{but}"
        why = "its weights have other shapes"
    return f"begins with the encoder of {run.folder}{but}; the head is fresh: {why}"


def _why_not(run: Run, recipe: Recipe, assembled: Assembled) -> str:
    """Why the run's head cannot be taken; empty if it may be."""
    theirs = run.recipe().head
    if theirs.name != recipe.head.name:
        return f"that run's is {theirs.name}"
    if theirs != recipe.head:
        return "its settings are others"
    if tuple(read_layout(run.model).get("classes", ())) != assembled.classes:
        return "its classes are others"
    return ""
