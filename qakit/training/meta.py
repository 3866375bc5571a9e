"""What a run's meta.json says of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qakit.data.splits import SplitName, split_sources
from qakit.inference.output import inputs_of
from qakit.modeling.model import parameters_by_module
from qakit.recipe.hub_data import is_on_hub
from qakit.recipe.model import Recipe
from qakit.registry import Registry
from qakit.runs import environment
from qakit.training.prepare import Prepared


def describe(
    prepared: Prepared, registry: Registry, counts: Mapping[str, Mapping[str, int]], digest: str
) -> dict[str, Any]:
    """A run's meta.json."""
    pseudo = prepared.pseudo_split
    splits = [split for split in (prepared.train_split, pseudo, prepared.validation_split) if split is not None]
    counted = {split.name: len(split.examples) for split in splits}
    if pseudo is not None:  # each split with its own
        counted[prepared.train_split.name] -= len(pseudo.examples)
    return environment() | {
        "recipe_sha256": digest,
        "seed": prepared.recipe.seed,
        "trust_remote_code": prepared.recipe.backbone.trust_remote_code,
        "plugins": plugins_of(prepared.recipe, registry),
        "data": {
            split.name: {
                "files": inputs_of(split.files),
                **_from_hub(prepared.recipe, split.name),
                "examples": counted[split.name],
                "problems": {
                    f"{kind}, {outcome}": count
                    for problems in split.problems
                    for (kind, outcome), count in sorted(problems.counts.items())
                },
            }
            for split in splits
        },
        "builds_on": dict(prepared.lineage.edges),
        "parameters": counts,
        "modules": parameters_by_module(prepared.assembled.model),
        "steps": prepared.plan.steps,
        "windows": len(prepared.plan.first.windows),
        "precision": prepared.precision,
        "unused_weights": list(prepared.assembled.unexpected),
        "fresh_weights": list(prepared.assembled.fresh),
    }


def _from_hub(recipe: Recipe, name: str) -> dict[str, list[str]]:
    """Which datasets on the hub, at which commits, the files of a split come from; empty for local ones."""
    named: dict[str, SplitName] = {"train": "train", "validation": "validation"}  # pseudo-labels' is another block's
    sources = (
        [str(source) for source in split_sources(recipe, named[name]) if is_on_hub(source)] if name in named else []
    )
    return {"hub": sources} if sources else {}


def plugins_of(recipe: Recipe, registry: Registry) -> dict[str, str]:
    """Which plugin, of which version, stands behind each block of the recipe."""
    blocks = {
        "data.reader": ("readers", recipe.data.reader),
        "preprocess.train": ("preprocessors", recipe.preprocess.train),
        "preprocess.predict": ("preprocessors", recipe.preprocess.predict),
        "adapter": ("adapters", recipe.adapter),
        "head": ("heads", recipe.head),
        "metric": ("metrics", recipe.metric),
        "writer": ("writers", recipe.writer),
    } | {f"postprocess.{index}": ("postprocessors", ref) for index, ref in enumerate(recipe.postprocess)}
    found = {place: (ref.name, registry.get(kind, ref.name)) for place, (kind, ref) in blocks.items()}  # type: ignore[arg-type]
    return {place: f"{name} of {entry.plugin} {entry.version}" for place, (name, entry) in found.items()}
