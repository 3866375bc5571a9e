"""``qakit recipes show`` of an ensemble: its members and how they are combined."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qakit.cli.console import out, plain, print_json


def show_ensemble(path: Path, overrides: Sequence[str], *, as_json: bool) -> None:
    """Print the plan; members that are to be trained with the values in which they differ from their recipe.

    Raises:
        RecipeError: something is wrong with the recipe, or with a member's.
    """
    from qakit.ensembling.load import load_ensemble
    from qakit.recipe.dump import recipe_data, yaml_lines
    from qakit.registry import load_registry
    from qakit.study.members import plan_members

    registry = load_registry()
    plan = load_ensemble(path, registry, check_members=False)
    members = plan_members(plan, path, registry, overrides=overrides)
    weights = "equal" if plan.weights is None else plan.weights if plan.weights == "learn" else list(plan.weights)
    shown = {
        "name": plan.name,
        "description": plan.description,
        "ensemble": {
            "members": [str(each) for each in plan.members],
            "train": None if plan.train is None else plan.train.model_dump(mode="json"),
            "method": {"name": plan.method, **plan.settings},
            "weights": weights,
            "seed": plan.seed,
        },
    }
    if as_json:
        trained = [
            {"label": each.label, "weights_of": each.like or each.label, "recipe": recipe_data(each.recipe)}
            for each in members
        ]
        print_json({"path": str(path), **shown, "members": trained})
        return
    for _, line in yaml_lines(shown):
        out.print(plain(line))
    for each in members:
        what = f"predicts with the weights of {each.like}" if each.like else "is trained"
        out.print(plain(f"# member {each.label}: {what}"))
    if plan.train is not None:
        out.print(plain(f"# their recipe: qakit recipes show {plan.train.recipe}"))
