"""The pipeline recipe: two stages and how their scores are combined, as frozen pydantic models."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt

from qakit.protocols import Gives
from qakit.recipe.model import AboutSection, RecipePath
from qakit.recipe.section import FOLDER_NAME, Section

StageName = Literal["selection", "span"]
STAGES: tuple[StageName, ...] = ("selection", "span")
"""The stages in their order."""
WANTED: dict[StageName, Gives] = {"selection": "contexts", "span": "spans"}
"""What each stage's head must decode to."""

COMMON = ("seed", "data")
"""What a pipeline recipe puts into both stages' recipes, and into the whole."""
OF_THE_WHOLE = ("metric", "postprocess", "writer", "baselines", "competition")
"""What belongs to the whole alone: by default as in the span stage's recipe."""


class ExistingRun(Section):
    """A stage that is trained already."""

    from_run: RecipePath
    """The run's folder."""


class StagesSection(Section):
    """The stages: each a recipe file, or `{from_run: RUN}`, a run that is trained already."""

    selection: RecipePath | ExistingRun
    """Says of each context how likely it holds the answer (head `multiple_choice`)."""
    span: RecipePath | ExistingRun
    """Finds the answer in the contexts that are passed on."""


class CombineSection(Section):
    """How the stages' scores become one: log P(span | context) + weight x log P(context)."""

    top_k: PositiveInt = 3
    """How many contexts are passed on, the likeliest first."""
    weight: Literal["tune", "argmax"] | Annotated[float, Field(ge=0)] = "tune"
    """Weight of the selection's log-probability; 1 makes it the probability of context and span. `argmax`: the
    likeliest context alone counts. `tune`: the best of a few on validation."""


class PipelineRecipe(Section):
    """Two stages as one."""

    name: str | None = Field(default=None, pattern=FOLDER_NAME)
    """Names the pipeline's folder; by default the recipe file's name."""
    description: str = ""
    """One line for `qakit recipes list`."""
    about: AboutSection | None = None
    """What it is for: what `qakit recipes list` is filtered by."""
    stages: StagesSection
    combine: CombineSection = Field(default_factory=CombineSection)
    seed: Annotated[int, Field(ge=0, lt=2**32)] | None = None
    """Seed of both stages."""
    data: dict[str, Any] | None = None
    """Values for the `data` block of both stages' recipes."""
    metric: str | dict[str, Any] | None = None
    """How final answers are scored."""
    postprocess: list[Any] | None = None
    """Clean-up steps of the final answers, in order."""
    writer: str | dict[str, Any] | None = None
    """The submission format."""
    baselines: dict[str, float] | None = None
    """The competition's published baselines, in the metric's unit (percent)."""
    competition: dict[str, Any] | None = None
    """The Kaggle competition that `qakit submit` sends the whole's answers to."""
