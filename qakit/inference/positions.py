"""The scores of single tokens, from all windows that hold them; and log-probabilities of characters, made of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from qakit.data.arrays import Float32, Float64, Int32, Int64, pointers_of, ranges
from qakit.data.batch import Batch
from qakit.data.encode import EncodedExamples
from qakit.data.windows import Windows
from qakit.errors import ModelError
from qakit.inference.characters import CharacterScores, context_hash
from qakit.inference.spans import BROKEN_SCORES
from qakit.inference.table import Rows
from qakit.protocols import PositionScores
from qakit.values import Example

UNIT = 2.0**-24
"""Sums are kept in multiples of this: additions of whole numbers give the same result in any order, those of floats
do not. A float32 beyond 1/2 is no finer."""
LARGEST = 2.0**14
"""Log-odds are kept within ± this: 2**12 windows of 2**13 tokens can be added without overflow."""


class PositionTable:
    """Start and end log-odds of every token of every (example, context) pair, filled batch by batch in any order.

    A token in several windows has the mean of its scores, or their maximum. In the mean a window counts as much as it
    sees around the token: its tokens from there to its nearer end. The table takes 12 bytes a token (20 for the mean),
    however many windows there are.

    Attributes:
        pointers: (P + 1,) int64; the tokens of pair p are [pointers[p], pointers[p + 1]), M in all. A context of
            several examples has tokens of its own in each of them.
        weight: (M,) int32, the sum of the weights that have been added for each token; 0 where no window holds it.
    """

    def __init__(self, encoded: EncodedExamples, windows: Windows, *, mean: bool) -> None:
        """``windows``: those that the batches are of."""
        self.pointers = pointers_of(encoded.context_lengths)
        self._origin = encoded.store.pointers[encoded.context]  # (P,) where each pair's tokens begin in the flat store
        self._windows = windows
        self._mean = mean
        tokens = int(self.pointers[-1])
        self.weight: Int32 = np.zeros(tokens, np.int32)
        self._start: Float32 | Int64
        self._end: Float32 | Int64
        if mean:
            self._start, self._end = np.zeros((2, tokens), np.int64)
        else:
            self._start, self._end = np.full((2, tokens), -np.inf, np.float32)

    def add(self, batch: Batch, scores: PositionScores) -> None:
        """Take over the scores of a batch's tokens, as far as ``batch.start_mask`` says that its windows answer for
        them.

        Raises:
            ModelError: scores are NaN or infinite.
        """
        mask = batch.start_mask.cpu().numpy()
        segment = batch.segment[mask]
        pair = self._windows.pair[segment]
        number = batch.token[mask] - self._origin[pair]  # counted from the context's start
        token = self.pointers[pair] + number
        weight = 1 + np.minimum(number - self._windows.first[segment], self._windows.stop[segment] - 1 - number)
        np.add.at(self.weight, token, weight)
        for kept, added in ((self._start, scores.start), (self._end, scores.end)):
            values = added.float().cpu().numpy()[mask]
            if not (values < np.inf).all():  # NaN is not
                raise ModelError(BROKEN_SCORES)
            if self._mean:
                whole = np.clip(values.astype(np.float64), -LARGEST, LARGEST) / UNIT
                np.add.at(kept, token, weight * np.rint(whole).astype(np.int64))
            else:
                np.maximum.at(kept, token, values)

    @property
    def start(self) -> Float32:
        """(M,) log-odds of each token as the answer's first one against "no answer"; -inf where no window holds it."""
        return self._values(self._start)

    @property
    def end(self) -> Float32:
        """(M,) log-odds of each token as the answer's last one (inclusive), likewise."""
        return self._values(self._end)

    def rows(self) -> Rows:
        """The tokens that have been added here, to send to another process."""
        token = np.flatnonzero(self.weight)
        return token, self.weight[token], self._start[token], self._end[token]

    def merge(self, rows: Rows) -> None:
        """Take over what another process added to its table of the same windows."""
        token, weight, start, end = rows
        combine = np.add if self._mean else np.maximum
        self.weight[token] += weight
        self._start[token] = combine(self._start[token], start)
        self._end[token] = combine(self._end[token], end)

    def _values(self, kept: Float32 | Int64) -> Float32:
        if not self._mean:
            return kept.astype(np.float32, copy=False)
        mean = kept * UNIT / np.maximum(self.weight, 1)
        return np.where(self.weight > 0, mean, -np.inf).astype(np.float32)


BLOCK_TOKENS = 1_000_000
"""How many tokens are looked at together (or those of one example)."""
LEAST = -65_504.0
"""What float16 holds at least; less is -inf."""

_SPACES = np.array([code for code in range(0x3001) if chr(code).isspace()], np.uint32)
"""All whitespace there is, as ``str.strip`` sees it."""


def character_scores(
    positions: PositionTable, encoded: EncodedExamples, examples: Sequence[Example], *, aggregation: str
) -> CharacterScores:
    """The scores of every character of ``examples``, from those of their tokens.

    Tokens without characters don't count. Several tokens of one character (bytes of a rare one, say) share it: their
    probabilities are added.
    """
    first, last = _visible_ends(encoded, examples)
    lengths = np.fromiter((len(text) for example in examples for text in example.contexts), np.int64)
    pointers = pointers_of(lengths)
    start, end = np.full((2, int(pointers[-1])), -np.inf, np.float16)
    no_answer = np.zeros((len(examples), 2), np.float32)
    sides = ((positions.start, first, start), (positions.end, last, end))
    for begin, stop in _blocks(positions.pointers[encoded.pointers]):
        pairs = np.arange(encoded.pointers[begin], encoded.pointers[stop])
        tokens = np.diff(positions.pointers)[pairs]
        store_token = ranges(encoded.store.pointers[encoded.context[pairs]], tokens)
        row = np.repeat(encoded.pair_example[pairs].astype(np.int64) - begin, tokens)
        wide = np.diff(encoded.store.offsets[store_token])[:, 0] > 0
        origin = np.repeat(pointers[pairs], tokens)
        inside = slice(*positions.pointers[encoded.pointers[[begin, stop]]].tolist())
        low, high = pointers[encoded.pointers[[begin, stop]]].tolist()
        for side, (scores, character, target) in enumerate(sides):
            odds = np.where(wide, scores[inside], -np.inf).astype(np.float64)
            total = _log_sum(odds, row, stop - begin)
            block = np.full(high - low, -np.inf)
            np.logaddexp.at(block, (origin + character[store_token] - low)[wide], (odds - total[row])[wide])
            target[low:high] = np.where(block < LEAST, -np.inf, block)
            no_answer[begin:stop, side] = -total
    return CharacterScores(
        ids=tuple(example.id for example in examples),
        start=start,
        end=end,
        no_answer=no_answer,
        pointers=pointers,
        examples=encoded.pointers,
        contexts=_hashes(examples, len(lengths)),
        aggregation=aggregation,
    )


def _log_sum(odds: Float64, row: Int64, rows: int) -> Float64:
    """(rows,) logarithm of the sum of ``exp(odds)`` in each row, and of 1 for "no answer"."""
    largest = np.zeros(rows)
    np.maximum.at(largest, row, odds)
    return largest + np.log(np.exp(-largest) + np.bincount(row, np.exp(odds - largest[row]), rows))


def _visible_ends(encoded: EncodedExamples, examples: Sequence[Example]) -> tuple[Int32, Int32]:
    """Each token's first and last visible character, (tokens in the store,) each; its own ends if it is all blank.

    Some tokenizers count the space before a word as part of its token, and others don't.
    """
    store = encoded.store
    first, last = store.offsets[:, 0].copy(), store.offsets[:, 1] - 1
    texts = (text for example in examples for text in example.contexts)
    seen: set[int] = set()
    for row, text in zip(encoded.context.tolist(), texts, strict=True):
        if row in seen or not text:
            continue
        seen.add(row)
        own = slice(int(store.pointers[row]), int(store.pointers[row + 1]))
        visible = ~np.isin(np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32), _SPACES)
        place = np.arange(len(text), dtype=np.int32)
        following = np.minimum.accumulate(np.where(visible, place, len(text))[::-1])[::-1]
        preceding = np.maximum.accumulate(np.where(visible, place, -1))
        start, end = store.offsets[own, 0], store.offsets[own, 1] - 1
        inner = following[np.minimum(start, len(text) - 1)]
        some = inner <= end
        first[own] = np.where(some, inner, start)
        last[own] = np.where(some, preceding[np.maximum(end, 0)], end)
    return first, last


def _blocks(tokens: Int64) -> Iterator[tuple[int, int]]:
    """Consecutive examples [begin, stop) of bounded size; ``tokens`` (N + 1,) are their pointers."""
    begin = 0
    while begin < len(tokens) - 1:
        stop = int(np.searchsorted(tokens, tokens[begin] + BLOCK_TOKENS, side="right")) - 1
        stop = min(max(stop, begin + 1), len(tokens) - 1)
        yield begin, stop
        begin = stop


def _hashes(examples: Sequence[Example], pairs: int) -> NDArray[np.uint64]:
    known: dict[str, int] = {}
    texts = (text for example in examples for text in example.contexts)
    hashes = (known[text] if text in known else known.setdefault(text, context_hash(text)) for text in texts)
    return np.fromiter(hashes, np.uint64, pairs)
