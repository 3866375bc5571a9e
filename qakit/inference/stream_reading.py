"""Input files as the blocks of examples that are answered, claimed and read, on a GPU ahead of the answering.

A file's parts come in this order: :class:`Begun`, each :class:`Block`, :class:`Ended`; a file that another process has
is one :class:`Elsewhere`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch

from qakit.data.read import iter_blocks, problems_of
from qakit.data.splits import build_reader
from qakit.errors import DataError
from qakit.inference.ahead import Ahead, InTurn
from qakit.inference.answering import Answering, Inferred
from qakit.inference.scoring import CountProgress, ScoringSet
from qakit.inference.stream_folder import AnswerFolder, Print, input_sha256
from qakit.inference.stream_inputs import Shard
from qakit.problems import Problems
from qakit.protocols import Reader
from qakit.values import Example


@runtime_checkable
class PreparesAhead(Protocol):
    """What answers in two steps, the first of which asks no model."""

    @property
    def device(self) -> torch.device: ...

    def prepare(self, examples: Sequence[Example], *, progress: CountProgress | None = None) -> ScoringSet:
        """Tokenised and cut into windows."""
        ...

    def infer_prepared(self, prepared: ScoringSet, *, progress: CountProgress | None = None) -> Inferred:
        """As :meth:`~qakit.inference.answering.Answering.infer` of the same examples."""
        ...


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Another process is at work on this file."""

    shard: Shard


@dataclass(frozen=True, slots=True)
class Begun:
    """A file that is kept to this process until ``claim`` is closed."""

    shard: Shard
    claim: ExitStack
    print: Print
    """As it was when its reading began."""
    done: bool
    """It has been answered meanwhile: no parts follow."""


@dataclass(frozen=True, slots=True)
class Block:
    """Some examples; ``prepared`` where the model's half of the answering is all that is left."""

    examples: Sequence[Example]
    prepared: ScoringSet | None


@dataclass(frozen=True, slots=True)
class Ended:
    """A file has been read to its end, or up to what is wrong with it."""

    sha256: str = ""
    problems: Problems | None = None
    error: DataError | None = None


Part = Elsewhere | Begun | Block | Ended


def let_go(part: Part) -> None:
    """Leave a part to others that was made and not used."""
    if isinstance(part, Begun):
        part.claim.close()


def reads_ahead(trained: Answering) -> bool:
    """Whether tokenising is worth a thread of its own: one model answers, and not on the CPU that tokenises."""
    return isinstance(trained, PreparesAhead) and trained.device.type != "cpu"


@dataclass(frozen=True, slots=True)
class Reading:
    """How files are read: with which run's reader, how many examples at a time, and until when."""

    trained: Answering
    folder: AnswerFolder
    block: int
    check_stop: Callable[[], None]
    """Raises an error once somebody has asked to stop; asked at each example."""

    def all_of(self, shards: Sequence[Shard]) -> Ahead[Part] | InTurn[Part]:
        """The parts of all files, for a ``with`` block: read ahead where a GPU answers meanwhile.

        On a CPU reading and answering share the cores, and Python's lock: there, each waits for the other.
        """
        if reads_ahead(self.trained):
            return Ahead[Part](partial(self.parts, shards), leave=let_go)
        return InTurn[Part](partial(self.parts, shards))

    def parts(self, shards: Sequence[Shard], ahead: Ahead[Part] | InTurn[Part]) -> Iterator[Part]:
        """The parts of all files. A block is begun once the one before it has been taken, so two of them at most are in
        memory.

        Raises:
            DataError: an answered input has changed since.
        """
        check = self._check(ahead)
        for shard in shards:
            with ExitStack() as held:
                if not held.enter_context(self.folder.claim(shard)):
                    yield Elsewhere(shard)
                    continue
                read, done = Print.of(shard.source), self.folder.is_done(shard, check)
                yield Begun(shard, held.pop_all(), read, done)
            if not done:
                yield from self._contents(shard, read, ahead)

    def _contents(self, shard: Shard, read: Print, ahead: Ahead[Part] | InTurn[Part]) -> Iterator[Part]:
        trained, recipe, check = self.trained, self.trained.recipe, self._check(ahead)
        try:
            digest = input_sha256(shard.source, read, check)
            problems = problems_of(shard.source, recipe.data.problems, predicted_only=True)[0]
            reader = _Watched(build_reader(recipe, trained.registry), check)
            blocks = iter_blocks(reader, problems, size=self.block)
            while True:
                ahead.wait_until_taken(Block)
                if (examples := next(blocks, None)) is None:
                    break
                prepared = trained.prepare(examples, progress=check) if isinstance(trained, PreparesAhead) else None
                yield Block(examples, prepared)
                del examples, prepared
        except DataError as error:
            yield Ended(error=error)
        else:
            yield Ended(digest, problems)

    def _check(self, ahead: Ahead[Part] | InTurn[Part]) -> Callable[..., None]:
        """What long work calls in between, with anything: ends it where nobody waits for it any more."""

        def check(*_: int) -> None:
            ahead.check()
            self.check_stop()

        return check


@dataclass(frozen=True, slots=True)
class _Watched:
    """A reader that asks at each example whether it shall go on."""

    reader: Reader
    check: Callable[[], None]

    def read(self, path: Path, problems: Problems) -> Iterator[Example]:
        for example in self.reader.read(path, problems):
            self.check()
            yield example
