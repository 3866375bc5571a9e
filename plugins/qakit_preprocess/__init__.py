"""Where windows lie: at even distances, around the answer, at random around it, or from the start of short texts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from qakit.api import Component, NoSettings, Preprocessor, RecipePath, Settings, WindowRuntime, hookimpl

DEFAULT_OVERLAP = 128
"""Tokens; half of the window where that is less."""

HARD_NEGATIVES = (
    "Choose the negatives by a previous run's mistakes, not uniformly: `from_run` (a run with predictions for this "
    "training file, or an nbest.jsonl), `share` of the negatives (1.0), `min_probability` of a wrong candidate (0.0)."
)


class SpacingSettings(Settings):
    """How far evenly spaced windows lie apart: by their overlap or by their step."""

    overlap: Annotated[int, Field(ge=0)] | None = Field(
        default=None,
        description="Context tokens that neighbouring windows share (transformers' `stride`). "
        f"By default {DEFAULT_OVERLAP}, or half of the context tokens in a window if that is less.",
    )
    step: PositiveInt | None = Field(
        default=None,
        description="Context tokens from one window's start to the next one's (the `doc_stride` of BERT and of the NTU "
        "HW7 baseline), instead of `overlap`. Never more than a window holds, so no token is skipped.",
    )

    @model_validator(mode="after")
    def _not_both(self) -> Self:
        if self.overlap is not None and self.step is not None:
            raise ValueError("give `overlap` or `step`, not both: step = context tokens in a window - overlap")
        return self


Ratio = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""Negatives per window with the answer."""


class HardNegativesSettings(Settings):
    """Negatives where a previous run was wrongly sure."""

    from_run: RecipePath = Field(
        description="A run folder with predictions for this training file (`qakit predict RUN --split train`), or an "
        "nbest.jsonl with them, e.g. of runs that did not train on the questions they predict.",
    )
    share: Annotated[float, Field(ge=0, le=1)] = Field(
        default=1.0,
        description="Of an example's negatives, how many hold the highest-scoring wrong candidates; the rest, and "
        "what no wrong candidate is left for, is drawn uniformly.",
    )
    min_probability: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.0, description="Wrong candidates with a lower probability don't count."
    )


def _need_a_ratio(settings: Any) -> Any:
    if settings.hard_negatives is not None and settings.negatives in ("all", "none", 0):
        raise ValueError("`hard_negatives` says which negatives to draw: say how many with `negatives`, e.g. 1.0")
    return settings


class NegativesSettings(SpacingSettings):
    """Negatives besides windows around the answer; `overlap` and `step` also say where these may lie."""

    negatives: Ratio = Field(
        default=0.0,
        description="For each training window with the answer this many without any of it, from all contexts of the "
        "question, at places that change with each epoch; a fraction is one more with that probability.",
    )
    hard_negatives: HardNegativesSettings | None = Field(default=None, description=HARD_NEGATIVES)

    _hard_ones_are_drawn = model_validator(mode="after")(_need_a_ratio)


class StrideSettings(SpacingSettings):
    """Evenly spaced windows."""

    negatives: Literal["all", "none"] | Ratio = Field(
        default="all",
        description="Training windows of an answerable question that lack its answer: `all` keeps them with the target "
        '"no answer", `none` leaves them out, a number keeps this many for each window with the answer, redrawn each '
        "epoch (a fraction is one more with that probability). Windows of unanswerable questions always stay.",
    )
    contexts: Literal["all", "answer"] = Field(
        default="all",
        description="Training windows of an answerable question with several contexts: from `all` of them, or only "
        "from the one with the `answer`.",
    )
    hard_negatives: HardNegativesSettings | None = Field(default=None, description=HARD_NEGATIVES)

    _hard_ones_are_drawn = model_validator(mode="after")(_need_a_ratio)


class CentredSettings(NegativesSettings):
    """One window around the answer; `overlap` and `step` are for prediction and negatives."""


class RandomWindowSettings(NegativesSettings):
    """Windows at random places around the answer; `overlap` and `step` are for prediction and negatives."""

    per_example: PositiveInt = Field(default=1, description="Training windows with the answer per question and epoch.")


class EveryContextSettings(SpacingSettings):
    """A window for every context; `overlap` and `step` are for contexts that need several."""

    train_contexts: Annotated[int, Field(ge=2)] | None = Field(
        default=None,
        description="Train on this many contexts of each example: the one with the answer, and others drawn anew each "
        "epoch. By default on all of them.",
    )


class ConcatenateSettings(SpacingSettings):
    """All contexts in one window; `overlap` and `step` are for examples that need several."""


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
    build="qakit_preprocess.around_answer:build",
)
RANDOM_WINDOW: Component[RandomWindowSettings, WindowRuntime, Preprocessor] = Component(
    name="random_window",
    summary="Training: the answer anywhere in the window, redrawn each epoch; prediction: as `stride`",
    settings=RandomWindowSettings,
    build="qakit_preprocess.around_answer:build",
)


TRUNCATE: Component[NoSettings, WindowRuntime, Preprocessor] = Component(
    name="truncate",
    summary="Classification: one window for each text or pair of texts, the longer one cut first",
    settings=NoSettings,
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
