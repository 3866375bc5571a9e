"""Character scores of several folds as those of one file."""

from __future__ import annotations

import numpy as np

from qakit.data.arrays import pointers_of
from qakit.inference.characters import CharacterScores, context_hash
from qakit.inference.out_of_fold import joined


def scores(texts: dict[str, list[str]], *, first: int) -> CharacterScores:
    """Scores that count upwards from ``first``."""
    contexts = [text for several in texts.values() for text in several]
    total = sum(map(len, contexts))
    return CharacterScores(
        ids=tuple(texts),
        start=np.arange(first, first + total).astype(np.float16),
        end=-np.arange(first, first + total).astype(np.float16),
        no_answer=np.full((len(texts), 2), first, np.float32),
        pointers=pointers_of(np.array([len(text) for text in contexts])),
        examples=pointers_of(np.array([len(several) for several in texts.values()])),
        contexts=np.array([context_hash(text) for text in contexts], np.uint64),
        aggregation="mean",
    )


def test_examples_come_in_the_wanted_order_with_all_their_contexts() -> None:
    one, other = scores({"a": ["xy", "z"], "c": ["uvw"]}, first=0), scores({"b": ["pqrs"]}, first=100)
    whole = joined([one, other], ["b", "c", "a"])
    assert whole.ids == ("b", "c", "a")
    assert whole.of(0, 0)[0].tolist() == [100, 101, 102, 103]
    assert whole.of(1, 0)[0].tolist() == [3, 4, 5]
    assert [whole.of(2, context)[1].tolist() for context in (0, 1)] == [[0, -1], [-2]]
    assert whole.no_answer[:, 0].tolist() == [100, 0, 0]
    assert whole.contexts.tolist() == [context_hash(text) for text in ("pqrs", "uvw", "xy", "z")]
