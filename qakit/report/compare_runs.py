"""The runs to be compared, read from their folders: each question's own figures, curves, parameters and speeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from qakit.data.splits import read_split, split_sources
from qakit.errors import DataError, RunError, UsageError
from qakit.inference.inputs import Inputs
from qakit.inference.nbest_file import read_nbest
from qakit.names import quoted
from qakit.protocols import DrawnMetric, NoRuntime, PerExampleMetric
from qakit.runs import Run, not_finished, open_run
from qakit.values import Example, Prediction, Targets

if TYPE_CHECKING:
    from qakit.inference.answering import Answering
    from qakit.recipe.model import Recipe
    from qakit.registry import Registry
    from qakit.statistics import Draws


@dataclass(frozen=True, slots=True)
class Speeds:
    """Medians over the run; None where its logs do not say."""

    seconds_per_step: float | None
    """In training, evaluations and checkpoints left out."""
    train_windows: float | None
    """Per second."""
    evaluation_windows: float | None
    """Per second, scoring and decoding; without tokenising and the metric."""


@dataclass(frozen=True, slots=True)
class Member:
    """One run with what is compared."""

    run: Run
    recipe: Recipe
    figures: Mapping[str, tuple[float, ...]]
    """Each question's own figures by the metric's keys, in the first run's order of questions; empty with ``draws``."""
    log: tuple[Mapping[str, Any], ...]
    """The lines of metrics.jsonl."""
    trainable: int | None
    """Parameters that were trained."""
    speeds: Speeds
    finished: bool
    draws: Draws | None = None
    """The figures of any draw of the questions, where single questions have none."""
    questions: int = 0
    """How many there are, with ``draws``."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A run, its validation questions and its answers to them."""

    run: Run
    recipe: Recipe
    inputs: Inputs
    """The validation files, when the run read them."""
    examples: Mapping[str, Example]
    predictions: Mapping[str, Prediction]


def answered(trained: Answering, examples: Sequence[Example], predictions: Sequence[Prediction]) -> Answered:
    """What a model has just answered, whatever questions they are."""
    by_id = {example.id: example for example in examples}
    return Answered(trained.run, trained.recipe, Inputs(), by_id, {each.id: each for each in predictions})


def read_answered(folders: Sequence[Path], registry: Registry) -> list[Answered]:
    """The runs' answers to their validation questions, which are the same for all of them.

    Raises:
        UsageError: a run is given twice, or the runs have different metrics.
        RunError: a folder is no run, lacks predictions or is damaged; or the runs answered different questions.
        DataError: a validation or prediction file cannot be read.
    """
    _check_twice(folders)
    runs = [open_run(folder) for folder in folders]
    recipes = [run.recipe() for run in runs]
    _check_metrics(runs, recipes)
    answered: list[Answered] = []
    for run, recipe in zip(runs, recipes, strict=True):
        answered.append(_answered(run, recipe, registry))
        _check_questions(answered[0], answered[-1])
    return answered


def read_members(folders: Sequence[Path], registry: Registry) -> list[Member]:
    """The runs, scored on their validation questions by their metric.

    Raises:
        UsageError: a run is given twice, or the runs have different metrics, or one that cannot be resampled.
        RunError: a folder is no run, lacks predictions or is damaged; or the runs answered different questions.
        DataError: a validation or prediction file cannot be read.
    """
    return members_of(read_answered(folders, registry), registry)


def members_of(answered: Sequence[Answered], registry: Registry) -> list[Member]:
    """The runs, scored by their metric on the questions that they have answered.

    Raises:
        UsageError: the metric is one that cannot be resampled.
    """
    ref = answered[0].recipe.metric
    metric = registry.build("metrics", ref.name, ref.settings, NoRuntime())
    if not isinstance(metric, PerExampleMetric | DrawnMetric):
        raise UsageError(
            f"the metric {ref.name!r} gives no figures for single questions, nor for draws of them, so runs cannot be "
            "compared"
        )
    return [_member(each, answered[0].examples, metric) for each in answered]


def _member(answered: Answered, examples: Mapping[str, Example], metric: PerExampleMetric | DrawnMetric) -> Member:
    run = answered.run
    questions, answers = list(examples.values()), [answered.predictions[id_].final for id_ in examples]
    columns: Mapping[str, Sequence[float]] = {}
    draws: Draws | None = None
    if isinstance(metric, PerExampleMetric):
        columns = metric.per_example(questions, answers)
    else:
        draws = partial(metric.of_draws, questions, answers)
    meta, log = run.read_json(run.meta_file), tuple(run.metrics())
    try:
        trainable = meta["parameters"]["all"]["trainable"]
    except (KeyError, TypeError):
        trainable = None
    return Member(
        run=run,
        recipe=answered.recipe,
        figures={key: tuple(column) for key, column in columns.items()},
        log=log,
        trainable=trainable if isinstance(trainable, int) else None,
        speeds=_speeds(run, meta.get("windows"), log),
        finished=bool(run.read_json(run.metrics_file)),
        draws=draws,
        questions=len(questions),
    )


def _answered(run: Run, recipe: Recipe, registry: Registry) -> Answered:
    folder = run.validation_predictions
    if not split_sources(recipe, "validation"):
        raise RunError(
            f"{run.folder} has no validation questions to compare on: its recipe does not set data.validation"
        )
    if not run.validation_nbest.is_file():
        if not run.finished:
            raise not_finished(run)
        again = f"qakit predict {quoted(run.folder)} --split validation"
        raise RunError(f"{run.folder} has no validation predictions; make them again with: {again}")
    inputs = Inputs.read(run, folder)
    if not inputs:
        raise RunError(f"{folder / 'meta.json'} is missing or damaged: it does not say which files were answered")
    split = read_split(recipe, registry, "validation")
    assert split is not None
    for file in inputs.differing(Inputs.of(split)):
        raise DataError(f"is not the file that {run.folder} was evaluated on: it has changed since", path=file)
    examples = {example.id: example for example in split.examples}
    predictions = {item.id: item for item in read_nbest(run.validation_nbest)}
    if predictions.keys() != examples.keys():
        raise RunError(
            f"{run.validation_nbest} does not answer the recipe's validation questions: {_apart(examples, predictions)}"
        )
    return Answered(run, recipe, inputs, examples, predictions)


def _check_twice(folders: Sequence[Path]) -> None:
    seen: dict[Path, Path] = {}
    for folder in folders:
        if folder.resolve() in seen:
            raise UsageError(f"{folder} is given twice")
        seen[folder.resolve()] = folder


def _check_metrics(runs: Sequence[Run], recipes: Sequence[Recipe]) -> None:
    first = recipes[0].metric
    for run, recipe in zip(runs, recipes, strict=True):
        ref = recipe.metric
        if ref.name != first.name:
            raise UsageError(f"{run.folder} has the metric {ref.name}, {runs[0].folder} has {first.name}")
        if ref.settings != first.settings:
            names = sorted(key for key, value in ref.settings.items() if first.settings.get(key) != value)
            raise UsageError(
                f"{run.folder} and {runs[0].folder} have the metric {ref.name} with different settings: "
                + ", ".join(f"{key} is {ref.settings[key]!r} and {first.settings.get(key)!r}" for key in names)
            )


def _check_questions(first: Answered, other: Answered) -> None:
    who = f"{other.run.folder} and {first.run.folder}"
    if other.examples.keys() != first.examples.keys():
        raise RunError(f"{who} were evaluated on different questions: {_apart(first.examples, other.examples)}")
    if not other.inputs.same_as(first.inputs):
        raise RunError(f"{who} were evaluated on different files: {other.inputs} and {first.inputs}")
    changed = [id_ for id_, example in first.examples.items() if _gold(example) != _gold(other.examples[id_])]
    if changed:
        raise RunError(f"{who} read different gold answers from the same files: {_some(changed)}")


def _gold(example: Example) -> object:
    texts = None if example.answers is None else tuple(answer.text for answer in example.answers)
    label = example.label.by_name() if isinstance(example.label, Targets) else example.label
    return texts, label, example.relevant


def _apart(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    missing = [id_ for id_ in wanted if id_ not in found]
    unknown = [id_ for id_ in found if id_ not in wanted]
    parts = [f"{_some(missing)} missing"] if missing else []
    parts += [f"{_some(unknown)} too many"] if unknown else []
    return ", ".join(parts)


def _some(ids: Sequence[str]) -> str:
    return f"{len(ids):,} ({', '.join(ids[:3])}{' ...' if len(ids) > 3 else ''})"


def _speeds(run: Run, windows: Any, log: Sequence[Mapping[str, Any]]) -> Speeds:
    train, scoring = [], []
    for line in run.timings():
        if line.get("type") == "train":
            train.append(line.get("windows_per_second"))
        elif line.get("type") == "scoring":
            scoring.append(_rate(line.get("windows"), line.get("seconds")))
    speed, last = _median(train), next((line for line in reversed(log) if line["type"] == "train"), None)
    per_step = None
    if speed and last is not None and isinstance(windows, int) and isinstance(last.get("epoch"), int | float):
        # Batches by token budget hold different numbers of windows, and the last one of an epoch fewer than the others.
        per_step = windows * last["epoch"] / last["step"] / speed
    return Speeds(per_step, speed, _median(scoring))


def _rate(count: Any, seconds: Any) -> float | None:
    sound = isinstance(count, int | float) and isinstance(seconds, int | float) and seconds > 0
    return count / seconds if sound else None


def _median(values: Sequence[Any]) -> float | None:
    known = [value for value in values if isinstance(value, int | float) and math.isfinite(value) and value > 0]
    return float(median(known)) if known else None
