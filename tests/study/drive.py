"""A study in a process of its own, with the fake training: ``python drive.py STUDY.yaml FOLDER JOBS``."""

from __future__ import annotations

import sys
from pathlib import Path

from qakit.devices import slots
from qakit.distributed import ALONE
from qakit.graph.processes import Processes
from qakit.registry import load_registry
from qakit.study.folder import StudyFolder
from qakit.study.load import load_study
from qakit.training.interrupts import InterruptedTrainingError, stop_requests
from qakit.workflows.launching import Place
from qakit.workflows.study import StudyExecution, plan_study

FAKE = Path(__file__).with_name("fake_training.py")


def main(file: str, folder: str, jobs: str) -> int:
    """Run the study; the exit code is 128 + signal after one."""
    loaded, place, registry = load_study(Path(file)), StudyFolder(Path(folder)), load_registry()
    place.begin(loaded, ["drive"])
    processes = Processes(slots("cpu", int(jobs)), command=lambda run: [sys.executable, str(FAKE), str(run)])
    with stop_requests() as stop:
        running = StudyExecution(
            loaded,
            plan_study(loaded, registry),
            place,
            registry,
            Place(processes, ALONE, lambda event: print(event, flush=True), stop),
            check_trainings=False,
            poll=0.02,
        )
        try:
            running.run()
        except InterruptedTrainingError as error:
            return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
