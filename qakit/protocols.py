"""What each kind of plugin object can do, and what the core tells it when it is built.

Plain protocols: nothing here needs to be inherited. Shapes: B windows in a batch, T input positions, H hidden size, K
candidates per window.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args, runtime_checkable

from qakit.values import Example, Prediction

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn
    from transformers import PreTrainedTokenizerFast

    from qakit.data.batch import Batch
    from qakit.data.encode import EncodedExamples
    from qakit.data.windows import Windows
    from qakit.inference.characters import CharacterScores
    from qakit.problems import Problems


# ----------------------------------------------------------- what the core tells a component when it is built
@dataclass(frozen=True, slots=True)
class WindowRuntime:
    """What a preprocessor gets to know.

    Attributes:
        max_length: longest input in tokens, special tokens included.
        max_question_length: longer questions keep their first ``max_question_length`` tokens.
        special_tokens: tokens that the tokenizer's pair template adds to question + context.
        training: whether the windows are for training (answers known and wanted) or prediction (every token covered).
        seed: of everything that is drawn.
        separator_tokens: of the special tokens, those that stand before a context: a question without contexts goes
            without them.
    """

    max_length: int
    max_question_length: int
    special_tokens: int
    training: bool
    seed: int
    separator_tokens: int = 0


@dataclass(frozen=True, slots=True)
class BackboneRuntime:
    """What a backbone gets to know.

    Attributes:
        vocabulary: V, the tokenizer's tokens: ids are below it.
        padding: the id that shorter windows of a batch are filled up with.
    """

    vocabulary: int
    padding: int


@dataclass(frozen=True, slots=True)
class HeadRuntime:
    """What a head gets to know.

    Attributes:
        hidden_size: H, of the backbone.
        initializer_range: standard deviation for fresh linear weights, from the backbone's configuration.
        n_best: candidates wanted per window (and per example).
        max_answer_length: in tokens.
        no_answer: whether questions may have no answer.
        labels: class names, for heads that classify; empty for regression and for everything else.
        numbers: names of the numbers that each text has, where there are several; empty for everything else.
        layers: the backbone's layers; a head that pools them sees one more: the embeddings come first.
        architecture: the backbone's kind as transformers names it (``bert``), for heads with
            :class:`~qakit.protocols.TransformersNames`.
        tokenizer: the run's; None where a head is built to be asked what it gives, and reads nothing.
    """

    hidden_size: int
    initializer_range: float
    n_best: int
    max_answer_length: int
    no_answer: bool
    labels: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    layers: int = 0
    architecture: str = ""
    tokenizer: PreTrainedTokenizerFast | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class ObserverRuntime:
    """What an observer gets to know.

    ``name`` and ``folder`` are the run's, where an observer may have files in a folder of its own name; ``group`` is
    the name of the study, ensemble or other whole that the run belongs to, or the run's own; ``recipe`` holds plain
    values.
    """

    name: str
    folder: Path
    group: str
    recipe: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class NoRuntime:
    """For kinds of component that need to know nothing when they are built."""


# ---------------------------------- what backbone and head give: losses, scores and what is decoded from them
@dataclass(frozen=True, slots=True)
class BackboneOutput:
    """What a backbone computes for a batch: ``last_hidden_state`` (B, T, H) float, a vector for each token."""

    last_hidden_state: Tensor


@dataclass(frozen=True, slots=True)
class HeadOutput:
    """What a head computes for a batch.

    ``loss`` is the mean over the batch's windows (over its examples, for heads that read groups), float32, or None
    without targets.
    ``scores`` are float32 tensors by name, each with first dimension B; whatever ``decode`` needs.
    ``figures`` are further numbers to look at, such as the parts of the loss: tensors of one number each, means as the
    loss is. In a training, observers and the display get their means over the steps since the last logged one.
    """

    loss: Tensor | None
    scores: Mapping[str, Tensor]
    figures: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SpanCandidates:
    """Decoded spans of a batch, in input positions (0 = first special token). Unused places have score -inf.

    Attributes:
        first: (B, K) int64, first input position of the span.
        last: (B, K) int64, last input position, **inclusive** (a position that was scored, not a slice end).
        score: (B, K) float32, best first.
        null: (B,) float32, the window's "no answer" score on the same scale.
        yes_no: (B, 2) float32, the scores of yes and of no on the same scale; None of a head that does not learn them.
    """

    first: Tensor
    last: Tensor
    score: Tensor
    null: Tensor
    yes_no: Tensor | None = None


@dataclass(frozen=True, slots=True)
class LabelScores:
    """Decoded classes of a batch: ``scores`` (B, C) float32, one logit for each of ``HeadRuntime.labels``.

    For regression the numbers themselves: one for each of ``HeadRuntime.numbers``, C = 1 where there are none.
    """

    scores: Tensor


@dataclass(frozen=True, slots=True)
class ContextScores:
    """How much each window of a batch looks like one of the context that holds the answer.

    ``scores`` (B,) float32, logits that can be compared between all windows of an example.
    """

    scores: Tensor


Decoded = SpanCandidates | LabelScores | ContextScores


@dataclass(frozen=True, slots=True)
class PositionScores:
    """How much each position looks like the first and the last one of an answer.

    Both are log-odds against "no answer" in this window, so windows of one question can be compared: the score of "no
    answer" is 0. Without regard to ``batch.start_mask``; -inf outside ``batch.context_mask``.

    Attributes:
        start: (B, T) float32.
        end: (B, T) float32; the last position of the answer, **inclusive**.
    """

    start: Tensor
    end: Tensor


@dataclass(frozen=True, slots=True)
class Distributions:
    """Probability distributions over choices of one kind: one for each window, or one for each example.

    Attributes:
        log_probability: float32, of any shape, with gradients: the logarithm of each choice's probability.
        possible: bool, of the same shape: what may be chosen. Elsewhere the logarithm may be any number.
        count: how many distributions these are; the probabilities of all that is possible sum up to it.
        weight: what they count in the head's loss, beside its distributions of other kinds.
    """

    log_probability: Tensor
    possible: Tensor
    count: int
    weight: float = 1.0


# -------------------------------------------------------------------------------------- readers: file formats
@runtime_checkable
class Reader(Protocol):
    """A file format."""

    def read(self, path: Path, problems: Problems) -> Iterator[Example]:
        """Yield the file's examples in order.

        Whatever is wrong with a record goes through ``problems``, which raises :class:`~qakit.errors.DataError` or
        counts it, as the recipe's policy says; nothing is dropped without being counted.
        """
        ...


# --------------------------------------------------------------------------- preprocessors: where windows lie
@runtime_checkable
class Preprocessor(Protocol):
    """Where windows lie in a context, and where the answer lies in a window."""

    def windows(self, encoded: EncodedExamples, *, epoch: int) -> Windows:
        """All windows of ``encoded`` for one epoch, as index arrays: no token is copied."""
        ...

    @property
    def redraws(self) -> bool:
        """Whether ``windows`` depends on ``epoch``."""
        ...


# --------------------------------------------------------------------- heads: loss, scores and their decoding
Reads = Literal["tokens", "sequence", "group"]
READS: tuple[Reads, ...] = get_args(Reads)
"""What a head may read."""

Gives = Literal["spans", "sets", "labels", "contexts"]
"""What a head decodes to: :class:`SpanCandidates`, :class:`LabelScores` or :class:`ContextScores`. Of ``sets``, too,
:class:`SpanCandidates`: then all of them together are the answer in their window, and ``null`` is not looked at."""
GIVES: tuple[Gives, ...] = get_args(Gives)


@runtime_checkable
class Backbone(Protocol):
    """An encoder over token ids, a ``torch.nn.Module``. Its fresh weights are drawn when it is built."""

    hidden_size: int
    """H."""

    def __call__(self, *, input_ids: Tensor, attention_mask: Tensor) -> BackboneOutput:
        """A vector for each token.

        Args:
            input_ids: (B, T) int64.
            attention_mask: (B, T) int64, 0 where a window is filled up at its end: what stands there must not matter.

        A backbone whose ``forward`` has a parameter ``token_type_ids`` gets them too: (B, T) int64, 0 for the question
        and 1 for contexts, where the tokenizer tells them apart.
        """
        ...


@runtime_checkable
class Head(Protocol):
    """Loss, scores, and their decoding. Also a ``torch.nn.Module``."""

    reads: Reads
    """``tokens`` (a score for each position) and ``sequence`` (for each window) are treated alike.
    ``group``: in training all windows of an example come in one batch, one after the other. In prediction, too, what
    compares windows of an example is done once all of them are decoded, so there they come as memory allows."""

    def __call__(self, hidden: Tensor, batch: Batch) -> HeadOutput:
        """``hidden`` (B, T, H) from the backbone; the loss is computed in float32, also under autocast."""
        ...

    def decode(self, scores: Mapping[str, Tensor], batch: Batch) -> Decoded:
        """Candidates from the scores of ``__call__``; vectorised, float32, no gradients.

        A span head gives every window K >= 1 places; it keeps starts to ``batch.start_mask`` and ends to
        ``batch.context_mask``.
        """
        ...


@runtime_checkable
class GivesOtherThanSpans(Protocol):
    """For heads that decode to something else than spans."""

    gives: Gives


@runtime_checkable
class PoolsLayers(Protocol):
    """Optional for heads: reads more of the backbone than its last layer."""

    pools: bool
    """Whether ``pool`` is wanted; the backbone keeps all layers only then."""

    def pool(self, layers: Sequence[Tensor]) -> Tensor:
        """One ``hidden`` (B, T, H) for ``__call__`` from the embeddings' output and each layer's, (B, T, H) each."""
        ...


@runtime_checkable
class ScoresPositions(Protocol):
    """Optional for span heads: scores of single positions, for averaging over windows, for character scores, and for
    learning from those of others (``distill``)."""

    def position_scores(self, scores: Mapping[str, Tensor], batch: Batch) -> PositionScores:
        """From the scores of ``__call__``; vectorised, float32, with gradients where these have them."""
        ...


@runtime_checkable
class SumsPositions(Protocol):
    """Optional for heads that score positions: whether a span's score is its start's plus its end's. Then the mean over
    windows loses nothing, and is what ``predict.aggregation`` is by default."""

    sums_positions: bool


@runtime_checkable
class GivesDistributions(Protocol):
    """Optional for heads: the distributions that the loss is about, so that two readings of a batch can be compared."""

    has_distributions: bool
    """True or false; false where the settings leave none, as for a regression."""

    def distributions(self, scores: Mapping[str, Tensor], batch: Batch) -> Sequence[Distributions]:
        """From the scores of ``__call__`` in training, one item for each kind of choice; float32, with gradients.

        As many for every batch. A head that reads groups finds all windows of an example in the batch, as for its loss.
        """
        ...


@runtime_checkable
class LearnsNumbers(Protocol):
    """Optional for heads that give numbers: which ones they can learn. Others are refused before a training."""

    number_range: tuple[float, float] | None
    """The lowest and the highest; None for any."""


@runtime_checkable
class LearnsAnyPlace(Protocol):
    """Optional for span heads: the loss knows that an answer may have several places (``Batch.other_first``)."""

    any_place: bool
    """True. Of other heads the user is warned that they learn the first place of a window alone."""


@runtime_checkable
class LearnsYesNo(Protocol):
    """Optional for span heads: yes and no, which have no place, are learnt beside spans (``Batch.target_yes_no``)."""

    yes_no: bool
    """Whether they are; then ``decode`` gives ``SpanCandidates.yes_no``."""


@runtime_checkable
class TransformersNames(Protocol):
    """Optional for heads: parameter names under which transformers' ``Auto*`` classes expect them."""

    auto_class: str
    """For example ``"AutoModelForQuestionAnswering"``."""
    transformers_names: Mapping[str, str]
    """Own parameter name -> name in the transformers model, e.g. ``{"linear.weight": "qa_outputs.weight"}``."""
    config_updates: Mapping[str, Any]
    """Configuration entries that the transformers class needs, e.g. ``{"num_labels": 2}``."""


# ----------------------------------------------------------- adapters: which parameters of the backbone train
@runtime_checkable
class Adapter(Protocol):
    """Which parameters train: those are what a checkpoint holds. Knows nothing of the head."""

    def apply(self, backbone: nn.Module) -> nn.Module:
        """Prepare the backbone (freeze, wrap) and return it. The head always trains.

        What does not train depends on the backbone alone, never on chance: it is made anew when a training is resumed.
        """
        ...


@runtime_checkable
class MergesAdapter(Protocol):
    """Optional for adapters: plain weights. A model whose adapter has not this is kept as what was trained, and answers
    with the adapter in its place; it needs the backbone's source to be loaded."""

    def merge(self, backbone: nn.Module) -> nn.Module:
        """The backbone with the adapter folded into plain weights, for a model that loads without the adapter."""
        ...


@dataclass(frozen=True, slots=True)
class ParameterRule:
    """How a parameter is optimised where that is not for the recipe to say.

    Attributes:
        decays: whether weight decay moves it towards 0; None: as the recipe and its shape say.
        rate: its learning rate, as a multiple of the recipe's.
    """

    decays: bool | None = None
    rate: float = 1.0


@runtime_checkable
class RulesParameters(Protocol):
    """Optional for adapters, and for heads about their own: parameters that are optimised in a way of their own."""

    def parameter_rule(self, name: str) -> ParameterRule:
        """The rule of a parameter.

        Args:
            name: in ``named_parameters()`` of the adapted backbone, or of the head.
        """
        ...


@runtime_checkable
class ExportsAdapter(Protocol):
    """Optional for adapters: what was trained, as other software reads it (`qakit export --adapter-only`)."""

    def export(self, backbone: nn.Module, folder: Path, *, source: str) -> None:
        """Write files into ``folder``.

        Args:
            backbone: as ``apply`` of this same object returned it, with the trained weights.
            folder: empty.
            source: the backbone's name or path, as the recipe has it.
        """
        ...


# ---------------------------------------------------------- postprocessors: a prediction in, a prediction out
@runtime_checkable
class Postprocessor(Protocol):
    """One prediction in, one prediction out."""

    def __call__(self, prediction: Prediction, example: Example) -> Prediction: ...


@runtime_checkable
class LearnsSettings(Protocol):
    """Optional for postprocessors: settings taken from labelled examples, for ``qakit tune-postprocess``."""

    def learn(self, examples: Sequence[Example]) -> Mapping[str, Any]:
        """Settings that suit the gold answers, by name, the same each time; empty where these teach nothing.

        Those that one of the component's ``tries`` sets are not overruled by them.
        """
        ...


# ------------------------------------------------------ ensembles: several runs' predictions in, one list out
@runtime_checkable
class Ensembler(Protocol):
    """Several members' predictions in, one list out."""

    def combine(self, members: Sequence[Sequence[Prediction]]) -> list[Prediction]:
        """Every member holds the same ids; the result keeps the first member's order.

        Raises:
            UsageError: the method needs more than predictions, such as character scores.
        """
        ...


@dataclass(frozen=True, slots=True)
class EnsembleMember:
    """One run in an ensemble, with what it keeps of its predictions for N questions.

    Attributes:
        name: for messages.
        predictions: N of them; all members have the same questions in the same order.
        characters: of the same questions in the same order; None unless the ensembler reads them.
        classes: what a prediction's scores are of, in their order, where it predicts classes; None where nobody knows.
        figures: what the run reached on its own validation data, by its metric's names; empty where nobody knows.
        seed: of its training; None where the member is no run.
        recipe: its recipe's name; empty where it has none, or the member is no run.
    """

    name: str
    predictions: Sequence[Prediction]
    characters: CharacterScores | None = None
    classes: tuple[str, ...] | None = None
    figures: Mapping[str, float] = field(default_factory=dict)
    seed: int | None = None
    recipe: str = ""


class Pool(Protocol):
    """The predictions of M members on one scale, to be combined with any weights."""

    def combine(self, weights: Sequence[float], temperatures: Sequence[float], *, n_best: int) -> list[Prediction]:
        """One prediction for each question, in their order.

        Candidates are sorted, best first, with probabilities from 0 to 1. The best answer must not depend on
        ``n_best``: 1 is asked for where nothing but the answer matters.

        Args:
            weights: (M,) from 0 up; a member with 0 takes no part at all.
            temperatures: (M,) each member's log-probabilities are divided by its own; methods without probabilities pay
                no heed to them.
            n_best: at most so many candidates for each question, where the method decodes.
        """
        ...

    def learn(self, rows: Sequence[int]) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Weights, which sum to 1, and temperatures that suit the gold answers of some of the questions, (M,) each.

        The same rows teach the same values; gold answers of other rows are not looked at. Lists and arrays will do.

        Raises:
            UsageError: there is nothing to learn from.
        """
        ...


@runtime_checkable
class PoolsMembers(Protocol):
    """Optional for ensemblers: weights, also learnt ones, and character scores.

    Each question is combined by itself: they may come in several pools, one after the other. An ensembler whose pool
    learns no weights says ``learns = False``.
    """

    reads_characters: bool
    """Whether ``pool`` needs the members' character scores and the examples."""
    decodes: bool
    """Whether answers are decoded anew. Then the core chooses them, and cleans them up: the best candidate, or "" where
    there is none or ``null.score`` less its score is above a threshold, which is tuned on validation and else 0. It
    does not look at ``answer``. False where members' final answers are chosen from: then ``answer`` is the answer."""

    def pool(self, members: Sequence[EnsembleMember], examples: Sequence[Example] | None) -> Pool:
        """``examples``: the N questions; None where they are not known, which ``learn`` needs in any case.

        Raises:
            UsageError: the members' predictions are of a kind that the method cannot combine.
        """
        ...


# -------------------------------------------------------------------------------- writers: submission formats
@runtime_checkable
class Writer(Protocol):
    """A submission format."""

    suffix: str
    """File ending with the dot."""

    def write(self, predictions: Sequence[Prediction], path: Path) -> None:
        """Write the file atomically: the old one or the new one is there, never half of one."""
        ...

    def check(self, path: Path, sample: Path) -> list[str]:
        """Problems of a written file against the competition's sample submission; empty when it is fine."""
        ...


# ----------------------------------------------------- metrics: figures for predictions against gold examples
@runtime_checkable
class Metric(Protocol):
    """Figures for predictions against gold examples."""

    primary: str
    """The key that model selection uses; larger is better. The name of a negated loss begins with ``negative_``: Kaggle
    has the loss itself."""

    def compute(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> dict[str, float]:
        """Figures by the official script's keys. ``examples`` are labelled; ids without a prediction are the
        metric's to judge as the official script does."""
        ...


@runtime_checkable
class PerExampleMetric(Protocol):
    """Optional for metrics: each example's own figures, for bootstrap tests and threshold tuning."""

    def per_example(self, examples: Sequence[Example], answers: Sequence[str]) -> dict[str, list[float]]:
        """Figures of ``answers[i]`` to ``examples[i]``, in percent: their mean is ``compute``'s figure of that key
        (``primary`` is among the keys)."""
        ...


@runtime_checkable
class DrawnMetric(Protocol):
    """Optional for metrics whose figures are no means over examples (a correlation, the F1 of a class), for bootstrap
    tests."""

    def of_draws(
        self, examples: Sequence[Example], answers: Sequence[str], counts: NDArray[np.float64]
    ) -> Mapping[str, NDArray[np.float64]]:
        """The figures of many draws from the examples at once, (R,) each, by ``compute``'s keys.

        Args:
            examples: N of them.
            answers: what was predicted for each, as text.
            counts: (R, N) how often each example is in each draw; a row of ones gives ``compute``'s figures.
        """
        ...


@runtime_checkable
class OfficialFormat(Protocol):
    """Optional for metrics: figures as the official script prints them, where that is not plain numbers."""

    def official_format(self, figures: Mapping[str, float]) -> dict[str, int | str]: ...


# ------------------------------------------------------------------------- observers: what watches a training
@runtime_checkable
class Observer(Protocol):
    """What watches a training, in its first process. It changes nothing: one that raises is left out from then on."""

    def observe(self, event: Any) -> None:
        """One of ``Started``, ``StepDone`` (of logged steps), ``Evaluated``, ``CheckpointWritten``, ``Replanned``,
        ``StoppedEarly``, ``Remark``, ``Notice``; do nothing with others, which may come with later versions."""
        ...

    def close(self, error: str | None) -> None:
        """The training has ended: None if it is finished, else why not, in one line."""
        ...
