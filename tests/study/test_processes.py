"""Studies that are killed, interrupted or run several times at once: no trial is trained twice, and none is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qakit.registry import Registry
from qakit.study.folder import StudyFolder
from qakit.study.trials import TrialRecord, noted_trials, records_of

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("forked_python")]

Write = Callable[..., Path]
DRIVE = Path(__file__).with_name("drive.py")
STUDY = "recipe: base.yaml\ngrid: {train.batch_size: [2, 4]}\nseeds: [0, 1]\n"


class Studies:
    """Studies in processes of their own, all of one file and folder."""

    def __init__(self, file: Path, folder: Path, registry: Registry) -> None:
        self.file, self.folder, self.registry = file, StudyFolder(folder), registry
        self.running: list[subprocess.Popen[str]] = []

    def start(self, *, jobs: int = 1, seconds: float = 1.0) -> subprocess.Popen[str]:
        """One more process."""
        process = subprocess.Popen(
            [sys.executable, str(DRIVE), str(self.file), str(self.folder.path), str(jobs)],
            env={**os.environ, "FAKE_SECONDS": str(seconds)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.running.append(process)
        return process

    def starts(self) -> dict[str, list[int]]:
        """The process of each training of each run."""
        return {
            file.parent.name: [int(line.split()[0]) for line in file.read_text().splitlines()]
            for file in sorted(self.folder.runs.glob("*/started"))
        }

    def wait_for(self, count: int) -> None:
        """Until so many trainings were started."""
        for _ in range(1200):
            if sum(map(len, self.starts().values())) >= count:
                return
            time.sleep(0.05)
        raise AssertionError([process.poll() for process in self.running])

    def records(self) -> list[TrialRecord]:
        """What the folder says."""
        return records_of(self.folder, noted_trials(self.folder), self.registry)


@pytest.fixture
def studies(write: Write, registry: Registry, tmp_path: Path) -> Iterator[Studies]:
    """No process is left behind."""
    made = Studies(write(STUDY), tmp_path / "study", registry)
    yield made
    for process in made.running:
        process.kill()
        process.communicate()


def ended(process: subprocess.Popen[str]) -> int:
    try:
        said, _ = process.communicate(timeout=240)
    except subprocess.TimeoutExpired as error:
        raise AssertionError((error.output or b"")[-3000:].decode()) from None
    assert "Traceback" not in said, said
    return process.returncode


def test_two_at_once_share_the_trials(studies: Studies) -> None:
    one, other = studies.start(seconds=0.3), studies.start(seconds=0.3)
    assert (ended(one), ended(other)) == (0, 0)
    assert [record.state for record in studies.records()] == ["finished"] * 4
    assert [len(processes) for processes in studies.starts().values()] == [1] * 4


def test_one_of_two_is_killed_and_the_other_sees_its_trial_through(studies: Studies) -> None:
    killed, survivor = studies.start(seconds=1.5), studies.start(seconds=1.5)
    studies.wait_for(2)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert ended(survivor) == 0
    assert [record.state for record in studies.records()] == ["finished"] * 4
    assert [len(processes) for processes in studies.starts().values()] == [1] * 4, "the orphan's result is taken"


def test_a_killed_study_goes_on_without_repeating(studies: Studies) -> None:
    first = studies.start(jobs=2, seconds=0.6)
    studies.wait_for(3)
    first.send_signal(signal.SIGKILL)
    first.wait()
    orphans = {run: processes[-1] for run, processes in studies.starts().items()}
    finished = {file.parent.name for file in studies.folder.runs.glob("*/metrics.json")}
    for run, process in orphans.items():
        if run not in finished:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                finished.add(run)
    assert ended(studies.start(seconds=0.2)) == 0
    assert [record.state for record in studies.records()] == ["finished"] * 4
    again = {run for run, processes in studies.starts().items() if len(processes) > 1}
    assert again == orphans.keys() - finished and again, "only what was killed with the study"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_reaches_the_trainings_and_they_go_on(studies: Studies, number: signal.Signals, code: int) -> None:
    process = studies.start(jobs=2, seconds=60)
    studies.wait_for(2)
    time.sleep(0.3)  # until they listen
    process.send_signal(number)
    assert ended(process) == code
    begun = studies.starts()
    assert len(begun) == 2
    for run in begun:
        assert (studies.folder.runs / run / "checkpoint").read_text().split() == [str(number.value)]
    assert [record.state for record in studies.records()] == ["interrupted"] * 2 + ["waiting"] * 2
    assert ended(studies.start(jobs=2, seconds=0)) == 0
    assert {run: len(processes) for run, processes in studies.starts().items()} == {
        record.trial.run: 2 if record.trial.run in begun else 1 for record in studies.records()
    }
    assert [record.state for record in studies.records()] == ["finished"] * 4
