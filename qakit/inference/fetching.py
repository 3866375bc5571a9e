"""Results on their way from the device to the host, which meanwhile has the next batch to see to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

import torch
from torch import Tensor

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Value = TypeVar("Value", bound=DataclassInstance)
else:
    Value = TypeVar("Value")

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Fetch(Generic[Value]):
    """A frozen value whose tensors are fetched.

    On CUDA the copies are queued behind the work that makes them, into pinned memory, and an event tells that they have
    arrived: waiting for it waits for nothing that was queued later. On other devices they are copied where they lie,
    and fetched by :meth:`result`. Either way a head may write its next batch's results into the same tensors.
    """

    value: Value
    arrived: torch.cuda.Event | None
    """None where it is a copy on the device."""

    @classmethod
    def begin(cls, value: Value, device: torch.device) -> Self:
        """Ask for the tensors of a dataclass that lie on ``device``; returns at once."""
        if device.type != "cuda":
            return cls(_with_each(value, Tensor.clone), None)
        copied = _with_each(value, lambda each: each.to("cpu", non_blocking=True))
        arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
        arrived.record()
        return cls(copied, arrived)

    def result(self) -> Value:
        """The value, its tensors on the CPU."""
        if self.arrived is None:
            return _with_each(self.value, lambda each: each.to("cpu"))
        self.arrived.synchronize()
        return self.value


def _with_each(value: Value, change: Callable[[Tensor], Tensor]) -> Value:
    held = {each.name: getattr(value, each.name) for each in fields(value)}
    changed: dict[str, Any] = {name: change(each) for name, each in held.items() if isinstance(each, Tensor)}
    return replace(value, **changed)


def one_late(items: Iterable[Item]) -> Iterator[Item]:
    """The same items in their order, each once the one behind it has been made; the last at the end."""
    waiting: list[Item] = []
    for item in items:
        waiting.append(item)
        del item
        if len(waiting) > 1:
            yield waiting.pop(0)
    yield from waiting
