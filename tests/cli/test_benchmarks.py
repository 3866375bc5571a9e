"""The benchmarks run: on so little that their figures mean nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.exhaustive, pytest.mark.usefixtures("forked_python")]
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
COMMANDS = (
    "cpu_step.py RECIPE --batches 1 --rounds 1",
    "crf.py --windows 2 --tokens 64 --rounds 1 --json",
    "decode.py QUESTIONS --tokenizer TOKENIZER --rounds 1 --json",
    "ensemble.py --runs 2 --questions 20",
    "heads.py RECIPE linear_span joint_span --questions 4 --rounds 1",
    "predict_stream.py --rows 20 --block 10",
    "prepare.py QUESTIONS --tokenizer TOKENIZER --rounds 1 --json",
    "scale.py RECIPE --steps 2 --questions 4 --rounds 1",
    "serving.py RUN --input QUESTIONS --clients 2 --rounds 1",
    "startup.py --repeat 1",
    "strides.py RUN QUESTIONS --windows 64/16",
)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.split()[0])
def test_it_runs(
    command: str, small_recipe: Path, small_run: Path, small_data: Path, tiny_backbone: Path, tmp_path: Path
) -> None:
    places = {
        "RECIPE": small_recipe,
        "RUN": small_run,
        "QUESTIONS": small_data / "dev.json",
        "TOKENIZER": tiny_backbone,
    }
    program, *words = command.split()
    done = subprocess.run(
        [sys.executable, BENCHMARKS / program, *(places.get(word, word) for word in words)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout
