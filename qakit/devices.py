"""The devices of this machine that trainings may take: its GPUs, or shares of its CPU cores."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from qakit.errors import UsageError

VARIABLE = "QAKIT_DEVICES"
"""What ``--devices`` is where it is not given; empty: as if not set."""
VISIBLE = "CUDA_VISIBLE_DEVICES"
FORMS = "a number of GPUs (2), their numbers from 0 with a comma (0,1 or 1,), cpu, or cpu:2 for two CPU processes"


APPLE = "mps"
"""An Apple GPU, as PyTorch calls it: there is one or none, and no variable hides it."""
AT_LEAST = 2
"""Processes may share a machine with fewer cores: to see how several work together."""


@dataclass(frozen=True, slots=True)
class Slot:
    """What one process works on: a GPU, or a share of the CPU's cores."""

    name: str
    """``GPU 1``, counted among those that this process sees, or ``CPU 0``."""
    visible: str
    """The GPU as CUDA knows it: a number, a UUID, a MIG instance; :data:`APPLE`; empty for the CPU."""
    total: int
    """How many there are: GPUs that this process sees, or shares."""
    model: str = ""
    """The card, where it is known and all cards of the machine are the same."""
    threads: int | None = None
    """On a CPU: how many; None for as many as PyTorch takes by itself."""
    own: bool = False
    """Whether this process works on it anyway, if nobody says otherwise."""

    @property
    def is_gpu(self) -> bool:
        return bool(self.visible)

    @property
    def environment(self) -> dict[str, str]:
        """What to set for a process that works on this slot alone."""
        return environment_of([self])


def environment_of(slots: Sequence[Slot]) -> dict[str, str]:
    """What to set for processes that work on these slots together, and choose theirs by ``LOCAL_RANK``."""
    environment = {VISIBLE: ",".join(slot.visible for slot in slots), VARIABLE: "" if slots[0].is_gpu else "cpu"}
    if slots[0].threads is not None:
        environment["OMP_NUM_THREADS"] = str(slots[0].threads)
    return environment


def slots(devices: str | None = None, jobs: int | None = None) -> tuple[Slot, ...]:
    """The devices to work on: each GPU that this process may see, or the CPU. CUDA is not begun in this process.

    Args:
        devices: ``--devices``: see :data:`FORMS`; by default ``QAKIT_DEVICES``, and without it every GPU.
        jobs: ``--jobs``: how many trainings at once. On a CPU they share its cores; of GPUs it takes the first ones.

    Raises:
        UsageError: no such devices.
    """
    asked, source = (devices, "--devices") if devices is not None else (os.environ.get(VARIABLE), VARIABLE)
    asked = None if asked is None or not asked.strip() else asked.strip()
    if jobs is not None and jobs < 1:
        raise UsageError(f"--jobs {jobs}: at least one")
    if asked is not None and (cpu := re.fullmatch(r"cpu(?::(\d+))?", asked, re.IGNORECASE | re.ASCII)):
        shares = int(cpu[1]) if cpu[1] else jobs or 1
        if not shares:
            raise UsageError(f"{source} {asked}: at least one process")
        if jobs is not None and shares != jobs:
            raise UsageError(f"{source} {asked} and --jobs {jobs} say how many at once; give one of them")
        return _cpu(shares, f"{source} {asked}" if cpu[1] else f"--jobs {shares}")
    gpus = _visible_gpus()
    if not gpus and asked is None:
        return _cpu(jobs or 1, f"--jobs {jobs}")
    chosen = range(len(gpus)) if asked is None else _chosen(asked, len(gpus), source)
    if jobs is not None and jobs > len(chosen):
        raise UsageError(f"--jobs {jobs}: each training has a GPU of its own, and there are {len(chosen)}")
    model = _model() if len(gpus) > 1 else ""
    return tuple(
        Slot(f"GPU {number}", gpus[number], len(gpus), model, own=number == 0) for number in chosen[: jobs or len(gpus)]
    )


def has_apple_gpu() -> bool:
    """Whether there is an Apple GPU that this process may take; ``QAKIT_DEVICES=cpu`` keeps it from it."""
    import torch

    asked = os.environ.get(VARIABLE, "").strip().lower()
    return torch.backends.mps.is_available() and not asked.startswith("cpu")


def slots_for_one(devices: str | None = None) -> tuple[Slot, ...]:
    """The slots of :func:`slots` on which one training runs, with a process on each.

    Raises:
        UsageError: as for :func:`slots`; or several instances of MIG are asked for.
    """
    chosen = slots(devices)
    if len(chosen) == 1 or not any(slot.visible.startswith("MIG-") for slot in chosen):
        return chosen
    if devices is not None:
        raise UsageError("--devices: NCCL does not connect instances of MIG; one training takes one, such as 0,")
    return chosen[:1]


def told(slots: Sequence[Slot], *, each: str = "process") -> str | None:
    """What is chosen, in one line; None where there was nothing to choose.

    Args:
        each: what runs on each of several: a process of one training, or a training.
    """
    first, model = slots[0], f" ({slots[0].model})" if slots[0].model else ""
    if first.is_gpu and len(slots) > 1:
        some = "" if len(slots) == first.total else f" of {first.total}"
        return f"{len(slots)}{some} GPUs{model}: one {each} on each"
    if first.is_gpu and first.total > 1:
        return f"{first.name}{model}, one of {first.total}"
    if len(slots) > 1:
        threads = "" if first.threads is None else f", {first.threads} thread{'s' * (first.threads > 1)} for each"
        return f"{len(slots)} shares of the CPU: one {each} on each{threads}"
    return None if first.own else "the CPU, not a GPU"


def _cpu(shares: int, asked: str) -> tuple[Slot, ...]:
    if shares > max(AT_LEAST, cores := _cores()):
        raise UsageError(f"{asked}: each process needs a core, and there are {cores}")
    own = shares == 1 and not _visible_gpus()
    given = os.environ.get("OMP_NUM_THREADS", "")
    threads = int(given) if given.isdecimal() and int(given) else max(1, cores // shares)
    return tuple(
        Slot(f"CPU {number}", "", shares, threads=None if shares == 1 else threads, own=own) for number in range(shares)
    )


def _cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _chosen(asked: str, count: int, source: str) -> Sequence[int]:
    """The numbers of the GPUs that are asked for."""
    parts = [part.strip() for part in asked.removesuffix(",").split(",")]
    if not all(part.isascii() and part.isdecimal() for part in parts):
        raise UsageError(f"{source} {asked}: give {FORMS}")
    if not count:
        raise UsageError(f"{source} {asked}: this process sees no GPU that PyTorch can use; there is cpu, or cpu:2")
    there = f"this process sees {count} GPU{'s' * (count > 1)}"
    numbers = [int(part) for part in parts]
    if "," not in asked:
        if not 1 <= numbers[0] <= count:
            raise UsageError(f"{source} {asked}: {there}" + (" (cpu for none)" if numbers[0] == 0 else ""))
        return range(numbers[0])
    if len(set(numbers)) < len(numbers):
        raise UsageError(f"{source} {asked}: each GPU once")
    if (unknown := max(numbers)) >= count:
        raise UsageError(f"{source} {asked}: there is no GPU {unknown}; {there}, counted from 0")
    return numbers


def _visible_gpus() -> list[str]:
    """The GPUs that PyTorch can use here, as ``CUDA_VISIBLE_DEVICES`` names them; an Apple GPU only without others."""
    import torch

    listed = os.environ.get(VISIBLE)
    count = torch.cuda.device_count()  # from NVML: no context is made
    if not count and has_apple_gpu():
        return [APPLE]
    if listed is None:
        return [str(number) for number in range(count)]
    names = [name.strip() for name in listed.split(",") if name.strip()]
    if count and all(name.startswith("MIG-") for name in names):
        return names  # of which a process sees one, the first
    return names[:count]


def _model() -> str:
    """The name of the cards, without CUDA; empty where it is not known, or they differ."""
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return ""
    names = {line.strip() for line in said.splitlines() if line.strip()}
    return names.pop() if len(names) == 1 else ""
