"""A search over recipe values: Optuna draws them, and hears what came of them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qakit.errors import RunError, UsageError
from qakit.files import make_folder, writing
from qakit.names import one_line
from qakit.randomness import derive_seed
from qakit.recipe.overrides import Setting
from qakit.study.folder import StudyFolder
from qakit.study.load import LoadedStudy
from qakit.study.space import check_same_space, distributions, sampled

_LINE = b'{"op_code":'
"""How each line of Optuna's journals begins."""
_AGAIN = "qakit:again"
"""Marks a trial of Optuna's that holds the figure of a failed one that was tried again: that one's number."""
_STORAGE = ("sqlalchemy", "optuna")
"""Whose errors are the storage's."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """Values that were drawn for a trial."""

    number: int
    """Optuna's."""
    run: str
    """The name of the trial's folder."""
    label: str
    params: Mapping[str, Any]
    settings: tuple[Setting, ...]
    """The recipe values that they stand for."""


@dataclass(slots=True)
class Search:
    """An open search; :func:`open_search` makes one. Whoever changes something holds :meth:`StudyFolder.alone`."""

    loaded: LoadedStudy
    study: Any
    """Optuna's."""
    storage: Any

    def drawn(self, *states: str) -> list[Drawn]:
        """The trials of these states of Optuna's: ``RUNNING`` is what nobody has told the end of; by default all."""
        trials = [each for each in self.study.trials if _AGAIN not in each.user_attrs]
        return [self._of(each.number, each.params) for each in trials if not states or each.state.name in states]

    def draw(self) -> Drawn | None:
        """A new trial; None when there are enough.

        The sampler's seed belongs to the trial's place in the study: a study that was interrupted draws what it would
        have drawn.
        """
        from optuna.samplers import RandomSampler, TPESampler

        search = self.loaded.study.search
        assert search is not None
        ordinal = len(self.drawn())
        if ordinal >= search.trials:
            return None
        seed = derive_seed(search.seed, "search", ordinal) % 2**32
        self.study.sampler = RandomSampler(seed) if search.sampler == "random" else TPESampler(seed=seed)
        trial = self.study.ask(dict(distributions(self.loaded)))
        return self._of(trial.number, trial.params)

    def tell(self, number: int, value: float | None) -> None:
        """The figure of a trial; None: it has failed.

        What Optuna knows as failed stays failed there; a trial that was tried again is added beside it.
        """
        from optuna.trial import TrialState, create_trial

        if value is None:
            self.study.tell(number, state=TrialState.FAIL, skip_if_finished=True)
            return
        trials = self.study.trials
        trial = trials[number]
        if trial.state == TrialState.FAIL:
            if not any(each.user_attrs.get(_AGAIN) == number for each in trials):
                again = create_trial(
                    value=value,
                    params=trial.params,
                    distributions=trial.distributions,
                    user_attrs={_AGAIN: number},
                )
                self.study.add_trial(again)
            return
        self.study.tell(number, value, skip_if_finished=True)

    def prune(self, number: int) -> None:
        """A trial is given up."""
        from optuna.trial import TrialState

        self.study.tell(number, state=TrialState.PRUNED, skip_if_finished=True)

    def is_hopeless(self, number: int, step: int, value: float) -> bool:
        """Report an evaluation (``step`` counts them from 1) to the pruner, and ask it."""
        from optuna.pruners import MedianPruner, SuccessiveHalvingPruner
        from optuna.trial import Trial

        search = self.loaded.study.search
        if search is None or search.pruner is None:
            return False
        self.study.pruner = MedianPruner() if search.pruner == "median" else SuccessiveHalvingPruner(reduction_factor=3)
        place = self.storage.get_study_id_from_name(self.study.study_name), number
        trial = Trial(self.study, self.storage.get_trial_id_from_study_id_trial_number(*place))
        trial.report(value, step)
        return bool(trial.should_prune())

    def _of(self, number: int, params: Mapping[str, Any]) -> Drawn:
        label, settings = sampled(self.loaded, params)
        return Drawn(number, f"{number:03d}-{label}", label, params, tuple(settings))


def open_search(loaded: LoadedStudy, folder: StudyFolder) -> Search:
    """The search of a study, begun or resumed.

    Its storage is Optuna's journal in the study's folder, which several machines may share; or what the study names.

    Raises:
        UsageError: Optuna is not installed, does not know the storage, or the search was begun in another space.
        RunError: the storage does not answer.
    """
    optuna = import_optuna()
    address = loaded.study.storage or str(folder.journal)
    with storage_failures_told():
        try:
            storage = optuna.storages.RDBStorage(address) if "://" in address else _journal(Path(address))
            study = optuna.create_study(
                storage=storage, study_name=loaded.name, load_if_exists=True, direction="maximize"
            )
        except (ImportError, ValueError) as error:
            kind = "" if "://" in address else f"{address} is no journal of Optuna's, or damaged: "
            raise UsageError(f"storage: {kind}{one_line(error)}") from error
        check_same_space(loaded, [(trial.distributions, True) for trial in study.trials])
    return Search(loaded, study, storage)


def _journal(file: Path) -> Any:
    """A journal that a killed process cannot leave locked, nor a full disk with half a line.

    Raises:
        UsageError: the file holds something else, which is left as it is.
        OutputError: it cannot be written.
    """
    from filelock import FileLock
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    lock: Any = FileLock(file.with_name(f".{file.name}.lock"))  # falls with its process; Optuna's own outlives it
    with writing(file):
        make_folder(file.parent)
        with lock, file.open("ab+") as journal:
            journal.seek(0)
            begins = journal.read(len(_LINE))
            if begins != _LINE[: len(begins)]:
                raise UsageError(f"storage: {file} is no journal of Optuna's: name a file that is not there yet")
            journal.truncate((begins + journal.read()).rfind(b"\n") + 1)
    return JournalStorage(JournalFileBackend(str(file), lock))


@contextmanager
def storage_failures_told() -> Iterator[None]:
    """Around work with a search: what its storage refuses is the user's to mend.

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
        raise UsageError("searches need Optuna: pip install 'qakit[study]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    return optuna
