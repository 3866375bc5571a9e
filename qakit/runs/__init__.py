"""Run folders: what they hold (``folder``), how they begin (``making``), how they are found again and read while
somebody trains there (``opening``), what has become of them and may go (``state``), which plugins they need
(``plugins``)."""

from qakit.runs.folder import (
    ENSEMBLE,
    FOLDS,
    LAYOUT,
    LOCK,
    MEMBERS,
    MEMBERS_FILE,
    PIPELINE,
    SEEN,
    VALIDATION_LOSS,
    ModelAlone,
    Run,
    classes_in,
)
from qakit.runs.making import RUNS, BusyError, alone_in, check_free, create_run, environment, locked, tidy_finished
from qakit.runs.opening import (
    classes_of,
    ensemble_members,
    ensemble_method,
    is_model_alone,
    list_runs,
    member_folders,
    nested,
    not_finished,
    open_run,
    read_in_one_state,
    recover_run,
    refuse_ways_out,
)
from qakit.runs.state import (
    APART,
    CLOCK,
    State,
    bytes_of,
    checkpoints_in,
    clock_of,
    cut_short,
    forget_training,
    is_at_work,
    needed_to_resume,
    runs_in,
    seconds_of,
    state_of,
)
