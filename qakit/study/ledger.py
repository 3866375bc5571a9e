"""The trials of a study in an Optuna storage: who runs what, and what came out.

A trial is one of Optuna's, with what qakit knows of it in its user attributes. It waits, is claimed (running), and is
finished, failed or pruned; an interrupted one waits again. A retry is another Optuna trial with the same key and the
next attempt; of two with the same key and attempt, made by two processes at the same time, the lower number counts.
"""

from __future__ import annotations

import sqlite3
import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from qakit.errors import RunError, UsageError
from qakit.files import writing
from qakit.names import one_line
from qakit.study.folder import StudyFolder
from qakit.study.model import SearchSection
from qakit.study.record import TrialRecord, noted, record_of

SQLITE = "sqlite:///"
SECONDS_FOR_A_LOCK = 60
_STORAGE = ("sqlalchemy", "optuna")
"""Whose errors are the storage's."""


@dataclass(slots=True)
class Ledger:
    """An open study; :func:`open_ledger` makes one."""

    name: str
    storage: Any
    study: Any
    study_id: int
    lock: Path | None
    """Locks out the other processes where the database itself does not: an SQLite file."""
    ids: dict[int, int] = field(default_factory=dict)
    """Optuna's ids by number, as far as they were needed."""

    def alone(self) -> AbstractContextManager[object]:
        """Nobody else looks and changes meanwhile; keep it short."""
        return nullcontext() if self.lock is None else _locked(self.lock)

    def records(self) -> list[TrialRecord]:
        """The last attempt of each trial, in the order of their first ones."""
        found: dict[tuple[str, int], Any] = {}
        for trial in self.storage.get_all_trials(self.study_id, deepcopy=False):
            if "key" in trial.user_attrs:
                attributes = noted(trial)
                place = (attributes["key"], attributes["attempt"])
                if place not in found or trial.number < found[place].number:
                    found[place] = trial
        last: dict[str, Any] = {}
        for (key, attempt), trial in found.items():
            if key not in last or attempt > last[key].user_attrs["attempt"]:
                last[key] = trial
        first = {key: trial.number for (key, attempt), trial in found.items() if attempt == 1}
        records = [record_of(trial, first.get(key, trial.number)) for key, trial in last.items()]
        return sorted(records, key=lambda record: record.first)

    def distributions(self) -> list[tuple[Mapping[str, Any], bool]]:
        """What each trial was drawn from, and whether it was drawn to the end: those that count have a key."""
        trials = self.storage.get_all_trials(self.study_id, deepcopy=False)
        return [(trial.distributions, "key" in trial.user_attrs) for trial in trials]

    def enqueue(self, about: Mapping[str, Any], *, attempt: int = 1, like: TrialRecord | None = None) -> None:
        """A new waiting trial; ``like``: with the values of an earlier attempt's search."""
        from optuna.trial import TrialState, create_trial

        distributions = {}
        if like is not None and like.params:
            distributions = self.storage.get_trial(self._id(like.number)).distributions
        template = create_trial(
            state=TrialState.WAITING,
            params=dict(like.params) if like is not None else {},
            distributions=distributions,
            user_attrs={**about, "attempt": attempt},
        )
        self.storage.create_new_trial(self.study_id, template_trial=template)

    def claim(self, record: TrialRecord, *, host: str, path: Path) -> bool:
        """Take a waiting trial; False if somebody else was faster."""
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState

        try:
            if not self.storage.set_trial_state_values(self._id(record.number), state=TrialState.RUNNING):
                return False
        except UpdateFinishedTrialError:
            return False
        self.note(record.number, host=host, path=str(path), beat=record.beat + 1)
        return True

    def release(self, number: int) -> None:
        """A running trial waits again."""
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState

        with suppress(UpdateFinishedTrialError):  # another machine took it for dead and has finished it
            self.storage.set_trial_state_values(self._id(number), state=TrialState.WAITING)

    def note(self, number: int, **attributes: Any) -> None:
        """Remember something about a running trial."""
        from optuna.exceptions import UpdateFinishedTrialError

        with suppress(UpdateFinishedTrialError):
            for name, value in attributes.items():
                self.storage.set_trial_user_attr(self._id(number), name, value)

    def finish(self, number: int, value: float, result: Mapping[str, Any]) -> None:
        """A running trial is trained."""
        self.note(number, result=dict(result))
        self._tell(number, value)

    def _tell(self, number: int, value: float | None = None, **state: Any) -> None:
        from optuna.exceptions import UpdateFinishedTrialError

        with suppress(UpdateFinishedTrialError):  # told by another process between Optuna's look and its writing
            self.study.tell(number, value, skip_if_finished=True, **state)

    def fail(self, number: int, error: str) -> None:
        """A running trial went wrong."""
        from optuna.trial import TrialState

        self.note(number, error=error)
        self._tell(number, state=TrialState.FAIL)

    def prune(self, number: int, result: Mapping[str, Any]) -> None:
        """A running trial was not worth going on with."""
        from optuna.trial import TrialState

        self.note(number, result=dict(result))
        self._tell(number, state=TrialState.PRUNED)

    def hopeless(self, number: int, step: int, value: float, search: SearchSection) -> bool:
        """Report an evaluation (``step`` counts them from 1) to the pruner, and ask it."""
        from optuna.pruners import MedianPruner, SuccessiveHalvingPruner
        from optuna.trial import Trial

        self.study.pruner = MedianPruner() if search.pruner == "median" else SuccessiveHalvingPruner(reduction_factor=3)
        trial = Trial(self.study, self._id(number))
        trial.report(value, step)
        return bool(trial.should_prune())

    def draw(
        self, distributions: Mapping[str, Any], search: SearchSection, *, ordinal: int
    ) -> tuple[int, dict[str, Any]] | None:
        """A new running trial with values from the sampler; it is nobody's until its key is noted.

        None where Optuna hands out a waiting trial instead, which another process has just released.

        The sampler's seed belongs to the trial's place in the study: a study that was interrupted draws what it would
        have drawn.
        """
        from optuna.samplers import RandomSampler, TPESampler

        from qakit.randomness import derive_seed

        seed = derive_seed(search.seed, "search", ordinal) % 2**32
        self.study.sampler = RandomSampler(seed) if search.sampler == "random" else TPESampler(seed=seed)
        trial = self.study.ask(dict(distributions))
        if "key" in trial.user_attrs:
            self.release(trial.number)
            return None
        return trial.number, dict(trial.params)

    def _id(self, number: int) -> int:
        if number not in self.ids:
            self.ids[number] = self.storage.get_trial_id_from_study_id_trial_number(self.study_id, number)
        return self.ids[number]


def open_ledger(name: str, storage: str | None, folder: StudyFolder, *, create: bool) -> Ledger:
    """The study's trials; with ``create`` it is made where there is none.

    Args:
        storage: an address, or the path of an SQLite file; None for the folder's own.

    Raises:
        UsageError: Optuna is not installed, or it does not know the storage.
        RunError: there is no such study, or the storage does not answer.
    """
    optuna = import_optuna()
    url = storage or str(folder.database)
    named = "://" not in url
    file = Path(url.removeprefix(SQLITE)).absolute() if named or url.startswith(SQLITE) else None
    if file is not None and not create and not file.is_file():
        raise RunError(f"there is no storage {file}: the study was not run")
    lock = None if file is None else file.with_name(f".{file.name}.lock")
    if file is not None:
        with writing(file):
            file.parent.mkdir(parents=True, exist_ok=True)
    options: dict[str, Any] | None = None
    if named:  # in an address `?`, `%` and `#` of a folder's name would mean something
        options = {"creator": partial(sqlite3.connect, file, timeout=SECONDS_FOR_A_LOCK, check_same_thread=False)}
        url = f"{SQLITE}a file"
    elif file is not None:
        options = {"connect_args": {"timeout": SECONDS_FOR_A_LOCK}}
    try:
        with storage_failures_told(), nullcontext() if lock is None else _locked(lock):
            kept = optuna.storages.RDBStorage(url, engine_kwargs=options)
            if create:
                study = optuna.create_study(storage=kept, study_name=name, load_if_exists=True, direction="maximize")
            else:
                study = optuna.load_study(storage=kept, study_name=name)
            return Ledger(name, kept, study, kept.get_study_id_from_name(name), lock)
    except KeyError:
        raise RunError(f"the storage holds no study {name!r}: it was not run") from None
    except (ImportError, ValueError) as error:
        raise UsageError(f"storage: {one_line(error)}") from error


@contextmanager
def storage_failures_told() -> Iterator[None]:
    """Around work with a ledger: what its storage refuses is the user's to mend.

    Raises:
        RunError: the storage does not answer, or is damaged.
    """
    try:
        yield
    except Exception as error:  # SQLAlchemy's and Optuna's own; some of them are ValueErrors and KeyErrors, too
        if isinstance(error, KeyError | ValueError) or type(error).__module__.partition(".")[0] not in _STORAGE:
            raise
        raise RunError(f"the study's storage does not work: {one_line(error)}") from error


def import_optuna() -> Any:
    """Optuna, quiet.

    Raises:
        UsageError: it is not installed.
    """
    try:
        import optuna
    except ImportError:
        raise UsageError("studies need Optuna: pip install 'qakit[study]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    return optuna


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    lock = FileLock(file, timeout=SECONDS_FOR_A_LOCK)
    with writing(file):
        try:
            lock.acquire()
        except Timeout:
            raise RunError(f"{file} is held by another process for more than {SECONDS_FOR_A_LOCK} seconds") from None
    try:
        yield
    finally:
        lock.release()
