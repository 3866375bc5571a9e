"""threshold.png: the figures of answerable and unanswerable questions against the no-answer threshold."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qakit.numbers import finite_or_none
from qakit.report.curves import save_picture

if TYPE_CHECKING:
    from qakit.inference.threshold import Choices
    from qakit.registry import Registry
    from qakit.runs import Run

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
