"""Time of commands that need no model, each in a fresh process: ``python benchmarks/startup.py [--repeat 15]``.

Prints the median and the fastest of the repeats, one line per command, beside those of an empty Python program and of
typer's import, which is the least that a command line of typer's costs; and the processor time of the fastest, which
others on the machine disturb less.
Compiled bytecode is kept between the repeats, as on a user's machine, whatever PYTHONDONTWRITEBYTECODE says here.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CALL = "import sys; from qakit.cli import main; sys.argv = ['qakit', *sys.argv[1:]]; main()"
COMMANDS = (["--help"], ["plugins"], ["recipes", "validate", "recipes/quickstart.yaml"])


def seconds(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Wall and processor time."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT, env=environment)
    end, after = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    return end - start, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=15)
    repeat = parser.parse_args().repeat
    cases = {"(empty program)": [sys.executable, "-c", ""], "import typer": [sys.executable, "-c", "import typer"]}
    cases |= {f"qakit {' '.join(words)}": [sys.executable, "-c", CALL, *words] for words in COMMANDS}
    cases["import torch, transformers"] = [sys.executable, "-c", "import torch, transformers"]
    with tempfile.TemporaryDirectory() as bytecode:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment["PYTHONPYCACHEPREFIX"] = bytecode
        for name, command in cases.items():
            seconds(command, environment)  # compiles the bytecode and fills the file cache
            walls, processor = zip(*(seconds(command, environment) for _ in range(repeat)), strict=True)
            figures = (statistics.median(walls), min(walls), min(processor))
            print(f"{name:48} median {figures[0]:.3f} s   fastest {figures[1]:.3f} s   processor {figures[2]:.3f} s")


if __name__ == "__main__":
    main()
