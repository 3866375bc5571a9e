"""A graph of fake trainings in a process of its own: ``python cluster_driver.py FOLDER SECONDS``, on a cluster."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import typer

from qakit.cli.terminal.stops import stops_told
from qakit.graph.execute import Execution
from qakit.graph.nodes import Graph, Node, Train
from qakit.recipe.dump import dump_recipe
from qakit.recipe.model import BackboneSection, DataSection, PluginRef, Recipe, TrainSection
from qakit.runs import Run
from qakit.workflows.launching import executing

FAKE = Path(__file__).parents[1] / "study" / "fake_training.py"


def recipe(**train: Any) -> Recipe:
    """One that nobody trains."""
    return Recipe(
        name="nothing",
        data=DataSection(reader=PluginRef(name="squad")),
        backbone=BackboneSection(source="nowhere"),
        train=TrainSection(**train),
    )


def made(folder: Path, *labels: str, **train: Any) -> Graph:
    """A graph of trainings that need nothing, with its folders."""
    nodes = tuple(Node(label, recipe(**train), Train()) for label in labels)
    for node in nodes:
        run = Run(folder / node.label)
        run.folder.mkdir(parents=True, exist_ok=True)
        run.recipe_file.write_text(dump_recipe(node.recipe), "utf-8")
    return Graph("graph", nodes)


def fake(seconds: float) -> Callable[[Path], Sequence[str]]:
    """The command of a training that takes so long, and no time where it has a checkpoint."""
    # ``sys.argv[1:]`` of the fake training begins with its run.
    code = f"import os, sys; os.environ['FAKE_SECONDS'] = '{seconds}'; exec(open(sys.argv[0]).read())"
    return lambda run: [sys.executable, "-c", f"import sys; sys.argv = ['{FAKE}', sys.argv[1]]; {code}", str(run)]


def meeting(count: int, *, seconds: float) -> Callable[[Path], Sequence[str]]:
    """The same, where the training begins when so many are there."""
    waits = """
import os, pathlib, sys, time
run, until = pathlib.Path(sys.argv[-1]), time.monotonic() + 120
(run / "here").touch()
while len(list(run.parent.glob("*/here"))) < {count}:
    if time.monotonic() > until:
        sys.exit("nobody else is here")
    time.sleep(0.02)
"""
    command = fake(seconds)

    def made(run: Path) -> list[str]:
        python, option, code, folder = command(run)
        return [python, option, waits.replace("{count}", str(count)) + code, folder]

    return made


def main(folder: Path, seconds: float) -> int:
    """Carry out two trainings; the exit code is that of a command."""
    graph = made(folder, "a", "b")
    try:
        with (
            stops_told(lambda: folder),
            executing(None, None, None, lambda event: None, engine="ray") as place,  # type: ignore[arg-type]
        ):
            place.executor.command = fake(seconds)  # type: ignore[attr-defined]
            Execution(graph, folder, place.executor, place.listener, stop=place.stop).run()
    except typer.Exit as end:
        return end.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), float(sys.argv[2])))
