"""Which runs a recipe builds on: an edge leads from a run to a training that uses its weights, answers or mistakes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from qakit.recipe.model import BackboneSection, Recipe
from qakit.runs import SEEN
from qakit.system import without_tilde

WEIGHTS, LABELS, NEGATIVES = "backbone.from_run", "pseudo.from_run", "preprocess.train.hard_negatives.from_run"
HARD, FROM_RUN = "hard_negatives", "from_run"
"""How preprocessors call their setting for a run whose mistakes they use."""


def edges_of(recipe: Recipe) -> dict[str, Path]:
    """The runs, files of runs, or weights of runs that a recipe builds on, by the recipe's key."""
    found: dict[str, Path] = {}
    weights = _weights(recipe.backbone)
    if weights is not None:
        found[WEIGHTS if recipe.backbone.from_run is not None else "backbone.source"] = weights
    if recipe.pseudo is not None:
        found[LABELS] = Path(recipe.pseudo.from_run)
    negatives = negatives_from(recipe)
    if negatives is not None:
        found[NEGATIVES] = Path(negatives)
    return found


def negatives_from(recipe: Recipe) -> str | None:
    """The run, or the file, whose mistakes the recipe's training windows use."""
    settings = recipe.preprocess.train.settings.get(HARD)
    path = settings.get(FROM_RUN) if isinstance(settings, Mapping) else None
    return path if isinstance(path, str) else None


def _weights(section: BackboneSection) -> Path | None:
    """The run, or the folder of weights from runs, that a training begins with; None for a backbone from elsewhere."""
    if section.from_run is not None:
        return Path(section.from_run)
    if section.init == "scratch":
        return None
    source = without_tilde(section.source).resolve()
    if (source / SEEN).is_file():
        return source
    return source.parent if source.is_dir() and (source.parent / "recipe.yaml").is_file() else None
