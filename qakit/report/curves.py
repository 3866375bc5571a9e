"""curves.png: loss and metrics over optimiser steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from qakit.report.pictures import save_picture

NOT_CURVES = {
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
"""Metrics drawn if there are several; otherwise whatever there is."""


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
    loss_axes.plot([e["step"] for e in train], [e["loss"] for e in train], color="tab:blue")
    loss_axes.set(title="Training loss", xlabel="optimiser step", ylabel="loss")
    for name in _metrics(evaluations):
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


def _metrics(evaluations: Iterable[Mapping[str, Any]]) -> list[str]:
    names = {name for line in evaluations for name in line} - NOT_CURVES
    preferred = [name for name in SHOWN if name in names]
    return preferred or sorted(names)[:6]
