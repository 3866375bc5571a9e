"""Run folders: what they hold (``folder``), how they begin (``making``), how they are found again (``opening``)
and read while somebody trains there (``snapshot``)."""

from qakit.runs.environment import environment
from qakit.runs.folder import ENSEMBLE, FOLDS, MEMBERS, PIPELINE, SEEN, ModelAlone, Run
from qakit.runs.making import LOCK, RUNS, alone_in, check_free, create_run
from qakit.runs.opening import ensemble_members, list_runs, not_one_model, open_run, recover_run
from qakit.runs.snapshot import read_in_one_state

__all__ = [
    "ENSEMBLE",
    "FOLDS",
    "LOCK",
    "MEMBERS",
    "PIPELINE",
    "RUNS",
    "SEEN",
    "ModelAlone",
    "Run",
    "alone_in",
    "check_free",
    "create_run",
    "ensemble_members",
    "environment",
    "list_runs",
    "not_one_model",
    "open_run",
    "read_in_one_state",
    "recover_run",
]
