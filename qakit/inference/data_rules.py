"""What a recipe's training would stop at, or lose, on the recipe's own files: for `qakit data check` and training.

Tried with predictions that are made up, before there is a model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from torch import nn

from qakit.data.checks.findings import Finding
from qakit.data.checks.labels import NOT_SAID, training_findings
from qakit.data.labels import run_classes
from qakit.errors import QakitError
from qakit.inference.evaluation import Judge, check_selection
from qakit.inference.output import build_writer, choice_names, sample_submission, write_checked
from qakit.modeling.assemble import build_head
from qakit.modeling.backbones import configuration
from qakit.modeling.start import check_start
from qakit.protocols import Gives
from qakit.reading.record import quoted
from qakit.recipe.model import Recipe
from qakit.registry import Registry
from qakit.values import (
    ContextPrediction,
    Example,
    LabelPrediction,
    NoAnswer,
    Prediction,
    SetPrediction,
    SpanPrediction,
    TargetNames,
    Targets,
)


def untrained_head(recipe: Recipe, registry: Registry, classes: tuple[str, ...]) -> nn.Module:
    """The recipe's head, to be asked what it gives; of the backbone only its configuration is read.

    Raises:
        ModelError, RunError: it cannot be read.
    """
    section = recipe.backbone
    check_start(section)
    return build_head(recipe, configuration(section, registry), registry, classes=classes)


def stand_in(example: Example, gives: Gives, classes: Sequence[str]) -> Prediction:
    """Any prediction of the kind that the head will make."""
    if gives == "labels" and isinstance(classes, TargetNames):
        return LabelPrediction(example.id, Targets((0.0,) * len(classes), classes))
    if gives == "labels" and classes:
        return LabelPrediction(example.id, classes[0], (1.0,) + (0.0,) * (len(classes) - 1))
    if gives == "labels":
        return LabelPrediction(example.id, 0.0)
    if gives == "contexts":
        return ContextPrediction(example.id, 0, (1.0,) + (0.0,) * (len(example.contexts) - 1))
    if gives == "sets":
        return SetPrediction(example.id, ("answer",))
    return SpanPrediction(example.id, "answer", null=NoAnswer(0.0, 0.5))


def submission_problems(
    examples: Sequence[Example], recipe: Recipe, registry: Registry, *, gives: Gives, classes: Sequence[str]
) -> list[str]:
    """What the sample submission will say of the answers to a test file: its ids and columns, whatever the answers.

    Returns:
        One line for each problem; none without a sample.

    Raises:
        DataError: the writer cannot write these ids or classes, or the sample cannot be read.
        UsageError: the writer does not write what the head gives.
    """
    sample = sample_submission(recipe)
    if sample is None:
        return []
    writer = build_writer(recipe, registry)
    predictions = [stand_in(example, gives, classes) for example in examples]
    with TemporaryDirectory(prefix="qakit-") as folder:
        path = Path(folder) / f"submission{writer.suffix}"
        written = write_checked(path, predictions, writer, sample=sample, choices=choice_names(recipe))
    return [f"{sample}: {problem}" for problem in written.problems]


STAND_INS = 50
"""Examples on which the metric is tried."""
POSITIVE = "positive"
"""What metrics call their setting of the one class that counts."""


def data_findings(
    recipe: Recipe,
    registry: Registry,
    splits: Mapping[str, Sequence[Example]],
    *,
    gives: Gives | None,
    others: Sequence[Example] = (),
    why: Mapping[str, str] = NOT_SAID,
    number_range: tuple[float, float] | None = None,
    yes_no: bool = False,
) -> dict[str, list[Finding]]:
    """What stops a training with these splits, and what its user should know before it, by the split's name.

    Args:
        splits: ``train``, ``validation`` and ``test``, as far as there are any.
        gives: what the recipe's head decodes to; None where that is not known: then only the splits are looked at.
        others: of a fold, the training files' other examples: the classes are theirs, too.
        why: a split's name -> why its examples have no labels, as the reader says it.
        number_range: the lowest and the highest number that the head can learn; None for any.
        yes_no: whether the head learns yes and no beside spans.
    """
    found = training_findings(recipe, gives, splits, others=others, why=why, number_range=number_range, yes_no=yes_no)
    if gives is None or any(finding.level == "stops" for finding in found.get("train", ())):
        return found
    classes = run_classes(recipe.data.labels, (*splits.get("train", ()), *others))
    if splits.get("validation") and not any(finding.level == "stops" for finding in found["validation"]):
        found["validation"] += _metric_findings(recipe, registry, splits["validation"], gives, classes)
        positive = recipe.metric.settings.get(POSITIVE)
        if classes and isinstance(positive, str) and positive not in classes:
            known = ", ".join(map(quoted, classes))
            meaning = f"validation examples would be judged by metric.positive, {quoted(positive)}, no class: {known}"
            found["validation"].append(Finding("unknown_positive", "stops", len(splits["validation"]), meaning))
    if splits.get("test"):
        found["test"] += _submission_findings(recipe, registry, splits["test"], gives, classes)
    return found


def check_judging(
    recipe: Recipe, registry: Registry, examples: Sequence[Example], gives: Gives, classes: Sequence[str] = ()
) -> None:
    """Make sure, on stand-ins for labelled examples, that the metric judges what the head gives, and gives the figure
    that selects.

    Raises:
        QakitError: it does not.
    """
    tried = [example for example in examples if example.labelled][:STAND_INS]
    if tried:
        check_selection(Judge.of(recipe, registry), tried, [stand_in(example, gives, classes) for example in tried])


def _metric_findings(
    recipe: Recipe, registry: Registry, examples: Sequence[Example], gives: Gives, classes: Sequence[str]
) -> Iterator[Finding]:
    try:
        check_judging(recipe, registry, examples, gives, classes)
    except QakitError as error:
        meaning = f"validation examples cannot be judged: {error}"
        yield Finding("unjudged_validation", "stops", len(examples), meaning)


def _submission_findings(
    recipe: Recipe, registry: Registry, examples: Sequence[Example], gives: Gives, classes: Sequence[str]
) -> Iterator[Finding]:
    try:
        problems = submission_problems(examples, recipe, registry, gives=gives, classes=classes)
    except QakitError as error:
        meaning = f"answers to the test file cannot be written or checked: {error}"
        yield Finding("unwritten_submission", "stops", len(examples), meaning)
        return
    for problem in problems:
        meaning = f"answers to the test file will not fit the sample submission: {problem}"
        yield Finding("other_submission", "warning", len(examples), meaning)
