"""Peak memory and speed of `qakit predict` of a folder: ``python benchmarks/predict_stream.py [--rows 2000]``.

With ``--rounds 5`` instead what it brings that a block is read and tokenised while another is answered, as on a GPU,
here on any device: 16 files in alternating rounds with and without, the ratio of the speeds in each round, and whether
the answers are the same bytes.

A BERT of two layers, made and trained briefly on the spot, answers 1, 4 and 16 times so many questions, as one Parquet
file and as 16, each in a process of its own. The speed is that of reading, tokenising, decoding and writing rather than
of the model's arithmetic; the memory should stay where it is.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

from instruments import qakit
from sample import make_backbone, questions
from transformers import BertConfig

AHEAD = """\
import qakit.inference.stream_reading
qakit.inference.stream_reading.reads_ahead = lambda _: True
"""
RECIPE = """\
data:
  reader: {{name: table, id: id, question: question, context: context, answer_text: answer, answer_start: start}}
  train: {folder}/train.jsonl
  validation: {folder}/train.jsonl
backbone: {{source: {folder}/backbone, init: scratch}}
windows: {{max_length: 160, max_question_length: 32}}
preprocess: {{train: random_window, predict: {{name: stride, overlap: 32}}}}
train: {{epochs: 1, batch_size: 16, precision: fp32}}
predict: {{batch_size: 64}}
metric: squad_v1
"""


def write_shards(folder: Path, some: list[dict[str, Any]], rows: int, files: int) -> None:
    """Questions and contexts that are all different, as far as a tokeniser can tell."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir()
    for file in range(files):
        numbers = range(file, rows, files)
        table = {
            "id": [str(number) for number in numbers],
            "question": [f"{some[number % len(some)]['question']} {number}" for number in numbers],
            "context": [f"{some[number % len(some)]['context']} {number}" for number in numbers],
        }
        pq.write_table(pa.table(table), folder / f"{file:02}.parquet")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--block", type=int, default=1000)
    parser.add_argument("--rounds", type=int, help="compare with reading and answering in turn")
    options = parser.parse_args()
    some = questions()
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        sizes: dict[str, Any] = {
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 64,
        }
        make_backbone(home / "backbone", [each["context"] for each in some], BertConfig(**sizes), words=4000)
        (home / "train.jsonl").write_text("".join(json.dumps(each) + "\n" for each in some[:64]))
        (home / "recipe.yaml").write_text(RECIPE.format(folder=home))
        qakit("train", home / "recipe.yaml", "--output", home / "run", "--quiet")
        if options.rounds:
            compare(home, some, options)
            return
        print(f"{'questions':>9}  {'files':>5}  {'peak MB':>7}  {'questions/s':>11}")
        for rows, files in ((1, 1), (4, 1), (16, 1), (16, 16)):
            source = home / f"in-{rows}-{files}"
            write_shards(source, some, rows * options.rows, files)
            words = ("--output", home / f"out-{rows}-{files}", "--block", options.block, "--json")
            said, peak = qakit("predict", home / "run", "--input", source, *words)
            speed = json.loads(said)["rows_per_second"]
            print(f"{rows * options.rows:9,}  {files:5}  {peak:7.0f}  {speed:11.1f}", flush=True)


def compare(home: Path, some: list[dict[str, Any]], options: argparse.Namespace) -> None:
    """Ahead and in turn, each of them first in every second round."""
    source = home / "in"
    write_shards(source, some, 4 * options.rows, 16)
    speeds: dict[bool, list[float]] = {True: [], False: []}
    peaks: dict[bool, list[float]] = {True: [], False: []}
    answers: set[bytes] = set()
    for turn in range(options.rounds):
        for ahead in (False, True) if turn % 2 else (True, False):
            output = home / f"out-{turn}-{ahead}"
            words = ("--output", output, "--block", options.block, "--json")
            said, peak = qakit("predict", home / "run", "--input", source, *words, before=AHEAD if ahead else "")
            speeds[ahead].append(json.loads(said)["rows_per_second"])
            peaks[ahead].append(peak)
            answers.add(b"".join(file.read_bytes() for file in sorted(output.glob("*.parquet"))))
    for ahead, name in ((True, "ahead"), (False, "in turn")):
        print(f"{name:8} {statistics.median(speeds[ahead]):8.1f} questions/s  peak {max(peaks[ahead]):5.0f} MB")
    ratios = sorted(one / other for one, other in zip(speeds[True], speeds[False], strict=True))
    same = "the same bytes" if len(answers) == 1 else "DIFFERENT ANSWERS"
    print(f"ratio {statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f}), {same}")


if __name__ == "__main__":
    main()
