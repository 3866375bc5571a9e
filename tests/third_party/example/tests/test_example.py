"""The plugin keeps qakit's contracts."""

from __future__ import annotations

import pytest
from qakit_example import (
    EVEN_WINDOWS,
    MLP_LABEL,
    MLP_SPAN,
    TRIM_PUNCTUATION,
    EvenWindowsSettings,
    MlpSettings,
    TrimPunctuationSettings,
)
from qakit_example.trim import TrimPunctuation

from qakit.api import Example, SpanPrediction
from qakit.testing import check_component, check_head, check_postprocessor, check_preprocessor


def test_components_are_declared_well() -> None:
    check_component("heads", MLP_SPAN)
    check_component("heads", MLP_LABEL)
    check_component("preprocessors", EVEN_WINDOWS)
    check_component("postprocessors", TRIM_PUNCTUATION)


@pytest.mark.parametrize("settings", [MlpSettings(), MlpSettings(width=3, dropout=0.0)])
def test_heads(settings: MlpSettings) -> None:
    check_head(MLP_SPAN, settings)
    check_head(MLP_LABEL, settings, labels=("low", "middle", "high"))
    check_head(MLP_LABEL, settings)  # without classes: a number


@pytest.mark.parametrize("overlap", [0, 1, 5, 64])
def test_windows(overlap: int) -> None:
    check_preprocessor(EVEN_WINDOWS, EvenWindowsSettings(overlap=overlap))


def test_trimming() -> None:
    check_postprocessor(TRIM_PUNCTUATION, TrimPunctuationSettings())
    trim = TrimPunctuation(" ,。")
    example = Example("q", "who?")
    assert [trim(SpanPrediction("q", text), example).answer for text in (" a, b。", "。", "")] == ["a, b", "。", ""]
