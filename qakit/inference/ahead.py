"""Work that a thread does ahead of whoever needs its results, not further than is asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from threading import Condition, Thread
from types import TracebackType
from typing import Generic, Self, TypeVar

Item = TypeVar("Item")


class _LeftError(Exception):
    """Nobody waits for more."""


class Ahead(Generic[Item]):
    """The items of an iterator in their order, made by a thread: ``with Ahead(make) as items: for item in items``.

    What the iterator raises is raised where its next item would have come. When the ``with`` block ends, the thread
    does: at the iterator's next :meth:`check`, :meth:`wait_until_taken` or item.
    """

    def __init__(self, make: Callable[[Ahead[Item]], Iterator[Item]], *, leave: Callable[[Item], object]) -> None:
        """
        Args:
            make: the iterator; it is given this object, to say when it may go on.
            leave: called with each item that was made and not taken.
        """
        self._items = deque[Item]()
        self._changed = Condition()
        self._left = False
        self._ended = False
        self._error: BaseException | None = None
        self._leave = leave
        self._thread = Thread(target=self._work, args=(make,), name="qakit-ahead", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        with self._changed:
            self._left = True
            self._changed.notify_all()
        self._thread.join()
        while self._items:
            self._leave(self._items.popleft())

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Item:
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._ended)
            if self._items:
                item = self._items.popleft()
                self._changed.notify_all()
                return item
        if self._error is not None:
            raise self._error
        raise StopIteration

    def check(self) -> None:
        """For the iterator, in the middle of an item: ends it where nobody waits for it any more."""
        if self._left:
            raise _LeftError

    def wait_until_taken(self, kind: type[Item]) -> None:
        """For the iterator, before it makes an item of this class: until no other one of it waits to be taken."""
        with self._changed:
            self._changed.wait_for(lambda: self._left or not any(isinstance(item, kind) for item in self._items))
        self.check()

    def _work(self, make: Callable[[Ahead[Item]], Iterator[Item]]) -> None:
        error: BaseException | None = None
        try:
            for item in make(self):
                with self._changed:
                    self._items.append(item)
                    self._changed.notify_all()
                del item  # it is the taker's, to be freed by it
                self.check()
        except _LeftError:
            pass
        except BaseException as raised:  # whatever it is: the other thread raises it
            error = raised
        with self._changed:
            self._error, self._ended = error, True
            self._changed.notify_all()


class InTurn(Generic[Item]):
    """As :class:`Ahead`, each item made when it is taken, by whoever takes it."""

    def __init__(self, make: Callable[[InTurn[Item]], Iterator[Item]]) -> None:
        """``make``: the iterator; it is given this object."""
        self._items = make(self)

    def __enter__(self) -> Iterator[Item]:
        return self._items

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        """Nothing has been made that was not taken."""

    def check(self) -> None:
        """There is no thread to be ended."""

    def wait_until_taken(self, kind: type[Item]) -> None:
        """Whoever asks for an item has taken the one before."""
