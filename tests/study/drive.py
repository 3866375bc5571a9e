"""A study in a process of its own, with the fake training: ``python drive.py STUDY.yaml FOLDER JOBS``."""

from __future__ import annotations

import sys
from pathlib import Path

from qakit.study.ledger import open_ledger
from qakit.study.runner import Runner, Timing

from qakit.registry import load_registry
from qakit.study.folder import StudyFolder
from qakit.study.load import load_study
from qakit.study.plan import plan
from qakit.training.interrupts import stop_requests

FAKE = Path(__file__).with_name("fake_training.py")


def main(file: str, folder: str, jobs: str) -> int:
    """Run the study; the exit code is 128 + signal after one."""
    loaded, place, registry = load_study(file), StudyFolder(Path(folder)), load_registry()
    place.begin(loaded, ["drive"])
    with stop_requests() as stop:
        Runner(
            loaded,
            {trial.key: trial for trial in plan(loaded, registry)},
            place,
            open_ledger(loaded.name, loaded.study.storage, place, create=True),
            registry,
            listener=lambda event: print(event, flush=True),
            jobs=int(jobs),
            command=lambda run: [sys.executable, str(FAKE), str(run)],
            timing=Timing(poll=0.02, look=0.1),
        ).run(retry_failed=False, stop=stop)
    return 128 + stop.signal if stop.signal else 0


sys.exit(main(*sys.argv[1:]))
