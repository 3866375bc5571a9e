"""The recipe: everything that determines a run, as frozen pydantic models.

This is the core's half of the check. Blocks that name a plugin (``PluginRef``) keep their settings as they are; the
registry checks those against the plugin's own settings model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, field_validator, model_validator

from qakit.components import Kind
from qakit.problems import Policy
from qakit.recipe.slug import competition_slug


class Section(BaseModel):
    """Base of every recipe section: frozen, unknown keys are errors. The string below a field documents it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)


@dataclass(frozen=True, slots=True)
class IsPath:
    """Marks a string field as a path: relative to the recipe file that wrote it, with ``${NAME:-default}`` expanded."""

    or_name: bool = False
    """Whether it may also be a name (a package, a model on the hub). It is a path when it starts with ``.``, ``~`` or
    ``/``, or when something of that name lies beside the recipe."""


RecipePath = Annotated[str, IsPath()]
"""A path in a recipe. Environment variables are expanded in these fields and nowhere else."""
RecipeSource = Annotated[str, IsPath(or_name=True)]
"""A path, or the name of something that is looked up elsewhere."""


class PluginRef(BaseModel):
    """A component by name with its settings: ``linear_span`` or ``{name: stride, stride: 128}``."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @property
    def settings(self) -> dict[str, Any]:
        """The block without its name."""
        return dict(self.__pydantic_extra__ or {})


class DataSection(Section):
    """Where the examples come from."""

    reader: PluginRef
    """Which reader understands the files."""
    train: RecipePath | list[RecipePath] | None = None
    """Training file or files."""
    validation: RecipePath | list[RecipePath] | None = None
    """Labelled file or files for evaluation during and after training."""
    test: RecipePath | None = None
    """The competition's test file, without answers."""
    sample_submission: RecipePath | None = None
    """The competition's sample submission; written files are checked against it."""
    problems: dict[str, Policy] = Field(default_factory=dict)
    """What to do about each kind of problem in a record (`qakit data check` lists them); `default` for the rest."""
    train_limit: PositiveInt | None = None
    """Train on this many examples, drawn at random by the seed."""
    validation_limit: PositiveInt | None = None
    """Evaluate on this many examples, drawn at random by the seed."""
    answerable_only: bool = False
    """Train only on questions that have an answer."""
    labels: list[str] | None = None
    """Class names in their order, for heads that classify; by default those of the training examples, sorted."""


class BackboneSection(Section):
    """The encoder."""

    source: RecipeSource
    """Looked up as a local folder, then as an installed package that carries weights, then on the hub."""
    init: Literal["pretrained", "scratch"] = "pretrained"
    """`scratch`: the source's architecture and tokenizer with fresh random weights."""
    overrides: dict[str, int | float | str | bool] = Field(default_factory=dict)
    """Configuration entries to change, e.g. `num_hidden_layers`, `hidden_size` (with `init: scratch`) or dropouts."""
    tokenizer: RecipeSource | None = None
    """Another source for the tokenizer; by default the backbone's own."""
    sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    """Expected SHA-256 of the weight file; another one is an error."""
    revision: str | None = None
    """Branch, tag or commit on the hub."""
    trust_remote_code: bool = False
    """Run model code from the hub. Only for authors you trust."""


class WindowsSection(Section):
    """How long an input is."""

    max_length: Annotated[int, Field(ge=8)] = 384
    """Longest input in tokens, special tokens included."""
    max_question_length: PositiveInt = 64
    """Longer questions keep their first tokens."""


class PreprocessSection(Section):
    """Where windows lie."""

    train: PluginRef = PluginRef(name="stride")
    """Windows of training examples."""
    predict: PluginRef = PluginRef(name="stride")
    """Windows in evaluation and prediction."""


Every = Literal["epoch"] | PositiveInt


class EmaSection(Section):
    """Exponential moving average of the weights: the average is evaluated and kept."""

    decay: Annotated[float, Field(gt=0, lt=1)] = 0.999
    """Share of the average that stays at each step; the first steps count less of the past."""


class TrainSection(Section):
    """The optimisation."""

    epochs: Annotated[float, Field(gt=0)] = 2.0
    """Passes over the training examples; fractions are allowed."""
    max_steps: PositiveInt | None = None
    """Stop after this many optimiser steps, whatever `epochs` says."""
    batch_size: PositiveInt = 32
    """Windows per optimiser step, over all processes and accumulation steps."""
    accumulation: PositiveInt = 1
    """Split each step's batch into this many forward passes, to save memory; the result is the same."""
    token_budget: PositiveInt | None = None
    """Instead of a fixed number of windows: as many as fit in this many padded tokens per optimiser step."""
    group_by_length: bool = True
    """Put windows of similar length into one batch: less padding."""
    learning_rate: Annotated[float, Field(gt=0)] = 3e-5
    """Peak rate of the backbone (AdamW)."""
    layer_decay: Annotated[float, Field(gt=0, le=1)] | None = None
    """Rates fall from layer to layer (e.g. 0.9): the top layer gets `learning_rate` times this, each one below it this
    share of the one above, the embeddings the least."""
    head_learning_rate: Annotated[float, Field(gt=0)] | None = None
    """Peak rate of the head; by default `learning_rate`."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """Not applied to biases and normalisation weights."""
    head_weight_decay: Annotated[float, Field(ge=0)] | None = None
    """Weight decay of the head's matrices; by default `weight_decay`."""
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.9, 0.999)
    """AdamW's decay rates of the moments."""
    epsilon: Annotated[float, Field(gt=0)] = 1e-8
    """AdamW's denominator term."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """What the rate does after warmup: falls to zero along a line or a half cosine, or stays."""
    warmup: Annotated[float, Field(ge=0)] = 0.1
    """Steps of linear warmup; below 1 it is a share of all steps."""
    max_grad_norm: Annotated[float, Field(gt=0)] | None = 1.0
    """Clip the gradient's norm; null for no clipping."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """`auto`: bf16 where the device is fast at it, else fp32 (fp16 on GPUs without bf16)."""
    attention: Literal["auto", "eager", "sdpa", "flash_attention_2"] = "auto"
    """`auto`: eager on CPU (its backward is faster there), SDPA on a GPU."""
    compile: bool = False
    """`torch.compile` the backbone."""
    ema: EmaSection | None = None
    """Evaluate and keep a moving average of the weights (`ema: {}` for the defaults)."""
    log_every: PositiveInt = 10
    """Steps between lines in metrics.jsonl."""
    evaluate_before: bool = False
    """Evaluate the untrained model too, as a starting point for the curves."""
    evaluate_every: Every = "epoch"
    """Evaluate on the validation file every `epoch` or every N steps."""
    checkpoint_every: Every = "epoch"
    """Write a checkpoint every `epoch` or every N steps."""
    keep_checkpoints: PositiveInt = 2
    """How many of the latest checkpoints stay. With two, a damaged one costs an interval and not the run."""
    keep: Literal["merged", "adapter"] = "merged"
    """The model that a run keeps: `merged` is whole; `adapter` is only what was trained, and the rest is read from the
    backbone's source, which must stay there (for studies with many runs)."""
    max_skipped: PositiveInt = 10
    """Steps whose loss or gradients are not finite are left out; so many in a row end the training."""
    select_by: str | None = None
    """Metric that decides which weights are kept; by default the recipe metric's primary one. Larger is better."""
    early_stopping: PositiveInt | None = None
    """Stop after this many evaluations without a better one."""


class PredictSection(Section):
    """From scores to answers."""

    batch_size: PositiveInt = 64
    """Windows per forward pass."""
    n_best: PositiveInt = 20
    """Candidates kept per question."""
    max_answer_length: PositiveInt = 30
    """Longest answer in tokens."""
    no_answer: bool = False
    """Whether a question may have no answer (SQuAD 2.0)."""
    aggregation: Literal["max_context", "max", "mean"] = "max_context"
    """Tokens in several overlapping windows: `max_context` lets an answer start only in the window that sees most
    around its first token; `max` lets all windows compete by their log-odds against "no answer"; `mean` averages these
    log-odds over the windows, the more the window sees around a token the higher its weight, and then seeks spans."""
    character_scores: bool = False
    """Keep start and end log-probabilities per character of each context beside the predictions, for ensembles."""
    null_threshold: float | Literal["tune"] = "tune"
    """Answer "" when the no-answer score exceeds the best span's by more than this; `tune`: the validation optimum."""


class CompetitionSection(Section):
    """The Kaggle competition that `qakit submit RUN` sends the test predictions to."""

    slug: str
    """The last part of the competition's address, or the whole address."""
    sample_submission: RecipePath | None = None
    """The competition's sample submission; by default `data.sample_submission`."""
    id_column: str | None = None
    """Header of the ids in the submission; by default the writer's."""
    answer_column: str | None = None
    """Header of the answers in the submission; by default the writer's."""

    @field_validator("slug")
    @classmethod
    def _slug(cls, value: str) -> str:
        return competition_slug(value)


class Recipe(Section):
    """Everything that determines a run."""

    name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Names the run folder; by default the recipe file's name."""
    description: str = ""
    """One line for `qakit recipes list`."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of everything random."""
    data: DataSection
    backbone: BackboneSection
    windows: WindowsSection = Field(default_factory=WindowsSection)
    preprocess: PreprocessSection = Field(default_factory=PreprocessSection)
    adapter: PluginRef = PluginRef(name="full")
    """Which parameters train."""
    head: PluginRef = PluginRef(name="linear_span")
    """Loss, scores and their decoding."""
    train: TrainSection = Field(default_factory=TrainSection)
    predict: PredictSection = Field(default_factory=PredictSection)
    metric: PluginRef = PluginRef(name="squad_v1")
    """How predictions are scored."""
    postprocess: list[PluginRef] = Field(default_factory=list)
    """Clean-up steps, in order."""
    writer: PluginRef = PluginRef(name="csv")
    """The submission format."""
    baselines: dict[str, float] = Field(default_factory=dict)
    """The competition's published baselines, in the metric's unit (percent), shown beside the result."""
    competition: CompetitionSection | None = None
    """The Kaggle competition; not part of the training."""

    @model_validator(mode="after")
    def _adapter_needs_a_backbone(self) -> Self:
        if self.train.keep == "adapter" and self.backbone.init == "scratch":
            raise ValueError(
                "train.keep: adapter needs backbone.init: pretrained; from scratch, no file holds the other weights"
            )
        return self


PLUGIN_FIELDS: dict[str, Kind] = {
    "data.reader": "readers",
    "preprocess.train": "preprocessors",
    "preprocess.predict": "preprocessors",
    "adapter": "adapters",
    "head": "heads",
    "metric": "metrics",
    "postprocess": "postprocessors",
    "writer": "writers",
}
"""Where a recipe names plugins, and of which kind (``postprocess`` is a list)."""


def plugin_kind(at: tuple[str, ...]) -> Kind | None:
    """The kind of plugin that a recipe names at a place (``("postprocess", "0")``: ``"postprocessors"``), or None."""
    if at[:1] == ("postprocess",):
        return PLUGIN_FIELDS["postprocess"] if len(at) == 2 else None
    return PLUGIN_FIELDS.get(".".join(at))


def default_plugin(at: tuple[str, ...]) -> str | None:
    """The name of the plugin that is used at this place when a recipe names none."""
    model: type[BaseModel] = Recipe
    for part in at[:-1]:
        section = model.model_fields[part].annotation if part in model.model_fields else None
        if not (isinstance(section, type) and issubclass(section, BaseModel)):
            return None
        model = section
    field = model.model_fields.get(at[-1])
    return field.default.name if field is not None and isinstance(field.default, PluginRef) else None
