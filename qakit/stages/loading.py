"""A name -> what answers questions: a run, a pipeline of two, or a model without a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qakit.distributed import ALONE, Workers
from qakit.errors import RunError, UsageError
from qakit.inference.answering import Answering
from qakit.inference.checkpoint import load_checkpoint, load_objects
from qakit.inference.question_answering import Parameters, QuestionAnsweringPipeline
from qakit.inference.questions import positive
from qakit.inference.trained import TrainedRun
from qakit.registry import Registry
from qakit.runs import Run, not_one_model
from qakit.stages.folder import is_pipeline_folder
from qakit.stages.trained import TrainedPipeline

if TYPE_CHECKING:
    import torch


def load_trained(
    name: str | PathLike[str],
    *,
    revision: str | None = None,
    overrides: Sequence[str] = (),
    registry: Registry | None = None,
    device: torch.device | None = None,
    workers: Workers = ALONE,
) -> Answering:
    """The best weights of a run, or of both stages of a pipeline; or a model of ``AutoModelForQuestionAnswering``.

    Args:
        name: a run's folder, a folder in Hugging Face layout, or a model on the hub. A folder that is there is meant.
        revision: of a model on the hub.
        overrides: ``a.b=value`` texts for a model without a run, which has no recipe of its own.
        registry: the installed plugins.
        device: where it runs; by default the first GPU if there is one.
        workers: the processes that share the scoring.

    Raises:
        RunError: the folder is none of these, or has no trained model.
        ModelError: no model of that name that answers questions.
        UsageError: a revision or overrides for a run.
        RecipeError: an override that does not fit.
    """
    folder = Path(name)
    if is_model_alone(name):
        return load_checkpoint(
            str(name), revision=revision, overrides=overrides, registry=registry, device=device, workers=workers
        )
    if revision is not None or overrides:
        given = "a revision is" if revision is not None else "--reader, --metric and --set are"
        raise UsageError(f"{folder} has a recipe that says how it reads and answers: {given} for a model without a run")
    if why := not_one_model(Run(folder)):
        raise RunError(why)
    if is_pipeline_folder(folder):
        return TrainedPipeline.load(folder, registry=registry, device=device, workers=workers)
    return TrainedRun.load(folder, registry=registry, device=device, workers=workers)


TASK = "question-answering"
DEFAULT_MODEL = "distilbert/distilbert-base-cased-distilled-squad"
"""What transformers' pipeline took where no model was named."""


def load_pipeline(
    task: str | None,
    model: Any,
    tokenizer: Any,
    *,
    revision: str | None,
    device: int | str | torch.device | None,
    dtype: str | torch.dtype | None,
    batch_size: int | None,
    trust_remote_code: bool,
    arguments: Mapping[str, object],
) -> QuestionAnsweringPipeline:
    """See :func:`qakit.pipeline`."""
    if task not in (None, TASK):
        raise UsageError(f"qakit has no pipeline for {task!r}, only {TASK!r}")
    parameters = Parameters().given(arguments)
    overrides = [f"train.precision={_precision(dtype)}"] if dtype is not None else []
    if batch_size is not None:
        overrides.append(f"predict.batch_size={positive(batch_size, 'batch_size')}")
    if trust_remote_code:
        overrides.append("backbone.trust_remote_code=true")
    chosen = _device(device)
    if not isinstance(model, str | PathLike | None):
        if tokenizer is None or isinstance(tokenizer, str | PathLike):
            raise UsageError("a model object needs its tokenizer object beside it: tokenizer=...")
        return QuestionAnsweringPipeline(load_objects(model, tokenizer, overrides=overrides, device=chosen), parameters)
    if isinstance(tokenizer, str | PathLike):
        overrides.append(f"backbone.tokenizer={tokenizer}")
    elif tokenizer is not None:
        raise UsageError("a tokenizer object goes with a model object; with a model's name, give the tokenizer's name")
    trained = load_trained(model or DEFAULT_MODEL, revision=revision, overrides=overrides, device=chosen)
    return QuestionAnsweringPipeline(trained, parameters)


def _device(given: int | str | torch.device | None) -> torch.device | None:
    """A device as pipelines took it: a number for a GPU, -1 for the CPU."""
    import torch

    if given is None or isinstance(given, torch.device):
        return given
    try:
        if isinstance(given, bool):
            raise TypeError
        found = torch.device(given if isinstance(given, str) else "cpu" if given < 0 else f"cuda:{given}")
        torch.zeros(0, device=found)
        return found
    except (RuntimeError, TypeError, AssertionError) as error:  # the last: PyTorch without CUDA
        gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
        here = ["'cpu'", *(f"'cuda:{number}'" for number in range(gpus))]
        raise UsageError(f"device is {given!r}; here it must be {' or '.join(here)}") from error


def _precision(given: object) -> str:
    """A dtype as pipelines took it."""
    precisions = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16", "auto": "fp32"}
    name = str(given).removeprefix("torch.")
    if name not in precisions:
        raise UsageError(f"dtype is {given!r}; it must be float32, bfloat16 or float16")
    return precisions[name]


def is_model_alone(name: str | PathLike[str]) -> bool:
    """Whether it means a model without a run: a folder with a configuration and no recipe, or a name for the hub.

    A path below a folder that is there, ``runs/NAME``, means a run also where that is missing.
    """
    path = Path(name)
    if path.is_dir():
        return (path / "config.json").is_file() and not Run(path).recipe_file.is_file()
    if path.is_absolute() or path.exists() or str(name).startswith((".", "~")) or len(path.parts) > 2:
        return False
    return len(path.parts) == 1 or not Path(path.parts[0]).is_dir()
