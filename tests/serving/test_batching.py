"""Who waits for whom, and that nobody gets another one's reply."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import pytest

from qakit.errors import UsageError
from qakit.inference.answerer import Reply
from qakit.serving.batching import Batcher, ClosedError, FullError


def question(text: str) -> dict[str, Any]:
    return {"question": text, "context": "c"}


class Model:
    """Repeats each question; it notes what it is asked together, and can be held up."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, asked: Sequence[Any], top_k: int) -> list[Reply]:
        texts = [each["question"] for each in asked]
        self.calls.append(texts)
        assert self.gate.wait(20)
        if "broken" in texts:
            raise UsageError("broken")
        return [Reply(f"{text}/{top_k}", (), None) for text in texts]


@contextmanager
def batching(model: Model, *, most: int = 8, wait: float = 0.05, room: int = 100) -> Iterator[Batcher]:
    batcher = Batcher(model, most=most, wait=wait, room=room)
    try:
        yield batcher
    finally:
        model.gate.set()
        batcher.close()


def answers(future: Future[list[Reply]]) -> list[str]:
    return [reply.answer for reply in future.result(20)]


def held(batcher: Batcher, model: Model) -> Future[list[Reply]]:
    """A first request at which the model is held up."""
    model.gate.clear()
    first = batcher.submit([question("first")], 1)
    until = time.monotonic() + 20
    while not model.calls and time.monotonic() < until:
        time.sleep(0.001)
    return first


def test_what_waits_is_answered_together_as_far_as_it_fits() -> None:
    model = Model()
    with batching(model, most=4, wait=0) as batcher:
        first = held(batcher, model)
        later = [batcher.submit([question(f"{n}"), question(f"{n}'")], 1) for n in range(3)]
        assert batcher.waiting == 6
        model.gate.set()
        assert answers(first) == ["first/1"]
        assert [answers(each) for each in later] == [[f"{n}/1", f"{n}'/1"] for n in range(3)]
    assert model.calls == [["first"], ["0", "0'", "1", "1'"], ["2", "2'"]]


def test_a_question_waits_for_company_but_not_for_long() -> None:
    model = Model()
    with batching(model, wait=0.2) as batcher:
        futures = [batcher.submit([question(str(n))], 1) for n in range(3)]
        assert [answers(each) for each in futures] == [["0/1"], ["1/1"], ["2/1"]]
        assert model.calls == [["0", "1", "2"]]
        assert answers(batcher.submit([question("alone")], 1)) == ["alone/1"]


def test_those_who_want_other_numbers_of_candidates_are_answered_apart() -> None:
    model = Model()
    with batching(model, wait=0) as batcher:
        held(batcher, model)
        futures = [batcher.submit([question(str(n))], 1 + n % 2) for n in range(4)]
        model.gate.set()
        assert [answers(each) for each in futures] == [["0/1"], ["1/2"], ["2/1"], ["3/2"]]
    assert model.calls[1:] == [["0", "2"], ["1", "3"]]


def test_one_request_that_fails_fails_alone() -> None:
    model = Model()
    with batching(model, wait=0) as batcher:
        held(batcher, model)
        futures = [batcher.submit([question(text)], 1) for text in ("good", "broken", "fine")]
        model.gate.set()
        assert answers(futures[0]) == ["good/1"] and answers(futures[2]) == ["fine/1"]
        with pytest.raises(UsageError, match="broken"):
            futures[1].result(20)


def test_a_caller_who_has_gone_keeps_nobody_from_being_answered() -> None:
    model = Model()
    with batching(model, wait=0) as batcher:
        held(batcher, model)
        gone = [batcher.submit([question(str(n))], 1) for n in range(2)]
        assert all(each.cancel() for each in gone)
        model.gate.set()
        assert answers(batcher.submit([question("next")], 1)) == ["next/1"]
    assert model.calls == [["first"], ["next"]]


def test_more_than_there_is_room_for_is_refused_and_a_large_request_goes_alone() -> None:
    model = Model()
    with batching(model, most=2, wait=0, room=3) as batcher:
        held(batcher, model)
        waiting = batcher.submit([question(str(n)) for n in range(3)], 1)
        with pytest.raises(FullError, match="3 questions wait already"):
            batcher.submit([question("late")], 1)
        model.gate.set()
        assert answers(waiting) == ["0/1", "1/1", "2/1"]


def test_at_the_end_what_waits_is_answered_and_nothing_is_taken() -> None:
    model = Model()
    batcher = Batcher(model, most=1, wait=10, room=10)
    futures = [batcher.submit([question(str(n))], 1) for n in range(3)]
    batcher.close()
    assert [answers(each) for each in futures] == [["0/1"], ["1/1"], ["2/1"]]
    with pytest.raises(ClosedError):
        batcher.submit([question("late")], 1)


def test_many_callers_each_get_their_own() -> None:
    model, wrong = Model(), []
    with batching(model, most=16, wait=0.002) as batcher:

        def ask(caller: int) -> None:
            for n in range(30):
                own = [f"{caller}-{n}-{part}" for part in range(1 + n % 3)]
                found = answers(batcher.submit([question(text) for text in own], 1 + caller % 2))
                if found != [f"{text}/{1 + caller % 2}" for text in own]:
                    wrong.append((own, found))

        callers = [threading.Thread(target=ask, args=(n,)) for n in range(16)]
        for each in callers:
            each.start()
        for each in callers:
            each.join()
    assert wrong == []
    assert max(map(len, model.calls)) > 1
