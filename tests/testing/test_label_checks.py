"""The contracts for classes and numbers: what keeps them passes, and what breaks them is named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from qakit import testing
from qakit.api import (
    Component,
    Example,
    HeadOutput,
    LabelPrediction,
    LabelScores,
    NoSettings,
    Prediction,
    Windows,
    write_text,
)
from qakit_glue import GLUE as GLUE_WRITER
from qakit_glue import GlueWriterSettings
from qakit_metrics import GLUE as GLUE_METRIC
from qakit_metrics import GlueMetricSettings
from qakit_preprocess import TRUNCATE
from qakit_preprocess.truncate import Truncate

CLASSES, NUMBERS = ("1", "0", "0", "1"), (0.5, 4.0, 2.0, 2.0)


def test_ours_keep_them(tmp_path: Path) -> None:
    for task in ("CoLA", "SST-2", "QQP", "MNLI"):
        testing.check_metric(GLUE_METRIC, GlueMetricSettings(task=task), labels=CLASSES)  # type: ignore[arg-type]
    testing.check_metric(GLUE_METRIC, GlueMetricSettings(task="STS-B"), labels=NUMBERS)
    testing.check_writer(GLUE_WRITER, GlueWriterSettings(), tmp_path, labels=NUMBERS)
    testing.check_preprocessor(TRUNCATE, NoSettings(), texts=True)


class Share:
    """A metric that goes wrong where it is told to."""

    primary = "share"

    def __init__(self, fault: str) -> None:
        self.fault = fault

    def compute(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> dict[str, float]:
        given = {each.id: each.final for each in predictions}
        figures = self.of_draws(examples, [given[each.id] for each in examples], np.ones((1, len(examples))))
        return {"share": float(figures["share"][0])}

    def of_draws(
        self, examples: Sequence[Example], answers: Sequence[str], counts: np.ndarray
    ) -> Mapping[str, np.ndarray]:
        right = np.array([each.label == answer for each, answer in zip(examples, answers, strict=True)])
        name = "other" if self.fault == "name" and len(counts) > 1 else "share"
        share = 100 * (counts @ right) / counts.sum(1) + (np.arange(len(counts)) if self.fault == "drift" else 0)
        return {name: share[:1] if self.fault == "shape" else share}


def metric(fault: str) -> Any:
    return Component("share", "Share", NoSettings, lambda _settings, _runtime: Share(fault))


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("shape", r"of_draws gives 'share' as float64 of shape \(1,\); it must be an array of the shape \(2,\)"),
        ("name", "of_draws gives 'other', which compute does not have"),
        ("drift", "of_draws gives share as 41.0 where compute gives 40.0"),
    ],
)
def test_draws_that_are_not_what_compute_gives_are_found(fault: str, reason: str) -> None:
    testing.check_metric(metric("none"), NoSettings(), labels=CLASSES)
    with pytest.raises(AssertionError, match=reason):
        testing.check_metric(metric(fault), NoSettings(), labels=CLASSES)


class All(Truncate):
    """Windows of every example, also in training."""

    def windows(self, encoded: Any, *, epoch: int) -> Windows:
        return Truncate.windows(Truncate(self._predicting), encoded, epoch=epoch)

    @property
    def _predicting(self) -> Any:
        from dataclasses import replace

        return replace(self.runtime, training=False)


def test_training_on_what_has_no_label_is_found() -> None:
    component: Any = Component("all", "All of them", NoSettings, lambda _settings, runtime: All(runtime))
    with pytest.raises(AssertionError, match="in training exactly labelled examples have windows"):
        testing.check_preprocessor(component, NoSettings(), texts=True)


def test_a_writer_of_classes_gets_classes(tmp_path: Path) -> None:
    class Labels:
        suffix = ".txt"

        def write(self, predictions: Sequence[Prediction], path: Path) -> None:
            assert all(isinstance(each, LabelPrediction) for each in predictions)
            write_text(path, "".join(f"{each.id} {each.final}\n" for each in predictions))

        def check(self, path: Path, sample: Path) -> list[str]:
            return []

    component: Any = Component("labels", "Labels", NoSettings, lambda _settings, _runtime: Labels())
    path = testing.check_writer(component, NoSettings(), tmp_path, labels=CLASSES)
    assert path.read_text() == "0 1\n1 0\n2 0\n3 1\n"


class Mean(Share):
    """A metric of single examples that goes wrong where it is told to."""

    def per_example(self, examples: Sequence[Example], answers: Sequence[str]) -> Any:
        values = [100.0 * (each.label == answer) for each, answer in zip(examples, answers, strict=True)]
        wrong = {
            "scale": {"share": [each / 100 for each in values]},
            "count": {"share": values[1:]},
            "name": {"x": values},
        }
        return wrong.get(self.fault, {"share": values})


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("scale", r"per_example gives share as 0\.25 on the mean where compute gives 25\.0"),
        ("count", "per_example gives {'share': 3} figures of each of 4 examples"),
        ("name", "per_example gives {'x': 4} .* it must give 'share'"),
    ],
)
def test_figures_of_examples_whose_mean_is_another_are_found(fault: str, reason: str) -> None:
    def component(fault: str) -> Any:
        return Component("mean", "Mean", NoSettings, lambda _settings, _runtime: Mean(fault))

    testing.check_metric(component("none"), NoSettings(), labels=CLASSES)
    with pytest.raises(AssertionError, match=reason):
        testing.check_metric(component(fault), NoSettings(), labels=CLASSES)


def test_a_metric_of_classes_wants_classes() -> None:
    with pytest.raises(AssertionError, match="pass `labels` or `contexts`"):
        testing.check_metric(metric("none"), NoSettings())


def test_a_head_gives_a_logit_for_each_class() -> None:
    class Narrow(nn.Module):
        reads = "sequence"
        gives = "labels"

        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(16, 2)

        def forward(self, hidden: Tensor, batch: Any) -> HeadOutput:
            with torch.autocast("cpu", enabled=False):
                logits = self.linear(hidden[:, 0].float())
            targets = batch.target_label
            loss = None if targets is None else nn.functional.cross_entropy(logits, targets.long())
            return HeadOutput(loss, {"logits": logits})

        def decode(self, scores: Mapping[str, Tensor], batch: Any) -> LabelScores:
            return LabelScores(scores["logits"])

    component: Any = Component("narrow", "Narrow", NoSettings, lambda _settings, _runtime: Narrow())
    testing.check_head(component, NoSettings(), labels=("a", "b"))
    with pytest.raises(AssertionError, match="label scores have 2 columns; there must be 3"):
        testing.check_head(component, NoSettings(), labels=("a", "b", "c"))
