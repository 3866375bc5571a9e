"""A published model without a run, ready to score examples as a run is."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qakit.distributed import ALONE, Workers
from qakit.errors import ModelError
from qakit.inference.evaluation import Judge, fixed_threshold
from qakit.inference.trained import TrainedRun, temperature_of
from qakit.modeling.assemble import Assembled, check_length
from qakit.modeling.device import Precision, keep_freed_memory, pick_device, resolve_precision
from qakit.modeling.folder import load_model, read_layout
from qakit.modeling.question_answering import Published, assemble_published, default_length, read_published
from qakit.modeling.sources import find_source
from qakit.numbers import finite_or_none
from qakit.recipe.load import recipe_of
from qakit.recipe.model import Recipe
from qakit.registry import Registry, load_registry
from qakit.runs import LAYOUT, ModelAlone, Run

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedTokenizerFast

logger = logging.getLogger(__name__)

UNSAID: dict[str, Any] = {
    "data": {"reader": "squad"},
    "train": {"precision": "fp32"},
    "predict": {"aggregation": "max_context"},
}
"""What a model does where nobody says otherwise: it reads SQuAD's format and scores as its authors' library does. A
model folder of ours aggregates windows as a run does by default."""


def load_checkpoint(
    name: str,
    *,
    revision: str | None = None,
    overrides: Sequence[str] = (),
    registry: Registry | None = None,
    device: torch.device | None = None,
    workers: Workers = ALONE,
) -> TrainedRun:
    """Load a checkpoint of ``AutoModelForQuestionAnswering``.

    Args:
        name: a folder in Hugging Face layout, or a model on the hub.
        revision: branch, tag or commit on the hub.
        overrides: ``a.b=value`` texts for the recipe that it is read with: ``predict.no_answer=true``.
        registry: the installed plugins.
        device: where it runs; by default the first GPU if there is one.
        workers: the processes that share the scoring.

    Raises:
        ModelError: it is not found, or is no model that answers questions.
        RecipeError: an override that does not fit.
    """
    registry, device = registry or load_registry(), device or pick_device()
    backbone = {"source": name} | ({} if revision is None else {"revision": revision})
    recipe = recipe_of(UNSAID | {"backbone": backbone}, overrides, registry=registry)
    section = recipe.backbone
    source = find_source(
        section.source, revision=section.revision, with_code=section.trust_remote_code, subject="model"
    )
    if pushed := _pushed_recipe(source.folder):
        recipe = recipe_of(pushed | {"backbone": backbone}, overrides, registry=registry)
        return _pushed(recipe, ModelAlone(Path(name), source.folder), registry, device=device, workers=workers)
    if (source.folder / LAYOUT).is_file():
        own = {key: value for key, value in UNSAID.items() if key != "predict"}
        recipe = recipe_of(own | {"backbone": backbone}, overrides, registry=registry)
        logger.warning(
            "%s holds no recipe, so it answers with the default settings (windows, predict.no_answer, postprocess): "
            "name the run that it comes from to use its own, or give them with --set",
            name,
        )
    published = read_published(source, recipe, device=device)
    run = ModelAlone(Path(name), source.folder)
    return trained_of(published, run, recipe, registry=registry, device=device, workers=workers)


PUSHED = frozenset(("head", "windows", "preprocess", "predict", "postprocess", "metric", "data", "train"))
"""What a model that was pushed says of how it reads: no source, and nothing that may run code."""


def _pushed_recipe(folder: Path) -> dict[str, Any]:
    """How a model that `qakit push` has published reads; empty for others.

    Raises:
        ModelError: it says something else.
    """
    if not (folder / LAYOUT).is_file():
        return {}
    found = read_layout(folder).get("recipe", {})
    if not isinstance(found, dict) or not found.keys() <= PUSHED:
        raise ModelError(f"{folder} is damaged: {LAYOUT}: recipe")
    return found


def _pushed(
    recipe: Recipe, run: ModelAlone, registry: Registry, *, device: torch.device, workers: Workers
) -> TrainedRun:
    """A model with one of our heads, as its training left it."""
    keep_freed_memory()
    assembled = load_model(run.model, recipe, registry, device=device)
    precision = resolve_precision(recipe.train.precision, device, assembled.config.model_type)
    return _answering(run, recipe, registry, assembled, device=device, precision=precision, workers=workers)


def _answering(
    run: ModelAlone,
    recipe: Recipe,
    registry: Registry,
    assembled: Assembled,
    *,
    device: torch.device,
    precision: Precision,
    workers: Workers,
) -> TrainedRun:
    return TrainedRun(
        run=run,
        recipe=recipe,
        registry=registry,
        assembled=assembled,
        judge=Judge.of(recipe, registry),
        null_threshold=_threshold(run, recipe),
        temperature=temperature_of(run),
        device=device,
        precision=precision,
        workers=workers,
    )


def load_objects(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerFast,
    *,
    overrides: Sequence[str] = (),
    registry: Registry | None = None,
    device: torch.device | None = None,
) -> TrainedRun:
    """The same of a model and a tokenizer that are loaded already.

    Raises:
        ModelError: it is no model that answers questions.
        RecipeError: an override that does not fit.
    """
    registry, device = registry or load_registry(), device or pick_device()
    name = str(getattr(model, "name_or_path", "")) or type(model).__name__
    recipe = recipe_of(UNSAID | {"backbone": {"source": name}}, overrides, registry=registry)
    run = ModelAlone(Path(name), Path(name))
    return trained_of(Published(name, model, tokenizer), run, recipe, registry=registry, device=device)


def trained_of(
    published: Published,
    run: ModelAlone,
    recipe: Recipe,
    *,
    registry: Registry,
    device: torch.device,
    workers: Workers = ALONE,
) -> TrainedRun:
    """A published model under a recipe; without a length of the recipe's own, its windows are as long as it reads."""
    keep_freed_memory()
    precision = resolve_precision(recipe.train.precision, device, published.architecture)
    assembled = assemble_published(published, recipe, registry, device=device, precision=precision)
    if "max_length" in recipe.windows.model_fields_set:
        check_length(assembled.model.backbone, recipe.windows.max_length)
    else:
        windows = recipe.windows.model_copy(update={"max_length": default_length(assembled)})
        recipe = recipe.model_copy(update={"windows": windows})
    return _answering(run, recipe, registry, assembled, device=device, precision=precision, workers=workers)


def _threshold(run: Run, recipe: Recipe) -> float:
    """The recipe's no-answer threshold; else what was tuned with an exported model; else 0, the logits as they are."""
    if (fixed := fixed_threshold(recipe)) is not None:
        return fixed
    return finite_or_none(run.read_json(run.decision_file).get("null_threshold")) or 0.0
