"""Examples as rows of a token store: which texts, and which tokens hold the answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qakit.data.arrays import Float32, Int8, Int32, Int64, ranges
from qakit.data.labels import label_numbers
from qakit.data.store import Progress, TokenStore, build_store
from qakit.values import YES_NO, Answer, Example, yes_no_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


BLOCK_TOKENS = 2_000_000
"""How many tokens of the store are looked at together when answers are placed."""


@dataclass(frozen=True, slots=True)
class Places:
    """K places of answers beside the target answers, sorted by pair: as right as these, or, where all answers of an
    example belong together, the others.

    Attributes:
        pair: (K,) the (example, context) pair: a row of ``EncodedExamples.context``.
        first: (K,) first token.
        stop: (K,) one past the last token.
    """

    pair: Int64
    first: Int32
    stop: Int32

    def of(self, pair: NDArray[np.signedinteger[Any]]) -> tuple[Int64, Int64]:
        """Every place in some pairs (S,): rows of ``pair``, and rows of this table, (M,) each."""
        low, high = (np.searchsorted(self.pair, pair, side=side) for side in ("left", "right"))
        return np.repeat(np.arange(len(pair)), high - low), ranges(low, high - low)


@dataclass(frozen=True, slots=True)
class EncodedExamples:
    """N examples with P (example, context) pairs in all, as parallel arrays over a token store.

    Attributes:
        store: the tokens.
        query: (N,) the question's row in the store.
        pointers: (N + 1,) int64; the pairs of example i are [pointers[i], pointers[i + 1]).
        context: (P,) the context's row in the store.
        answer_first: (P,) first token of the target answer (the first placed one), -1 when it is not in this context.
        answer_stop: (P,) one past its last token, -1 likewise.
        answerable: (N,) 1 labelled with an answer, 0 labelled as unanswerable, -1 unlabelled.
        label: (N,) float32, the class (its place in the run's classes) or the regression target, or (N, K) where each
            example has K of these; NaN without one.
        relevant: (N,) int32, row of the pair whose context holds the answer; -1 if it is not known, or there is none.
        key: (N,) int64, a stable number for each example (a hash of its id): the address of its randomness, the same
            whatever else is in the file.
        others: further places of the answers (``Answer.others``, ``Example.together``); None without any.
        yes_no: (P,) int8, 1 where the context shows that the answer is yes, 2 where no, else 0; None where the head
            does not learn these.
        extras: (N) what the reader has put on each example (``Example.extra``); None where no example has any.
    """

    store: TokenStore
    query: Int32
    pointers: Int64
    context: Int32
    answer_first: Int32
    answer_stop: Int32
    answerable: Int8
    label: Float32
    relevant: Int32
    key: Int64
    others: Places | None = None
    yes_no: Int8 | None = None
    extras: tuple[Mapping[str, Any], ...] | None = None

    def __len__(self) -> int:
        return len(self.query)

    @property
    def has_label(self) -> NDArray[np.bool_]:
        """(N,) whether an example has a class, or any number."""
        known: NDArray[np.bool_] = ~np.isnan(self.label)
        return known if known.ndim == 1 else np.asarray(known.any(1))

    @property
    def query_lengths(self) -> Int32:
        """(N,) tokens of each question."""
        return self.store.lengths[self.query]

    @property
    def context_lengths(self) -> Int32:
        """(P,) tokens of each context."""
        return self.store.lengths[self.context]

    @property
    def pair_example(self) -> Int32:
        """(P,) the example of each pair."""
        return np.repeat(np.arange(len(self), dtype=np.int32), np.diff(self.pointers))


def encode(
    examples: Sequence[Example],
    tokenizer: PreTrainedTokenizerBase,
    *,
    labels: Sequence[str] = (),
    yes_no: bool = False,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> EncodedExamples:
    """Tokenise the examples' texts and find the tokens of their answers.

    The target answer is the first place of an example's first placed one. It reaches from the first token that ends
    after the answer's first character to the last token that starts before the answer's end; tokens without characters
    don't count. An answer that no token covers (only blanks, say) is not placed in any context.

    Args:
        labels: the run's classes, or the names of its numbers; empty where examples have none, or one number.
        yes_no: whether yes and no are learnt; else such answers are, as any without a place, not learnt.
        cache: the token cache's folder, or None for no cache.
        progress: called with (distinct texts tokenised, distinct texts in all).

    Raises:
        ModelError: the tokenizer gives no character offsets.
        DataError: an example's label is none of ``labels``.
    """
    store, rows = build_store(_texts(examples), tokenizer, cache=cache, progress=progress)
    counts = np.fromiter((len(example.contexts) for example in examples), dtype=np.int64, count=len(examples))
    pointers = np.concatenate([np.zeros(1, np.int64), counts.cumsum()])
    questions = pointers[:-1] + np.arange(len(examples))  # an example's question stands before its contexts
    is_context = np.ones(len(rows), bool)
    is_context[questions] = False
    context = rows[is_context]

    answers = [_target(example) for example in examples]
    placed = np.fromiter((i for i, answer in enumerate(answers) if answer), dtype=np.int64)
    spans = [(answer.context, *answer.places[0]) for answer in answers if answer]
    where, start, end = np.array(spans, dtype=np.int64).reshape(len(spans), 3).T
    pair = pointers[placed] + where
    first, stop = token_spans(store, context[pair], start, end)
    answer_first, answer_stop = np.full((2, len(context)), -1, np.int32)
    answer_first[pair], answer_stop[pair] = first, stop

    return EncodedExamples(
        store=store,
        query=rows[questions],
        pointers=pointers,
        context=context,
        answer_first=answer_first,
        answer_stop=answer_stop,
        answerable=np.fromiter((_answerable(example) for example in examples), dtype=np.int8, count=len(examples)),
        label=label_numbers(examples, labels),
        relevant=_relevant(examples, pointers[:-1], yes_no=yes_no),
        key=np.fromiter((example_key(example.id) for example in examples), dtype=np.int64, count=len(examples)),
        others=_others(examples, store, pointers, context, answer_first, answer_stop),
        yes_no=_yes_no(examples, pointers) if yes_no else None,
        extras=tuple(example.extra for example in examples) if any(example.extra for example in examples) else None,
    )


def token_spans(store: TokenStore, row: Int32, start: Int64, end: Int64) -> tuple[Int32, Int32]:
    """The tokens that cover characters [start, end) of a text: first token and one past the last, (K,) each.

    Both are -1 where no token covers any of the characters. Offsets need not be in order, as with normalisers that
    reorder characters: "first" and "last" are by place in the token sequence.

    Args:
        row: (K,) the text's row in the store.
        start: (K,) characters.
        end: (K,) characters, exclusive.
    """
    first, stop = np.full((2, len(row)), -1, np.int32)
    order = np.argsort(row, kind="stable")
    begin = 0
    while begin < len(order):
        # Rows [low, high) hold at most BLOCK_TOKENS tokens (or are a single row): memory stays bounded.
        low = int(row[order[begin]])
        limit = store.pointers[low] + BLOCK_TOKENS
        high = max(low + 1, int(np.searchsorted(store.pointers, limit, side="right")) - 1)
        until = begin + int(np.searchsorted(row[order[begin:]], high))
        block = order[begin:until]
        first[block], stop[block] = _spans_in_rows(store, low, high, row[block], start[block], end[block])
        begin = until
    return first, stop


def example_key(identifier: str) -> int:
    """The ``EncodedExamples.key`` of the example with this id: 63 bits of a BLAKE2b hash.

    It joins what else is known about examples (an earlier run's predictions, say) to their rows.
    """
    digest = blake2b(identifier.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def _spans_in_rows(store: TokenStore, low: int, high: int, row: Int32, start: Int64, end: Int64) -> tuple[Int32, Int32]:
    """:func:`token_spans` for texts in rows [low, high), by binary search in all of them at once."""
    pointers = store.pointers[low : high + 1] - store.pointers[low]
    offsets = store.offsets[store.pointers[low] : store.pointers[high]].astype(np.int64)
    wide = offsets[:, 1] > offsets[:, 0]
    # Row r's characters are shifted by r * shift, so that one ascending array holds all rows. The running maximum of
    # the ends passes a character exactly where the first token ends after it; the mirror image holds for the starts.
    shift = int(max(offsets[:, 1].max(initial=0), end.max(initial=0))) + 2
    base = np.repeat(np.arange(high - low) * shift, np.diff(pointers))
    ends = np.maximum.accumulate(base + np.where(wide, offsets[:, 1], 0))
    starts = np.minimum.accumulate((base + np.where(wide, offsets[:, 0], shift - 1))[::-1])[::-1]
    local = row.astype(np.int64) - low
    first = np.searchsorted(ends, local * shift + start, side="right") - pointers[local]
    stop = np.searchsorted(starts, local * shift + end, side="left") - pointers[local]
    covered = (first < stop) & (start < end)
    return np.where(covered, first, -1).astype(np.int32), np.where(covered, stop, -1).astype(np.int32)


def _texts(examples: Iterable[Example]) -> Iterator[str]:
    for example in examples:
        yield example.question
        yield from example.contexts


def _target(example: Example) -> Answer | None:
    return next((answer for answer in example.answers or () if answer.places), None)


def _others(
    examples: Sequence[Example],
    store: TokenStore,
    pointers: Int64,
    context: Int32,
    answer_first: Int32,
    answer_stop: Int32,
) -> Places | None:
    """The places beside the target answers' first; of several with the same tokens, one."""
    found = [
        (pointers[row] + answer.context, start, end)
        for row, example in enumerate(examples)
        for answer in ((example.answers or ()) if example.together else filter(None, [_target(example)]))
        for start, end in answer.places
    ]
    if not found:
        return None
    pair, start, end = np.array(found, dtype=np.int64).T
    first, stop = token_spans(store, context[pair], start, end)
    new = (first >= 0) & ((first != answer_first[pair]) | (stop != answer_stop[pair]))
    if not new.any():
        return None
    pair, first, stop = np.unique(np.stack([pair[new], first[new], stop[new]]), axis=1)
    return Places(pair, first.astype(np.int32), stop.astype(np.int32))


def _yes_no(examples: Sequence[Example], pointers: Int64) -> Int8:
    """``EncodedExamples.yes_no``: the evidence is the whole context that the answer names."""
    shown = np.zeros(int(pointers[-1]), np.int8)
    for row, example in enumerate(examples):
        answer = yes_no_of(example.answers)
        if answer is not None and pointers[row] + answer.context < pointers[row + 1]:
            shown[pointers[row] + answer.context] = 1 + YES_NO.index(answer.text)
    return shown


def _relevant(examples: Sequence[Example], first_pair: Int64, *, yes_no: bool) -> Int32:
    """(N,) the row of the pair that holds the answer, -1 without one.

    What the file says of it comes before where its first placed answer is, or what yes or no is answered from.
    """
    rows = np.full(len(examples), -1, np.int32)
    for row, example in enumerate(examples):
        context = example.relevant
        if context is None:
            answer = _target(example) or (yes_no_of(example.answers) if yes_no else None)
            context = None if answer is None else answer.context
        if context is not None:
            rows[row] = first_pair[row] + context
    return rows


def _answerable(example: Example) -> int:
    return -1 if example.answers is None else int(bool(example.answers))
