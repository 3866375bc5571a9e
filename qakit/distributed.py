"""The processes that share one work: who computes which batches, how the parts come together, how they end together."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, TypeVar

from qakit.errors import QakitError, RunError

if TYPE_CHECKING:
    import torch

T = TypeVar("T")


class AbandonedError(QakitError):
    """Another process has failed, so this one stops too. The other one says why: this error has nothing to tell."""

    exit_code = 1


@dataclass(frozen=True, slots=True)
class Workers:
    """This process among ``size``; one process by default."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    """Among the processes of this machine."""

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0

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

    def from_first(self, value: T) -> T:
        """The first process's value, on every process."""
        if self.size == 1:
            return value
        import torch.distributed

        box = [value]
        torch.distributed.broadcast_object_list(box, src=0)
        return box[0]

    @contextmanager
    def fail_together(self) -> Iterator[None]:
        """What fails in one process ends all of them at the end of the block, so that none waits for ever.

        No process may wait for another inside the block, other than by :meth:`leaders_first`.

        Raises:
            AbandonedError: it failed elsewhere.
        """
        try:
            yield
        except AbandonedError:
            raise
        except Exception:
            self._all_well(False)
            raise
        if not self._all_well(True):
            raise AbandonedError("another process has failed")

    @contextmanager
    def leaders_first(self) -> Iterator[None]:
        """The first process of each machine does the block before the others, who find what it left in the cache.

        To be used inside :meth:`fail_together`.
        """
        leads = self.local_rank == 0
        if not leads and not self._all_well(True):
            raise AbandonedError("another process has failed")
        yield
        if leads and not self._all_well(True):
            raise AbandonedError("another process has failed")

    def _all_well(self, well: bool) -> bool:
        """One exchange. A process that has failed takes part in one more, wherever the others are, and in no other."""
        return all(self.gather(well))


ALONE = Workers()
"""One process that does everything."""


def check_same(workers: Workers, *parts: object) -> None:
    """Refuse shares of different works: together they would be no whole, and a process could wait for ever.

    Args:
        parts: what each process has made for itself: arrays, dataclasses of them, and values whose ``repr`` says all.

    Raises:
        RunError: in all processes; they differ.
    """
    if workers.size == 1:
        return
    digest = blake2b(digest_size=16)
    for part in parts:
        for piece in _pieces(part):
            digest.update(piece)
    found = workers.gather((digest.digest(), platform.node()))
    (first, host), *_ = found
    for rank, (own, other) in enumerate(found):
        if own != first:
            raise RunError(
                f"process {rank} (on {other}) has other examples or another recipe before it than process 0 (on "
                f"{host}): every process needs the same recipe, data, tokenizer and versions"
            )


def _pieces(part: object) -> Iterator[bytes | memoryview]:
    """A value as bytes."""
    import numpy as np

    if is_dataclass(part):
        for field in fields(part):
            yield field.name.encode()
            yield from _pieces(getattr(part, field.name))
    elif isinstance(part, np.ndarray):
        yield f"{part.dtype} {part.shape}".encode()
        yield np.ascontiguousarray(part).reshape(-1).view(np.uint8).data
    else:
        yield repr(part).encode("utf-8", "surrogatepass")


def join_workers() -> tuple[Workers, torch.device]:
    """The processes that a launcher has started for this command, and this one's device. May be called again."""
    from qakit.modeling.device import pick_device

    device = pick_device()
    if launched_processes() == 1:
        return ALONE, device
    from accelerate import PartialState

    state = PartialState(cpu=device.type == "cpu")
    return Workers(state.process_index, state.num_processes, state.local_process_index), state.device


def launched_processes() -> int:
    """How many processes `torchrun`, `accelerate launch` or the like has started for this command.

    A batch system may set ``WORLD_SIZE`` for a whole job; only a launcher of processes says which one this is.
    """
    count = os.environ.get("WORLD_SIZE", "1")
    return int(count) if count.isdecimal() and "LOCAL_RANK" in os.environ else 1


def is_first_process() -> bool:
    """Whether this is the process that writes and speaks, as the launcher says it before any process group."""
    return launched_processes() == 1 or os.environ.get("RANK", "0") == "0"
