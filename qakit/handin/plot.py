"""Draws the curves of the trainings in ``curves.json``, a PNG for each: python plot.py. It needs matplotlib."""

import json
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

HERE = Path(__file__).resolve().parent


def draw(name: str, curves: dict[str, Any]) -> None:
    """Loss on training windows and on validation, and the metrics on validation, over the optimiser's steps."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    losses, metrics = figure.subplots(1, 2)
    losses.plot(*zip(*curves["loss"], strict=True), color="tab:blue", label="training")
    if curves["validation"]:
        losses.plot(*zip(*curves["validation"], strict=True), color="tab:orange", marker="o", label="validation")
    for metric, points in curves["figures"].items():
        metrics.plot(*zip(*points, strict=True), marker="o", label=metric)
        metrics.annotate(f"{points[-1][1]:.1f}", points[-1], textcoords="offset points", xytext=(4, 4), fontsize=8)
    losses.set(title="Loss", xlabel="optimiser step", ylabel="loss")
    metrics.set(title="Validation", xlabel="optimiser step", ylabel="metric")
    for axes in (losses, metrics):
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend()
    figure.savefig(HERE / f"{name}.png", dpi=110, facecolor="white")


if __name__ == "__main__":
    for each, held in json.loads((HERE / "curves.json").read_text("utf-8")).items():
        draw(each, held)
