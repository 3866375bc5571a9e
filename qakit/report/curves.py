"""Pictures on their way into files: the loss and metrics of a run (curves.png), of folds and of thresholds."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qakit.files import atomic_path
from qakit.numbers import finite_or_none
from qakit.runs import VALIDATION_LOSS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from qakit.inference.threshold import Choices
    from qakit.registry import Registry
    from qakit.runs import Run


NOT_CURVES = {
    VALIDATION_LOSS,
    "type",
    "step",
    "epoch",
    "total",
    "HasAns_total",
    "NoAns_total",
    "TOTAL",
    "SKIP",
    "best_exact_thresh",
    "best_f1_thresh",
}
"""Entries of a metrics.jsonl line that are no figure to draw."""
SHOWN = ("exact_match", "exact", "EM", "f1", "F1", "accuracy", "AVERAGE")
"""Figures drawn if there are many; otherwise whatever there is."""
FEW = 4


def draw_curves(lines: Iterable[Mapping[str, Any]], path: Path, *, title: str) -> bool:
    """Draw the lines of a metrics.jsonl; returns False when there is nothing to draw yet."""
    entries = list(lines)
    train = [line for line in entries if line["type"] == "train"]
    evaluations = [line for line in entries if line["type"] == "evaluation"]
    if not train and not evaluations:
        return False
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    loss_axes, metric_axes = figure.subplots(1, 2)
    loss_axes.plot([e["step"] for e in train], [e["loss"] for e in train], color="tab:blue", label="training")
    judged = [(e["step"], e[VALIDATION_LOSS]) for e in evaluations if VALIDATION_LOSS in e]
    if judged:
        loss_axes.plot(*zip(*judged, strict=True), marker="o", color="tab:orange", label="validation")
        loss_axes.legend()
    loss_axes.set(title="Loss", xlabel="optimiser step", ylabel="loss")
    for name in drawn_figures(evaluations):
        points = [(e["step"], e[name]) for e in evaluations if name in e]
        metric_axes.plot(*zip(*points, strict=True), marker="o", label=name)
        metric_axes.annotate(f"{points[-1][1]:.1f}", points[-1], textcoords="offset points", xytext=(4, 4), fontsize=8)
    metric_axes.set(title="Validation", xlabel="optimiser step")
    if metric_axes.lines:
        metric_axes.legend()
    for axes in (loss_axes, metric_axes):
        axes.grid(alpha=0.3)
    figure.suptitle(title).set_parse_math(False)  # a $ in a run's name is a $
    save_picture(figure, path)
    return True


def drawn_figures(evaluations: Iterable[Mapping[str, Any]]) -> list[str]:
    """Those of an evaluation's figures that are drawn: all if they are few, else the best known."""
    names = {name for line in evaluations for name in line} - NOT_CURVES
    preferred = [name for name in SHOWN if name in names]
    return sorted(names) if len(names) <= FEW else preferred or sorted(names)[:6]


def save_picture(figure: Figure, path: Path, *, dpi: int = 110) -> None:
    """Write a PNG. Letters that matplotlib's font lacks (Chinese names of runs) are boxes, and no warnings.

    Raises:
        OutputError: it cannot be written.
    """
    with atomic_path(path) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .*missing from")
        figure.savefig(temporary, format="png", dpi=dpi, facecolor="white")


def draw_folds(metrics: Mapping[str, Any], path: Path, *, figure: str, title: str) -> None:
    """Draw what the metrics.json of a folder of folds holds.

    Raises:
        OutputError: the picture cannot be written.
    """
    from matplotlib.figure import Figure

    found = metrics["folds"]
    folds = [row["fold"] for row in found["folds"]]
    values = [row["figures"][figure] for row in found["folds"]]
    mean, sd, pooled = found["mean"][figure], found["sd"][figure], metrics["validation"][figure]
    drawing = Figure(figsize=(7, 4), layout="constrained")
    axes = drawing.subplots()
    axes.axhspan(mean - sd, mean + sd, color="tab:blue", alpha=0.15, label="mean of the folds ± standard deviation")
    axes.axhline(mean, color="tab:blue")
    axes.axhline(pooled, color="tab:orange", linestyle="--", label="all questions together")
    axes.plot(folds, values, "o", color="tab:blue")
    for fold, value in zip(folds, values, strict=True):
        axes.annotate(f"{value:.1f}", (fold, value), textcoords="offset points", xytext=(6, 4), fontsize=8)
    axes.set_title(title, parse_math=False)  # a $ in a run's name is a $
    axes.set(xlabel="fold", ylabel=f"{figure}, out of fold", xticks=folds)
    axes.grid(alpha=0.3, axis="y")
    axes.legend(fontsize=8)
    save_picture(drawing, path)


USED, BEST = "tab:red", "tab:green"
MARGIN = 0.05
"""Share of the range of the thresholds that is shown beyond its ends."""


def draw_threshold_curve(choices: Choices, path: Path, *, used: float, title: str) -> None:
    """Draw each figure's mean at every threshold, exactly, with the threshold in use and the best one for it."""
    from matplotlib.figure import Figure

    names = list(choices.answered)
    figure = Figure(figsize=(5.2 * len(names), 4.2), layout="constrained")
    panels = figure.subplots(1, len(names), squeeze=False)[0]
    for axes, name in zip(panels, names, strict=True):
        best, best_mean = choices.best(name)
        low, high = _limits(choices, best)
        for label, rows, style in _groups(choices):
            curve = choices.curve(name, rows)
            inside = (curve.thresholds > low) & (curve.thresholds < high)
            places = [low, *curve.thresholds[inside].tolist(), high]
            axes.step(places, [curve.at(place) for place in places], where="post", label=label, **style)
        used_mean = choices.curve(name).at(used)
        axes.axvline(used, color=USED, linewidth=3, alpha=0.4, label=f"used: {used:.2f} ({used_mean:.1f})")
        axes.axvline(best, color=BEST, linewidth=1, linestyle=":", label=f"best here: {best:.2f} ({best_mean:.1f})")
        axes.set(title=name, xlabel="no-answer threshold (score)", ylabel="percent", xlim=(low, high), ylim=(0, 101))
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    figure.suptitle(title).set_parse_math(False)  # a $ in a file's name is a $
    save_picture(figure, path)


def draw_validation_curve(run: Run, registry: Registry) -> bool:
    """Draw a run's curve on its validation examples from ``nbest.jsonl``.

    Returns False where there is none to draw: every question has an answer, there is no validation file, or the metric
    gives no figure for each question.
    """
    from qakit.inference.evaluation import Judge, choices_of
    from qakit.inference.nbest_file import kept_validation

    recipe = run.recipe()
    kept = kept_validation(run, recipe, registry) if recipe.predict.no_answer else None
    if kept is None:
        return False
    questions, predictions = kept
    examples = [example for example in questions if example.id in predictions]
    choices = choices_of([predictions[example.id] for example in examples], examples, Judge.of(recipe, registry))
    if choices is None or not examples:
        return False
    used = finite_or_none(run.read_json(run.decision_file).get("null_threshold")) or 0.0
    draw_threshold_curve(choices, run.threshold_curve_file, used=used, title=f"{run.name}, validation")
    return True


def _groups(choices: Choices) -> list[tuple[str, Any, dict[str, Any]]]:
    """Name, rows and line style of all questions and of each kind that there is."""
    groups: list[tuple[str, Any, dict[str, Any]]] = [
        ("all", None, {"color": "black", "linewidth": 2}),
        ("answerable", choices.answerable, {"color": "tab:blue"}),
        ("unanswerable", ~choices.answerable, {"color": "tab:orange"}),
    ]
    counted = [
        (f"{name} ({len(choices.differences) if rows is None else rows.sum():,})", rows, style)
        for name, rows, style in groups
    ]
    return [group for group in counted if group[1] is None or group[1].any()]


def _limits(choices: Choices, best: float) -> tuple[float, float]:
    """The thresholds to show: all that make a difference, and the best one."""
    found = choices.curve(next(iter(choices.answered))).thresholds[1:].tolist()
    low, high = min([*found, best]), max([*found, best])
    margin = MARGIN * (high - low) or 1.0
    return low - margin, high + margin
