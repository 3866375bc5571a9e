"""folds.png: a figure of each fold, their mean and spread, and that of all out-of-fold predictions together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qakit.report.pictures import save_picture


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
