"""Whether the splits of a recipe have the labels that training needs."""

from __future__ import annotations

from collections.abc import Sequence

from qakit.data.checks.findings import Finding, stops, warning
from qakit.values import Example


def label_findings(split: str, examples: Sequence[Example], *, answerable_only: bool = False) -> list[Finding]:
    """What training would stop at, or leave out, for want of labels.

    Args:
        split: ``train``, ``validation`` or ``test``; other splits need no labels.
        examples: all that the split's files hold.
        answerable_only: the recipe trains on answerable questions alone.
    """
    if not examples:
        return [Finding("empty_split", "stops", 0, f"examples in the {split} split")]
    unlabelled = [f"id {example.id}" for example in examples if not example.labelled]
    if split == "validation" and unlabelled:
        meaning = f"validation examples (of {len(examples):,}) without answers or labels: there is nothing to score"
        return [stops("unlabelled_validation", meaning, unlabelled)]
    if split != "train":
        return []
    if len(unlabelled) == len(examples):
        return [stops("unlabelled_train", "train examples without answers or labels: all of them", unlabelled)]
    if answerable_only and not any(example.answers for example in examples):
        return [Finding("no_answerable_train", "stops", 0, "answerable train examples (data.answerable_only)")]
    if unlabelled:
        meaning = f"train examples (of {len(examples):,}) without answers or labels: left out of training"
        return [warning("unlabelled_train", meaning, unlabelled)]
    return []
