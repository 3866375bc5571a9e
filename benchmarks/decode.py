"""How fast scores become n-best predictions, against the way of the transformers example scripts.

    python benchmarks/decode.py FILE --tokenizer FOLDER [--no-answer] [--max-context] [--json]

The peer does what those scripts do after the model has run: per window the 20 best starts by the 20 best ends in a
double loop with every check, then per question a sort, the texts and a softmax. As there, questions and features are
``datasets`` tables, whose rows become Python objects when they are asked for; it is also measured with plain lists of
ready-made rows, which the scripts do not have (with ``--max-context`` only so: they keep no such column).

qakit starts from the same scores, batch by batch as a model gives them, and ends with its list of ``SpanPrediction``:
decoding in the head, the table of candidates, the predictions. Rounds alternate, both on one core. Scores are made up
from a fixed seed: noise like a trained model's, peaks at the answer and at a few other places.

Both may pick the same spans, unless the best span is not among the peer's 20 x 20; so qakit's best score must never be
smaller. Not counted on either side: reading, tokenising, windows, batches, the model.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from instruments import timed
from numpy.typing import NDArray
from sample import squad_examples

from qakit.data.batch import Batch
from qakit.data.batching import prediction_batches
from qakit.data.collate import Collator, owned_tokens
from qakit.data.encode import EncodedExamples, encode
from qakit.data.template import PairTemplate
from qakit.data.windows import Windows
from qakit.inference.nbest import SpanTable, span_predictions
from qakit.protocols import HeadRuntime, WindowRuntime
from qakit.registry import load_registry
from qakit.values import Example, SpanPrediction

PEER = "peer"
PEER_LISTS = "peer, plain lists"
QAKIT = "qakit"

Float32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Scores:
    """Made-up scores of all windows, padded to the longest: (W, T) each."""

    start: Float32
    end: Float32


def main() -> None:
    options = parse()
    torch.set_num_threads(options.threads)
    examples, encoded, windows, batches = prepare(options)
    scores = made_up_scores(windows, batches, options.max_length)
    features = peer_features(encoded, windows, batches, options)
    rows = [{"id": example.id, "context": example.contexts[0]} for example in examples]
    peers: dict[str, tuple[Any, Any]] = {PEER_LISTS: (rows, features)}
    if not options.max_context:
        peers[PEER] = datasets.Dataset.from_list(rows), datasets.Dataset.from_list(features)
    qakit = qakit_decoder(examples, encoded, windows, batches, scores, options)

    seconds: dict[str, list[float]] = {name: [] for name in (*peers, QAKIT)}
    for _ in range(options.rounds):
        for name, tables in peers.items():
            theirs, elapsed = timed(partial(peer_predictions, *tables, scores, options))
            seconds[name].append(elapsed)
        ours, elapsed = timed(qakit)
        seconds[QAKIT].append(elapsed)

    rates = {name: len(windows) / statistics.median(times) for name, times in seconds.items()}
    result = {
        "file": options.file.name,
        "examples": len(examples),
        "windows": len(windows),
        "max_length": options.max_length,
        "overlap": options.overlap,
        "n_best": options.n_best,
        "max_answer_length": options.max_answer_length,
        "rounds": options.rounds,
        "threads": options.threads,
        "windows_per_second": {name: round(rate) for name, rate in rates.items()},
        "ratio": {name: round(rates[QAKIT] / rates[name], 2) for name in peers},
        **compare(ours, theirs),
    }
    if options.json:
        print(json.dumps(result))
        return
    print(f"{options.file.name}: {len(examples)} questions, {len(windows)} windows, median of {options.rounds} rounds")
    for name, rate in rates.items():
        milliseconds, ratio = 1000 * len(windows) / rate, rates[QAKIT] / rate
        print(f"{name:18} {rate:9,.0f} windows/s {milliseconds:8.0f} ms  (qakit: {ratio:5.2f} times as fast)")
    print(
        f"best score of a question: {result['better']} better, {result['equal']} equal, {result['worse']} worse; "
        f"answers that differ: {result['other_answers']}"
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("file", type=Path, help="a SQuAD-shaped file")
    parser.add_argument("--tokenizer", required=True, help="folder or name of a fast tokenizer")
    parser.add_argument("--max-length", type=int, default=384)
    parser.add_argument("--overlap", type=int, default=128)
    parser.add_argument("--n-best", type=int, default=20)
    parser.add_argument("--max-answer-length", type=int, default=30)
    parser.add_argument("--batch-size", type=int, default=64, help="windows per batch")
    parser.add_argument("--threads", type=int, default=1, help="of torch; the peer has one")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--no-answer", action="store_true", help="questions may have no answer")
    parser.add_argument("--max-context", action="store_true", help="both: starts only where the window sees most")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


# --------------------------------------------------------------------------------------------------------- the inputs
def prepare(options: argparse.Namespace) -> tuple[Sequence[Example], EncodedExamples, Windows, list[Batch]]:
    """Examples, their windows in prediction, and the batches, longest windows first."""
    from transformers import AutoTokenizer

    examples = squad_examples(options.file)
    tokenizer = AutoTokenizer.from_pretrained(options.tokenizer)
    encoded = encode(examples, tokenizer)
    template = PairTemplate.of(tokenizer)
    runtime = WindowRuntime(options.max_length, options.max_length, template.special_tokens, training=False, seed=0)
    stride = load_registry().build("preprocessors", "stride", {"overlap": options.overlap}, runtime)
    windows = stride.windows(encoded, epoch=0)
    collator = Collator(encoded, windows, template, ownership=owned_tokens(windows) if options.max_context else None)
    cuts = prediction_batches(collator.lengths, batch_size=options.batch_size)
    return examples, encoded, windows, [collator.collate(rows, targets=True) for rows in cuts]


def made_up_scores(windows: Windows, batches: Sequence[Batch], width: int) -> Scores:
    """Noise around -6, four peaks at random places, and one at the answer where the window holds it."""
    random = np.random.default_rng(0)
    shape = (len(windows), width)
    start = random.normal(-6, 1.5, shape).astype(np.float32)
    end = random.normal(-6, 1.5, shape).astype(np.float32)
    row = np.arange(len(windows))
    for _ in range(4):
        place = random.integers(0, width, len(windows))
        start[row, place] += random.uniform(2, 9, len(windows))
        end[row, np.minimum(place + random.integers(0, 12, len(windows)), width - 1)] += random.uniform(
            2, 9, len(windows)
        )
    for batch in batches:
        assert batch.target_first is not None
        assert batch.target_last is not None
        start[batch.window, batch.target_first.numpy()] += 11
        end[batch.window, batch.target_last.numpy()] += 11
    return Scores(start, end)


# -------------------------------------------------------------------------------------------------------------- qakit
def qakit_decoder(
    examples: Sequence[Example],
    encoded: EncodedExamples,
    windows: Windows,
    batches: Sequence[Batch],
    scores: Scores,
    options: argparse.Namespace,
) -> Callable[[], list[SpanPrediction]]:
    """All from the scores of each batch to the predictions."""
    runtime = HeadRuntime(
        hidden_size=4,
        initializer_range=0.02,
        n_best=options.n_best,
        max_answer_length=options.max_answer_length,
        no_answer=options.no_answer,
    )
    head = load_registry().build("heads", "linear_span", {}, runtime)
    outputs = [
        {
            name: torch.from_numpy(all_scores[batch.window, : batch.input_ids.shape[1]].copy())
            for name, all_scores in (("start", scores.start), ("end", scores.end))
        }
        for batch in batches
    ]

    def run() -> list[SpanPrediction]:
        table = SpanTable(len(windows), options.n_best, encoded)
        for batch, output in zip(batches, outputs, strict=True):
            table.add(batch, head.decode(output, batch))
        return span_predictions(
            table, windows, encoded, examples, n_best=options.n_best, no_answer=options.no_answer, null_threshold=0.0
        )

    return run


# --------------------------------------------------------------------------------------------------------------- peer
def peer_features(
    encoded: EncodedExamples, windows: Windows, batches: Sequence[Batch], options: argparse.Namespace
) -> list[dict[str, Any]]:
    """Each window as those scripts keep it: offsets for every position, None outside the context."""
    features: list[dict[str, Any]] = [{} for _ in range(len(windows))]
    for batch in batches:
        for row, window in enumerate(batch.window.tolist()):
            offsets: list[tuple[int, int] | None] = [None] * options.max_length
            for place in np.flatnonzero(batch.context_mask[row].numpy()).tolist():
                offsets[place] = tuple(encoded.store.offsets[batch.token[row, place]].tolist())
            features[window] = {
                "example_id": int(windows.example[window]),
                "input_ids": batch.input_ids[row].tolist(),
                "attention_mask": batch.attention_mask[row].tolist(),
                "offset_mapping": offsets,
            }
            if options.max_context:
                owned = batch.start_mask[row].tolist()
                features[window]["token_is_max_context"] = {
                    str(place): True for place, is_own in enumerate(owned) if is_own
                }
    return features


def peer_predictions(
    examples: Any, features: Any, scores: Scores, options: argparse.Namespace
) -> dict[str, list[dict[str, Any]]]:
    """Question id -> n-best entries, the example scripts' way."""
    features_of = defaultdict(list)
    for number, feature in enumerate(features):
        features_of[feature["example_id"]].append(number)
    result = {}
    for number, example in enumerate(examples):
        null: dict[str, Any] | None = None
        found: list[dict[str, Any]] = []
        for index in features_of[number]:
            start_scores, end_scores = scores.start[index], scores.end[index]
            offsets = features[index]["offset_mapping"]
            max_context = features[index].get("token_is_max_context", None)  # the second row access is theirs, too
            feature_null = start_scores[0] + end_scores[0]
            if null is None or null["score"] > feature_null:
                null = {
                    "offsets": (0, 0),
                    "score": feature_null,
                    "start_score": start_scores[0],
                    "end_score": end_scores[0],
                }
            starts = np.argsort(start_scores)[-1 : -options.n_best - 1 : -1].tolist()
            ends = np.argsort(end_scores)[-1 : -options.n_best - 1 : -1].tolist()
            for first in starts:
                for last in ends:
                    if (
                        first >= len(offsets)
                        or last >= len(offsets)
                        or offsets[first] is None
                        or len(offsets[first]) < 2
                        or offsets[last] is None
                        or len(offsets[last]) < 2
                    ):
                        continue
                    if last < first or last - first + 1 > options.max_answer_length:
                        continue
                    if max_context is not None and not max_context.get(str(first), False):
                        continue
                    found.append(
                        {
                            "offsets": (offsets[first][0], offsets[last][1]),
                            "score": start_scores[first] + end_scores[last],
                            "start_score": start_scores[first],
                            "end_score": end_scores[last],
                        }
                    )
        if options.no_answer and null is not None:
            found.append(null)
        entries = sorted(found, key=lambda entry: entry["score"], reverse=True)[: options.n_best]
        if options.no_answer and null is not None and not any(entry["offsets"] == (0, 0) for entry in entries):
            entries.append(null)
        for entry in entries:
            begin, end = entry.pop("offsets")
            entry["text"] = example["context"][begin:end]
        if not entries or (len(entries) == 1 and entries[0]["text"] == ""):
            entries.insert(0, {"text": "empty", "start_score": 0.0, "end_score": 0.0, "score": 0.0})
        all_scores = np.array([entry.pop("score") for entry in entries])
        weights = np.exp(all_scores - np.max(all_scores))
        for share, entry in zip(weights / weights.sum(), entries, strict=True):
            entry["probability"] = share
        result[example["id"]] = [
            {key: float(value) if isinstance(value, np.floating) else value for key, value in entry.items()}
            for entry in entries
        ]
    return result


# --------------------------------------------------------------------------------------------------------- comparison
def compare(ours: Sequence[SpanPrediction], theirs: dict[str, list[dict[str, Any]]]) -> dict[str, int]:
    """Best spans by score (sums in float32 on both sides), question by question."""
    counts = {"better": 0, "equal": 0, "worse": 0, "other_answers": 0}
    for prediction in ours:
        best = next((entry for entry in theirs[prediction.id] if entry["text"] not in ("", "empty")), None)
        if best is None or prediction.best is None:
            counts["better" if prediction.best else "worse" if best else "equal"] += 1
            continue
        their_score = float(np.float32(best["start_score"]) + np.float32(best["end_score"]))
        difference = prediction.best.score - their_score
        counts["better" if difference > 0 else "worse" if difference < 0 else "equal"] += 1
        counts["other_answers"] += prediction.best.text != best["text"]
    return counts


if __name__ == "__main__":
    main()
