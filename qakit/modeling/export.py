"""A run's weights in a folder of their own: merged for use elsewhere, or only what was trained."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch

from qakit.files import copy_files, replace_folder
from qakit.modeling.adapter_file import ADAPTER
from qakit.modeling.assemble import Assembled
from qakit.modeling.folder import load_adapted, merging, read_layout, refuse_graph, save_model
from qakit.outputs import check_empty
from qakit.protocols import ExportsAdapter
from qakit.registry import Registry
from qakit.runs import SEEN, Run

CPU = torch.device("cpu")


def export_merged(run: Run, registry: Registry, folder: Path) -> None:
    """Write the model with plain weights, the adapter's changes added to them, and what the run was trained on.

    Raises:
        RunError: the folder exists and is not empty, or the run has no model.
        UsageError: the adapter cannot be merged.
        ModelError: the run keeps only the adapter, and its backbone is no longer there.
    """
    check_empty(folder)
    refuse_graph(run.model)
    adapter_only = read_layout(run.model).get("weights") == "adapter"
    with replace_folder(folder) as fresh:
        if adapter_only:
            recipe = run.recipe()
            assembled = load_adapted(run.model, recipe, registry, device=CPU)
            merging(assembled.adapter, "only `qakit export --adapter-only` and the run itself hold this model")
            decision = run.read_json(run.decision_file)
            save_model(assembled, fresh, decision=decision, backbone=recipe.backbone)
        else:
            copy_files(run.model, fresh)
        (fresh / ADAPTER).unlink(missing_ok=True)
        _copy_seen(run, fresh)


def export_adapter(run: Run, registry: Registry, folder: Path) -> None:
    """Write a run with only what was trained: ``recipe.yaml`` and ``model/``, which predict with the backbone's source.

    Where the adapter can, it also writes its weights as other software reads them, into a folder of its own name.

    Raises:
        RunError: the folder exists and is not empty, or the run has no model, or one from scratch.
        ModelError: its backbone is no longer there, or is another one.
    """
    check_empty(folder)
    refuse_graph(run.model)
    recipe = run.recipe()
    assembled = load_adapted(run.model, recipe, registry, device=CPU)
    with replace_folder(folder) as fresh:
        shutil.copyfile(run.recipe_file, fresh / "recipe.yaml")
        _copy_seen(run, fresh)
        decision = run.read_json(run.decision_file)
        save_model(assembled, fresh / "model", decision=decision, keep="adapter", backbone=recipe.backbone)
        if isinstance(assembled.adapter, ExportsAdapter):
            own = fresh / recipe.adapter.name
            own.mkdir()
            assembled.adapter.export(assembled.model.backbone, own, source=recipe.backbone.source)


def export_graph(run: Run, assembled: Assembled, folder: Path, *, int8: bool) -> None:
    """Write a run whose encoder is an ONNX graph into an empty folder.

    Args:
        assembled: the run's model on the CPU, its adapter merged.
        int8: with 8-bit weights.

    Raises:
        UsageError: the adapter cannot be merged.
        ModelError: the architecture cannot be exported.
    """
    merging(assembled.adapter, "an encoder with it has no graph")
    shutil.copyfile(run.recipe_file, folder / "recipe.yaml")
    _copy_seen(run, folder)
    decision = run.read_json(run.decision_file)
    save_model(assembled, folder / "model", decision=decision, keep="onnx-int8" if int8 else "onnx")


def _copy_seen(run: Run, folder: Path) -> None:
    """The weights' lineage goes with them: a training that begins with them may not be judged on what they know."""
    for file in (run.model / SEEN, run.seen_file):
        if file.is_file():
            shutil.copyfile(file, folder / SEEN)
