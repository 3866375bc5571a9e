"""Heads: loss, scores and their decoding.

Shapes: B windows in a batch, T input positions, H hidden size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args, runtime_checkable

from qakit.protocols.scores import Decoded, Distributions, HeadOutput, PositionScores

if TYPE_CHECKING:
    from torch import Tensor

    from qakit.data.batch import Batch


Reads = Literal["tokens", "sequence", "group"]
READS: tuple[Reads, ...] = get_args(Reads)
"""What a head may read."""

Gives = Literal["spans", "labels", "contexts"]
"""What a head decodes to: :class:`SpanCandidates`, :class:`LabelScores` or :class:`ContextScores`."""
GIVES: tuple[Gives, ...] = get_args(Gives)


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
    """Optional for span heads: scores of single positions, for averaging over windows and for character scores."""

    def position_scores(self, scores: Mapping[str, Tensor], batch: Batch) -> PositionScores:
        """From the scores of ``__call__``; vectorised, float32, no gradients."""
        ...


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
class TransformersNames(Protocol):
    """Optional for heads: parameter names under which transformers' ``Auto*`` classes expect them."""

    auto_class: str
    """For example ``"AutoModelForQuestionAnswering"``."""
    transformers_names: Mapping[str, str]
    """Own parameter name -> name in the transformers model, e.g. ``{"linear.weight": "qa_outputs.weight"}``."""
    config_updates: Mapping[str, Any]
    """Configuration entries that the transformers class needs, e.g. ``{"num_labels": 2}``."""
