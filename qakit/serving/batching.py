"""Questions of many callers, answered together by one thread."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from qakit.errors import QakitError
from qakit.inference.answerer import Asked, Reply

Answer = Callable[[Sequence[Asked], int], Sequence[Reply]]
"""Replies to questions, in their order, with so many candidates each."""


class FullError(QakitError):
    """So many questions wait that another one would not be answered in time."""


class ClosedError(QakitError):
    """No more questions are taken."""


@dataclass(frozen=True, slots=True)
class _Request:
    asked: Sequence[Asked]
    top_k: int
    replies: Future[list[Reply]] = field(default_factory=Future)


class Batcher:
    """Takes requests from any thread and answers what waits together.

    The first waiting request is answered at the latest ``wait`` seconds after it came, together with those behind it
    that want as many candidates: probabilities depend on how many are kept, so a reply is what the caller alone would
    get, but for the last bits of scores.
    """

    def __init__(self, answer: Answer, *, most: int, wait: float, room: int) -> None:
        """Args:
        answer: called by one thread alone.
        most: questions that are answered together; a larger request goes by itself.
        wait: seconds that a question waits for company.
        room: questions that may wait.
        """
        self._answer, self._most, self._wait, self._room = answer, most, wait, room
        self._waiting: deque[_Request] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="answers", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Questions that nobody has begun to answer."""
        with self._changed:
            return self._count()

    def submit(self, asked: Sequence[Asked], top_k: int) -> Future[list[Reply]]:
        """The replies to a request's questions, in their order.

        Raises:
            FullError: there is no room for them.
            ClosedError: the service ends.
        """
        request = _Request(asked, top_k)
        with self._changed:
            if self._closed:
                raise ClosedError("the service is stopping")
            waiting = self._count()
            if waiting and waiting + len(asked) > self._room:
                raise FullError(f"{waiting:,} questions wait already: ask again in a moment")
            self._waiting.append(request)
            self._changed.notify_all()
        return request.replies

    def close(self) -> None:
        """Answer what waits, and take nothing more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def _count(self) -> int:
        return sum(len(request.asked) for request in self._waiting)

    def _work(self) -> None:
        while batch := self._next():
            # Whoever has gone meanwhile takes no reply: to give one would be an error, and end this thread.
            self._reply([request for request in batch if request.replies.set_running_or_notify_cancel()])

    def _next(self) -> list[_Request]:
        """The requests that are answered together next; none when all is over."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if not self._waiting:
                return []
            until = time.monotonic() + self._wait
            while not self._closed and self._count() < self._most and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)
            first = self._waiting.popleft()
            batch, questions, others = [first], len(first.asked), deque[_Request]()
            for request in self._waiting:
                if request.top_k == first.top_k and questions + len(request.asked) <= self._most:
                    batch.append(request)
                    questions += len(request.asked)
                else:
                    others.append(request)
            self._waiting = others
            return batch

    def _reply(self, batch: Sequence[_Request]) -> None:
        asked = [question for request in batch for question in request.asked]
        if not asked:
            return
        try:
            replies = list(self._answer(asked, batch[0].top_k))
        except Exception as error:
            if len(batch) == 1:
                batch[0].replies.set_exception(error)
                return
            for request in batch:  # whose fault it is shows when each is answered by itself
                self._reply([request])
            return
        for request in batch:
            request.replies.set_result(replies[: len(request.asked)])
            del replies[: len(request.asked)]
