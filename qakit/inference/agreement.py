"""Whether the processes that share one work have the same work before them."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from hashlib import blake2b

import numpy as np

from qakit.errors import RunError
from qakit.inference.workers import Workers


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
    if is_dataclass(part):
        for field in fields(part):
            yield field.name.encode()
            yield from _pieces(getattr(part, field.name))
    elif isinstance(part, np.ndarray):
        yield f"{part.dtype} {part.shape}".encode()
        yield np.ascontiguousarray(part).reshape(-1).view(np.uint8).data
    else:
        yield repr(part).encode("utf-8", "surrogatepass")
