"""``qakit recipes show`` of an ensemble: its members and how they are combined."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qakit.cli.terminal.console import out, plain, print_json


def show_ensemble(path: Path, overrides: Sequence[str], *, as_json: bool) -> None:
    """Print the plan; members that are to be trained with the values in which they differ from their recipe.

    Raises:
        RecipeError: something is wrong with the recipe, or with a member's.
    """
    from qakit.graph.execute import what
    from qakit.graph.expand import LoadedEnsemble, graph_of, load
    from qakit.recipe.dump import recipe_data, yaml_lines
    from qakit.registry import load_registry

    loaded = load(path, load_registry(), overrides=overrides, check_members=False)
    assert isinstance(loaded, LoadedEnsemble)
    plan = loaded.plan
    nodes = graph_of(loaded).nodes[:-1] if loaded.members else ()
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
            {"label": node.label.removeprefix("members/"), "work": what(node), "recipe": recipe_data(node.recipe)}
            for node in nodes
        ]
        print_json({"path": str(path), **shown, "members": trained})
        return
    for _, line in yaml_lines(shown):
        out.print(plain(line))
    for node in nodes:
        out.print(plain(f"# {node.label}: {what(node)}"))
    if plan.train is not None:
        out.print(plain(f"# their recipe: qakit recipes show {plan.train.recipe}"))
