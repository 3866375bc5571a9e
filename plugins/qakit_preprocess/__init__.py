"""Where windows lie: at even distances, around the answer, at random around it, or from the start of short texts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from qakit.api import Component, Preprocessor, WindowRuntime, hookimpl
from qakit_preprocess.settings import (
    CentredSettings,
    ConcatenateSettings,
    EveryContextSettings,
    RandomWindowSettings,
    StrideSettings,
    TruncateSettings,
)

STRIDE: Component[StrideSettings, WindowRuntime, Preprocessor] = Component(
    name="stride",
    summary="Windows at even distances over the whole context, overlapping",
    settings=StrideSettings,
    build="qakit_preprocess.stride:build_stride",
)
CENTRED: Component[CentredSettings, WindowRuntime, Preprocessor] = Component(
    name="centred",
    summary="Training: one window with the answer in its middle; prediction: as `stride`",
    settings=CentredSettings,
    build="qakit_preprocess.around_answer:build_centred",
)
RANDOM_WINDOW: Component[RandomWindowSettings, WindowRuntime, Preprocessor] = Component(
    name="random_window",
    summary="Training: the answer anywhere in the window, redrawn each epoch; prediction: as `stride`",
    settings=RandomWindowSettings,
    build="qakit_preprocess.around_answer:build_random_window",
)


TRUNCATE: Component[TruncateSettings, WindowRuntime, Preprocessor] = Component(
    name="truncate",
    summary="Classification: one window for each text or pair of texts, the longer one cut first",
    settings=TruncateSettings,
    build="qakit_preprocess.truncate:Truncate",
)


EVERY_CONTEXT: Component[EveryContextSettings, WindowRuntime, Preprocessor] = Component(
    name="every_context",
    summary="Several contexts: each has windows of its own, in training too, for heads that compare them",
    settings=EveryContextSettings,
    build="qakit_preprocess.every_context:EveryContext",
)


CONCATENATE: Component[ConcatenateSettings, WindowRuntime, Preprocessor] = Component(
    name="concatenate",
    summary="Several contexts one after the other in one window, or in as few as they fit into",
    settings=ConcatenateSettings,
    build="qakit_preprocess.concatenate:Concatenate",
)


@hookimpl
def qakit_register_preprocessors() -> Iterable[Component[Any, Any, Any]]:
    return (STRIDE, CENTRED, RANDOM_WINDOW, TRUNCATE, EVERY_CONTEXT, CONCATENATE)
