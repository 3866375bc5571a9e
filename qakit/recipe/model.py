"""The recipe: everything that determines a run, as frozen pydantic models.

This is the core's half of the check. Blocks that name a plugin (``PluginRef``) keep their settings as they are; the
registry checks those against the plugin's own settings model.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, BeforeValidator, Field, NonNegativeInt, PositiveInt, field_validator, model_validator

from qakit.components import Kind
from qakit.problems import Policy
from qakit.recipe.hub_data import DataPath as DataPath
from qakit.recipe.hub_data import DataSource as DataSource
from qakit.recipe.hub_data import HubFiles as HubFiles
from qakit.recipe.hub_data import HubSplit as HubSplit
from qakit.recipe.optimisation import TrainSection as TrainSection
from qakit.recipe.section import FOLDER_NAME
from qakit.recipe.section import AboutSection as AboutSection
from qakit.recipe.section import HeldCode as HeldCode
from qakit.recipe.section import IsPath as IsPath
from qakit.recipe.section import PluginRef as PluginRef
from qakit.recipe.section import RecipePath as RecipePath
from qakit.recipe.section import RecipeSource as RecipeSource
from qakit.recipe.section import Section as Section
from qakit.recipe.staged import DistillSection, FoldsSection, PseudoSection
from qakit.values import class_name

_SLUG = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_ADDRESS = re.compile(
    r"(?:https?://)?(?:www\.)?kaggle\.com/(?:competitions|c)/(?P<slug>[^/?#\s]+)(?:[/?#]\S*)?", re.IGNORECASE
)
_INVITATION = re.compile(r"(?:https?://)?(?:www\.)?kaggle\.com/t/\S*", re.IGNORECASE)


def competition_slug(text: str) -> str:
    """The slug of a competition from the slug itself or its address in a browser (any page of it).

    Raises:
        ValueError: it is neither; says what was expected.
    """
    given = text.strip()
    if _INVITATION.fullmatch(given):
        raise ValueError(
            f"{given!r} is an invitation: open it in a browser, join, and give the address of the competition itself"
        )
    address = _ADDRESS.fullmatch(given)
    slug = (address["slug"] if address else given).lower()
    if not _SLUG.fullmatch(slug):
        raise ValueError(
            f"{text!r} is no competition: give the last part of its address, as `titanic` in"
            " https://www.kaggle.com/competitions/titanic"
        )
    return slug


ClassName = Annotated[
    str, BeforeValidator(lambda value: class_name(value) if isinstance(value, str | int | float) else value)
]
"""A class as the readers spell it: booleans and whole numbers of YAML, too."""

MOST_TOKENS = 1_000_000
"""Of an input. Larger numbers are mistakes, or somebody's who wants all memory."""


class DataSection(Section):
    """Where the examples come from."""

    reader: PluginRef
    """Which reader understands the files."""
    train: DataSource | list[DataSource] | None = None
    """Training file or files, or a dataset's split on the hub."""
    validation: DataSource | list[DataSource] | None = None
    """Labelled file or files for evaluation during and after training."""
    test: DataSource | None = None
    """The competition's test file, without answers."""
    sample_submission: RecipePath | None = None
    """The competition's sample submission; written files are checked against it."""
    problems: dict[str, Policy] = Field(default_factory=dict)
    """What to do about each kind of problem in a record (`qakit data check` lists them); `default` for the rest."""
    train_limit: PositiveInt | None = None
    """Train on this many examples, drawn at random by the seed; with `folds` by `folds.seed`."""
    validation_limit: PositiveInt | None = None
    """Evaluate on this many examples, drawn at random; the same ones for every `seed`, so that runs can be compared."""
    answerable_only: bool = False
    """Train only on questions that have an answer."""
    labels: list[ClassName] | None = None
    """Class names in their order, for heads that classify; by default those of the training examples, sorted."""


class BackboneSection(Section):
    """The encoder."""

    source: RecipeSource
    """Looked up as a local folder, then as an installed package that carries weights, then on the hub."""
    architecture: PluginRef | None = None
    """An encoder that a plugin offers, with its settings, in place of the source's: trained from scratch, with the
    tokenizer of `tokenizer` or `source`, or without these its own."""
    init: Literal["pretrained", "scratch"] = "pretrained"
    """`scratch`: the source's architecture and tokenizer with fresh random weights. Always so with `architecture`."""
    overrides: dict[str, int | float | str | bool] = Field(default_factory=dict)
    """Configuration entries to change, e.g. `num_hidden_layers`, `hidden_size` (with `init: scratch`) or dropouts."""
    tokenizer: RecipeSource | None = None
    """Another source for the tokenizer; by default the backbone's own."""
    tokenizer_revision: str | None = None
    """Branch, tag or commit of the tokenizer, where it is another than the backbone's. Another `source` or `tokenizer`
    does not inherit it."""
    sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    """Expected SHA-256 of the weight file; another one is an error. Another `source` does not inherit it."""
    revision: str | None = None
    """Branch, tag or commit of the backbone on the hub; by default the newest, and a run keeps the commit that it began
    with. Another `source` does not inherit it."""
    trust_remote_code: bool = False
    """Run model code from the hub. Only for authors you trust."""
    from_run: RecipePath | None = None
    """Begin with the weights of another run: its encoder, and (see `head`) its head. Takes the
    place of `source`, `architecture`, `init`, `tokenizer`, `sha256` and the revisions, also of inherited ones."""
    head: Literal["auto", "fresh"] = "auto"
    """`auto`: begin with the source's own head (`qa_outputs`, `classifier`) where shape, classes and meaning agree with
    the recipe's; `fresh`: with a random one."""
    reinit_layers: NonNegativeInt = 0
    """Give this many of the top encoder layers fresh random weights before training (Zhang et al. 2021, "Revisiting
    Few-sample BERT Fine-tuning")."""

    @model_validator(mode="before")
    @classmethod
    def _another_run(cls, value: Any) -> Any:
        if not (isinstance(value, dict) and isinstance(value.get("from_run"), str)):
            return value
        replaced = ("source", "architecture", "init", "tokenizer", "sha256", "revision", "tokenizer_revision")
        return {key: item for key, item in value.items() if key not in replaced} | {
            "source": f"{value['from_run']}/model"
        }

    @model_validator(mode="before")
    @classmethod
    def _of_a_plugin(cls, value: Any) -> Any:
        """With what follows from an ``architecture``: it begins from scratch, and may need no source."""
        ref = value.get("architecture") if isinstance(value, dict) else None
        if ref is None or isinstance(value.get("from_run"), str):
            return value
        name = ref.get("name") if isinstance(ref, dict) else getattr(ref, "name", ref)
        return {"source": value.get("tokenizer") or name, "init": "scratch"} | value

    @property
    def called(self) -> str:
        """For messages: the plugin's architecture, or the source."""
        return self.source if self.architecture is None else self.architecture.name

    @property
    def is_sourceless(self) -> bool:
        """Whether a plugin makes encoder and tokenizer alike: ``source`` is its name, and nothing to be looked up."""
        own = self.architecture is not None and self.source == self.architecture.name
        return own and self.tokenizer is None

    @model_validator(mode="after")
    def _architecture_by_itself(self) -> Self:
        if self.architecture is None:
            return self
        if self.init == "pretrained":
            raise ValueError(
                "an architecture is trained from scratch: leave `init: pretrained` out; to begin with trained weights "
                "of it, name their run as from_run in its place"
            )
        if self.overrides:
            raise ValueError("overrides are for transformers' configurations: an architecture has settings of its own")
        return self

    @model_validator(mode="after")
    def _fresh_once(self) -> Self:
        if self.reinit_layers and self.init == "scratch":
            raise ValueError("reinit_layers is for init: pretrained; from scratch, every layer is fresh")
        return self


class WindowsSection(Section):
    """How long an input is."""

    max_length: Annotated[int, Field(ge=8, le=MOST_TOKENS)] = 384
    """Longest input in tokens, special tokens included."""
    max_question_length: Annotated[int, Field(gt=0, le=MOST_TOKENS)] = 64
    """Longer questions keep their first tokens."""


class PreprocessSection(Section):
    """Where windows lie."""

    train: PluginRef = PluginRef(name="stride")
    """Windows of training examples."""
    predict: PluginRef = PluginRef(name="stride")
    """Windows in evaluation and prediction."""


class PredictSection(Section):
    """From scores to answers."""

    batch_size: Annotated[int, Field(gt=0, le=100_000)] = 64
    """Windows per forward pass."""
    n_best: Annotated[int, Field(gt=0, le=10_000)] = 20
    """Candidates kept per question."""
    max_answer_length: Annotated[int, Field(gt=0, le=MOST_TOKENS)] = 30
    """Longest answer in tokens."""
    no_answer: bool = False
    """Whether a question may have no answer (SQuAD 2.0)."""
    aggregation: Literal["auto", "max_context", "max", "mean"] = "auto"
    """Tokens in several overlapping windows: `max_context` lets an answer start only in the window that sees most
    around its first token; `max` lets all windows compete by their log-odds against "no answer"; `mean` averages these
    log-odds over the windows, the more the window sees around a token the higher its weight, and then seeks spans;
    `auto` is `mean` for heads whose spans are the sum of two ends (`linear_span`), else `max_context`."""
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

    name: str | None = Field(default=None, pattern=FOLDER_NAME)
    """Names the run folder; by default the recipe file's name."""
    description: str = ""
    """One line for `qakit recipes list`."""
    about: AboutSection | None = None
    """What it is for: what `qakit recipes list` is filtered by."""
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
    folds: FoldsSection | None = None
    """Cross-validation over groups of `data.train` (`folds: {}` for the defaults): out-of-fold predictions for every
    training example, one score with its spread, and the models' joint answer to the test file."""
    pseudo: PseudoSection | None = None
    """Sure answers of another run to unlabelled questions, as further training examples."""
    distill: DistillSection | None = None
    """What other models answered to the training questions out of fold, to be learnt beside the labels."""
    observers: list[PluginRef] = Field(default_factory=list)
    """What watches the training, such as `tensorboard`; not part of it."""
    baselines: dict[str, float] = Field(default_factory=dict)
    """The competition's published baselines, in the metric's unit (percent), shown beside the result."""
    plugins: list[RecipePath | HeldCode] = Field(default_factory=list)
    """Plugins of one file each, whose components this recipe may name. A run keeps their text and hash."""
    competition: CompetitionSection | None = None
    """The Kaggle competition; not part of the training."""

    @model_validator(mode="after")
    def _teachers_of_one_training(self) -> Self:
        if self.distill is not None and self.folds is not None:
            raise ValueError(
                "distill and folds do not go together: the teachers of a fold were trained on the part that it is "
                "judged on; judge the student by data.validation"
            )
        if self.distill is not None and self.pseudo is not None:
            raise ValueError(
                "distill and pseudo do not go together: the teachers have no out-of-fold answers to data.test"
            )
        return self

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
    "backbone.architecture": "backbones",
    "adapter": "adapters",
    "head": "heads",
    "metric": "metrics",
    "postprocess": "postprocessors",
    "writer": "writers",
    "folds.combine": "ensemblers",
    "observers": "observers",
}
"""Where a recipe names plugins, and of which kind."""
PLUGIN_LISTS = ("postprocess", "observers")
"""Of these, the lists."""


def plugin_kind(at: tuple[str, ...]) -> Kind | None:
    """The kind of plugin that a recipe names at a place (``("postprocess", "0")``: ``"postprocessors"``), or None."""
    if at[:1] and at[0] in PLUGIN_LISTS:
        return PLUGIN_FIELDS[at[0]] if len(at) == 2 else None
    return PLUGIN_FIELDS.get(".".join(at))


def default_plugin(at: tuple[str, ...]) -> str | None:
    """The name of the plugin that is used at this place when a recipe names none."""
    model: type[BaseModel] = Recipe
    for part in at[:-1]:
        annotation = model.model_fields[part].annotation if part in model.model_fields else None
        members = (annotation, *get_args(annotation))  # some sections are optional
        section = next((each for each in members if isinstance(each, type) and issubclass(each, BaseModel)), None)
        if section is None:
            return None
        model = section
    field = model.model_fields.get(at[-1])
    return field.default.name if field is not None and isinstance(field.default, PluginRef) else None
