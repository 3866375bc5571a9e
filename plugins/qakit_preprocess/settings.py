"""The settings of the preprocessors, as recipes write them."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from qakit.api import Settings

DEFAULT_OVERLAP = 128
"""Tokens; half of the window where that is less."""


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


class StrideSettings(SpacingSettings):
    """Evenly spaced windows."""

    negatives: Literal["all", "none"] = Field(
        default="all",
        description="Training windows of an answerable question that lack its answer: `all` keeps them with the target "
        '"no answer", `none` leaves them out. Windows of unanswerable questions always stay.',
    )
    contexts: Literal["all", "answer"] = Field(
        default="all",
        description="Training windows of an answerable question with several contexts: from `all` of them, or only "
        "from the one with the `answer`.",
    )


class CentredSettings(SpacingSettings):
    """One window around the answer; `overlap` and `step` are for prediction."""


class RandomWindowSettings(SpacingSettings):
    """Windows at random places around the answer; `overlap` and `step` are for prediction."""

    per_example: PositiveInt = Field(default=1, description="Training windows per question and epoch.")
