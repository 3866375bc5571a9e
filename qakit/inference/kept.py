"""What a run keeps of its validation: the predictions of its best weights, beside the questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qakit.data.splits import read_split
from qakit.inference.nbest_file import read_nbest
from qakit.recipe.model import Recipe
from qakit.registry import Registry
from qakit.runs import Run
from qakit.values import Example, SpanPrediction


def kept_validation(
    run: Run, recipe: Recipe, registry: Registry
) -> tuple[Sequence[Example], Mapping[str, SpanPrediction]] | None:
    """The validation examples and the kept predictions by id; None where the run has none, or no validation file.

    The two need not fit together: the file may have changed since.

    Raises:
        DataError: a file cannot be read.
    """
    if not run.validation_nbest.is_file():
        return None
    split = read_split(recipe, registry, "validation")
    if split is None:
        return None
    kept = {each.id: each for each in read_nbest(run.validation_nbest) if isinstance(each, SpanPrediction)}
    return split.examples, kept
