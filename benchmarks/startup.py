"""Wall time of commands that need no model, each in a fresh process: ``python benchmarks/startup.py [--repeat 15]``.

Prints the median and the fastest of the repeats, one line per command, beside the time of an empty Python program.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CALL = "import sys; from qakit.cli import main; sys.argv = ['qakit', *sys.argv[1:]]; main()"
COMMANDS = (["--help"], ["plugins"], ["recipes", "validate", "recipes/quickstart.yaml"])


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=15)
    repeat = parser.parse_args().repeat
    cases = {"(empty program)": [sys.executable, "-c", ""]}
    cases |= {f"qakit {' '.join(words)}": [sys.executable, "-c", CALL, *words] for words in COMMANDS}
    cases["import torch, transformers"] = [sys.executable, "-c", "import torch, transformers"]
    for name, command in cases.items():
        seconds(command)  # the first one may compile bytecode and fill the file cache
        times = [seconds(command) for _ in range(repeat)]
        print(f"{name:45} median {statistics.median(times):.3f} s   fastest {min(times):.3f} s")


if __name__ == "__main__":
    main()
