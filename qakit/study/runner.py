"""Runs a study: claims trials, trains each in a process of its own, and notes what came out."""

from __future__ import annotations

import contextlib
import platform
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from qakit.errors import QakitError, RunError
from qakit.files import write_text
from qakit.recipe.load import dump_recipe
from qakit.registry import Registry
from qakit.runs import Run
from qakit.study.claim import Claim
from qakit.study.events import Elsewhere, Listener, StudyStarted, TrialEnded, TrialProgress, TrialStarted
from qakit.study.folder import StudyFolder
from qakit.study.ledger import Ledger, storage_failures_told
from qakit.study.load import LoadedStudy
from qakit.study.outcome import check_same_recipe, evaluations, is_trained, result_of, selected_by, value_of
from qakit.study.plan import PlannedTrial
from qakit.study.process import Command, start, threads_each, train_command, what_happened
from qakit.study.queue import Queue, Taken
from qakit.study.record import TrialRecord
from qakit.training.interrupts import StopRequest


@dataclass(frozen=True, slots=True)
class Timing:
    """How often a study looks, in seconds."""

    poll: float = 0.2
    """At its own trainings."""
    look: float = 2.0
    """At their logs, and at trials elsewhere."""
    beat: float = 30.0
    """Sign of life for other machines."""
    dead: float = 300.0
    """Without a sign of life, a trial on another machine is taken over."""


@dataclass(slots=True)
class _Running:
    trial: PlannedTrial
    record: TrialRecord
    run: Run
    figure: str
    process: subprocess.Popen[bytes]
    claim: Claim
    log_offset: int
    began: float
    beat: int
    reported: int = 0
    """Evaluations that the pruner knows."""
    pruned: bool = False


@dataclass(slots=True)
class Runner:
    """A study that runs in this process. Make one, call :meth:`run` once."""

    loaded: LoadedStudy
    planned: Mapping[str, PlannedTrial]
    """The trials of a grid by their keys; a search finds its own."""
    folder: StudyFolder
    ledger: Ledger
    registry: Registry
    listener: Listener
    jobs: int = 1
    command: Command = train_command
    timing: Timing = field(default_factory=Timing)
    host: str = field(default_factory=platform.node)
    _queue: Queue = field(init=False)
    _running: dict[int, _Running] = field(default_factory=dict)
    _last_look: float = 0.0
    _last_beat: float = 0.0
    _waited_for: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self._queue = Queue(
            self.loaded, self.planned, self.folder, self.ledger, self.registry, self.host, self.timing.dead
        )

    def run(self, *, retry_failed: bool, stop: StopRequest) -> list[TrialRecord]:
        """Train until no trial is left, here or elsewhere; then the records of all.

        With ``stop`` requested the trainings are asked to stop, too, and end with a checkpoint.

        Raises:
            RunError: a run folder was begun with another recipe, or the storage breaks.
            UsageError: a search was begun in another space.
        """
        with self.ledger.alone():
            self._queue.enqueue(retry_failed=retry_failed)
            records = self._queue.records()
        for record in records:
            run = self._queue.run_of(record)
            trial = self._queue.meant(record) if run.recipe_file.is_file() else None
            if trial is not None:
                check_same_recipe(run, trial.recipe, file=str(self.loaded.path))
        done = [record.state for record in records]
        total = len(self.planned) if self._queue.search is None else max(self._queue.search.trials, len(records))
        self.listener(
            StudyStarted(total, done.count("finished") + done.count("pruned"), done.count("failed"), self.jobs)
        )
        try:
            with storage_failures_told():
                while not stop.signal and self._advance():
                    time.sleep(self.timing.poll)
                self._stop_all(stop.signal)
        except BaseException:
            self._abandon()
            raise
        return self._queue.records()

    def _advance(self) -> bool:
        """One look around; False when the study is done."""
        now = time.monotonic()
        looks = now - self._last_look >= self.timing.look
        for running in list(self._running.values()):
            if running.process.poll() is not None:
                self._ended(running)
                looks = True
            elif looks:
                self._look_at(running)
        if now - self._last_beat >= self.timing.beat:
            self._last_beat = now
            for running in self._running.values():
                running.beat += 1
                self.ledger.note(running.record.number, beat=running.beat)
        if not looks:
            return True
        self._last_look = now
        while len(self._running) < self.jobs:
            taken = self._queue.take(self._running)
            if isinstance(taken, Taken):
                self._start(taken)
            elif not taken:
                break
        if self._running:
            return True
        open_ = [record for record in self._queue.records() if record.state in ("waiting", "running")]
        runs = tuple(record.run for record in open_)
        if runs and runs != self._waited_for:
            self.listener(Elsewhere(runs))
        self._waited_for = runs
        return bool(open_)

    def _start(self, taken: Taken) -> None:
        trial, record, own = taken.trial, taken.record, taken.claim
        run, figure = self._queue.run_of(record), selected_by(trial.recipe, self.registry)
        if is_trained(run):  # by a training that outlived its study
            self._note_result(record, run, figure)
            own.release()
            return
        resumed = run.recipe_file.is_file()
        if resumed:
            check_same_recipe(run, trial.recipe, file=str(self.loaded.path))
        else:
            write_text(run.recipe_file, dump_recipe(trial.recipe))
        process, offset = start(run.folder, self.command, own, threads=threads_each(self.jobs))
        self._running[record.number] = _Running(
            trial,
            record,
            run,
            figure,
            process,
            own,
            offset,
            began=time.monotonic(),
            beat=record.beat + 1,
            reported=len(evaluations(run, figure)),
        )
        self.listener(TrialStarted(record.run, run.folder, resumed))

    def _ended(self, running: _Running, *, interrupted: bool = False) -> None:
        """Note how a training ended."""
        del self._running[running.record.number]
        record, seconds, code = running.record, time.monotonic() - running.began, running.process.returncode
        running.claim.release()
        if code == 0 or is_trained(running.run):  # a signal may come when all is done
            self._note_result(record, running.run, running.figure)
        elif running.pruned:
            whole = round(record.seconds_before + seconds, 1)
            self.ledger.prune(record.number, {**result_of(running.run, seconds_before=0.0), "seconds": whole})
            self.listener(TrialEnded(record.run, "pruned", None, running.figure, seconds))
        elif interrupted:
            self.ledger.note(record.number, seconds_before=record.seconds_before + seconds)
            self.ledger.release(record.number)
            self.listener(TrialEnded(record.run, "waiting", None, running.figure, seconds))
        else:
            error = what_happened(running.run.folder, code, running.log_offset)
            self.ledger.fail(record.number, error)
            self.listener(TrialEnded(record.run, "failed", None, running.figure, seconds, error))

    def _note_result(self, record: TrialRecord, run: Run, figure: str) -> None:
        try:
            value, result = value_of(run, figure), result_of(run, seconds_before=record.seconds_before)
        except QakitError as error:
            self.ledger.fail(record.number, str(error))
            self.listener(TrialEnded(record.run, "failed", None, figure, 0.0, str(error)))
            return
        self.ledger.finish(record.number, value, result)
        self.listener(TrialEnded(record.run, "finished", value, figure, float(result["seconds"] or 0.0)))

    def _look_at(self, running: _Running) -> None:
        """How far a training is, and whether it is worth going on with."""
        with contextlib.suppress(RunError):  # a line that is being written
            lines = list(running.run.metrics())
            losses = [line for line in lines if line["type"] == "train"]
            figures = evaluations(running.run, running.figure)
            self.listener(
                TrialProgress(
                    running.record.run,
                    max((line["step"] for line in lines), default=0),
                    running.run.read_json(running.run.meta_file).get("steps"),
                    losses[-1].get("loss") if losses else None,
                    figures[-1] if figures else None,
                )
            )
            if self._queue.search is None or self._queue.search.pruner is None:
                return
            for step in range(running.reported + 1, len(figures) + 1):
                hopeless = self.ledger.hopeless(running.record.number, step, figures[step - 1], self._queue.search)
                if hopeless and not running.pruned:
                    running.pruned = True
                    running.process.terminate()
            running.reported = len(figures)

    def _stop_all(self, signal: int) -> None:
        """Ask the trainings to stop, and wait until they have written their checkpoints."""
        for running in self._running.values():
            running.process.send_signal(signal)
        for running in list(self._running.values()):
            running.process.wait()
            self._ended(running, interrupted=True)

    def _abandon(self) -> None:
        """Something went wrong, or nobody wants to wait: stop the trainings; their trials wait again."""
        for running in self._running.values():
            running.process.terminate()
            with contextlib.suppress(Exception):
                self.ledger.release(running.record.number)
            running.claim.release()
