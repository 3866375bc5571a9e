"""A training for Colab: a folder for Drive, which holds all that it needs and will hold the run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qakit.files import replace_folder, write_json
from qakit.outputs import check_empty
from qakit.sessions.job import Limits, pack
from qakit.sessions.notebook import colab_notebook

if TYPE_CHECKING:
    from qakit.graph.nodes import Graph
    from qakit.registry import Registry
    from qakit.training.events import Listener


def export_colab(graph: Graph, folder: Path, registry: Registry, listener: Listener) -> Path:
    """Write wheels, data and a notebook; returns the notebook.

    Raises:
        QakitError: the folder exists and is not empty, or what can be known before a training is wrong.
    """
    check_empty(folder)
    name = graph.recipe.name or "run"
    with replace_folder(folder) as fresh:
        job = pack(graph, fresh, registry, Limits(None, 0.0, internet=True), listener, competitions=False)
        write_json(fresh / f"{name}.ipynb", colab_notebook(name, job))
    return folder / f"{name}.ipynb"
