"""Log-odds of tokens -> log-probabilities of characters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from qakit.data.arrays import Float64, Int32, Int64
from qakit.data.encode import EncodedExamples
from qakit.data.ragged import pointers_of, ranges
from qakit.inference.characters import CharacterScores, context_hash
from qakit.inference.positions import PositionTable
from qakit.values import Example

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
