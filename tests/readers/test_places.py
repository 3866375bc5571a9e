"""Answers whose place the file does not tell: at one place, at any of several, or nowhere."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qakit.api import Answer, DataError, Problems
from qakit.reading.answers import place_answer
from qakit.reading.record import Record, SkippedRecordError

Read = Callable[..., Any]
INVISIBLE = re.compile("[\\s\u200b]")


@pytest.fixture
def placed(read: Read, write_json: Callable[[Any], Any]) -> Callable[..., Any]:
    """``placed(context, text, kind=policy)``: the answer as the table reader has it, and its problems."""

    def place(context: str, text: str, **policies: str) -> Any:
        path = write_json([{"q": "?", "c": context, "a": text}])
        (example,), problems = read("table", path, policies, question="q", context="c", answer_text="a")
        return example.answers[0], problems.counts

    return place


def test_the_policy_decides_about_several_places(placed: Any) -> None:
    assert placed("so sad so", "so") == (Answer("so", None), {("answer_ambiguous", "kept"): 1})
    first, counts = placed("so sad so", "so", answer_ambiguous="first")
    assert (first, counts) == (Answer("so", 0), {("answer_ambiguous", "at the first place"): 1})
    every, _ = placed("so sad so", "so", answer_ambiguous="all")
    assert every == Answer("so", 0, others=((7, 9),))
    assert every.places == ((0, 2), (7, 9))
    with pytest.raises(DataError, match=r"occurs several times.*answer_ambiguous to skip or keep or first or all"):
        placed("so sad so", "so", answer_ambiguous="error")


@pytest.mark.parametrize(
    ("context", "text", "places"),
    [
        ("some for me", "me", [(9, 11)]),  # a word, not the end of another
        ("gonna wanna", "nna", [(2, 5), (8, 11)]),  # cut in the middle of a word each time
        ("he hates hats", " hat", [(2, 6), (8, 12)]),
        ("在北京的北京", "北京", [(1, 3), (4, 6)]),
        ("aaa", "aa", [(0, 2), (1, 3)]),
    ],
)
def test_places_that_cut_no_word_come_first(placed: Any, context: str, text: str, places: Any) -> None:
    assert placed(context, text, answer_ambiguous="all")[0].places == tuple(places)
    assert placed(context, text, answer_ambiguous="first")[0].places == tuple(places[:1])


def test_other_blanks_zero_width_characters_and_case(placed: Any) -> None:
    found, counts = placed("a new\u200b  day", "new day")
    assert (found, counts) == (Answer("new day", None, others=((2, 11),)), {("answer_spacing", "repaired"): 1})
    assert placed("a new  day", "new day", answer_spacing="keep")[0].places == ()
    assert placed("A New  Day", "new day") == (Answer("new day", None), {("answer_case", "kept"): 1})
    assert placed("A New  Day", "new day", answer_case="repair")[0].places == ((2, 10),)
    both = {"answer_case": "repair", "answer_ambiguous": "all"}
    assert placed("New day, NEW DAY", "new day", **both)[0].places == ((0, 7), (9, 16))
    assert placed("New day, NEW DAY", "new day", answer_case="repair")[0].places == ()
    assert placed("a day", "night")[1] == {("answer_missing", "kept"): 1}


def test_an_empty_cell_is_no_offset(read: Read, tmp_path: Any) -> None:
    path = tmp_path / "data.csv"
    path.write_text("q,c,a,s\n?,one two,two,\n?,one two,two,4\n", "utf-8")
    columns = {"question": "q", "context": "c", "answer_text": "a", "answer_start": "s"}
    assert [each.answers for each in read("table", path, **columns)[0]] == [(Answer("two", 4),)] * 2


TEXTS = st.text("aAb \u200b北.", min_size=1, max_size=12)


@given(
    context=TEXTS,
    text=TEXTS,
    start=st.none() | st.integers(-2, 12),
    ambiguous=st.sampled_from(["keep", "first", "all", "skip"]),
)
def test_every_place_has_the_answers_characters(context: str, text: str, start: int | None, ambiguous: Any) -> None:
    problems = Problems(path=None, policies={"answer_ambiguous": ambiguous, "answer_case": "repair"})  # type: ignore[arg-type]
    record = Record({}, "row", problems)
    try:
        answer = place_answer(text, start, context, record=record, field="a")
    except SkippedRecordError:
        return
    assert answer.text == text
    if answer.start is not None:
        assert context.startswith(text, answer.start)
    for first, end in answer.places:
        assert INVISIBLE.sub("", context[first:end]).lower() == INVISIBLE.sub("", text).lower()
    assert len(set(answer.places)) == len(answer.places)
    assert len(answer.places) <= 1 or ambiguous == "all"
    if text in context and text.strip() and ambiguous in ("first", "all"):
        assert answer.places


@pytest.mark.parametrize(
    ("start", "context", "place"),
    [
        (-1, "There is no tide.", None),
        (9, "There is no tide.", 9),
        (None, "There is no tide.", 9),
        (None, "An economic text.", None),
    ],
)
def test_yes_and_no_need_no_place(start: int | None, context: str, place: int | None) -> None:
    problems = Problems(Path("a.json"), policies={"default": "error"})
    record = Record.of({"answer_start": start}, "id 1", problems)
    assert place_answer("no", start, context, record=record, field="answer_start").start == place
