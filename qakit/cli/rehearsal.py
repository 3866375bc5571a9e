"""What a training would be, for ``--dry-run``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from qakit.cli.console import out

if TYPE_CHECKING:
    from qakit.recipe.model import Recipe
    from qakit.registry import Registry
    from qakit.training.prepare import Prepared


def rehearsed(
    recipe: Recipe, registry: Registry, *, quiet: bool, check: Callable[[Prepared], None] = lambda _: None
) -> dict[str, Any]:
    """Prepare a training, let ``check`` look at it, and say what it would be."""
    from qakit.cli.progress import TrainingDisplay
    from qakit.modeling.device import pick_device
    from qakit.modeling.model import parameter_counts, parameters_by_module
    from qakit.training.optim import parameter_groups
    from qakit.training.prepare import prepare_training

    with TrainingDisplay(quiet=quiet) as display:
        prepared = prepare_training(recipe, registry, device=pick_device(), listener=display)
    check(prepared)
    counts = parameter_counts(prepared.assembled.model)
    groups = [
        {
            "group": group["name"],
            "parameters": sum(p.numel() for p in group["params"]),
            "learning_rate": group["peak_rate"],
            "weight_decay": group["weight_decay"],
        }
        for group in parameter_groups(prepared.assembled.model, recipe.train)
    ]
    lengths = prepared.plan.first.windows.lengths
    return {
        "train_examples": len(prepared.train_split.examples),
        "train_windows": len(lengths),
        "window_tokens": {"mean": round(float(lengths.mean()), 1), "max": int(lengths.max())},
        "validation_examples": len(prepared.validation.examples) if prepared.validation else 0,
        "steps": prepared.plan.steps,
        "warmup_steps": prepared.plan.warmup,
        "precision": prepared.precision,
        "parameters": counts,
        "modules": parameters_by_module(prepared.assembled.model),
        "groups": groups,
    }


def show_rehearsal(title: str, summary: Mapping[str, Any]) -> None:
    """The tables of a dry run."""
    from qakit.cli.tables import groups_table, modules_table, pairs_table

    tables = ("parameters", "modules", "groups")
    out.print(pairs_table(title, {key: value for key, value in summary.items() if key not in tables}))
    out.print(modules_table(summary["modules"]))
    out.print(groups_table(summary["groups"]))
