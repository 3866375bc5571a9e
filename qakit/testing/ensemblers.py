"""The contract of ensemblers: of what they combine, and of their pools (weights, candidates, what is learnt)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from qakit.components import Component, Settings
from qakit.ensembling.method import learnt_values
from qakit.errors import PluginError, UsageError
from qakit.inference.nbest import answer_of
from qakit.protocols import EnsembleMember, NoRuntime, PoolsMembers
from qakit.returned import named
from qakit.testing.answers import (
    ANSWERS,
    CONTEXT,
    SURE,
    UNSURE,
    Probabilities,
    character_scores,
    confident,
    contested,
    label_predictions,
    made_up_labels,
    made_up_questions,
    span_predictions,
)
from qakit.testing.components import build_checked, running
from qakit.values import Candidate, Example, LabelPrediction, NoAnswer, Prediction, SpanPrediction

ROUNDING = 1e-6
CHOICE = (
    "with `decodes` the core takes the best candidate, and no answer where there is none or null.score is above its "
    "score; `answer` is not looked at"
)


def check_predictions(result: list[Prediction], members: Sequence[Prediction], what: str) -> list[Prediction]:
    """The result is what the members' predictions are."""
    wanted = type(members[0])
    for each in result:
        assert isinstance(each, wanted), f"of {wanted.__name__}s, {what} makes {named(each)}"
    return result


def chosen(prediction: Prediction, *, decodes: bool) -> str | float:
    """What the core takes for the answer."""
    if isinstance(prediction, SpanPrediction) and decodes:
        return answer_of(prediction.candidates, prediction.null, 0.0)
    number = isinstance(prediction, LabelPrediction) and isinstance(prediction.label, float)
    return float(prediction.final) if number else prediction.final


def check_answers(
    result: Sequence[Prediction],
    expected: Sequence[Prediction],
    rule: str,
    *,
    against: Sequence[Prediction] | None = None,
    decodes: bool = False,
) -> None:
    """Each question's answer is the expected one.

    Args:
        rule: for the message.
        against: a number need not be the expected one, only nearer to it than to that of these predictions.
    """
    for number, (each, wanted) in enumerate(zip(result, expected, strict=True)):
        given, right = chosen(each, decodes=decodes), chosen(wanted, decodes=False)
        hint = f" ({CHOICE})" if decodes and isinstance(each, SpanPrediction) else ""
        if isinstance(right, str) or isinstance(given, str):
            assert given == right, f"{rule}: question {each.id!r} should get {right!r}, not {given!r}{hint}"
            continue
        other = chosen(against[number], decodes=False) if against is not None else right
        assert isinstance(other, float | int)
        near = abs(given - right) < abs(given - other) if other != right else math.isclose(given, right, rel_tol=1e-6)
        assert near, f"{rule}: question {each.id!r} should get {right!r}, not {given!r}"


def check_candidates(result: Sequence[Prediction], *, n_best: int | None) -> None:
    """Candidates lie where they say, and are no more than wanted; probabilities are from 0 to 1."""
    for each in result:
        if isinstance(each, LabelPrediction):
            assert all(_probable(share) for share in each.scores), (
                f"question {each.id!r}: a class's probability is not from 0 to 1: {each.scores}"
            )
        if not isinstance(each, SpanPrediction):
            continue
        at = f"question {each.id!r}"
        options: list[Candidate | NoAnswer] = [*each.candidates, *([] if each.null is None else [each.null])]
        for choice in options:
            assert math.isfinite(choice.score), f"{at}: a score is {choice.score}"
            assert _probable(choice.probability), f"{at}: a probability is {choice.probability}, not from 0 to 1"
        count = len(each.candidates)
        assert n_best is None or count <= n_best, f"{at}: {count} candidates where n_best is {n_best}"
        for option in each.candidates:
            there = option.text if option.start is None else CONTEXT[option.start : option.end]
            assert there == option.text, (
                f"{at}: the context has {there!r} where the candidate {option.text!r} should be"
            )


def _probable(value: float) -> bool:
    return -ROUNDING <= value <= 1 + ROUNDING


N_BEST = 20
WEIGHTS = (
    ((1.0, 0.0, 0.0, 0.0), "a member that has all the weight must keep its answers: members of weight 0 take no part"),
    ((0.0, 1.0, 0.0, 0.0), "a member that has all the weight must keep its answers, the second one, too"),
    ((0.85, 0.05, 0.05, 0.05), "a member with most of the weight must win over three others"),
    ((0.1, 0.3, 0.3, 0.3), "three members that agree, and have most of the weight, must win over the first"),
)
"""Of a member with one answer and three with another."""


def check_ensembler(
    component: Component[Any, Any, Any],
    settings: Settings,
    *,
    labels: Sequence[str | float] = (),
    figures: Sequence[str] = (),
) -> None:
    """Members' predictions become one per question, in the first member's order; one member alone keeps its answers.

    Members who are many and surer win over one. An ensembler that pools members is asked for several weights: all of it
    for one member, a mixture, and what a member of weight 0 changes. What it learns must be the same each time, and
    come from the questions that it is given alone. One that reads character scores is looked at in its pool alone.

    Args:
        component: the ensembler.
        settings: its settings.
        labels: classes or numbers (different ones), for an ensembler of those.
        figures: names of those that its members' runs have, for an ensembler that looks at them; all are equal here.

    Raises:
        AssertionError: with the reason.
    """
    ensembler = build_checked("ensemblers", component, settings, NoRuntime())
    if callable(getattr(ensembler, "pool", None)):
        for name in ("reads_characters", "decodes"):
            assert hasattr(ensembler, name), f"an ensembler with a pool must say `{name}`: true or false"
            value = getattr(ensembler, name)
            assert isinstance(value, bool), f"{name} is {named(value)}, not bool"
    if isinstance(ensembler, PoolsMembers):
        check_pool(ensembler, component.name, labels=labels, figures=figures)
    if isinstance(ensembler, PoolsMembers) and ensembler.reads_characters:
        with running("combine without character scores", passing=UsageError):
            _refused_or_made(ensembler, span_predictions(confident(ANSWERS)))
        return
    first, second, surer = (
        _said(labels, moved=moved, sure=sure) for moved, sure in ((0, False), (1, False), (1, True))
    )
    backwards = list(reversed(first))
    result = _combine(ensembler, first, backwards, first)
    assert [each.id for each in result] == [each.id for each in first], "ids must be the first member's, in its order"
    assert _combine(ensembler, first, backwards, first) == result, "the same members give another result"
    check_answers(result, first, "members that agree must keep their answers")
    check_answers(_combine(ensembler, first), first, "one member alone must keep its answers")
    won = _combine(ensembler, first, surer, surer)
    check_answers(won, second, "two surer members that agree must win over the first", against=first)


def _said(labels: Sequence[str | float], *, moved: int, sure: bool) -> list[Prediction]:
    share = SURE if sure else UNSURE
    if labels:
        return label_predictions([*labels[moved:], *labels[:moved]], share=share)
    return span_predictions(confident([*ANSWERS[moved:], *ANSWERS[:moved]], share=share))


def _combine(ensembler: Any, *members: list[Prediction]) -> list[Prediction]:
    with running("combine"):
        result = ensembler.combine(list(members))
    return check_predictions(result, members[0], "combine")


def _refused_or_made(ensembler: Any, members: list[Prediction]) -> None:
    try:
        check_predictions(ensembler.combine([members, members]), members, "combine")
    except UsageError:
        return


@dataclass(frozen=True, slots=True)
class _Asked:
    """An ensembler with the kind of predictions that it is asked for."""

    ensembler: PoolsMembers
    name: str
    labels: Sequence[str | float]
    figures: Sequence[str] = ()

    @property
    def examples(self) -> list[Example]:
        return made_up_labels(self.labels) if self.labels else made_up_questions()

    @property
    def says(self) -> Sequence[str | float]:
        """What the first member is sure of."""
        if self.labels:
            return self.labels
        if not self.ensembler.reads_characters:
            return ANSWERS
        return [text.strip() if text.strip() in CONTEXT else "" for text in ANSWERS]

    def member(self, name: str, said: Sequence[Probabilities]) -> EnsembleMember:
        scores = character_scores(said) if self.ensembler.reads_characters else None
        return EnsembleMember(name, span_predictions(said), scores, figures=dict.fromkeys(self.figures, 50.0))

    def members(self) -> list[EnsembleMember]:
        """One with the first answers, three with the second."""
        both = (self.says, [*self.says[1:], *self.says[:1]])
        if self.labels:
            figures = dict.fromkeys(self.figures, 50.0)
            first, second = (
                EnsembleMember(str(number), label_predictions(said), figures=figures)
                for number, said in enumerate(both)
            )
        else:
            first, second = (
                self.member(str(n), confident([str(text) for text in said])) for n, said in enumerate(both)
            )
        return [first, second, replace(second, name="2"), replace(second, name="3")]

    def torn(self) -> list[EnsembleMember]:
        """Two whose best answers differ, and whose second best is the same."""
        said = [str(text) for text in self.says]
        common = "was written"
        return [
            self.member("first", contested(said, common=common)),
            self.member("second", contested([*said[1:], *said[:1]], common=common)),
        ]

    def pool(self, members: Sequence[EnsembleMember], examples: Sequence[Example] | None) -> Any:
        with running("pool" if examples is not None else "pool without examples"):
            return self.ensembler.pool(members, examples)

    def combined(
        self, pool: Any, members: Sequence[EnsembleMember], weights: Sequence[float], n_best: int = N_BEST
    ) -> list[Prediction]:
        with running("combine of the pool"):
            result = pool.combine(tuple(weights), (1.0,) * len(weights), n_best=n_best)
        found = check_predictions(result, members[0].predictions, "combine of the pool")
        assert [each.id for each in found] == [each.id for each in members[0].predictions], (
            "ids must be the members', in their order"
        )
        check_candidates(found, n_best=n_best if self.ensembler.decodes else None)
        return found


def check_pool(
    ensembler: PoolsMembers, name: str, *, labels: Sequence[str | float], figures: Sequence[str] = ()
) -> None:
    """What is in :func:`~qakit.testing.check_ensembler` of pools.

    Raises:
        AssertionError: with the reason.
    """
    asked = _Asked(ensembler, name, labels, figures)
    members, examples = asked.members(), asked.examples
    pool = asked.pool(members, examples)
    first, second = members[0].predictions, members[1].predictions
    for weights, rule in WEIGHTS:
        result, again = (asked.combined(pool, members, weights) for _ in range(2))
        assert again == result, "the same weights give another result"
        mine = weights[0] > 0.5
        right, wrong = (first, second) if mine else (second, first)
        check_answers(result, right, rule, against=wrong if 0 not in weights else None, decodes=ensembler.decodes)
    if not ensembler.reads_characters:
        unknown = asked.combined(asked.pool(members, None), members, WEIGHTS[2][0])
        known = asked.combined(pool, members, WEIGHTS[2][0])
        assert unknown == known, "combine must not need the examples: where they are None, the result is another one"
    _check_n_best(asked)
    _check_learning(asked, pool, members)


def _check_n_best(asked: _Asked) -> None:
    members = asked.members()[:2] if asked.labels else asked.torn()
    pool = asked.pool(members, asked.examples)
    few, many = (asked.combined(pool, members, (0.5, 0.5), n_best) for n_best in (1, N_BEST))
    for one, other in zip(few, many, strict=True):
        short, long = (chosen(each, decodes=asked.ensembler.decodes) for each in (one, other))
        assert short == long, (
            f"the best answer depends on n_best: question {one.id!r} gets {short!r} with n_best=1 and {long!r} with "
            f"n_best={N_BEST}"
        )


def _check_learning(asked: _Asked, pool: Any, members: Sequence[EnsembleMember]) -> None:
    examples = asked.examples
    half = range((len(examples) + 1) // 2)
    turned = [*examples[1:], *examples[:1]]  # beyond the half, the other members are right
    others = [
        each if row in half else replace(each, answers=other.answers, label=other.label)
        for row, (each, other) in enumerate(zip(examples, turned, strict=True))
    ]
    blind = asked.pool(members, others)
    _learnt(asked, pool, range(len(examples)))
    first, again = _learnt(asked, pool, half), _learnt(asked, pool, half)
    assert again == first, f"learn gives other values for the same questions: {first}, then {again}"
    assert _learnt(asked, blind, half) == first, "learn looks at gold answers of questions that it is not given"


def _learnt(asked: _Asked, pool: Any, rows: Sequence[int]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    with running("learn"):
        found = pool.learn(rows)
    try:
        return learnt_values(found, members=4, name=asked.name)
    except PluginError as error:
        raise AssertionError(str(error)) from None
