"""What the storage of a study knows of a trial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from qakit.errors import RunError
from qakit.names import plain_name
from qakit.study.folder import run_name

State = Literal["waiting", "running", "finished", "failed", "pruned"]
_STATES: dict[str, State] = {
    "WAITING": "waiting",
    "RUNNING": "running",
    "COMPLETE": "finished",
    "FAIL": "failed",
    "PRUNED": "pruned",
}


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """What the storage knows of a trial."""

    number: int
    """Optuna's, of this attempt."""
    first: int
    """Optuna's number of the first attempt; it names the run's folder."""
    state: State
    key: str
    label: str
    task: str
    row: str
    values: Mapping[str, str]
    seed: int
    attempt: int
    value: float | None
    """The figure that decides."""
    params: Mapping[str, Any]
    """What a search drew."""
    result: Mapping[str, Any]
    """Figures, seconds, peak memory and parameters of a finished training."""
    error: str
    host: str
    """The machine that has or had it; empty: none yet."""
    path: str
    """The run's folder on that machine."""
    beat: int
    """Counts up as long as the process that runs it lives."""
    seconds_before: float
    """Spent on it before it was last interrupted."""

    @property
    def run(self) -> str:
        """The name of its run folder."""
        return run_name(self.first, self.label)

    @property
    def begun(self) -> bool:
        """Whether it was ever started."""
        return bool(self.host)


_NOTED: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("key", "label", "task", "row"), str),
    **dict.fromkeys(("seed", "attempt"), int),
    "values": dict,
}
_LATER: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("error", "host", "path"), str),
    "beat": int,
    "seconds_before": (int, float),
    "result": dict,
}


def noted(trial: Any) -> dict[str, Any]:
    """What qakit has noted of a trial: whoever can write to the storage may have changed it.

    Raises:
        RunError: it is none of qakit's notes.
    """
    attributes: dict[str, Any] = trial.user_attrs
    for name, kind in (_NOTED | _LATER).items():
        value = attributes.get(name)
        wrong = not isinstance(value, kind) or isinstance(value, bool)
        if wrong and (name in _NOTED or name in attributes):
            raise RunError(f"the study's storage is damaged: {name} of trial {trial.number} is {value!r:.80}")
    try:
        plain_name(attributes["label"])
    except ValueError as error:
        raise RunError(f"the study's storage is damaged: the label of trial {trial.number}: {error}") from None
    return attributes


def record_of(trial: Any, first: int) -> TrialRecord:
    """What is known of one of Optuna's trials; ``first`` is Optuna's number of its first attempt.

    Raises:
        RunError: something noted of it is of a wrong type, or its label, which names the run's folder, no plain name.
    """
    attributes = noted(trial)
    return TrialRecord(
        number=trial.number,
        first=first,
        state=_STATES[trial.state.name],
        key=attributes["key"],
        label=attributes["label"],
        task=attributes["task"],
        row=attributes["row"],
        values=attributes["values"],
        seed=attributes["seed"],
        attempt=attributes["attempt"],
        value=trial.value if trial.state.name in ("COMPLETE", "PRUNED") else None,
        params=trial.params,
        result=attributes.get("result", {}),
        error=attributes.get("error", ""),
        host=attributes.get("host", ""),
        path=attributes.get("path", ""),
        beat=attributes.get("beat", 0),
        seconds_before=attributes.get("seconds_before", 0.0),
    )
