"""A run as an ONNX graph, written together with its price: answers, figures, speed and size beside the original's."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qakit.statistics import Difference, Sampling
from qakit.training.events import Listener, Notice, Predicting

if TYPE_CHECKING:
    from qakit.inference.scoring import ScoringSet
    from qakit.inference.trained import TrainedRun

PRICE = "price.json"
TIMED = 12
"""Batches of validation windows, short and long ones, that both models read in turn."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A figure of the original and of the graph."""

    original: float
    exported: float


@dataclass(frozen=True, slots=True)
class Price:
    """What the graph costs and brings, on N validation questions."""

    questions: int
    same_answers: float
    """Share of the questions, in percent, with the same final answer."""
    figures: dict[str, Pair]
    differences: dict[str, Difference]
    """Graph less original, paired by question; of those figures that the metric gives by question or by draw."""
    windows_per_second: Pair
    megabytes: Pair
    int8: bool
    precision: str
    """The original's on this machine."""
    threads: int

    @property
    def speedup(self) -> float:
        return self.windows_per_second.exported / self.windows_per_second.original

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"speedup": self.speedup}

    def lines(self) -> list[str]:
        kind = "int8" if self.int8 else "fp32"
        speed, size = self.windows_per_second, self.megabytes
        shown = [f"{self.same_answers:.2f}% of {self.questions:,} validation questions have the same answer"]
        for name, pair in self.figures.items():
            line = f"{name}: {pair.original:.2f} -> {pair.exported:.2f}"
            if (found := self.differences.get(name)) is not None:
                line += f" (difference {found.mean:+.2f}, 95% interval {found.low:+.2f} to {found.high:+.2f})"
            shown.append(line)
        threads = f"{self.threads} thread{'s' * (self.threads != 1)}"
        shown.append(
            f"windows per second on this CPU, {threads}: {speed.original:.1f} (PyTorch, {self.precision}) -> "
            f"{speed.exported:.1f} (ONNX Runtime, {kind}), {self.speedup:.2f} times"
        )
        return [*shown, f"model: {size.original:.1f} MB -> {size.exported:.1f} MB"]


def export_onnx(folder: Path, output: Path, *, int8: bool, listener: Listener) -> Price:
    """Write the run in ``folder`` as an ONNX graph into ``output``, a run again, and say what it costs.

    Raises:
        UsageError: the extra is not installed, or the recipe names no validation file.
        RunError: ``output`` is not empty, or the run holds a graph already.
        ModelError: the architecture cannot be exported.
    """
    import torch

    from qakit.data.cache import default_cache
    from qakit.files import replace_folder, write_json, write_text
    from qakit.inference.scoring import prepare
    from qakit.inference.trained import TrainedRun
    from qakit.modeling.export import export_graph
    from qakit.modeling.folder import refuse_graph
    from qakit.modeling.onnx import need
    from qakit.outputs import check_empty
    from qakit.runs import open_run
    from qakit.workflows.questions import read_own_split

    check_empty(output)
    need("onnx", "onnxruntime")
    run, cpu = open_run(folder), torch.device("cpu")
    refuse_graph(run.model)
    original = TrainedRun.load(folder, device=cpu)
    examples = read_own_split(original, "validation", listener).examples
    with replace_folder(output) as fresh:
        export_graph(run, original.assembled, fresh, int8=int8)
        exported = TrainedRun.load(fresh, registry=original.registry, device=cpu)
        prepared = prepare(examples, original.assembled, original.recipe, original.registry, cache=default_cache())
        price = _price(prepared, original, exported, listener, int8=int8)
        write_json(fresh / PRICE, price.as_json())
        write_text(fresh / "README.md", _readme(run.name, output.name, price))
    if price.speedup < 1:
        listener(Notice(f"on this machine the graph is slower than the run, which computes in {price.precision} here"))
    return price


def _price(
    prepared: ScoringSet, original: TrainedRun, exported: TrainedRun, listener: Listener, *, int8: bool
) -> Price:
    import torch

    from qakit.inference.evaluation import answers_of, evaluate
    from qakit.inference.scoring import score
    from qakit.report.evaluation import RESAMPLES, columns_of

    evaluations, columns = [], []
    sampling = Sampling(RESAMPLES, original.recipe.seed)
    for number, trained in enumerate((original, exported)):

        def progress(done: int, total: int, before: int = number) -> None:
            listener(Predicting(before * total + done, 2 * total))

        scores = score(
            prepared, trained.assembled, device=trained.device, precision=trained.precision, progress=progress
        )
        judged = {"null_threshold": original.null_threshold, "temperature": original.temperature}
        evaluations.append(evaluate(prepared, scores, original.judge, **judged))
        columns.append(columns_of(evaluations[-1], prepared.examples, original.judge, sampling))
    answers = zip(*(answers_of(each.predictions) for each in evaluations), strict=True)
    same = sum(first == second for first, second in answers)
    before, after = (each.figures for each in evaluations)
    return Price(
        questions=len(prepared.examples),
        same_answers=100.0 * same / len(prepared.examples),
        figures={name: Pair(before[name], after[name]) for name in before},
        differences={name: column.minus(columns[0][name], sampling) for name, column in columns[1].items()},
        windows_per_second=Pair(*_speeds(prepared, (original, exported))),
        megabytes=Pair(*(_megabytes(each.run.model) for each in (original, exported))),
        int8=int8,
        precision=original.precision,
        threads=torch.get_num_threads(),
    )


def _speeds(prepared: ScoringSet, models: Sequence[TrainedRun]) -> list[float]:
    """Windows per second of each model, as it scores: all read each batch, one after the other, the first batch once
    before."""
    import torch

    from qakit.modeling.attention import attention_to_score
    from qakit.modeling.device import autocast

    seconds, windows = [0.0] * len(models), 0
    chosen = prepared.batches[:: max(1, len(prepared.batches) // TIMED)]
    with torch.inference_mode():
        for number, rows in enumerate((chosen[0], *chosen)):
            batch = prepared.collator.collate(rows, targets=False)
            windows += len(rows) * (number > 0)
            for place, trained in enumerate(models):
                began = time.perf_counter()
                model = trained.assembled.model
                fused = attention_to_score(prepared.attention, trained.device, model.backbone)
                with fused, autocast(trained.device, trained.precision):
                    model(batch)
                seconds[place] += (time.perf_counter() - began) * (number > 0)
    return [windows / each for each in seconds]


def _megabytes(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


def _readme(run: str, name: str, price: Price) -> str:
    lines = "\n".join(f"- {line}" for line in price.lines())
    return f"""# {name}

The run `{run}` with its encoder as an ONNX graph (`model/encoder.onnx`, {"int8" if price.int8 else "fp32"}), written by
`qakit export --onnx`. It answers like a run: `qakit predict {name}`, `ask`, `evaluate`, `serve`, and
`qakit.load("{name}")` from Python; `pip install 'qakit[onnx]'` brings what it needs.

Beside the original, measured when it was written (`{PRICE}`):

{lines}
"""
