"""Run folders: what they hold (``folder``), how they begin (``making``), how they are found again (``opening``)
and read while somebody trains there (``snapshot``), what has become of them (``state``), what may go (``cleaning``)."""

from qakit.runs.cleaning import bytes_of, checkpoints_in, forget_training, needed_to_resume
from qakit.runs.environment import environment
from qakit.runs.folder import ENSEMBLE, FOLDS, LOCK, MEMBERS, PIPELINE, SEEN, ModelAlone, Run
from qakit.runs.making import RUNS, BusyError, alone_in, check_free, create_run, locked
from qakit.runs.opening import (
    ensemble_members,
    list_runs,
    member_folders,
    nested,
    open_run,
    recover_run,
    refuse_ways_out,
)
from qakit.runs.snapshot import read_in_one_state
from qakit.runs.state import State, is_at_work, runs_in, seconds_of, state_of
