"""The weights of one run under another recipe: what only prediction looks at needs no second training."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import torch

from qakit.data.cache import default_cache
from qakit.data.splits import Split, read_split
from qakit.files import copy_files, replace_folder, write_json
from qakit.inference.evaluation import evaluate, fixed_threshold
from qakit.inference.inputs import Inputs
from qakit.inference.output import save_predictions
from qakit.inference.scoring import characters_of
from qakit.inference.trained import TrainedRun
from qakit.recipe.model import Recipe
from qakit.registry import Registry
from qakit.runs import Run, alone_in, clock_of
from qakit.training.evaluator import decision_of
from qakit.training.events import Listener, Predicting, Preparing
from qakit.training.finish import finish_run


def repredict(
    source: Run, recipe: Recipe, run: Run, registry: Registry, *, listener: Listener, device: torch.device
) -> None:
    """Fill a run with the weights of ``source``, judged on validation and predicted as ``recipe`` says.

    Threshold and temperature are tuned anew. The weights stay those that were best in ``source``'s own evaluations. The
    weight files are hard links where the file system has them, so they take no more room.

    Args:
        source: a finished run whose training is the same as the recipe's.
        run: has its recipe; a finished one stays what it is.

    Raises:
        BusyError: another process is at work there.
    """
    began = time.monotonic()
    with alone_in(run):
        if run.finished:
            return
        _link_model(source, run)
        if source.seen_file.is_file():
            shutil.copyfile(source.seen_file, run.seen_file)
        weights_from = os.path.abspath(source.folder)  # noqa: PTH100 - keeps symbolic links
        write_json(run.meta_file, source.read_json(source.meta_file) | {"weights_from": weights_from})
        trained = TrainedRun.load(run.folder, registry=registry, device=device)
        split = read_split(recipe, registry, "validation")
        if split is not None:
            listener(Preparing("predicting the validation file"))
            _judge(trained, run, split, listener)
        del trained
        seconds = time.monotonic() - began
        finish_run(run, registry, seconds=seconds, listener=listener, device=device, more=clock_of([source]))


def _judge(trained: TrainedRun, run: Run, split: Split, listener: Listener) -> None:
    recipe = trained.recipe
    prepared, scores = trained.score(
        split.examples, cache=default_cache(), progress=lambda done, total: listener(Predicting(done, total))
    )
    evaluation = evaluate(prepared, scores, trained.judge, null_threshold=fixed_threshold(recipe), temperature=None)
    save_predictions(
        run.validation_predictions,
        evaluation.predictions,
        recipe,
        run=run.name,
        inputs=Inputs.of(split),
        characters=characters_of(prepared, scores),
    )
    decision = run.read_json(run.decision_file) | decision_of(evaluation)
    decision.pop("soup", None)  # what a soup was worth, it was worth as the source predicts
    write_json(run.decision_file, decision)


def _link_model(source: Run, run: Run) -> None:
    with replace_folder(run.model) as temporary:
        copy_files(source.model, temporary, _link_or_copy)


def _link_or_copy(file: Path, target: Path) -> None:
    try:
        os.link(file, target)
    except OSError:
        shutil.copyfile(file, target)
