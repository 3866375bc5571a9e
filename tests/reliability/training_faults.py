"""What goes wrong in the training itself, and two processes in one folder."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from pathlib import Path

import phases
from fault import IDENTICAL, Fault, drawn, line_in, moments, plain, told
from workbench import Workbench, differences

from qakit.runs import BusyError

SAME_STEPS = ("model/model.safetensors", "metrics.jsonl", "predictions/nbest.jsonl", "predictions/submission.csv")


def faults() -> list[Fault]:
    """All of them."""
    return [
        Fault("two processes", "in one run's folder", moments(1), _two),
        Fault("numbers not finite", "in one step", moments(1), _one_broken_step),
        Fault("numbers not finite", "in every step from the fourth on", moments(1), _broken_for_good),
        Fault("out of memory", "in every step with more than one window", moments(1), _full_in_steps),
        Fault(
            "out of memory", "in evaluation and prediction with more than three windows", moments(1), _full_in_scoring
        ),
        Fault("a metric that raises", "in the evaluation after the eighth step", moments(1), _broken_metric),
        Fault("a loss that does not fall", "learning rate 1e-12", moments(1, "full"), _learns_nothing),
    ]


def _two(bench: Workbench, moment: str) -> str:
    whole, trial, draw = bench.whole(moment.split()[0]), bench.trial(moment), drawn("two", moment)
    first = trial.start(at=line_in(whole, phases.STEP, draw), happens="SIGSTOP")
    pid = first.process.pid()
    while "T" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]:
        time.sleep(0.01)
    resuming, beginning = trial.go_on(), trial.train()
    assert resuming.code == BusyError.exit_code, resuming.err
    os.kill(pid, signal.SIGCONT)
    assert first.wait().code == 0
    assert not differences(trial.run, whole.run)
    return f"`--resume`: {told(resuming)}; a new training: {told(beginning)}; the first one is not disturbed"


def _warnings(text: str) -> list[str]:
    """What the training warns of, without what the preflight has said of it before."""
    said = [line.removeprefix("warning: ") for line in text.splitlines() if line.startswith("warning: ")]
    return [line for line in said if not line.startswith("preflight: ")]


def _one_broken_step(bench: Workbench, moment: str) -> str:
    trial = bench.trial(moment)
    done = trial.train(patch="nan at 5")
    assert done.code == 0, done.err
    lines = [json.loads(line) for line in (trial.run / "metrics.jsonl").read_text().splitlines()]
    assert sum(line.get("skipped", 0) for line in lines) == 1
    (said,) = _warnings(done.err)
    return f"exit 0: {said}"


def _broken_for_good(bench: Workbench, moment: str) -> str:
    trial = bench.trial(moment)
    ended = trial.train(patch="nan from 4")
    assert ended.code == 2, ended
    batch = json.loads((trial.run / "broken-batch.json").read_text())
    assert len(batch["windows"]) == 4
    return told(ended)


def _full_in_steps(bench: Workbench, moment: str) -> str:
    trial, whole = bench.trial(moment), bench.whole(moment.split()[0], "--set", "train.accumulation=4")
    killed = trial.train(patch="oom above 1", at=(phases.STEP, 2000), happens="SIGKILL")
    assert killed.code == -9
    (said,) = _warnings(killed.err)
    done = trial.go_on(patch="oom above 1")
    assert done.code == 0, done.err
    assert not set(differences(trial.run, whole.run)) & set(SAME_STEPS)
    return f"{plain(said)}; the same as with `train.accumulation: 4` from the start, bit for bit, resumed or not"


def _full_in_scoring(bench: Workbench, moment: str) -> str:
    trial, whole = bench.trial(moment), bench.whole(moment.split()[0])
    done = trial.train(patch="oom scoring above 3")
    assert done.code == 0, done.err
    said = {line for line in _warnings(done.err) if "out of memory" in line}
    assert len(said) == 2, done.err  # from eight windows to four, and to two
    answers = [(run / "predictions" / "submission.csv").read_bytes() for run in (trial.run, whole.run)]
    assert answers[0] == answers[1]
    return f"exit 0: {min(said)}; the same answers"


def _broken_metric(bench: Workbench, moment: str) -> str:
    trial, whole = bench.trial(moment), bench.whole(moment.split()[0])
    ended = trial.train(patch="metric at 2")
    assert ended.code == 1, ended
    assert "ZeroDivisionError: a metric that does not work" in ended.err
    assert trial.checkpoints[-1].name == "step-00000008"
    failed = json.loads((trial.run / "failure.json").read_text())
    done = trial.go_on()
    assert "resuming from step-00000008" in done.err, done.err
    assert not differences(trial.run, whole.run), differences(trial.run, whole.run)
    return f"exit 1, and `runs list` shows: {failed['error']}; once it works: {IDENTICAL}"


def _learns_nothing(bench: Workbench, moment: str) -> str:
    done = bench.trial(moment).train("--set", "train.learning_rate=1e-12", "--set", "train.log_every=1")
    assert done.code == 0, done.err
    (said,) = _warnings(done.err)
    return "exit 0: " + re.sub(r"\d+\.\d+", "L", said)
