"""What the gold answers of questions are, as far as methods compare texts."""

from __future__ import annotations

from collections.abc import Sequence

from qakit.api import Example, UsageError
from qakit_ensemble.text import same

NOTHING = "weights cannot be learnt: none of the questions has a gold answer"


def right_texts(examples: Sequence[Example] | None, rows: Sequence[int]) -> dict[int, frozenset[str]]:
    """For each labelled question among ``rows``, the right answers in the form of :func:`~qakit_ensemble.text.same`.

    An unanswerable question's is "", a class's its name and a context's its number.

    Raises:
        UsageError: there is none.
    """
    found = {row: texts for row in rows if examples is not None and (texts := _texts(examples[row]))}
    if not found:
        raise UsageError(NOTHING)
    return found


def _texts(example: Example) -> frozenset[str]:
    if example.label is not None:
        return frozenset([same(str(example.label))])
    if example.answers is not None:
        return frozenset(same(answer.text) for answer in example.answers) or frozenset([""])
    return frozenset() if example.relevant is None else frozenset([str(example.relevant)])
