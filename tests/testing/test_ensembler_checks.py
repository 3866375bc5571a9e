"""The contract check of ensemblers: each fault is noticed, whatever is combined."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from contract_faults import component

from qakit import testing
from qakit.api import Candidate, NoAnswer, Prediction, SpanPrediction, UsageError
from qakit_ensemble import CHAR_AVERAGE, MEAN, NBEST, VOTING

Pooled = tuple[Any, Sequence[str | float]]
CLASSES, NUMBERS = ("x", "y", "z", "x"), (1.5, 2.0, 4.0)
KINDS: dict[str, Pooled] = {
    "characters": (CHAR_AVERAGE, ()),
    "spans": (NBEST, ()),
    "votes": (VOTING, ()),
    "classes": (MEAN, CLASSES),
    "numbers": (MEAN, NUMBERS),
}
Change = Callable[[Any, Any, Sequence[float], int], Any]
"""(the wrapped pool, what it is called through, weights, n_best) -> what combine gives."""


@dataclass
class Spoilt:
    """A pool that goes wrong in combine or learn."""

    pool: Any
    members: Sequence[Any]
    change: Change | None = None
    learns: Callable[[Any, Sequence[int]], Any] | None = None

    def combine(self, weights: Sequence[float], temperatures: Sequence[float], *, n_best: int) -> Any:
        if self.change is None:
            return self.pool.combine(weights, temperatures, n_best=n_best)

        def combine(weights: Sequence[float], n_best: int = n_best) -> list[Prediction]:
            return list(self.pool.combine(weights, temperatures, n_best=n_best))

        return self.change(self, combine, weights, n_best)

    def learn(self, rows: Sequence[int]) -> Any:
        return self.pool.learn(rows) if self.learns is None else self.learns(self, rows)


def check(kind: str, change: Change | None = None, learns: Any = None, **attributes: Any) -> None:
    made, labels = KINDS[kind]
    ensembler = made.build(made.settings(), None)

    class Wrapped:
        reads_characters = ensembler.reads_characters
        decodes = ensembler.decodes

        def combine(self, members: Any) -> Any:
            return ensembler.combine(members)

        def pool(self, members: Any, examples: Any) -> Any:
            return Spoilt(ensembler.pool(members, examples), members, change, learns)

    wrapped = Wrapped()
    for name, value in attributes.items():
        setattr(wrapped, name, value)
    testing.check_ensembler(component(wrapped), component(wrapped).settings(), labels=labels)


def first_always(pool: Spoilt, combine: Any, weights: Any, n_best: int) -> Any:
    return list(pool.members[0].predictions)


def weights_ignored(pool: Spoilt, combine: Any, weights: Any, n_best: int) -> Any:
    return combine([1.0] * len(weights))


def only_zeros_count(pool: Spoilt, combine: Any, weights: Any, n_best: int) -> Any:
    return combine([float(weight > 0) for weight in weights])


def zeros_take_part(pool: Spoilt, combine: Any, weights: Any, n_best: int) -> Any:
    return combine([max(weight, 0.5) for weight in weights])


def turned(pool: Spoilt, combine: Any, weights: Any, n_best: int) -> Any:
    return combine(list(weights)[::-1])


def a_generator(pool: Spoilt, combine: Any, weights: Any, n_best: int) -> Any:
    return iter(combine(weights))


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_sound_one_passes(kind: str) -> None:
    check(kind)


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("change", [first_always, weights_ignored, only_zeros_count, zeros_take_part, turned])
def test_weights_must_count(kind: str, change: Change) -> None:
    with pytest.raises(AssertionError, match=r"weight.*: question '.*' should get .*, not"):
        check(kind, change)


def on_candidates(change: Callable[[Candidate], Candidate]) -> Change:
    def changed(pool: Any, combine: Any, weights: Any, n_best: int) -> Any:
        return [replace(each, candidates=tuple(map(change, each.candidates))) for each in combine(weights)]

    return changed


def truncated(pool: Any, combine: Any, weights: Any, n_best: int) -> Any:
    """Each member's best ``n_best`` candidates are all that counts."""
    kept = [
        replace(
            member,
            predictions=[replace(each, candidates=each.candidates[:n_best]) for each in member.predictions],
        )
        for member in pool.members
    ]
    made = NBEST.build(NBEST.settings(), None)  # type: ignore[arg-type]
    return made.pool(kept, None).combine(weights, (1.0,) * len(kept), n_best=n_best)  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ["characters", "spans"])
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (a_generator, "combine returned list_iterator; it must return a list of predictions"),
        (lambda p, c, w, n: c(w)[::-1], "ids must be the members', in their order"),
        (lambda p, c, w, n: c(w, n * 10), "candidates where n_best is"),
        (
            lambda p, c, w, n: [replace(each, candidates=each.candidates[::-1]) for each in c(w)],
            "that are not sorted, best first",
        ),
        (on_candidates(lambda each: replace(each, probability=3.0)), "a probability is 3.0, not from 0 to 1"),
        (on_candidates(lambda each: replace(each, score=float("nan"))), "a score is nan|that are not sorted"),
        (
            on_candidates(lambda each: replace(each, start=each.start and each.start + 1)),
            "should be",
        ),
        (
            lambda p, c, w, n: [replace(each, null=None) for each in c(w)],
            r"question 'q1' should get '', not '.*decodes",
        ),
        (
            lambda p, c, w, n: [replace(each, null=NoAnswer(1e6, 0.5)) for each in c(w)],
            "question 'q0' should get '李白', not ''",
        ),
    ],
)
def test_candidates_must_be_sound(kind: str, change: Change, reason: str) -> None:
    with pytest.raises(AssertionError, match=reason):
        check(kind, change)


@pytest.mark.parametrize("kind", ["characters", "spans"])
def test_with_decodes_the_text_of_the_answer_is_not_looked_at(kind: str) -> None:
    def without_text(pool: Any, combine: Any, weights: Any, n_best: int) -> Any:
        return [each.with_answer("") for each in combine(weights)]

    check(kind, without_text)


def test_the_best_answer_must_not_depend_on_how_many_are_wanted() -> None:
    with pytest.raises(AssertionError, match=r"the best answer depends on n_best: question 'q2' gets .* with n_best=1"):
        check("spans", truncated)


MEMBERS = 4
EVEN = (1 / MEMBERS,) * MEMBERS


@pytest.mark.parametrize("kind", ["characters", "classes"])
@pytest.mark.parametrize(
    ("learnt", "reason"),
    [
        (lambda pool, rows: None, "must return weights and temperatures"),
        (lambda pool, rows: ((1.0,), (1.0,)), "returned 1 weights for 4 members"),
        (lambda pool, rows: ((0.5,) * MEMBERS, EVEN), "returned weights that sum to 2, not 1"),
        (lambda pool, rows: ((2.0, -1.0, 0.0, 0.0), EVEN), "returned weights that are not finite numbers from 0 up"),
        (lambda pool, rows: ((float("nan"),) * MEMBERS, EVEN), "returned weights that are not finite"),
        (lambda pool, rows: (EVEN, (0.0,) * MEMBERS), "returned temperatures that are not finite numbers above 0"),
        (lambda pool, rows: (EVEN, (random.random(),) * MEMBERS), "learn gives other values for the same questions"),
        (
            lambda pool, rows: pool.pool.learn(range(len(pool.members[0].predictions))),
            "learn looks at gold answers of questions that it is not given",
        ),
    ],
)
def test_what_is_learnt_must_be_sound(kind: str, learnt: Any, reason: str) -> None:
    with pytest.raises(AssertionError, match=reason):
        check(kind, None, learnt)


def test_arrays_and_lists_of_what_is_learnt_will_do() -> None:
    check("classes", None, lambda pool, rows: [np.full(MEMBERS, 1 / MEMBERS, np.float32), [1] * MEMBERS])


def test_the_attributes_must_be_there_and_truths() -> None:
    with pytest.raises(AssertionError, match="decodes is None, not bool"):
        check("spans", decodes=None)


class Plain:
    """Combines predictions and nothing else."""

    def __init__(self, combine: Callable[[Sequence[Any]], Any]) -> None:
        self.combine = combine


def test_a_plain_one_must_listen_to_all_its_members() -> None:
    def surest(members: Sequence[Sequence[SpanPrediction]]) -> Any:
        by_id = [{each.id: each for each in member} for member in members]
        return [max((own[each.id] for own in by_id), key=_certainty) for each in members[0]]

    built = component(Plain(surest))
    testing.check_ensembler(built, built.settings())
    deaf = component(Plain(lambda members: list(members[0])))
    with pytest.raises(AssertionError, match="two surer members that agree must win over the first: question 'q0'"):
        testing.check_ensembler(deaf, deaf.settings())


def _certainty(each: SpanPrediction) -> float:
    if each.answer:
        return each.candidates[0].probability
    return each.null.probability if each.null else 0.0


def test_without_character_scores_a_pool_of_them_may_refuse() -> None:
    def refuses(members: Any) -> Any:
        raise UsageError("needs character scores")

    check("characters", combine=refuses)
    with pytest.raises(AssertionError, match="combine fails: KeyError"):
        check("characters", combine=lambda members: {}["x"])
