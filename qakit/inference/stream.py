"""Answers to any number of files in constant memory: a block of examples at a time, a file at a time, each file once.

While a GPU answers a block, a thread reads and tokenises the next one, of the next file if need be.

Nothing but the names of the files grows with the work: no token is cached, no prediction kept. What a killed process
leaves is whole files, and whoever starts the same work again does only the others.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from qakit.data.csv_rows import formula_cells
from qakit.errors import DataError, QakitError
from qakit.inference.answer_rows import answer_file
from qakit.inference.answering import Answering
from qakit.inference.stream_folder import AnswerFolder, Print, input_sha256
from qakit.inference.stream_inputs import Shard
from qakit.inference.stream_reading import Begun, Block, Elsewhere, Ended, Part, PreparesAhead, Reading
from qakit.modeling.device import give_freed_memory_back
from qakit.problems import Problems
from qakit.values import Prediction, SpanPrediction

BLOCK = 10_000
"""Examples answered at a time; as many more are read while a GPU is at it."""


class StoppedError(QakitError):
    """The work was asked to stop. The exit code is the shell's: 128 + signal."""

    def __init__(self, number: int) -> None:
        self.exit_code = 128 + number
        super().__init__(f"stopped by {signal.Signals(number).name}")


@dataclass(slots=True)
class Tally:
    """Where the work stands, in this process."""

    shards: int
    """All files of this process."""
    skipped: int = 0
    """Answered before, or meanwhile by another process."""
    answered: int = 0
    """Answered now, by this one."""
    elsewhere: int = 0
    """Another process is at work on them."""
    examples: int = 0
    """Examples answered, of unfinished files too."""
    formulas: int = 0
    """Ids and answers in finished CSV files that a spreadsheet would take for formulas."""
    current: str = ""
    """The file at work."""
    bytes_answered: int = 0
    """Of finished inputs."""
    bytes_left: int = 0
    """Of unfinished inputs."""
    failed: dict[str, str] = field(default_factory=dict)
    """Input -> what is wrong with it."""
    warnings: list[str] = field(default_factory=list)
    """What was wrong with single records of the file just finished, as the recipe's policies allow."""
    last_finished: float = 0.0
    """``seconds`` when the last file was finished."""
    began: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    @property
    def examples_per_second(self) -> float:
        return self.examples / max(self.seconds, 1e-9)

    @property
    def seconds_left(self) -> float | None:
        """By the bytes of finished files; None before the first one."""
        if not self.bytes_answered:
            return None
        ahead = self.last_finished * self.bytes_left / self.bytes_answered
        return max(0.0, ahead - (self.seconds - self.last_finished))


Listener = Callable[[Tally], None]
"""Told after each batch and each file."""


def answer_shards(
    trained: Answering,
    shards: Sequence[Shard],
    folder: AnswerFolder,
    *,
    block: int = BLOCK,
    keep_going: bool = False,
    stopping: Callable[[], int] = lambda: 0,
    listener: Listener = lambda _: None,
) -> Tally:
    """Answer each file that is not answered yet; ``folder.begin`` comes before.

    Files that another process has are skipped, and looked at again at the end: it may have been killed.

    Args:
        block: examples read, scored and written at a time; memory follows it: on a GPU two blocks are there at most.
        keep_going: pass over a file with bad records; ``Tally.failed`` names it.
        stopping: the number of the signal that asked to stop, 0 for none; asked after each batch.
        listener: called with the progress.

    Raises:
        DataError: a file cannot be read, a problem's policy is ``error``, or an answered input has changed since.
        StoppedError: ``stopping`` said so; finished files stay.
        RunError: the folder was begun anew by another process.
        OutputError: the file system refuses.
    """
    tally = Tally(len(shards))
    work = _Work(_alone(trained), folder, keep_going, stopping, listener, tally)
    waiting = [shard for shard in shards if not folder.is_done(shard, work.check_stop)]
    tally.skipped = len(shards) - len(waiting)
    tally.bytes_left = sum(Print.of(shard.source).size for shard in waiting)
    reading = Reading(work.trained, folder, block, work.check_stop)
    listener(tally)
    moved = True
    while waiting and moved:
        passed_over = []
        with reading.all_of(waiting) as parts:
            for part in parts:
                if isinstance(part, Elsewhere):
                    passed_over.append(part.shard)
                elif isinstance(part, Begun):
                    with part.claim:
                        work.check_stop()
                        work.finish(part, parts)
        moved = len(passed_over) < len(waiting)
        waiting = passed_over
    tally.elsewhere = len(waiting)
    return tally


def _alone(trained: Answering) -> Answering:
    """The run for files of which no other process knows, without scores that nobody keeps."""
    predict = trained.recipe.predict.model_copy(update={"character_scores": False})
    return trained.with_recipe(trained.recipe.model_copy(update={"predict": predict})).alone()


@dataclass(frozen=True, slots=True)
class _Work:
    """What answering a file needs."""

    trained: Answering
    folder: AnswerFolder
    keep_going: bool
    stopping: Callable[[], int]
    listener: Listener
    tally: Tally

    def finish(self, file: Begun, parts: Iterator[Part]) -> None:
        """Answer a claimed file, unless another process has done so meanwhile."""
        tally = self.tally
        if file.done:
            tally.skipped += 1
        else:
            tally.current, before = str(file.shard), tally.examples
            contents = _Contents(parts)
            try:
                self._answer(file, contents)
            except DataError as error:
                if not self.keep_going:
                    raise
                contents.skip()
                tally.failed[tally.current] = str(error)
                tally.examples = before
            else:
                tally.answered += 1
                tally.bytes_answered += file.print.size
                tally.last_finished = tally.seconds
        tally.bytes_left -= file.print.size
        self.listener(tally)

    def _answer(self, file: Begun, contents: _Contents) -> None:
        shard, source = file.shard, file.shard.source
        before, formulas = self.tally.examples, 0
        with self.folder.publish(shard) as (temporary, record):
            with answer_file(temporary, shard.form, source=source) as write:
                for block in contents:
                    self.check_stop()
                    predictions = self._predict(block)
                    del block
                    write(predictions)
                    if shard.form == "csv":
                        formulas += formula_cells(map(_cells, predictions))
                    del predictions
                    give_freed_memory_back()
            digest, problems = contents.whole()
            if Print.of(source) != file.print:
                raise DataError("was changed while it was read; run the same command again", path=source)
            record |= {
                "input": str(source),
                "bytes": file.print.size,
                "modified_ns": file.print.modified_ns,
                "sha256": digest,
                "beside": {str(each): input_sha256(each, Print.of(each), self.check_stop) for each in problems.beside},
                "examples": self.tally.examples - before,
                "problems": problems.describe(),
            }
        self.tally.formulas += formulas
        self.tally.warnings += problems.describe()

    def _predict(self, block: Block) -> Sequence[Prediction]:
        before, count = self.tally.examples, len(block.examples)

        def progress(done: int, total: int) -> None:
            self.tally.examples = before + count * done // max(total, 1)
            self.listener(self.tally)
            self.check_stop()

        if block.prepared is not None and isinstance(self.trained, PreparesAhead):
            predictions = self.trained.infer_prepared(block.prepared, progress=progress).predictions
        else:
            predictions = self.trained.infer(block.examples, cache=None, progress=progress).predictions
        self.tally.examples = before + count
        return predictions

    def check_stop(self) -> None:
        """
        Raises:
            StoppedError: somebody asked for it.
        """
        if number := self.stopping():
            raise StoppedError(number)


class _Contents:
    """The blocks of one file, and what is known of it once they have all come."""

    def __init__(self, parts: Iterator[Part]) -> None:
        self._parts = parts
        self._ended: Ended | None = None

    def __iter__(self) -> Iterator[Block]:
        """
        Raises:
            DataError: something is wrong with the file.
        """
        while self._ended is None:
            part = next(self._parts)
            if isinstance(part, Block):
                yield part
            elif isinstance(part, Ended):
                self._ended = part
            del part
        if self._ended.error is not None:
            raise self._ended.error

    def whole(self) -> tuple[str, Problems]:
        """The file's hash and problems; after its last block."""
        assert self._ended is not None and self._ended.problems is not None
        return self._ended.sha256, self._ended.problems

    def skip(self) -> None:
        """Leave out what is still to come."""
        while self._ended is None:
            part = next(self._parts)
            self._ended = part if isinstance(part, Ended) else None


def _cells(prediction: Prediction) -> tuple[str, str]:
    """The id and the answer; classes and numbers are no text of somebody else's."""
    return prediction.id, prediction.final if isinstance(prediction, SpanPrediction) else ""
