"""Time and peak memory of `qakit ensemble`: ``python benchmarks/ensemble.py [--runs 10] [--questions 3500]``.

Run folders are made up on the spot: questions over contexts of about 120 words, half of the runs with a token for each
word and half with words in pieces, each run with 20 candidates a question and character scores, right about as often as
a fair model. Each command is a process of its own, imports included. `answers` combines predictions of a test file;
`judged` learns weights on validation and judges there, member by member, too.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from instruments import qakit

from qakit.files import file_sha256
from qakit.inference.characters import CharacterScores, context_hash
from qakit.inference.inputs import Inputs
from qakit.inference.output import save_predictions
from qakit.recipe.load import dump_recipe
from qakit.recipe.model import Recipe
from qakit.runs import Run
from qakit.values import Candidate, NoAnswer, SpanPrediction

WORDS = 120
SPREAD = 2.0
"""Of the runs' log-odds around the truth."""


def data(folder: Path, questions: int) -> tuple[Path, list[tuple[str, int, int]]]:
    """A SQuAD file and, for each question, its context with the answer's first character and one past its last."""
    generator = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    known = ["".join(generator.choice(letters, size=size)) for size in generator.integers(2, 10, 4000)]
    found, entries = [], []
    for number in range(questions):
        words = [known[i] for i in generator.integers(len(known), size=WORDS)]
        context, first = " ".join(words), int(generator.integers(WORDS - 3))
        begin = sum(len(word) + 1 for word in words[:first])
        text = " ".join(words[first : first + int(generator.integers(1, 4))])
        found.append((context, begin, begin + len(text)))
        answers = [{"text": text, "answer_start": begin}] if number % 3 else []
        question = {"id": f"q{number}", "question": "?", "answers": answers, "is_impossible": not answers}
        entries.append({"title": "t", "paragraphs": [{"context": context, "qas": [question]}]})
    file = folder / "data.json"
    file.write_text(json.dumps({"version": "v2.0", "data": entries}), "utf-8")
    return file, found


def pieces(context: str, *, split: bool) -> tuple[np.ndarray, np.ndarray]:
    """First and last characters of the tokens: words, or words in pieces of at most four letters."""
    first, last = [], []
    for word in re.finditer(r"\S+", context):
        for begin in range(word.start(), word.end(), 4 if split else len(word[0])):
            first.append(begin)
            last.append(min(begin + 3, word.end() - 1) if split else word.end() - 1)
    return np.array(first), np.array(last)


def distribution(odds: np.ndarray) -> tuple[np.ndarray, float]:
    """Log-probabilities of tokens and of "no answer"."""
    total = np.logaddexp.reduce(np.append(odds, 0.0))
    return odds - total, -total


def write_run(folder: Path, recipe: Recipe, file: Path, truth: list[tuple[str, int, int]], number: int) -> None:
    """A run with predictions of test and validation, which are the same here."""
    generator = np.random.default_rng(number + 1)
    starts, ends, nulls, predictions = [], [], [], []
    for row, (context, begin, stop) in enumerate(truth):
        first, last = pieces(context, split=number % 2 == 1)
        right = (np.searchsorted(first, begin, "right") - 1, np.searchsorted(last, stop - 1))
        kept, null = [], []
        for character, gold in zip((first, last), right, strict=True):
            odds = generator.normal(-6, SPREAD, len(character))
            if row % 3:
                odds[gold] += 7
            log, none = distribution(odds)
            dense = np.full(len(context), -np.inf, np.float16)
            dense[character] = log
            kept.append((dense, log))
            null.append(none)
        starts.append(kept[0][0])
        ends.append(kept[1][0])
        nulls.append(null)
        top_first, top_last = (np.argsort(-log)[:12] for _, log in kept)
        pairs = [(a, b, kept[0][1][a] + kept[1][1][b]) for a in top_first for b in top_last if a <= b < a + 30]
        pairs = sorted(pairs, key=lambda pair: -pair[2])[:20]
        scores = np.array([*(score for *_, score in pairs), sum(null)])
        shares = np.exp(scores - np.logaddexp.reduce(scores)).tolist()
        spans = [(int(first[a]), int(last[b]) + 1) for a, b, _ in pairs]
        candidates = tuple(
            Candidate(context[a:b], a, b, 0, float(score), share)
            for (a, b), score, share in zip(spans, scores, shares[:-1], strict=False)
        )
        none_wins = not candidates or scores[-1] > scores[0]
        answer = "" if none_wins else candidates[0].text
        predictions.append(SpanPrediction(f"q{row}", answer, candidates, NoAnswer(float(scores[-1]), shares[-1])))
    lengths = [len(context) for context, *_ in truth]
    characters = CharacterScores(
        ids=tuple(each.id for each in predictions),
        start=np.concatenate(starts),
        end=np.concatenate(ends),
        no_answer=np.array(nulls, np.float32),
        pointers=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        examples=np.arange(len(truth) + 1),
        contexts=np.array([context_hash(context) for context, *_ in truth], np.uint64),
        aggregation="mean",
    )
    run = Run(folder)
    folder.mkdir()
    run.recipe_file.write_text(dump_recipe(recipe), "utf-8")
    for place in (run.predictions, run.validation_predictions):
        save_predictions(
            place,
            predictions,
            recipe,
            run=run.name,
            inputs=Inputs({str(file): file_sha256(file)}),
            characters=characters,
        )


def timed(*words: object) -> tuple[float, float, float]:
    """Seconds by the clock, seconds of processor time, and peak MB of a command."""
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    _, peak = qakit(*words)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - began, processor, peak


def main() -> None:
    """Make the runs, time the methods."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--questions", type=int, default=3500)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file, truth = data(folder, arguments.questions)
        recipe = Recipe.model_validate(
            {
                "name": "made-up",
                "data": {"reader": {"name": "squad"}, "validation": str(file), "test": str(file)},
                "backbone": {"source": "nothing"},
                "predict": {"no_answer": True, "character_scores": True},
                "metric": {"name": "squad_v2"},
            }
        )
        began = time.perf_counter()
        runs = [folder / f"run-{number}" for number in range(arguments.runs)]
        for number, run in enumerate(runs):
            write_run(run, recipe, file, truth, number)
        size = sum(each.stat().st_size for each in folder.rglob("*") if each.is_file()) / 2**20
        print(f"{len(runs)} runs x {len(truth):,} questions, {size:,.0f} MB, in {time.perf_counter() - began:.0f} s")
        print(f"{'method':<14}{'what':<10}{'seconds':>9}{'CPU s':>8}{'peak MB':>9}")
        for what in ("answers", "judged"):
            for run in runs if what == "answers" else ():
                (run / "predictions" / "validation").rename(run / "predictions" / "later")
            for run in runs if what == "judged" else ():
                (run / "predictions" / "later").rename(run / "predictions" / "validation")
            for method in ("voting", "nbest", "char_average"):
                extra = ["--learn-weights"] if what == "judged" else []
                words = ["ensemble", *runs, "--method", method, "--output", folder / "out.csv", "--json", *extra]
                seconds, processor, peak = timed(*words)
                print(f"{method:<14}{what:<10}{seconds:>9.1f}{processor:>8.1f}{peak:>9.0f}", flush=True)


if __name__ == "__main__":
    main()
