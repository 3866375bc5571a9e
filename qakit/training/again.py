"""The weights of one run under another recipe: what only prediction looks at needs no second training."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import torch

from qakit.data.cache import default_cache
from qakit.data.splits import read_split
from qakit.files import copy_files, replace_folder, write_json
from qakit.inference.evaluation import evaluate, fixed_threshold
from qakit.inference.output import inputs_of, save_predictions
from qakit.inference.scoring import characters_of
from qakit.inference.trained import TrainedRun
from qakit.recipe.model import Recipe
from qakit.registry import Registry
from qakit.runs import Run, alone_in, create_run
from qakit.training.evaluator import decision_of
from qakit.training.events import Listener, Predicting, Preparing
from qakit.training.finish import Finished, finish_run


def predict_again(
    source: Run, recipe: Recipe, folder: Path, registry: Registry, *, listener: Listener, device: torch.device
) -> Finished:
    """A run of its own with the weights of ``source``, judged on validation and predicted as ``recipe`` says.

    Threshold and temperature are tuned anew. The weights stay those that were best in ``source``'s own evaluations. The
    weight files are hard links where the file system has them, so they take no more room.

    Args:
        source: a finished run whose training is the same as the recipe's.
        folder: a new one, or one in which this was interrupted.
    """
    began = time.monotonic()
    run = Run(folder) if Run(folder).recipe_file.is_file() else create_run(recipe, folder)
    with alone_in(run):
        _link_model(source, run)
        if source.seen_file.is_file():
            shutil.copyfile(source.seen_file, run.seen_file)
        write_json(run.meta_file, source.read_json(source.meta_file) | {"weights_from": str(source.folder.absolute())})
        trained = TrainedRun.load(folder, registry=registry, device=device)
        listener(Preparing("predicting the validation file"))
        split = read_split(recipe, registry, "validation")
        assert split is not None  # members of an ensemble have one
        prepared, scores = trained.score(
            split.examples, cache=default_cache(), progress=lambda done, total: listener(Predicting(done, total))
        )
        evaluation = evaluate(prepared, scores, trained.judge, null_threshold=fixed_threshold(recipe), temperature=None)
        save_predictions(
            run.validation_predictions,
            evaluation.predictions,
            recipe,
            run=run.name,
            inputs=inputs_of(split.files),
            characters=characters_of(prepared, scores),
        )
        decision = run.read_json(run.decision_file) | decision_of(evaluation)
        decision.pop("soup", None)  # what a soup was worth, it was worth as the source predicts
        write_json(run.decision_file, decision)
        del trained, prepared, scores
        finished = finish_run(run, registry, seconds=time.monotonic() - began, listener=listener, device=device)
    assert finished is not None  # there is one process
    return finished


def _link_model(source: Run, run: Run) -> None:
    with replace_folder(run.model) as temporary:
        copy_files(source.model, temporary, _link_or_copy)


def _link_or_copy(file: Path, target: Path) -> None:
    try:
        os.link(file, target)
    except OSError:
        shutil.copyfile(file, target)
