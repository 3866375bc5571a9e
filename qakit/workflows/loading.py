"""A name -> what answers questions: a run of any kind, or a model without a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qakit.data.splits import CONTEXTS
from qakit.distributed import ALONE, Workers
from qakit.ensembling.answering import Say, TrainedEnsemble
from qakit.ensembling.folder import open_stored
from qakit.errors import UsageError
from qakit.folds import open_together
from qakit.inference.answering import Answering
from qakit.inference.checkpoint import load_checkpoint, load_objects
from qakit.inference.question_answering import Parameters, QuestionAnsweringPipeline
from qakit.inference.questions import positive
from qakit.inference.trained import TrainedRun
from qakit.recipe.overrides import key_path
from qakit.registry import Registry, load_registry
from qakit.runs import MEMBERS_FILE, Run, is_model_alone, nested, not_finished, open_run
from qakit.runs.plugins import other_versions
from qakit.stages.load import changed_stages, is_pipeline_folder, unfinished
from qakit.stages.trained import COMBINE_BLOCK, TrainedPipeline, recipes_under

if TYPE_CHECKING:
    import torch

THRESHOLD = ("predict", "null_threshold")
"""Of an ensemble that of the whole: its members have thresholds on scales of their own."""


def _silence(_: str) -> None:
    """Nobody listens."""


def load_trained(
    name: str | PathLike[str],
    *,
    revision: str | None = None,
    overrides: Sequence[str] = (),
    registry: Registry | None = None,
    device: torch.device | None = None,
    workers: Workers = ALONE,
    keep: bool = False,
    say: Say = _silence,
    warn: Say = _silence,
    within: tuple[Path, ...] = (),
    only_answers: bool = False,
) -> Answering:
    """The best weights of a run, of both stages of a pipeline, or of all members of an ensemble or of folds; or a model
    of ``AutoModelForQuestionAnswering``.

    Args:
        name: a run's folder, a folder in Hugging Face layout, or a model on the hub. A folder that is there is meant.
        revision: of a model on the hub.
        overrides: ``a.b=value`` texts: of a run for what prediction looks at; of a model without a run for any value of
            the recipe that it is read with.
        registry: the installed plugins.
        device: where it runs; by default the first GPU if there is one.
        workers: the processes that share the scoring.
        keep: have all members in memory at once; else each is loaded when its turn comes, and again the next time.
        say: called with the member at work.
        warn: called with trainings that are not finished, members that an ensemble was not made of, and stages that a
            pipeline was not tuned with.
        within: the ensembles and folds of which this is a member, outermost first.
        only_answers: of a run of one model, leave out what reads files and judges answers.

    Raises:
        RunError: the folder is none of these, or has no trained model; or a member is none.
        ModelError: no model of that name that answers questions.
        UsageError: a revision for a run, or an override that takes another training.
        RecipeError: an override that does not fit.
    """
    folder = Path(name)
    if is_model_alone(name):
        return load_checkpoint(
            str(name), revision=revision, overrides=overrides, registry=registry, device=device, workers=workers
        )
    if revision is not None:
        raise UsageError(f"{folder} is a run, whose weights are in its folder: a revision is for a model on the hub")
    registry = registry or load_registry()
    for notice in other_versions(Run(folder).read_json(Run(folder).meta_file), registry):
        warn(f"{folder} was {notice}")
    if (folder / MEMBERS_FILE).is_file() and not Run(folder).has_members:
        raise not_finished(Run(folder))
    incomplete = () if within else unfinished(Run(folder))

    def told(trained: Answering) -> Answering:
        """Once it is open: whoever cannot answer yet says nothing of the weights it has."""
        for path in incomplete:
            warn(f"{path} is not finished: the best weights that it has so far answer")
        return trained

    if Run(folder).has_members:
        within = nested(folder, within)
        stored = (open_together if Run(folder).is_folds else open_stored)(folder, registry)
        handed = [text for text in overrides if key_path(text) != THRESHOLD]
        if any(is_pipeline_folder(path) for path in stored.members):
            overrides = [text for text in overrides if key_path(text)[0] != COMBINE_BLOCK]
        for path in stored.changed_members():
            warn(
                f"{path} has other predictions than those that {folder} was made of: if its model is another one, "
                "weights and no-answer threshold may not suit it; `qakit ensemble` finds them anew"
            )
        for path in stored.members:
            if _reading(Run(path)) != _reading(stored.run):
                warn(
                    f"{path} reads files otherwise (data.reader) than {folder}, which reads them for all of its members"
                )
            if is_pipeline_folder(path):
                recipes_under(open_run(path), handed, registry)  # before the long work
        open_member = partial(
            load_trained,
            registry=registry,
            device=device,
            workers=workers,
            keep=keep,
            say=say,
            warn=warn,
            overrides=handed,
            within=within,
        )
        return told(
            TrainedEnsemble.of(stored, registry, open_member, overrides=overrides, keep=keep, say=say, workers=workers)
        )
    if not is_pipeline_folder(folder):
        trained = TrainedRun.load(
            folder, registry=registry, device=device, workers=workers, overrides=overrides, only_answers=only_answers
        )
        return told(trained)
    for path in changed_stages(open_run(folder)):
        warn(
            f"{path} has other weights than when {folder} was tuned: the weight of the stages and the no-answer "
            "threshold may not suit them; train the pipeline in another folder to find them anew"
        )
    return told(TrainedPipeline.load(folder, registry=registry, device=device, workers=workers, overrides=overrides))


def _reading(run: Run) -> tuple[str, dict[str, Any]]:
    """A run's reader and its settings, but for the place of a file of contexts."""
    reader = run.recipe().data.reader
    return reader.name, {name: value for name, value in reader.settings.items() if name != CONTEXTS}


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
        here += ["'mps'"] if torch.backends.mps.is_available() else []
        raise UsageError(f"device is {given!r}; here it must be {' or '.join(here)}") from error


def _precision(given: object) -> str:
    """A dtype as pipelines took it."""
    precisions = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16", "auto": "fp32"}
    name = str(given).removeprefix("torch.")
    if name not in precisions:
        raise UsageError(f"dtype is {given!r}; it must be float32, bfloat16 or float16")
    return precisions[name]
