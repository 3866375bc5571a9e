"""The greedy soup of a run's own candidates, cooked when its training ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from qakit.training.evaluator import Evaluator, Judged
from qakit.training.events import Remark
from qakit.training.soup import Candidate, Soup, greedy_soup, overwrite, set_aside

Keep = Callable[[Judged, Mapping[str, Any]], None]


def cook(
    ranked: Sequence[Candidate],
    weights: Mapping[str, Tensor],
    evaluator: Evaluator,
    keep: Keep,
    *,
    step: int,
    epoch: float,
) -> None:
    """Average what is worth averaging, and keep it if it is more than the best candidate alone.

    Args:
        ranked: at least one, best first; the same in all processes.
        weights: those of the model that the evaluator judges; in the end they are what they were.
        keep: writes the model with the weights that it has, and what was decided with them.
        step, epoch: where the training is.
    """

    def judge(tried: Mapping[str, Tensor]) -> tuple[float, Judged]:
        overwrite(weights, tried)
        judged = evaluator.now()
        return judged.value, judged

    with set_aside(weights):
        soup = greedy_soup(ranked, judge)
        said: dict[str, Any] = {
            "steps": [each.step for each in soup.chosen],
            "before": ranked[0].value,
            "after": soup.value,
        }
        if soup.outcome is not None:
            overwrite(weights, soup.weights)
            keep(soup.outcome, {"step": ranked[0].step, "soup": dict(said)})
            said["figures"] = soup.outcome.evaluation.figures
    tried = {str(each.step): each.value for each in ranked}
    evaluator.journal.metrics(type="soup", step=step, epoch=epoch, candidates=tried, **said)
    evaluator.listener(Remark(_told(soup, ranked, evaluator.judge.selected_by)))


def _told(soup: Soup[Judged], ranked: Sequence[Candidate], metric: str) -> str:
    if soup.outcome is None:
        why = f"none of {len(ranked) - 1} others helps them" if len(ranked) > 1 else "no others were evaluated"
        return f"soup: the weights of step {ranked[0].step} stay alone: {why}"
    steps = ", ".join(str(each.step) for each in soup.chosen)
    return f"soup: the average of the weights of steps {steps}: {metric} {ranked[0].value:.2f} -> {soup.value:.2f}"
