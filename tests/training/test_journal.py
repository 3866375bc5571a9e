"""The logs of a training that continues."""

from __future__ import annotations

from pathlib import Path

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
