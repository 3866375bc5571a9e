"""Candidates of a previous run that are wrong answers, in tokens."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qakit.api import DataError, EncodedExamples, TokenStore, token_spans
from qakit_preprocess.candidates_file import CandidateTable, nbest_file, read_candidates
from qakit_preprocess.pairs import Int64

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
