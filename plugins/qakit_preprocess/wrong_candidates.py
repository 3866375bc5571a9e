"""Candidates of a previous run that are wrong answers, in tokens."""

from __future__ import annotations

import logging
import shlex
from array import array
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qakit.api import (
    YES_NO,
    Candidate,
    DataError,
    EncodedExamples,
    SpanPrediction,
    TokenStore,
    example_key,
    iter_nbest,
    token_spans,
)
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
            f"`qakit predict {shlex.quote(source)} --split train`",
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


logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WrongCandidates:
    """K wrong candidates as parallel arrays (K,).

    Attributes:
        pair: int64, row in ``EncodedExamples.context``.
        first: int64, first token.
        stop: int64, one past the last token.
        score: float64; comparable within an example.
        key: int64, the address of the candidate's randomness.
    """

    pair: Int64
    first: Int64
    stop: Int64
    score: NDArray[np.float64]
    key: Int64


def wrong_candidates(table: CandidateTable, encoded: EncodedExamples, path: Path) -> WrongCandidates:
    """Candidates of answerable examples that share no token with the answer's place and have not the answer's tokens.

    Texts are compared by their token ids, since windows know no texts: "Paris" elsewhere in the context is no wrong
    answer to "Paris". Where a blank before a word makes another token of it (byte-level BPE), an answer at a
    context's very start is missed. The gold answer is the one that is trained on, an example's first placed one.

    Raises:
        DataError: the predictions are not of these examples.
    """
    gold = np.full(len(encoded), -1, np.int64)  # the pair with the answer
    with_answer = np.flatnonzero(encoded.answer_first >= 0)
    gold[encoded.pair_example[with_answer]] = with_answer

    example_of = _joined(table.key, encoded.key)
    _check_ids(example_of, gold, path)
    rows = np.flatnonzero(example_of[table.prediction] >= 0)
    example = example_of[table.prediction[rows]]
    pair = encoded.pointers[example] + table.context[rows]
    _check_places(table, rows, example, pair, encoded, path)

    answerable = gold[example] >= 0
    rows, example, pair = rows[answerable], example[answerable], pair[answerable]
    spans = token_spans(encoded.store, encoded.context[pair], table.start[rows], table.end[rows])
    first, stop = (side.astype(np.int64) for side in spans)
    target = gold[example]
    gold_first, gold_stop = encoded.answer_first[target], encoded.answer_stop[target]
    wrong = first >= 0  # else no token covers the candidate
    wrong &= ~((pair == target) & (first < gold_stop) & (stop > gold_first))
    wrong[wrong] = ~_same_tokens(
        encoded.store,
        encoded.store.pointers[encoded.context[pair[wrong]]] + first[wrong],
        stop[wrong] - first[wrong],
        encoded.store.pointers[encoded.context[target[wrong]]] + gold_first[wrong],
        (gold_stop - gold_first)[wrong],
    )
    rank = rows - np.searchsorted(table.prediction, table.prediction[rows])
    key = encoded.key[example] + rank
    return WrongCandidates(pair[wrong], first[wrong], stop[wrong], table.score[rows[wrong]], key[wrong])


def _joined(wanted: Int64, keys: Int64) -> Int64:
    """The row of each wanted key in ``keys``, -1 where there is none."""
    order = np.argsort(keys)
    row = order[np.minimum(np.searchsorted(keys, wanted, sorter=order), len(keys) - 1)]
    return np.where(keys[row] == wanted, row, -1)


def _check_ids(example_of: Int64, gold: Int64, path: Path) -> None:
    """Some answerable example must have a prediction; those without one are counted."""
    predicted = np.zeros(len(gold), bool)
    predicted[example_of[example_of >= 0]] = True
    answerable = gold >= 0
    missing = int((answerable & ~predicted).sum())
    if missing and missing == answerable.sum():
        raise DataError(
            f"holds predictions for none of the {missing:,} answerable training examples: no id is theirs; predict the "
            "file that you train on",
            path=path,
        )
    if missing:
        logger.warning(
            "%s: no predictions for %s of %s answerable training examples; their negatives are drawn uniformly",
            path,
            f"{missing:,}",
            f"{answerable.sum():,}",
        )


def _check_places(
    table: CandidateTable, rows: Int64, example: Int64, pair: Int64, encoded: EncodedExamples, path: Path
) -> None:
    """Every candidate lies in a context of its example."""

    def refuse(bad: NDArray[np.bool_], what: str) -> None:
        if bad.any():
            row = rows[int(np.argmax(bad))]
            place = f"context {table.context[row]}, characters {table.start[row]} to {table.end[row]}"
            raise DataError(
                f"the candidate at {place} {what}: the predictions are of other texts; predict the file that you train "
                "on again",
                path=path,
                row=f"id {table.ids[table.prediction[row]]}",
            )

    refuse(
        table.context[rows] >= np.diff(encoded.pointers)[example], "lies in a context that the example does not have"
    )
    ends = _ends(encoded.store)[encoded.context[pair]]
    refuse(table.end[rows] > ends, "reaches past the context's end")


def _ends(store: TokenStore) -> Int64:
    """(R,) characters of each text up to the end of its last token."""
    filled = np.flatnonzero(store.lengths > 0)
    ends = np.zeros(len(store), np.int64)
    if len(filled):
        ends[filled] = np.maximum.reduceat(store.offsets[:, 1], store.pointers[filled])
    return ends


def _same_tokens(store: TokenStore, left: Int64, length: Int64, right: Int64, right_length: Int64) -> NDArray[np.bool_]:
    """(K,) whether two slices of the store hold the same ids; starts count from the store's first token."""
    same: NDArray[np.bool_] = length == right_length
    rows = np.flatnonzero(same)
    lengths = length[rows]
    begins = np.cumsum(lengths) - lengths
    within = np.arange(lengths.sum()) - np.repeat(begins, lengths)
    differ = store.ids[np.repeat(left[rows], lengths) + within] != store.ids[np.repeat(right[rows], lengths) + within]
    differences = np.bincount(np.repeat(np.arange(len(rows)), lengths), weights=differ, minlength=len(rows))
    same[rows] = differences == 0
    return same


class PreviousRun:
    """Reads the predictions once, and finds their places in the examples once for all epochs."""

    def __init__(self, source: str, min_probability: float) -> None:
        """Args:
            source: a run folder or an nbest.jsonl.
            min_probability: candidates below it don't count.

        Raises:
            DataError: the file is missing or damaged.
        """
        self._path = nbest_file(source)
        self._table = read_candidates(self._path, min_probability=min_probability)
        self._found: tuple[EncodedExamples, WrongCandidates] | None = None

    def wrong(self, encoded: EncodedExamples) -> WrongCandidates:
        """The wrong candidates of ``encoded``.

        Raises:
            DataError: the predictions are not of these examples.
        """
        if self._found is None or self._found[0] is not encoded:
            self._found = (encoded, wrong_candidates(self._table, encoded, self._path))
        return self._found[1]
