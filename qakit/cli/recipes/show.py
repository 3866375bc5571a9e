"""``qakit recipes show``: every value of a recipe, and where it came from; of an ensemble, how members are combined."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qakit.cli.terminal.console import out, plain, print_json, print_warning
from qakit.names import quoted
from qakit.recipe.nodes import DEFAULT, Origin

if TYPE_CHECKING:
    from rich.text import Text

    from qakit.recipe.load import LoadedRecipe


COMMENT_COLUMN = 64
"""Comments start no further right than this."""


def show_recipe(path: Path, overrides: Sequence[str], *, as_json: bool) -> None:
    """Print a recipe with the origin of each value.

    Raises:
        RecipeError: something is wrong with the recipe.
    """
    from qakit.recipe.load import load_recipe, recipe_hash

    loaded = load_recipe(path, overrides)
    if as_json:
        print_json(
            {
                "path": str(loaded.path),
                "extends": [str(path) for path in loaded.extends],
                "hash": recipe_hash(loaded.recipe),
                "recipe": loaded.recipe.model_dump(mode="json"),
                "provenance": {key: str(origin) for key, origin in loaded.provenance.items()},
            }
        )
        return
    for line in _annotated(loaded):
        out.print(line)
    if loaded.recipe.backbone.trust_remote_code:
        print_warning(
            f"backbone.trust_remote_code is on: training this recipe runs Python code of "
            f"{loaded.recipe.backbone.source!r} on this machine"
        )


def show_pipeline(path: Path, overrides: Sequence[str], *, as_json: bool) -> None:
    """Print a pipeline with the origin of each value, and then the recipes of its stages.

    Raises:
        RecipeError: something is wrong with the pipeline, or with a stage's recipe.
    """
    from qakit.recipe.dump import recipe_data
    from qakit.stages.load import load_pipeline

    loaded = load_pipeline(path, overrides)
    own = loaded.pipeline.model_dump(mode="json", exclude_none=True)
    if as_json:
        stages = {
            name: {
                "path": str(stage.loaded.path),
                "from_run": None if stage.run is None else str(stage.run),
                "recipe": recipe_data(stage.recipe),
            }
            for name, stage in loaded.stages.items()
        }
        whole = recipe_data(loaded.whole)
        provenance = {key: str(origin) for key, origin in loaded.provenance.items()}
        print_json(
            {
                "path": str(loaded.path),
                "extends": [str(path) for path in loaded.extends],
                "pipeline": own,
                "stages": stages,
                "whole": whole,
                "provenance": provenance,
            }
        )
        return
    for line in _annotated_lines(own, loaded.provenance):
        out.print(line)
    for name, stage in loaded.stages.items():
        out.print()
        out.print(plain(f"# stage {name}: {stage.run or stage.loaded.path}", "bold"))
        for line in _annotated(stage.loaded):
            out.print(line)


def _annotated(loaded: LoadedRecipe) -> Iterator[Text]:
    """A recipe's lines of YAML with the origin of their values as aligned comments."""
    from qakit.recipe.dump import recipe_data

    return _annotated_lines(recipe_data(loaded.recipe), loaded.provenance)


def _annotated_lines(data: dict[str, Any], provenance: Mapping[str, Origin]) -> Iterator[Text]:
    from rich.cells import cell_len

    from qakit.recipe.dump import yaml_lines

    lines = [
        (line, provenance.get(".".join(at), DEFAULT) if not line.endswith(":") else None)
        for at, line in yaml_lines(data)
    ]
    widths = [cell_len(line) for line, origin in lines if origin is not None]
    column = max((width for width in widths if width < COMMENT_COLUMN), default=0) + 2
    for line, origin in lines:
        key, colon, value = line.partition(": ") if ": " in line else (line, "", "")
        text = plain(key, "cyan" if colon or line.endswith(":") else "") + plain(colon + value)
        if origin is not None:
            text.append(" " * max(2, column - cell_len(line)))
            text.append_text(plain(f"# {origin}", "dim"))
        yield text


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
        out.print(plain(f"# their recipe: qakit recipes show {quoted(plan.train.recipe)}"))
