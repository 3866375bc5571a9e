"""A previous run's candidates as arrays, read from its ``nbest.jsonl``."""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qakit.api import YES_NO, Candidate, DataError, SpanPrediction, example_key, iter_nbest
from qakit_preprocess.pairs import Int64


@dataclass(frozen=True, slots=True)
class CandidateTable:
    """K candidates of P predictions, in the file's order.

    Attributes:
        ids: (P,) the predictions' ids.
        key: (P,) int64, their hashes, as in ``EncodedExamples.key``.
        prediction: (K,) int64, row of the candidate's prediction.
        context: (K,) int64, which of the example's contexts.
        start: (K,) int64, first character.
        end: (K,) int64, one past the last visible character.
        score: (K,) float64.
    """

    ids: list[str]
    key: Int64
    prediction: Int64
    context: Int64
    start: Int64
    end: Int64
    score: NDArray[np.float64]


def nbest_file(source: str) -> Path:
    """The file with the predictions: ``source`` itself, or that of a run folder.

    Raises:
        DataError: it is not there; says which command makes it.
    """
    path = Path(source)
    if path.is_file():
        return path
    if not path.is_dir():
        raise DataError("`hard_negatives.from_run`: there is no such run folder or nbest.jsonl", path=path)
    file = path / "predictions" / "train" / "nbest.jsonl"
    if not file.is_file() and (path / "folds.json").is_file():  # each question by the model that did not see it
        file = path / "predictions" / "validation" / "nbest.jsonl"
    if not file.is_file():
        raise DataError(
            "hard negatives need this run's predictions for the training file; make them with "
            f"`qakit predict {source} --split train`",
            path=file,
        )
    return file


def read_candidates(path: Path, *, min_probability: float) -> CandidateTable:
    """The candidates with at least that probability.

    Raises:
        DataError: the file is damaged, or no file of span predictions with offsets, each id once.
    """
    ids: list[str] = []
    whole, score = array("q"), array("d")
    for prediction in iter_nbest(path):
        if not isinstance(prediction, SpanPrediction):
            problem = "holds labels, not answers: hard negatives need spans"
            raise DataError(problem, path=path, row=f"id {prediction.id}")
        for number, candidate in enumerate(prediction.candidates):
            if candidate.text in YES_NO and candidate.start is None:
                continue  # said, not found
            start, end = _place(candidate, number, prediction.id, path)
            if start < end and candidate.probability >= min_probability:
                whole.extend((len(ids), candidate.context, start, end))
                score.append(candidate.score)
        ids.append(prediction.id)
    key = np.fromiter(map(example_key, ids), dtype=np.int64, count=len(ids))
    if len(np.unique(key)) < len(key):
        twice = Counter(ids).most_common(1)[0][0]
        raise DataError("an id occurs twice: write the file again", path=path, row=f"id {twice}")
    prediction_row, context, start_char, end_char = np.array(whole, np.int64).reshape(-1, 4).T
    return CandidateTable(ids, key, prediction_row, context, start_char, end_char, np.array(score, np.float64))


def _place(candidate: Candidate, number: int, name: str, path: Path) -> tuple[int, int]:
    """The candidate's characters without what nobody sees at its end, which not every tokenizer covers.

    Raises:
        DataError: it has no offsets, or they don't fit its text.
    """
    text, start, end = candidate.text, candidate.start, candidate.end
    row, field = f"id {name}", f"candidates[{number}]"
    if start is None or end is None:
        raise DataError("has no offsets: the file must come from `qakit predict`", path=path, row=row, field=field)
    if end - start != len(text):
        problem = f"the text {text!r} has {len(text)} characters, its offsets {start} to {end} say {end - start}"
        raise DataError(f"{problem}; write the file again", path=path, row=row, field=field)
    visible = len(text)
    while visible and (text[visible - 1].isspace() or not text[visible - 1].isprintable()):
        visible -= 1
    return start, start + visible
