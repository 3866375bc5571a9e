"""A comparison as plain values, for programs."""

from __future__ import annotations

from typing import Any

from qakit.report.compare import Comparison, Estimate


def as_json(comparison: Comparison) -> dict[str, Any]:
    """compare.json: everything but the curves, as plain values."""
    labels = [group.label for group in comparison.groups]
    return {
        "metric": comparison.members[0].recipe.metric.name,
        "figures": list(comparison.keys),
        "questions": comparison.questions,
        "level": comparison.level,
        "resamples": comparison.plan.resamples,
        "seed": comparison.plan.seed,
        "runs": [
            {
                "run": str(member.run.folder),
                "label": label,
                "seed": member.recipe.seed,
                "differs": dict(differs),
                "figures": {key: _estimate_json(estimate) for key, estimate in estimates.items()},
                "trainable_parameters": member.trainable,
                "seconds_per_step": member.speeds.seconds_per_step,
                "train_windows_per_second": member.speeds.train_windows,
                "evaluation_windows_per_second": member.speeds.evaluation_windows,
                "finished": member.finished,
            }
            for member, label, differs, estimates in zip(
                comparison.members, comparison.labels, comparison.differs, comparison.estimates, strict=True
            )
        ],
        "groups": [
            {
                "label": group.label,
                "runs": [str(comparison.members[index].run.folder) for index in group.members],
                "differs": dict(group.differs),
                "figures": {key: _estimate_json(estimate) for key, estimate in group.estimates.items()},
                "seeds": {
                    key: {"min": spread.low, "max": spread.high, "sd": spread.sd}
                    for key, spread in group.spreads.items()
                },
            }
            for group in comparison.groups
        ],
        "differences": [
            {
                "first": labels[pair.first],
                "second": labels[pair.second],
                "figure": pair.key,
                "mean": pair.difference.mean,
                "low": pair.difference.low,
                "high": pair.difference.high,
                "opposite": pair.difference.opposite,
                "distinguishable": pair.difference.distinguishable,
            }
            for pair in comparison.pairs
        ],
        "notes": list(comparison.notes),
    }


def _estimate_json(estimate: Estimate) -> dict[str, float]:
    return {"mean": estimate.mean, "low": estimate.low, "high": estimate.high}
