"""What a recipe's training would stop at, or lose, on the recipe's own files: for `qakit data check` and training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from qakit.data.checks.findings import Finding, shown
from qakit.data.checks.labels import NOT_SAID, training_findings
from qakit.data.labels import run_classes
from qakit.errors import QakitError
from qakit.inference.evaluation import Judge, check_selection
from qakit.inference.stand_ins import stand_in, submission_problems
from qakit.protocols import Gives
from qakit.recipe.model import Recipe
from qakit.registry import Registry
from qakit.values import Example

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
            known = ", ".join(map(shown, classes))
            meaning = f"validation examples would be judged by metric.positive, {shown(positive)}, no class: {known}"
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
