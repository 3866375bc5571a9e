"""One file's examples in blocks, so that memory does not depend on how long the file is."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice

from qakit.data.read import checked
from qakit.problems import Problems
from qakit.protocols import Reader
from qakit.values import Example


def iter_blocks(reader: Reader, problems: Problems, *, size: int) -> Iterator[list[Example]]:
    """Stream one file's examples, ``size`` at a time; a block is shorter where records were left out.

    Everything is checked as :func:`qakit.data.read.iter_file` does, but an id is only known within its block: the ids
    of a whole file would be the one thing that grows with it.

    Raises:
        DataError: as :func:`qakit.data.read.iter_file`.
    """
    numbered = enumerate(reader.read(problems.path, problems), start=1)
    while (first := next(numbered, None)) is not None:
        block = list(checked(chain([first], islice(numbered, size - 1)), problems, set()))
        if block:
            yield block
