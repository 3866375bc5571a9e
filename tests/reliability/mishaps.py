"""What can be made to go wrong inside a training process, from outside its code."""

from __future__ import annotations

import errno
import os
import random
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from power import Disk


def action(name: str, *, folder: str) -> Callable[[], None]:
    """What happens at a moment: a signal (``SIGINT``, ``SIGINT twice``), ``disk full``, ``read-only`` (``folder``),
    ``power cut SEED``."""
    if name == "disk full":
        return fill_disk
    if name == "read-only":
        return lambda: refuse_writing(Path(folder))
    if name.startswith("power cut"):
        return power_cut(Path(folder), seed=name)
    number, times = signal.Signals[name.split()[0]], 2 if name.endswith(" twice") else 1
    return lambda: [os.kill(os.getpid(), number) for _ in range(times)] and None


def power_cut(folder: Path, *, seed: str) -> Callable[[], None]:
    """From now on the disk is watched; what it has of ``folder`` in the end is in the folder ``.cut`` beside it."""
    disk = Disk(folder.resolve())
    disk.start()

    def cut() -> None:
        disk.cut(folder.with_name(f"{folder.name}.cut"), random.Random(seed))
        os.kill(os.getpid(), signal.SIGKILL)

    return cut


def fill_disk() -> None:
    """No file takes another byte, whoever writes it, in Python or below. The system says "File too large"."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))


def refuse_writing(folder: Path) -> None:
    """Nothing under ``folder`` can be opened for writing, made, renamed or removed, as on a read-only file system."""
    root = str(folder.resolve())
    changing = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.chmod", "shutil.rmtree"}

    def refuse(event: str, arguments: tuple[Any, ...]) -> None:
        writes = event in changing or (event == "open" and _writes(arguments[2]))
        if writes and isinstance(arguments[0], str | os.PathLike) and _inside(arguments[0], root):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(arguments[0]))

    sys.addaudithook(refuse)


def _writes(flags: Any) -> bool:
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def _inside(path: str | os.PathLike[str], root: str) -> bool:
    return os.path.abspath(path).startswith(root + "/") or os.path.abspath(path) == root  # noqa: PTH100


def patch(what: str) -> None:
    """Change the model: ``nan at 2`` (third forward pass in training), ``nan from 2``, ``oom above 1`` (more windows
    than one do not fit in training), ``oom scoring above 3``; ``metric at 1``: the second judgement raises."""
    import torch

    from qakit.modeling.model import ReadingModel
    from qakit.protocols import HeadOutput

    forward, calls = ReadingModel.forward, iter(range(1_000_000))
    kind, number = what.rsplit(" ", 1)[0], int(what.rsplit(" ", 1)[1])

    if kind == "metric at":
        break_metric(calls, number)
        return

    def changed(self: Any, batch: Any) -> Any:
        rows = len(batch.input_ids)
        if kind == ("oom above" if self.training else "oom scoring above") and rows > number:
            raise torch.OutOfMemoryError("out of memory")
        output = forward(self, batch)
        if not self.training or not kind.startswith("nan"):
            return output
        call = next(calls)
        broken = call == number if kind == "nan at" else call >= number
        return HeadOutput(output.loss * float("nan"), output.scores) if broken else output

    ReadingModel.forward = changed  # type: ignore[method-assign]


def break_metric(calls: Iterator[int], number: int) -> None:
    """The judgement of this number, from 0, raises."""
    from qakit.training import evaluator

    judge = evaluator.evaluate

    def broken(*arguments: Any, **options: Any) -> Any:
        if next(calls) == number:
            raise ZeroDivisionError("a metric that does not work")
        return judge(*arguments, **options)

    evaluator.evaluate = broken
