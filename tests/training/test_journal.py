"""The logs of a training that continues."""

from __future__ import annotations

from pathlib import Path

import pytest

from qakit.runs import Run
from qakit.training.journal import Journal


def test_metrics_are_cut_back_to_a_checkpoint_and_half_a_line_of_times_is_removed(tmp_path: Path) -> None:
    run = Run(tmp_path)
    journal = Journal(run)
    journal.metrics(type="train", step=1)
    size = journal.size()
    journal.metrics(type="train", step=2)
    journal.timing(type="train", step=1)
    whole = run.timings_log.read_bytes()
    run.timings_log.write_bytes(whole + b'{"type": "tr')
    journal.cut(size)
    assert [line["step"] for line in run.metrics()] == [1]
    assert run.timings_log.read_bytes() == whole
    journal.cut(10_000)
    assert run.metrics_log.stat().st_size == size, "a log that is shorter than a checkpoint says is not made longer"


def test_other_processes_leave_the_logs_alone(tmp_path: Path) -> None:
    Journal(Run(tmp_path)).metrics(type="train", step=1)
    other = Journal(Run(tmp_path), writes=False)
    other.cut(0)
    other.timing(type="train", step=1)
    assert (other.size(), other.losses()) == (0, [])
    assert [line["step"] for line in Run(tmp_path).metrics()] == [1]


def test_what_is_no_number_is_not_written(tmp_path: Path) -> None:
    """Other readers of JSON refuse a log with NaN."""
    journal = Journal(Run(tmp_path))
    with pytest.raises(ValueError, match="not JSON compliant"):
        journal.metrics(type="train", step=1, loss=float("nan"))
    assert list(Run(tmp_path).metrics()) == []
