"""What callers may give as questions and contexts, and how everything else is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from qakit.errors import UsageError
from qakit.inference.questions import ASKED, examples_of, positive

Q, C = "Who?", "Ada wrote it."


def contexts_of(question: Any, context: Any = None) -> tuple[list[tuple[str, tuple[str, ...]]], bool]:
    examples, single = examples_of(question, context)
    return [(example.question, example.contexts) for example in examples], single


@pytest.mark.parametrize(
    ("given", "pairs", "single"),
    [
        ((Q, C), [(Q, (C,))], True),
        ((Q, [C, "b"]), [(Q, (C, "b"))], True),
        ((Q, ["", C]), [(Q, ("", C))], True),  # of several texts some may be empty: found ones often are
        ((Q, (C,)), [(Q, (C,))], True),
        (([Q, "Why?"], C), [(Q, (C,)), ("Why?", (C,))], False),
        (([Q, "Why?"], [C, "b"]), [(Q, (C,)), ("Why?", ("b",))], False),
        (([Q, "Why?"], [C, ["b", "c"]]), [(Q, (C,)), ("Why?", ("b", "c"))], False),
        (([Q], [C]), [(Q, (C,))], False),
        (([], []), [], False),
        (({"question": Q, "context": C},), [(Q, (C,))], True),
        (({"question": Q, "context": [C, "b"], "id": 7},), [(Q, (C, "b"))], True),
        (
            ([{"question": Q, "context": C}, {"question": "Why?", "context": "b"}],),
            [(Q, (C,)), ("Why?", ("b",))],
            False,
        ),
    ],
)
def test_one_or_many(given: tuple[Any, ...], pairs: list[Any], single: bool) -> None:
    assert contexts_of(*given) == (pairs, single)


def test_examples_have_ids_of_their_own() -> None:
    examples, _ = examples_of([Q] * 3, C)
    assert len({example.id for example in examples}) == 3


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (("", C), "the question is empty"),
        ((" \n", C), "the question is blank"),
        ((Q, ""), "the context is empty"),
        ((Q, "\u3000"), "the context is blank"),
        ((Q, []), "the context is empty: there is nothing to answer from"),
        ((Q, ["", " "]), "the context is empty: there is nothing to answer from"),
        (([Q, ""], C), "question 2 of 2 is empty"),
        (([Q, Q], [C, ""]), "context 2 of 2 is empty"),
        (([Q, Q], [C, None]), "context 2 of 2 is None; it must be a text, or a list of texts"),
        (([Q, 3], C), "question 2 of 2 is of type int; it must be a text"),
        ((Q, [C, 3]), "text 2 of the context is of type int; it must be a text"),
        ((Q, {"context": C}), "the context is of type dict; it must be a text, or a list of texts"),
        ((Q, {C}), "the context is of type set; it must be a text, or a list of texts"),
        ((Q, C.encode()), "the context is of type bytes; it must be a text, or a list of texts"),
        (([Q, Q], [C, {C}]), "context 2 of 2 is of type set; it must be a text, or a list of texts"),
        (([Q, Q], {C, "b"}), f"context is of type set; {ASKED}"),
        (({Q, "Why?"}, C), f"question is of type set; {ASKED}"),
        ((None, C), f"question is None; {ASKED}"),
        ((7, C), f"question is of type int; {ASKED}"),
        (({"question": Q}, C), f"question is of type dict; {ASKED}"),
        (([Q, Q], [C] * 3), "2 questions, but 3 contexts; each question needs its own"),
        ((Q,), f"there is no context; {ASKED}"),
        ((None,), f"there is no context; {ASKED}"),
        (([Q, Q],), f"item 1 of 2 is of type str without a context; {ASKED}"),
        (({"question": Q},), "the question has no 'context'; its keys are 'question'"),
        (({"context": C},), "the question has no 'question'; its keys are 'context'"),
        (({},), "the question has no 'question'; its keys are none"),
        (([{"question": Q, "context": C}, {"question": Q}],), "item 2 of 2 has no 'context'; its keys are 'question'"),
        (([{"question": Q, "context": C}, {"question": "", "context": C}],), "question 2 of 2 is empty"),
        (({"question": None, "context": C},), "the question is None; it must be a text"),
    ],
)
def test_whatever_cannot_be_meant_is_one_line(given: tuple[Any, ...], problem: str) -> None:
    with pytest.raises(UsageError) as raised:
        examples_of(*given)
    assert str(raised.value) == problem
    assert "\n" not in problem


@pytest.mark.parametrize("value", [1, 20, np.int64(3)])
def test_counts_are_whole_numbers(value: Any) -> None:
    assert positive(value, "top_k") == value
    assert type(positive(value, "top_k")) is int


@pytest.mark.parametrize("value", [True, False, 2.0, "3", None, [1], np.float32(2), np.bool_(True), 0, -1])
def test_anything_else_is_no_count(value: Any) -> None:
    with pytest.raises(UsageError, match=r"^top_k is .*; it must be"):
        positive(value, "top_k")
