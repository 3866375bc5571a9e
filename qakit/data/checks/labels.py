"""Whether the splits of a recipe have what its training needs: one set of rules for `qakit data check` and training."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from qakit.data.checks.findings import Finding, stops, warning
from qakit.data.labels import classes_of
from qakit.errors import DataError
from qakit.protocols import Gives
from qakit.reading.record import quoted
from qakit.recipe.model import Recipe
from qakit.values import Example, TargetNames, Targets, yes_no_of

_ANSWER_METRIC = "squad_v2"
"""The metric that is made for questions without an answer."""
_CLASSES_SHOWN = 10
NOT_SAID: Mapping[str, str] = MappingProxyType({})
"""For splits whose reader says nothing about missing labels."""
_MISSING: dict[Gives | None, str] = {
    None: "without answers or labels",
    "labels": "without a label",
    "spans": "without answers",
    "sets": "without answers",
    "contexts": "that do not say which context counts",
}


def training_findings(
    recipe: Recipe,
    gives: Gives | None,
    splits: Mapping[str, Sequence[Example]],
    *,
    others: Sequence[Example] = (),
    why: Mapping[str, str] = NOT_SAID,
    number_range: tuple[float, float] | None = None,
    yes_no: bool = False,
) -> dict[str, list[Finding]]:
    """What training would stop at, or what of the splits it could not use, by the split's name.

    Args:
        gives: what the recipe's head decodes to; None where that is not known.
        splits: ``train``, ``validation`` or ``test``; a test split needs no labels.
        others: of a fold, the training files' other examples: the classes are theirs, too.
        why: a split's name -> why its examples have no labels, as the reader says it.
        number_range: the lowest and the highest number that the head can learn; None for any.
        yes_no: whether the head learns yes and no beside spans.
    """
    found: dict[str, list[Finding]] = {name: [] for name in splits}
    for name, examples in splits.items():
        if not examples:
            found[name].append(Finding("empty_split", "stops", 0, f"examples in the {name} split"))
    train, validation = splits.get("train", ()), splits.get("validation", ())
    if train:
        found["train"] += _train(recipe, gives, train, why.get("train", ""))
        if gives == "spans":
            found["train"] += _yes_no(recipe, train, learnt=yes_no)
    for name, examples in splits.items():
        if gives in ("spans", "sets") and name != "test":
            found[name] += _together(recipe, gives, name, examples)
    if validation:
        found["validation"] += _validation(recipe, gives, validation, why.get("validation", ""))
    if gives in ("labels", None) and train:
        by_split = {name: splits[name] for name in ("train", "validation") if splits.get(name)}
        for name, finding in _classes(recipe, by_split, others):
            found[name].append(finding)
        found["train"] += _numbers(train, number_range)
    return found


def refuse(found: Mapping[str, Sequence[Finding]], files: Mapping[str, Path]) -> None:
    """Stop at the findings that training stops at.

    Args:
        found: findings by split.
        files: each split's first file.

    Raises:
        DataError: there are some; it has all of them.
    """
    reasons = [
        f"{files[name]}: {finding}"
        for name, findings in found.items()
        for finding in findings
        if finding.level == "stops"
    ]
    if reasons:
        raise DataError(reasons)


def has_target(example: Example, gives: Gives | None) -> bool:
    """Whether an example says what is right, as a head that decodes to ``gives`` needs it."""
    if gives == "labels":
        return example.label is not None
    if gives in ("spans", "sets"):
        return example.answers is not None
    if gives == "contexts":
        placed = any(answer.places for answer in example.answers or ())
        return example.relevant is not None or placed or example.answers == ()
    return example.labelled


def _train(recipe: Recipe, gives: Gives | None, examples: Sequence[Example], why: str) -> Iterator[Finding]:
    lacking = _ids(examples, lambda example: not has_target(example, gives))
    what = _lacking(recipe, gives)
    if len(lacking) == len(examples):
        yield stops("unlabelled_train", f"train examples {what}: all of them{_instead(gives, examples, why)}", lacking)
        return
    if gives == "contexts" and all(len(example.contexts) < 2 for example in examples):
        meaning = (
            f"train examples with a single context, which leave the head {recipe.head.name!r} no choice: name one that "
            "gives answers (linear_span) or classes (classifier)"
        )
        yield Finding("one_context", "stops", len(examples), meaning)
        return
    if recipe.data.answerable_only and not any(example.answers for example in examples):
        yield Finding("no_answerable_train", "stops", 0, "answerable train examples (data.answerable_only)")
    if lacking:
        yield warning(
            "unlabelled_train", f"train examples (of {len(examples):,}) {what}: left out of training", lacking
        )
    if gives in ("spans", None) and not recipe.predict.no_answer and not recipe.data.answerable_only:
        meaning = (
            f"train examples (of {len(examples):,}) have no answer, and predict.no_answer is false: the model learns "
            "from them what it may never say; set predict.no_answer or data.answerable_only to true"
        )
        yield from _if_any(warning("unanswerable_train", meaning, _ids(examples, _is_unanswerable)))


def _yes_no(recipe: Recipe, examples: Sequence[Example], *, learnt: bool) -> Iterator[Finding]:
    answered = _ids(examples, lambda example: yes_no_of(example.answers) is not None)
    if answered and not learnt:
        meaning = (
            f"train examples (of {len(examples):,}) are answered by yes or no, which the head {recipe.head.name!r} "
            "does not learn: linear_span, joint_span and crf do with head.yes_no_weight=1"
        )
        yield warning("yes_no_train", meaning, answered)
    if learnt and not answered:
        meaning = (
            "train examples are answered by yes or no: the head would learn that there is no such answer; leave out "
            "head.yes_no_weight"
        )
        yield Finding("no_yes_no_train", "stops", 0, meaning)


def _together(recipe: Recipe, gives: Gives, name: str, examples: Sequence[Example]) -> Iterator[Finding]:
    """Several answers that are one, where the head gives a single one; or of which each is one, where it gives all."""
    odd = _ids(
        examples, lambda each: each.together != (gives == "sets") and sum(len(a.places) for a in each.answers or ()) > 1
    )
    if gives == "sets":
        meaning = (
            f"{name} examples (of {len(examples):,}) have several answers of which each is right by itself, and the "
            f"head {recipe.head.name!r} would learn all of them as one: leave out head.spans"
        )
    else:
        meaning = (
            f"{name} examples (of {len(examples):,}) have several answers that are right only together, and the head "
            f"{recipe.head.name!r} gives one: the head crf gives all with head.spans=many"
        )
    yield from _if_any(stops("several_answers", meaning, odd))


def _validation(recipe: Recipe, gives: Gives | None, examples: Sequence[Example], why: str) -> Iterator[Finding]:
    lacking = _ids(examples, lambda example: not has_target(example, gives))
    if lacking:
        meaning = f"validation examples (of {len(examples):,}) {_lacking(recipe, gives)}: there is nothing to score"
        meaning += _instead(gives, examples, why) if len(lacking) == len(examples) else ""
        yield stops("unlabelled_validation", meaning, lacking)
    if gives in ("spans", None) and not recipe.predict.no_answer:
        meaning = (
            f"validation examples (of {len(examples):,}) have no answer, and predict.no_answer is false: each counts "
            "as wrong, whatever the model; set predict.no_answer to true"
        )
        if recipe.metric.name == _ANSWER_METRIC:
            meaning += f", which the metric {recipe.metric.name} is made for"
        yield from _if_any(warning("unanswerable_validation", meaning, _ids(examples, _is_unanswerable)))


def _classes(
    recipe: Recipe, splits: Mapping[str, Sequence[Example]], others: Sequence[Example]
) -> Iterator[tuple[str, Finding]]:
    """Labels that are no class of the run, or classes that are no choice."""
    labels = [example.label for example in (*splits["train"], *others) if example.label is not None]
    found = {isinstance(label, str) for label in labels}
    if not found:
        return
    if len(found) > 1:
        numbers = _ids(splits["train"], lambda example: isinstance(example.label, float | Targets))
        yield (
            "train",
            stops("mixed_labels", "train examples with a number as label, where others have a class", numbers),
        )
        return
    classes = recipe.data.labels or classes_of((*splits["train"], *others))
    if isinstance(classes, TargetNames):
        return
    if len(classes) == 1:
        meaning = f"class for all train examples, {quoted(classes[0])}: there is nothing to tell apart"
        yield "train", Finding("one_class", "stops", 1, meaning)
        return
    known = ", ".join(classes[:_CLASSES_SHOWN]) + (", ..." if len(classes) > _CLASSES_SHOWN else "")
    for name, examples in splits.items():
        if not classes:
            meaning = f"{name} examples with a class, where the train split has numbers"
            odd = [example for example in examples if isinstance(example.label, str)]
        else:
            meaning = f"{name} examples with a label that is none of the run's classes: {known}"
            odd = [example for example in examples if example.label is not None and example.label not in classes]
        if odd:
            yield name, stops("unknown_label", meaning, [f"id {each.id}: {quoted(str(each.label))}" for each in odd])


def _numbers(examples: Sequence[Example], limits: tuple[float, float] | None) -> Iterator[Finding]:
    """Numbers that the head cannot learn, and of several ones those that are not known."""
    if limits is not None:
        low, high = limits
        classes = _ids(examples, lambda example: isinstance(example.label, str))
        meaning = "train examples with a class, where the head's loss is of numbers"
        yield from _if_any(stops("class_for_number", meaning, classes))
        odd = [
            f"id {example.id}: {repr(value).removesuffix('.0')}"
            for example in examples
            for value in _numbers_of(example)
            if not (low <= value <= high or math.isnan(value))
        ]
        meaning = f"numbers of train examples that are not from {low:g} to {high:g}, as the head's loss needs them"
        yield from _if_any(stops("number_out_of_range", meaning, odd))
    lacking: Counter[str] = Counter()
    for example in examples:
        if isinstance(example.label, Targets):
            lacking.update(name for name, value in example.label.by_name().items() if math.isnan(value))
    if lacking:
        told = [f"{name} ({count:,})" for name, count in lacking.items()]
        meaning = "of the numbers are not known of all train examples, which learn the others"
        yield warning("unknown_number", meaning, told)


def _numbers_of(example: Example) -> Sequence[float]:
    label = example.label
    return label if isinstance(label, Targets) else [label] if isinstance(label, float) else []


def _lacking(recipe: Recipe, gives: Gives | None) -> str:
    learns = f", which the head {recipe.head.name!r} learns" if gives not in (None, "contexts") else ""
    return _MISSING[gives] + learns


def _instead(gives: Gives | None, examples: Sequence[Example], why: str) -> str:
    """What is there in place of the missing labels, or why there is nothing."""
    if gives in ("spans", "sets", "contexts") and any(example.label is not None for example in examples):
        return "; they have a class or a number, which heads such as classifier learn (with preprocess truncate)"
    if gives == "labels" and any(example.answers for example in examples):
        return "; they have answers, which heads such as linear_span learn"
    return f"; {why}" if why else ""


def _ids(examples: Sequence[Example], which: Callable[[Example], bool]) -> list[str]:
    return [f"id {example.id}" for example in examples if which(example)]


def _if_any(finding: Finding) -> Iterator[Finding]:
    if finding.count:
        yield finding


def _is_unanswerable(example: Example) -> bool:
    return example.answers == ()
