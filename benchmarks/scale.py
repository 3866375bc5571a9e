"""What a second process brings: ``python benchmarks/scale.py recipes/squad2/minilm.yaml``.

The same recipe (same batch per optimiser step) with one process and one thread, with two processes of one thread each,
and with one process of two threads; rounds alternating, each round a whole `qakit train` in fresh processes. The speeds
are those that a run notes in timings.jsonl: windows per second in training, without the first step, and in scoring the
validation examples, the gathering of scores included. An efficiency is the speed as a share of so many times the first
line's. Quick runs for a look: ``--steps 6 --rounds 1``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Setting:
    """How many processes, and how many threads in each."""

    processes: int
    threads: int


SETTINGS = (Setting(1, 1), Setting(2, 1), Setting(1, 2))


def main() -> None:
    options = parse()
    speeds: dict[tuple[Setting, str], list[float]] = {}
    for number in range(options.rounds):
        for setting in SETTINGS:
            with tempfile.TemporaryDirectory() as folder:
                for what, speed in measured(setting, options, Path(folder) / "run").items():
                    speeds.setdefault((setting, what), []).append(speed)
            print(f"round {number + 1}, {setting}: done", file=sys.stderr, flush=True)
    for what in ("training", "prediction"):
        first = statistics.median(speeds[SETTINGS[0], what])
        for setting in SETTINGS:
            speed = statistics.median(speeds[setting, what])
            workers = setting.processes * setting.threads
            name = f"{setting.processes} processes of {setting.threads} threads"
            share = speed / first / workers
            print(f"{what:11} {name:26} {speed:9.1f} windows/s  {speed / first:5.2f}x  efficiency {share:4.0%}")


def measured(setting: Setting, options: argparse.Namespace, run: Path) -> Mapping[str, float]:
    """Windows per second of one training and its evaluation."""
    changes = [
        f"train.max_steps={options.steps}",
        "train.log_every=1",
        f"train.evaluate_every={options.steps}",
        f"train.checkpoint_every={options.steps}",
        f"data.validation_limit={options.questions}",
        "data.test=null",
        *options.changes,
    ]
    launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(setting.processes), "-m"]
    command = [
        *(sys.executable, "-m", *(launcher if setting.processes > 1 else ()), "qakit", "train", str(options.recipe)),
        *("--output", str(run), "--quiet", *(word for change in changes for word in ("--set", change))),
    ]
    threads = str(setting.threads)
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr[-3000:])
    lines = [json.loads(line) for line in (run / "timings.jsonl").read_text("utf-8").splitlines()]
    steps = [line["windows_per_second"] for line in lines if line["type"] == "train" and line["step"] > 1]
    scoring = [line["windows"] / line["seconds"] for line in lines if line["type"] == "scoring"]
    return {"training": statistics.median(steps), "prediction": statistics.median(scoring)}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--set", dest="changes", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--steps", type=int, default=20, help="optimiser steps in each training")
    parser.add_argument("--questions", type=int, default=200, help="validation questions to score")
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    main()
