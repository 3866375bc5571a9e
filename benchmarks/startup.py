"""Wall time of commands that need no model, each in a fresh process: ``python benchmarks/startup.py [--repeat 15]``.

Prints the median and the fastest of the repeats, one line per command, beside the time of an empty Python program.
Compiled bytecode is kept between the repeats, as on a user's machine, whatever PYTHONDONTWRITEBYTECODE says here.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CALL = "import sys; from qakit.cli import main; sys.argv = ['qakit', *sys.argv[1:]]; main()"
COMMANDS = (["--help"], ["plugins"], ["recipes", "validate", "recipes/quickstart.yaml"])


def seconds(command: list[str], environment: dict[str, str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT, env=environment)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=15)
    repeat = parser.parse_args().repeat
    cases = {"(empty program)": [sys.executable, "-c", ""]}
    cases |= {f"qakit {' '.join(words)}": [sys.executable, "-c", CALL, *words] for words in COMMANDS}
    cases["import torch, transformers"] = [sys.executable, "-c", "import torch, transformers"]
    with tempfile.TemporaryDirectory() as bytecode:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment["PYTHONPYCACHEPREFIX"] = bytecode
        for name, command in cases.items():
            seconds(command, environment)  # compiles the bytecode and fills the file cache
            times = [seconds(command, environment) for _ in range(repeat)]
            print(f"{name:48} median {statistics.median(times):.3f} s   fastest {min(times):.3f} s")


if __name__ == "__main__":
    main()
