"""All that a plugin may import from qakit.

Light names are here at once; those that need numpy or torch load on first use, so importing ``qakit.api`` at the top of
a plugin keeps ``qakit --help`` fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from qakit import hookimpl
from qakit.components import Component, NoSettings, Settings
from qakit.problems import Policy, Problem, Problems
from qakit.errors import DataError, ModelError, QakitError, UsageError
from qakit.protocols import (
    Adapter,
    Decoded,
    Ensembler,
    Head,
    HeadOutput,
    HeadRuntime,
    LabelScores,
    Metric,
    NoRuntime,
    Postprocessor,
    Preprocessor,
    Reader,
    SpanCandidates,
    TransformersNames,
    WindowRuntime,
    Writer,
)
from qakit.values import Answer, Candidate, Example, LabelPrediction, NoAnswer, Prediction, SpanPrediction

if TYPE_CHECKING:
    from qakit.data.batch import Batch
    from qakit.data.encode import EncodedExamples
    from qakit.data.store import TokenStore
    from qakit.data.windows import Windows

__all__ = [
    "Adapter",
    "Answer",
    "Batch",
    "Candidate",
    "Component",
    "DataError",
    "Decoded",
    "EncodedExamples",
    "Ensembler",
    "Example",
    "Head",
    "HeadOutput",
    "HeadRuntime",
    "LabelPrediction",
    "LabelScores",
    "Metric",
    "ModelError",
    "NoAnswer",
    "NoRuntime",
    "NoSettings",
    "Policy",
    "Postprocessor",
    "Prediction",
    "Preprocessor",
    "Problem",
    "Problems",
    "QakitError",
    "Reader",
    "Settings",
    "SpanCandidates",
    "SpanPrediction",
    "TokenStore",
    "TransformersNames",
    "UsageError",
    "WindowRuntime",
    "Windows",
    "Writer",
    "hookimpl",
]

_LAZY = {
    "Batch": "qakit.data.batch",
    "EncodedExamples": "qakit.data.encode",
    "TokenStore": "qakit.data.store",
    "Windows": "qakit.data.windows",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
