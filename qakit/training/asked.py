"""Whether the answers of another run that a training uses were given to the questions that have their ids here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from qakit.data.checks.repeats import Keys, Record
from qakit.data.splits import Split, read_split
from qakit.errors import QakitError, UsageError
from qakit.inference.inputs import Inputs
from qakit.recipe.model import Recipe
from qakit.registry import Registry
from qakit.runs import Run, open_run
from qakit.training.distill import with_folds
from qakit.training.lineage import NEGATIVES, TEACHERS, ancestor_of, negatives_from, seen_by
from qakit.values import Example

META = "meta.json"
_REMEDY = {
    TEACHERS: "its answers would be learnt at the wrong ones: distil on the files that its folds were made of",
    NEGATIVES: "its mistakes would be looked for in the wrong ones: predict the file that you train on",
}


def other_questions(recipe: Recipe, train: Split, registry: Registry) -> Iterator[str]:
    """A warning for each run whose answers were, or may have been, given to other questions of these ids.

    Raises:
        UsageError: the ids are those of other questions of the run: its answers would be used at the wrong ones.
    """
    own = Inputs.of(train)
    for key, run, predictions in _answers(recipe):
        there, inputs = run.recipe(), Inputs.read(run, predictions)
        if recipe.data.reader == there.data.reader and inputs.same_as(own):
            continue
        known = _asked(there, inputs, registry)
        if known is not None and (moved := _moved(train.examples, known)):
            raise UsageError(
                f"{key}: {len(moved):,} of the {len(train.examples):,} training examples have the ids that other "
                f"examples have in {run.folder} (id {moved[0].id}), so {_REMEDY[key]}; ids that count rows follow the "
                "order of a file"
            )
        if key == TEACHERS:
            yield from _other_words(run, there, train, registry)
        if known is None:
            yield (
                f"{key}: the files of {run.folder} are not where they were, or have changed: whether its ids are "
                "those of the same questions is not known"
            )


def _answers(recipe: Recipe) -> Iterator[tuple[str, Run, Path]]:
    """The recipe's key, the run, and the folder with its answers to training questions."""
    if recipe.distill is not None:
        for run in with_folds(open_run(recipe.distill.from_run)):
            yield TEACHERS, run, run.validation_predictions
    negatives = negatives_from(recipe)
    if negatives is None:
        return
    path, ancestor = Path(negatives), ancestor_of(Path(negatives))
    if ancestor is not None and ancestor.is_run:
        run = ancestor.run
        folders = [path.parent] if path.is_file() else [run.predictions / "train", run.validation_predictions]
        yield from ((NEGATIVES, run, folder) for folder in [each for each in folders if (each / META).is_file()][:1])


def _other_words(run: Run, there: Recipe, train: Split, registry: Registry) -> Iterator[str]:
    """A warning of questions that the run was not trained on as they are here."""
    asked = train.examples
    if there.data.answerable_only:  # it was judged on the others, and not trained
        asked = tuple(example for example in asked if example.answers != ())
    ancestor = ancestor_of(run.folder)
    other = [] if ancestor is None else seen_by(ancestor, registry).lacking(asked)
    if other:
        yield (
            f"{TEACHERS}: {len(other):,} of the {len(train.examples):,} training examples have other words, or "
            f"another right context, than what {run.folder} was trained on (id {other[0].id}): its answers are to "
            "those"
        )


def _asked(recipe: Recipe, inputs: Inputs, registry: Registry) -> Mapping[str, Record] | None:
    """What a run was asked, by id; None where its files are gone or have changed."""
    keys = Keys()
    try:
        split = read_split(recipe, registry, "train")
        if split is None or next(inputs.differing(Inputs.of(split)), None) is not None:
            return None
    except QakitError:
        return None
    return {example.id: keys.record(example) for example in split.examples}


def _moved(examples: Sequence[Example], known: Mapping[str, Record]) -> list[Example]:
    """Those of the examples that are known by another id, and whose id is known of another one."""
    keys, asked = Keys(), set(known.values())
    records = [(example, keys.record(example)) for example in examples]
    return [each for each, record in records if known.get(each.id, record) != record and record in asked]
