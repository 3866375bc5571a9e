"""What the models of several folds say, as one: of a training example the one that did not see it, of others all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qakit.data.arrays import Float32, pointers_of
from qakit.data.folds import Assignment
from qakit.errors import DataError
from qakit.inference.characters import CHARACTERS_FILE, CharacterScores
from qakit.inference.nbest_file import read_nbest
from qakit.runs import Run
from qakit.values import Example, Prediction


def out_of_fold(
    run: Run, examples: Sequence[Example], assignment: Assignment, *, k: int
) -> tuple[list[Prediction], CharacterScores | None]:
    """The predictions of all examples in their order, and the character scores if all folds keep them.

    Raises:
        DataError: a fold has answered other questions than its own.
    """
    answered: dict[str, Prediction] = {}
    scores: list[CharacterScores] = []
    for number in range(1, k + 1):
        own = run.fold(number)
        wanted = {each.id for each, fold in zip(examples, assignment.fold, strict=True) if fold == number}
        found = {each.id: each for each in read_nbest(own.validation_nbest)}
        if found.keys() != wanted:
            problem = f"answers {len(found):,} questions, not the {len(wanted):,} of fold {number}: train it again"
            raise DataError(problem, path=own.validation_nbest)
        answered |= found
        characters = own.validation_predictions / CHARACTERS_FILE
        if characters.is_file():
            scores.append(CharacterScores.read(characters))
    ids = [example.id for example in examples]
    return [answered[id_] for id_ in ids], joined(scores, ids) if len(scores) == k else None


def joined(parts: Sequence[CharacterScores], ids: Sequence[str]) -> CharacterScores:
    """The scores of several files as those of one, in the order of ``ids``, of which each is in one of the parts."""
    place = {id_: (part, row) for part, scores in enumerate(parts) for row, id_ in enumerate(scores.ids)}
    single = [parts[part].part(row, row + 1) for part, row in map(place.__getitem__, ids)]
    lengths = [np.diff(each.pointers) for each in single]
    return CharacterScores(
        ids=tuple(ids),
        start=np.concatenate([each.start for each in single]),
        end=np.concatenate([each.end for each in single]),
        no_answer=np.concatenate([each.no_answer for each in single]),
        pointers=pointers_of(np.concatenate(lengths)),
        examples=pointers_of(np.array([len(each.contexts) for each in single], np.int64)),
        contexts=np.concatenate([each.contexts for each in single]),
        aggregation=parts[0].aggregation,
    )


def averaged(folders: Sequence[Path]) -> CharacterScores | None:
    """The mean of start and end probabilities beside predictions in several folders; None where one has no such scores.

    Raises:
        DataError: they are of different questions.
    """
    files = [folder / CHARACTERS_FILE for folder in folders]
    if not all(file.is_file() for file in files):
        return None
    first, *others = parts = [CharacterScores.read(file) for file in files]
    for file, other in zip(files[1:], others, strict=True):
        if other.ids != first.ids or not np.array_equal(other.contexts, first.contexts):
            raise DataError(f"is of other questions than {files[0]}: predict the file again", path=file)
    return replace(
        first,
        start=_mean([each.start for each in parts]).astype(np.float16),
        end=_mean([each.end for each in parts]).astype(np.float16),
        no_answer=_mean([each.no_answer for each in parts]),
    )


def _mean(logs: Sequence[NDArray[np.floating[Any]]]) -> Float32:
    """The logarithm of the mean of probabilities that are given as logarithms."""
    total = np.asarray(logs[0], np.float32)
    for each in logs[1:]:
        total = np.logaddexp(total, each.astype(np.float32))
    return total - np.float32(np.log(len(logs)))
