"""Predictions before there is a model: they show beforehand whether metric, ensembler and submission fit the head."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from torch import nn

from qakit.inference.output import build_writer, choice_names, sample_submission, write_checked
from qakit.modeling.assemble import build_head
from qakit.modeling.backbones import configuration
from qakit.modeling.start import check_start
from qakit.protocols import Gives
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
