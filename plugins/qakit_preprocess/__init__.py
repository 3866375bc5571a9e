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


def build_stride(settings: StrideSettings, runtime: WindowRuntime) -> Preprocessor:
    """Evenly spaced windows."""
    from qakit_preprocess.negatives import negatives_of
    from qakit_preprocess.stride import Stride

    ratio = settings.negatives if isinstance(settings.negatives, float) else 0.0
    return Stride(settings, runtime, negatives_of(ratio, settings.hard_negatives, runtime))


def build_centred(settings: CentredSettings, runtime: WindowRuntime) -> Preprocessor:
    """Training: one window around the answer. Prediction: evenly spaced ones."""
    from qakit_preprocess.around_answer import Centred
    from qakit_preprocess.negatives import negatives_of
    from qakit_preprocess.stride import Stride

    if runtime.training:
        return Centred(settings, runtime, negatives_of(settings.negatives, settings.hard_negatives, runtime))
    return Stride(StrideSettings(overlap=settings.overlap, step=settings.step), runtime)


def build_random_window(settings: RandomWindowSettings, runtime: WindowRuntime) -> Preprocessor:
    """Training: windows with the answer anywhere in them. Prediction: evenly spaced ones."""
    from qakit_preprocess.around_answer import RandomWindow
    from qakit_preprocess.negatives import negatives_of
    from qakit_preprocess.stride import Stride

    if runtime.training:
        return RandomWindow(settings, runtime, negatives_of(settings.negatives, settings.hard_negatives, runtime))
    return Stride(StrideSettings(overlap=settings.overlap, step=settings.step), runtime)


STRIDE: Component[StrideSettings, WindowRuntime, Preprocessor] = Component(
    name="stride",
    summary="Windows at even distances over the whole context, overlapping",
    settings=StrideSettings,
    build=build_stride,
)
CENTRED: Component[CentredSettings, WindowRuntime, Preprocessor] = Component(
    name="centred",
    summary="Training: one window with the answer in its middle; prediction: as `stride`",
    settings=CentredSettings,
    build=build_centred,
)
RANDOM_WINDOW: Component[RandomWindowSettings, WindowRuntime, Preprocessor] = Component(
    name="random_window",
    summary="Training: the answer anywhere in the window, redrawn each epoch; prediction: as `stride`",
    settings=RandomWindowSettings,
    build=build_random_window,
)


def build_truncate(settings: TruncateSettings, runtime: WindowRuntime) -> Preprocessor:
    """One window for each text or pair of texts."""
    from qakit_preprocess.truncate import Truncate

    return Truncate(settings, runtime)


TRUNCATE: Component[TruncateSettings, WindowRuntime, Preprocessor] = Component(
    name="truncate",
    summary="Classification: one window for each text or pair of texts, the longer one cut first",
    settings=TruncateSettings,
    build=build_truncate,
)


def build_every_context(settings: EveryContextSettings, runtime: WindowRuntime) -> Preprocessor:
    """A window for every context."""
    from qakit_preprocess.every_context import EveryContext

    return EveryContext(settings, runtime)


EVERY_CONTEXT: Component[EveryContextSettings, WindowRuntime, Preprocessor] = Component(
    name="every_context",
    summary="Several contexts: each has windows of its own, in training too, for heads that compare them",
    settings=EveryContextSettings,
    build=build_every_context,
)


def build_concatenate(settings: ConcatenateSettings, runtime: WindowRuntime) -> Preprocessor:
    """All contexts in one window."""
    from qakit_preprocess.concatenate import Concatenate

    return Concatenate(settings, runtime)


CONCATENATE: Component[ConcatenateSettings, WindowRuntime, Preprocessor] = Component(
    name="concatenate",
    summary="Several contexts one after the other in one window, or in as few as they fit into",
    settings=ConcatenateSettings,
    build=build_concatenate,
)


@hookimpl
def qakit_register_preprocessors() -> Iterable[Component[Any, Any, Any]]:
    return (STRIDE, CENTRED, RANDOM_WINDOW, TRUNCATE, EVERY_CONTEXT, CONCATENATE)
