"""What windows cost and bring: ``python benchmarks/strides.py RUN FILE --windows 384/128 384/64 384/16``.

Scores a labelled file with one trained run under several window lengths and steps (tokens from one window's start to
the next one's), each with every way to count tokens that lie in several windows. One line each: windows run, figures,
and the seconds as a multiple of the first line's. The run's own no-answer threshold is used throughout. Another load on
the machine spoils the seconds; the windows don't change.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from qakit.data.cache import default_cache
from qakit.data.splits import read_files
from qakit.inference.evaluation import evaluate
from qakit.inference.trained import TrainedRun
from qakit.protocols import ScoresPositions
from qakit.recipe.model import PluginRef, Recipe
from qakit.values import Example

AGGREGATIONS = ("max_context", "max", "mean")


@dataclass(frozen=True, slots=True)
class Line:
    """One scoring of the file."""

    windows: int
    figures: dict[str, float]
    seconds: float


def main() -> None:
    options = parse()
    trained = TrainedRun.load(options.run)
    examples = read_files(trained.recipe, trained.registry, [options.file]).examples[: options.limit]
    aggregations = options.aggregations or [
        each for each in AGGREGATIONS if each != "mean" or isinstance(trained.assembled.model.head, ScoresPositions)
    ]
    first: Line | None = None
    for length, step in options.windows:
        for aggregation in aggregations:
            line = measure(trained.with_recipe(changed(trained.recipe, length, step, aggregation)), examples)
            if first is None:
                first = line
                wanted = dict.fromkeys(("exact_match", "exact", "em", "f1", trained.judge.metric.primary))
                shown = [name for name in wanted if name in line.figures]
                print(f"{'windows':>9} {'aggregation':12} {'run':>8}", *(f"{name:>12}" for name in shown), "   time")
            figures = (f"{line.figures[name]:12.2f}" for name in shown)
            times = f"{line.seconds / first.seconds:6.2f}x"
            print(f"{length:>5}/{step:<3} {aggregation:12} {line.windows:8,}", *figures, times, flush=True)
    if first is not None:
        print(f"{len(examples):,} questions; 1x is {first.seconds:.1f} s")


def changed(recipe: Recipe, length: int, step: int, aggregation: str) -> Recipe:
    """The recipe with other prediction windows."""
    return recipe.model_copy(
        update={
            "windows": recipe.windows.model_copy(update={"max_length": length}),
            "preprocess": recipe.preprocess.model_copy(
                update={"predict": PluginRef.model_validate({"name": "stride", "step": step})}
            ),
            "predict": recipe.predict.model_copy(update={"aggregation": aggregation, "character_scores": False}),
        }
    )


def measure(trained: TrainedRun, examples: Sequence[Example]) -> Line:
    """Figures, and the time from the texts to the answers."""
    began = time.perf_counter()
    prepared, scores = trained.score(examples, cache=default_cache())
    evaluation = evaluate(
        prepared, scores, trained.judge, null_threshold=trained.null_threshold, temperature=trained.temperature
    )
    return Line(len(prepared.windows), evaluation.figures, time.perf_counter() - began)


def length_and_step(text: str) -> tuple[int, int]:
    """``384/128`` as numbers."""
    length, _, step = text.partition("/")
    if not (length.isdecimal() and step.isdecimal() and int(length) > 0 and int(step) > 0):
        raise argparse.ArgumentTypeError(f"{text!r}: write LENGTH/STEP in tokens, 384/128 say")
    return int(length), int(step)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="a trained run's folder")
    parser.add_argument("file", type=Path, help="a labelled file in the format of the run's reader")
    parser.add_argument("--windows", nargs="+", type=length_and_step, required=True, metavar="LENGTH/STEP")
    parser.add_argument("--aggregations", nargs="+", choices=AGGREGATIONS)
    parser.add_argument("--limit", type=int, help="only the first questions")
    return parser.parse_args()


if __name__ == "__main__":
    main()
