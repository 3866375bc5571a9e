"""How much sooner a graph of several trainings is done when two run at once, a thread each.

    python benchmarks/graph.py [--rounds 3] [--steps 40] [--output graph.json] [--json]

The same four trainings of a small model, from random weights on the project's own sample: one after the other, in a
process each (``--devices cpu:1``), and two at a time (``--devices cpu:2``). Rounds alternate; medians of the wall-clock
time of the whole command, and their ratio. On two quiet cores it should be 1.6 at least.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sample import SAMPLES, make_backbone, questions
from transformers import BertConfig

GOAL = 1.6
STUDY = """\
name: graph
recipe: one.yaml
seeds: [0, 1, 2, 3]
"""
RECIPE = """\
data: {{reader: squad, train: {samples}/squad-train.json, validation: {samples}/squad-dev.json, validation_limit: 50}}
backbone: {{source: ./model, init: scratch}}
windows: {{max_length: 128, max_question_length: 32}}
train: {{max_steps: {steps}, batch_size: 8, learning_rate: 1e-4, precision: fp32, evaluate_before: false}}
"""


def seconds(study: Path, folder: Path, *options: str) -> float:
    """The wall-clock time of the study."""
    command = [sys.executable, "-m", "qakit", "study", "run", str(study), "-o", str(folder), "--quiet", *options]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    began = time.monotonic()
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def measured(rounds: int, steps: int) -> dict[str, object]:
    """Seconds of all rounds, their medians, and the ratio."""
    found: dict[str, list[float]] = {"one": [], "two": []}
    with TemporaryDirectory() as place:
        folder = Path(place)
        sizes: dict[str, Any] = {
            "hidden_size": 192,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "intermediate_size": 768,
        }
        config = BertConfig(max_position_embeddings=192, **sizes)
        make_backbone(folder / "model", [each["context"] for each in questions()], config, words=2000)
        (folder / "one.yaml").write_text(RECIPE.format(samples=SAMPLES, steps=steps), "utf-8")
        (folder / "study.yaml").write_text(STUDY, "utf-8")
        os.environ["QAKIT_CACHE"] = str(folder / "cache")
        seconds(folder / "study.yaml", folder / "warm", "--devices", "cpu:2")  # tokenised text is in the cache now
        for number in range(rounds):
            for name, options in (("one", ("--devices", "cpu:1")), ("two", ("--devices", "cpu:2"))):
                found[name].append(round(seconds(folder / "study.yaml", folder / f"{name}-{number}", *options), 2))
    one, two = statistics.median(found["one"]), statistics.median(found["two"])
    return {"seconds": found, "one": one, "two": two, "ratio": round(one / two, 2), "goal": GOAL, "steps": steps}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--output", type=Path, default=Path("graph.json"), help="where the figures are written")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    result = measured(arguments.rounds, arguments.steps)
    text = json.dumps(result, indent=2)
    arguments.output.write_text(text + "\n", "utf-8")
    if arguments.json:
        print(text)
    else:
        print(f"one after the other {result['one']:.1f} s, two at once {result['two']:.1f} s: {result['ratio']} times")


if __name__ == "__main__":
    main()
