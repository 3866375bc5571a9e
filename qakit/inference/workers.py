"""The processes that share one prediction: who computes which batches, and how the parts come together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Workers:
    """This process among ``size``; one process by default."""

    rank: int = 0
    size: int = 1

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """The items that this process computes: every item belongs to exactly one process."""
        return items[self.rank :: self.size]

    def gather(self, value: T) -> list[T]:
        """Every process's value, in rank order, on every process."""
        if self.size == 1:
            return [value]
        import torch.distributed

        gathered: list[T | None] = [None] * self.size
        torch.distributed.all_gather_object(gathered, value)
        return gathered  # type: ignore[return-value]


ALONE = Workers()
"""One process that does everything."""
