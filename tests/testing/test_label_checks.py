"""The contracts for classes and numbers: what keeps them passes, and what breaks them is named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qakit import testing
from qakit.api import Component, Example, LabelPrediction, NoSettings, Prediction, Windows, write_text
from qakit_glue import GLUE as GLUE_WRITER
from qakit_glue.settings import GlueWriterSettings
from qakit_metrics import GLUE as GLUE_METRIC
from qakit_metrics.settings import GlueMetricSettings
from qakit_preprocess import TRUNCATE
from qakit_preprocess.settings import TruncateSettings
from qakit_preprocess.truncate import Truncate

CLASSES, NUMBERS = ("1", "0", "0", "1"), (0.5, 4.0, 2.0, 2.0)


def test_ours_keep_them(tmp_path: Path) -> None:
    for task in ("CoLA", "SST-2", "QQP", "MNLI"):
        testing.check_metric(GLUE_METRIC, GlueMetricSettings(task=task), labels=CLASSES)  # type: ignore[arg-type]
    testing.check_metric(GLUE_METRIC, GlueMetricSettings(task="STS-B"), labels=NUMBERS)
    testing.check_writer(GLUE_WRITER, GlueWriterSettings(), tmp_path, labels=NUMBERS)
    testing.check_preprocessor(TRUNCATE, TruncateSettings(), texts=True)


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
        ("shape", r"of_draws gives share the shape \(1,\), not \(R,\)"),
        ("name", "of_draws gives 'other', which compute does not have"),
        ("drift", "of_draws gives share as 1.0 where compute gives 0.0"),
    ],
)
def test_draws_that_are_not_what_compute_gives_are_found(fault: str, reason: str) -> None:
    testing.check_metric(metric("none"), NoSettings(), labels=CLASSES)
    with pytest.raises(AssertionError, match=reason):
        testing.check_metric(metric(fault), NoSettings(), labels=CLASSES)


class All(Truncate):
    """Windows of every example, also in training."""

    def windows(self, encoded: Any, *, epoch: int) -> Windows:
        return Truncate.windows(Truncate(self.settings, self._predicting), encoded, epoch=epoch)

    @property
    def _predicting(self) -> Any:
        from dataclasses import replace

        return replace(self.runtime, training=False)


def test_training_on_what_has_no_label_is_found() -> None:
    component: Any = Component("all", "All of them", TruncateSettings, All)
    with pytest.raises(AssertionError, match="in training exactly labelled examples have windows"):
        testing.check_preprocessor(component, TruncateSettings(), texts=True)


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
