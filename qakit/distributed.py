"""The processes that share one work: who computes which batches, how the parts come together, how they end together."""

from __future__ import annotations

import atexit
import copyreg
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from datetime import timedelta
from functools import cache
from itertools import count
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from qakit.errors import QakitError, RunError
from qakit.system import is_lost_connection

if TYPE_CHECKING:
    import torch
    import torch.distributed

PATIENCE = timedelta(hours=2)
"""How long processes wait for each other, while one reads, tokenises, or works alone between two trainings."""

T = TypeVar("T")


def _read_only(mapping: dict[Any, Any]) -> MappingProxyType[Any, Any]:
    return MappingProxyType(mapping)


copyreg.pickle(MappingProxyType, lambda mapping: (_read_only, (dict(mapping),)))
"""What one process loads and others receive has read-only mappings, which Python does not pickle by itself."""


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
    import platform  # two imports that `qakit --help` does without
    from hashlib import blake2b

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
    import torch.distributed

    from qakit.modeling.device import pick_device

    device = pick_device()
    if launched_processes() == 1:
        return ALONE, device
    if device.type == "mps":  # which several processes cannot exchange tensors on
        device = torch.device("cpu")
    from accelerate import PartialState

    # Else accelerate would meet by itself: with a patience of minutes, and a second time where traces of the first lie.
    meeting = {} if torch.distributed.is_initialized() else _meeting()
    state = PartialState(cpu=device.type == "cpu", **meeting)
    return Workers(state.process_index, state.num_processes, state.local_process_index), state.device


@contextmanager
def processes_of_this_launch() -> Iterator[Workers]:
    """The processes that a launcher has started for this command, for one work after another: at the end they leave
    each other, and each continues alone. One process: nothing to join and to leave.

    Inside, trainings (``Training.go``) and predictions are done by all of them together, in the same order in each;
    ``workers.fail_together()`` and ``workers.from_first()`` are for what lies between. Who waits does so for
    :data:`PATIENCE`. Where it is entered inside itself, the outermost one ends it. An error that leaves the block ends
    the command in this process, without waiting for the others.
    """
    import torch.distributed

    inside = launched_processes() > 1 and torch.distributed.is_initialized()
    workers, _ = join_workers()
    yield workers
    if not inside:
        _leave(workers)


_met = count()
"""How often the processes have met: all of them count alike."""


def _meeting() -> dict[str, Any]:
    """What a process group is made with. Each meeting has a place of its own at the store that the launcher keeps, or
    the first process: in a place that was used before, addresses of then would be found."""
    from torch.distributed import PrefixStore  # type: ignore[attr-defined]  # public, but not marked as such

    store, rank, size = _store()
    return {"store": PrefixStore(f"qakit/{next(_met)}", store), "rank": rank, "world_size": size, "timeout": PATIENCE}


@cache
def _store() -> tuple[Any, int, int]:
    """The store where the processes meet, this one's rank, and their number. It lives as long as the process."""
    from torch.distributed.rendezvous import rendezvous

    meeting: tuple[Any, int, int] = next(rendezvous("env://", timeout=PATIENCE))
    return meeting


def _leave(workers: Workers) -> None:
    """End the work in common: after this, each process continues alone."""
    if workers.size == 1:
        return
    import torch.distributed
    from accelerate.state import AcceleratorState

    workers.gather(None)
    # Whoever frees a group joins gloo's threads, and one of these may wait for the interpreter's lock to let go of a
    # tensor. A model under FSDP frees it with the lock held, and so may never end; at exit it is freed without
    # (https://github.com/pytorch/pytorch/issues/56297).
    held: list[object] = [torch.distributed.group.WORLD]
    if _cpu_group.cache_info().currsize:
        held.append(_cpu_group())
        _cpu_group.cache_clear()
    atexit.register(held.clear)
    torch.distributed.destroy_process_group()
    AcceleratorState._reset_state(reset_partial_state=True)


def largest(values: Sequence[int], device: torch.device) -> list[int]:
    """The largest of all processes' values, for each place. They meet on the CPU, so that none waits for its GPU.

    Args:
        values: as many in each process.
        device: this process's, on which it exchanges tensors.
    """
    import torch

    box = torch.tensor(values)
    torch.distributed.all_reduce(
        box, torch.distributed.ReduceOp.MAX, group=None if device.type == "cpu" else _cpu_group()
    )
    return [int(value) for value in box]


@cache
def _cpu_group() -> torch.distributed.ProcessGroup:
    """The same processes, connected for what lies on CPUs. They make it together, and it ends with the others."""
    import torch.distributed

    group: torch.distributed.ProcessGroup = torch.distributed.new_group(backend="gloo", timeout=PATIENCE)
    return group


def launched_processes() -> int:
    """How many processes `torchrun`, `accelerate launch` or the like has started for this command.

    A batch system may set ``WORLD_SIZE`` for a whole job; only a launcher of processes says which one this is.
    """
    count = os.environ.get("WORLD_SIZE", "1")
    return int(count) if count.isdecimal() and "LOCAL_RANK" in os.environ else 1


def is_first_process() -> bool:
    """Whether this is the process that writes and speaks, as the launcher says it before any process group."""
    return launched_processes() == 1 or os.environ.get("RANK", "0") == "0"


def lost_neighbour(error: RuntimeError) -> RunError | None:
    """What to say where a process of the same command has gone away in the middle of an exchange; None for the rest."""
    if launched_processes() == 1 or not is_lost_connection(error):
        return None
    return RunError(
        "the connection to another process of this command is lost: that one was killed, or its own message says what "
        "was wrong; a training continues from its last checkpoint with --resume"
    )


def adopt_slurm() -> None:
    """Where ``srun`` has started several tasks for this command, and no other launcher is between: say so in the
    variables that a launcher sets. The first task's machine is where they meet, unless ``MASTER_ADDR`` names one.
    """
    given = os.environ
    tasks = given.get("SLURM_STEP_NUM_TASKS", "1")  # of srun's own step: a batch script, too, has SLURM_NTASKS
    if (
        "LOCAL_RANK" in given
        or not tasks.isdecimal()
        or int(tasks) < 2
        or not given.get("SLURM_PROCID", "").isdecimal()
    ):
        return
    first = given.get("SLURM_STEP_NODELIST") or given.get("SLURM_JOB_NODELIST", "127.0.0.1")
    given.update(WORLD_SIZE=tasks, RANK=given["SLURM_PROCID"], LOCAL_RANK=given.get("SLURM_LOCALID", "0"))
    here = re.match(r"\d+", given.get("SLURM_STEP_TASKS_PER_NODE", tasks))
    given.setdefault("LOCAL_WORLD_SIZE", here[0] if here else "1")
    given.setdefault("MASTER_ADDR", _first_host(first))
    job, step = (re.sub(r"\D", "", given.get(name, "")) or "0" for name in ("SLURM_JOB_ID", "SLURM_STEP_ID"))
    given.setdefault("MASTER_PORT", str(_FIRST_PORT + (int(job) + int(step)) % _PORTS))


_FIRST_PORT, _PORTS = 20_000, 10_000
"""Where Slurm's tasks meet: outside what systems give away for a while. Jobs on one machine get different ones."""


def _first_host(nodes: str) -> str:
    """The first of Slurm's list of machines: ``gpu[03-05,9],cpu1`` -> ``gpu03``."""
    return re.sub(r"\[(\w+)[^\]]*\]", r"\1", nodes).partition(",")[0]
