"""Where windows lie: at even distances, around the answer, or at random around it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from qakit.api import Component, Preprocessor, WindowRuntime, hookimpl
from qakit_preprocess.settings import CentredSettings, RandomWindowSettings, StrideSettings


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


@hookimpl
def qakit_register_preprocessors() -> Iterable[Component[Any, Any, Any]]:
    return (STRIDE, CENTRED, RANDOM_WINDOW)
