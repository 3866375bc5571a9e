"""Which trial comes next: those of a grid that wait, those whose process is gone, and what a search draws."""

from __future__ import annotations

import time
from collections.abc import Container, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qakit.errors import RecipeError, RunError
from qakit.registry import Registry
from qakit.runs import Run
from qakit.study.claim import Claim, claim
from qakit.study.folder import StudyFolder
from qakit.study.ledger import Ledger
from qakit.study.load import LoadedStudy
from qakit.study.plan import PlannedTrial, trials_of
from qakit.study.record import TrialRecord
from qakit.study.space import check_same_space, distributions, sampled


@dataclass(frozen=True, slots=True)
class Taken:
    """A trial that is ours to train."""

    trial: PlannedTrial
    record: TrialRecord
    claim: Claim


@dataclass(slots=True)
class Queue:
    """The trials of a study, shared with its other processes and machines."""

    loaded: LoadedStudy
    planned: Mapping[str, PlannedTrial]
    """The trials of a grid by their keys; a search finds its own."""
    folder: StudyFolder
    ledger: Ledger
    registry: Registry
    host: str
    dead: float
    """Seconds without a sign of life after which a trial on another machine is taken over."""
    _signs: dict[int, tuple[int, float]] = field(default_factory=dict)
    """Of trials on other machines: the last beat, and when it was new."""

    @property
    def search(self) -> Any:
        """The study's search; None for a grid."""
        return self.loaded.study.search

    def records(self) -> list[TrialRecord]:
        """The trials that belong to the study as its file is now."""
        records = self.ledger.records()
        return records if self.search is not None else [each for each in records if each.key in self.planned]

    def enqueue(self, *, retry_failed: bool) -> None:
        """Note the trials of a grid that storage does not know yet; called while nobody else looks.

        Raises:
            UsageError: the trials of a search were drawn from another space.
        """
        if self.search is not None:
            check_same_space(self.loaded, self.ledger.distributions())
        known = {record.key: record for record in self.records()}
        for key, trial in self.planned.items():
            if key not in known:
                self.ledger.enqueue(_about(trial, key))
        for record in known.values() if retry_failed else ():
            if record.state == "failed":
                self.ledger.enqueue(_about(record, record.key), attempt=record.attempt + 1, like=record)

    def take(self, busy: Container[int]) -> Taken | bool:
        """Claim the next trial. False when there is none to be had now, True when it is worth asking again.

        Args:
            busy: numbers of the trials that are trained here.
        """
        with self.ledger.alone():
            records = self.records()
            for record in records:
                taken = self._take(record, busy)
                if taken is not None:
                    return taken
            return self._draw(records)

    def _take(self, record: TrialRecord, busy: Container[int]) -> Taken | None:
        """The trial, if it waits or its process is gone, and its folder is free."""
        if record.number in busy or record.state not in ("waiting", "running"):
            return None
        if record.state == "running" and not self._is_dead(record):
            return None
        own = claim(self.run_of(record).folder)
        if own is None:
            return None  # a training goes on there that outlived its study
        if record.state == "running":
            self.ledger.release(record.number)
        trial = self.planned.get(record.key) or self._sampled(record.params, key=record.key)
        if not self.ledger.claim(record, host=self.host, path=self.run_of(record).folder.absolute()):
            own.release()
            return None
        return Taken(trial, record, own)

    def meant(self, record: TrialRecord) -> PlannedTrial | None:
        """What a trial would be now; None where no recipe comes of what a search drew."""
        with suppress(RecipeError):
            return self.planned.get(record.key) or self._sampled(record.params, key=record.key)
        return None

    def _is_dead(self, record: TrialRecord) -> bool:
        """Whether nobody runs a trial that is said to run."""
        if not record.begun and self.ledger.lock is not None:
            return True  # who claimed it died before saying so; a living one would not have let us look
        if record.host == self.host and Path(record.path).is_dir():
            own = claim(Path(record.path))
            if own is not None:
                own.release()
            return own is not None
        beat, since = self._signs.get(record.number, (-1, 0.0))
        if record.beat != beat:
            self._signs[record.number] = (record.beat, time.monotonic())
            return False
        return time.monotonic() - since > self.dead

    def _sampled(self, params: Mapping[str, Any], *, key: str) -> PlannedTrial:
        """A search's trial from what was drawn for it."""
        label, settings = sampled(self.loaded, params)
        (trial,) = trials_of(self.loaded, self.registry, "", label, settings)
        return PlannedTrial(key, label, "", label, trial.values, trial.seed, trial.recipe)

    def _draw(self, records: list[TrialRecord]) -> Taken | bool:
        """A new trial of a search, as long as it may have more; True where it was none, but another may be."""
        if self.search is None or len(records) >= self.search.trials:
            return False
        drawn = self.ledger.draw(distributions(self.loaded), self.search, ordinal=len(records))
        if drawn is None:
            return True
        number, params = drawn
        key = f"trial-{number}"
        try:
            trial = self._sampled(params, key=key)
        except RecipeError as error:
            label = sampled(self.loaded, params)[0]
            about = {"key": key, "label": label, "task": "", "row": label, "values": {}, "seed": 0, "attempt": 1}
            self.ledger.note(number, **about)
            self.ledger.fail(number, str(error))
            return True
        self.ledger.note(number, **_about(trial, key), attempt=1)
        (record,) = [each for each in self.ledger.records() if each.number == number]
        own = claim(self.run_of(record).folder)
        if own is None:
            raise RunError(f"{self.run_of(record).folder} is in use by another study")
        self.ledger.note(number, host=self.host, path=str(self.run_of(record).folder.absolute()), beat=1)
        return Taken(trial, record, own)

    def run_of(self, record: TrialRecord) -> Run:
        """The run folder of a trial."""
        return Run(self.folder.runs / record.run)


def _about(trial: PlannedTrial | TrialRecord, key: str) -> dict[str, Any]:
    return {
        "key": key,
        "label": trial.label,
        "task": trial.task,
        "row": trial.row,
        "values": dict(trial.values),
        "seed": trial.seed,
    }
