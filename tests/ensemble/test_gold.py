"""Gold answers on the axis of the members' characters, by looking at every character."""

from __future__ import annotations

import numpy as np
import pytest
from ensemble.made_up import Odds, characters_of
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from qakit.errors import UsageError
from qakit.inference.characters import CharacterScores
from qakit.values import Answer, Example
from qakit_ensemble.axis import Axis, gold_places

MEMBERS = 2
TEXTS = st.lists(st.text("abc", min_size=1, max_size=7), min_size=1, max_size=3)


@st.composite
def questions(draw: st.DrawFn) -> list[Example]:
    """Questions on a few short contexts, with no, one or two gold answers, or unlabelled."""
    found = []
    for number in range(draw(st.integers(1, 3))):
        contexts = tuple(draw(TEXTS))
        answers: list[Answer] = []
        for _ in range(draw(st.integers(0, 2))):
            context = draw(st.integers(0, len(contexts) - 1))
            start = draw(st.integers(0, len(contexts[context]) - 1))
            end = draw(st.integers(start + 1, len(contexts[context])))
            answers.append(Answer(contexts[context][start:end], start, context))
        labelled = bool(answers) or draw(st.booleans())
        found.append(Example(f"q{number}", "?", contexts, tuple(answers) if labelled else None))
    return found


@st.composite
def scores(draw: st.DrawFn, examples: list[Example]) -> CharacterScores:
    """A member with tokens anywhere: some contexts have none, and some characters belong to no token."""
    sides = []
    for example in examples:
        places = [(c, at) for c, text in enumerate(example.contexts) for at in range(len(text))]
        one, other = (draw(st.sets(st.sampled_from(places))) for _ in range(2))
        odds: tuple[Odds, Odds] = (dict.fromkeys(one, 1.0), dict.fromkeys(other, 1.0))
        sides.append(odds)
    return characters_of(examples, sides)


@given(st.data(), questions())
@settings(deadline=None, max_examples=80)
def test_a_place_is_that_of_the_token_that_holds_the_answers_end(data: st.DataObject, examples: list[Example]) -> None:
    members = [data.draw(scores(examples)) for _ in range(MEMBERS)]
    axis = Axis.of(members)
    rows = data.draw(st.lists(st.sampled_from(range(len(examples))), unique=True, min_size=1).map(sorted))
    assume(any(examples[row].answers is not None for row in rows))
    gold = gold_places(axis, examples, np.array(rows, np.int64))
    for number, member in enumerate(members):
        for side, finite in enumerate((member.start > -np.inf, member.end > -np.inf)):
            wanted = set()
            for place, row in enumerate(rows):
                for answer in examples[row].answers or ():
                    assert answer.start is not None
                    low = int(member.pointers[member.examples[row] + answer.context])
                    high = int(member.pointers[member.examples[row] + answer.context + 1])
                    first, last = low + answer.start, low + answer.start + len(answer.text) - 1
                    there = range(first, low - 1, -1) if side == 0 else range(last, high)
                    wanted |= set([(at, place) for at in there if finite[at]][:1])
            chosen = (axis.start, axis.end)[side].only(np.array(rows, np.int64))
            found = [(int(chosen.place[at]), int(row)) for at, row in zip(*gold.places[side][number], strict=True)]
            assert set(found) == wanted
            assert len(found) == len(wanted), "each place once"
    assert [bool(gold.unanswerable[place]) for place in range(len(rows))] == [
        examples[row].answers == () for row in rows
    ]
    assert gold.known.tolist() == [place for place, row in enumerate(rows) if examples[row].answers is not None]


def test_no_gold_answer_at_all() -> None:
    examples = [Example("q", "?", ("abc",)), Example("r", "?", ("abc",), (Answer("b", None),))]
    axis = Axis.of([characters_of(examples, [({(0, 0): 1.0}, {(0, 0): 1.0})] * 2)])
    with pytest.raises(UsageError, match="none of the questions has a gold answer"):
        gold_places(axis, examples, np.array([0, 1]))
