"""Greedy soup: of a run's evaluated weights, the average of those that do better together.

Source: Wortsman et al. 2022, "Model soups: averaging weights of multiple fine-tuned models improves accuracy without
increasing inference time", algorithm 1. The paper's models are fine-tuned with several settings; here they are
moments of one training, which lie closer together, so that there is less to gain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from qakit.files import atomic_path
from qakit.temporary import remove_leftovers
from qakit.training.evaluator import Judged

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Candidate:
    """Weights that were evaluated in a training, in a file."""

    step: int
    value: float
    """Of the metric that decides which weights are kept; larger is better."""
    file: Path

    def weights(self) -> dict[str, Tensor]:
        """By parameter name, on the CPU."""
        return load_file(self.file)


@dataclass(frozen=True, slots=True)
class Soup(Generic[T]):
    """The candidates that went in, best first, and what their average is worth.

    ``outcome`` is what the judge made of the average; None if only the best candidate is in.
    """

    chosen: tuple[Candidate, ...]
    value: float
    weights: Mapping[str, Tensor]
    outcome: T | None


def keep_candidate(folder: Path, weights: Mapping[str, Tensor], *, step: int, value: float, keep: int) -> None:
    """Write a candidate, and remove all but the ``keep`` best.

    The best are the same whatever order they come in, so also when a training repeats a part.
    """
    with atomic_path(folder / f"step-{step:08d}.safetensors") as temporary:
        held = {name: value.detach().cpu().contiguous() for name, value in weights.items()}
        save_file(held, temporary, metadata={"step": str(step), "value": repr(value)})
    for given_up in candidates(folder)[keep:]:
        given_up.file.unlink(missing_ok=True)


def candidates(folder: Path) -> list[Candidate]:
    """What lies there, the best first, of equals the earlier one. What cannot be read is no candidate."""
    found = [each for file in folder.glob("step-*.safetensors") if (each := _read(file)) is not None]
    return sorted(found, key=lambda each: (-each.value, each.step))


def forget_after(folder: Path, step: int) -> None:
    """Remove the candidates of a future that a resumed training has not come to yet, and what is half-written."""
    remove_leftovers(folder)
    for each in candidates(folder):
        if each.step > step:
            each.file.unlink(missing_ok=True)


def greedy_soup(ranked: Sequence[Candidate], judge: Callable[[Mapping[str, Tensor]], tuple[float, T]]) -> Soup[T]:
    """Begin with the best candidate; add the next one wherever the average does not fall by it.

    Args:
        ranked: at least one, best first.
        judge: the value of weights on validation, and what else it found.
    """
    chosen, value, outcome = [ranked[0]], ranked[0].value, None
    mean = ranked[0].weights()
    for other in ranked[1:]:
        weights = other.weights()
        tried = {name: held.lerp(weights[name], 1 / (len(chosen) + 1)) for name, held in mean.items()}
        reached, found = judge(tried)
        if reached >= value:
            chosen.append(other)
            mean, value, outcome = tried, reached, found
    return Soup(tuple(chosen), value, mean, outcome)


@contextmanager
def set_aside(weights: Mapping[str, Tensor]) -> Iterator[None]:
    """Meanwhile the weights may be overwritten; then they are what they were."""
    held = {name: weight.detach().clone() for name, weight in weights.items()}
    try:
        yield
    finally:
        overwrite(weights, held)


@torch.no_grad()
def overwrite(weights: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    """Give weights other values, in place."""
    for name, weight in weights.items():
        weight.copy_(values[name])


def _read(file: Path) -> Candidate | None:
    try:
        with safe_open(file, "pt") as stored:
            said = stored.metadata() or {}
        return Candidate(int(said["step"]), float(said["value"]), file)
    except (OSError, SafetensorError, KeyError, ValueError):
        return None


def cook(
    ranked: Sequence[Candidate],
    weights: Mapping[str, Tensor],
    judge: Callable[[], Judged],
    keep: Callable[[Judged, Mapping[str, Any]], None],
    *,
    metric: str,
) -> tuple[dict[str, Any], str]:
    """Average what is worth averaging, and keep it if it is more than the best candidate alone.

    What came of it, for the journal and as a line for the user.

    Args:
        ranked: at least one, best first; the same in all processes.
        weights: those of the model that is judged; in the end they are what they were.
        keep: writes the model with the weights that it has, and what was decided with them.
        metric: the one that ``judge`` goes by.
    """

    def judge_with(tried: Mapping[str, Tensor]) -> tuple[float, Judged]:
        overwrite(weights, tried)
        judged = judge()
        return judged.value, judged

    with set_aside(weights):
        soup = greedy_soup(ranked, judge_with)
        said: dict[str, Any] = {
            "steps": [each.step for each in soup.chosen],
            "before": ranked[0].value,
            "after": soup.value,
        }
        if soup.outcome is not None:
            overwrite(weights, soup.weights)
            keep(soup.outcome, {"step": ranked[0].step, "soup": dict(said)})
            said["figures"] = soup.outcome.evaluation.figures
    return {"candidates": {str(each.step): each.value for each in ranked}, **said}, _told(soup, ranked, metric)


def _told(soup: Soup[Judged], ranked: Sequence[Candidate], metric: str) -> str:
    if soup.outcome is None:
        why = f"none of {len(ranked) - 1} others helps them" if len(ranked) > 1 else "no others were evaluated"
        return f"soup: the weights of step {ranked[0].step} stay alone: {why}"
    steps = ", ".join(str(each.step) for each in soup.chosen)
    return f"soup: the average of the weights of steps {steps}: {metric} {ranked[0].value:.2f} -> {soup.value:.2f}"
