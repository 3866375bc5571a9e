"""Start and end scores from one linear layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from qakit.api import Batch, Distributions, HeadOutput, HeadRuntime, PositionScores, SpanCandidates, best_spans
from qakit_heads import LinearSpanSettings
from qakit_heads.features import SpanFeatureHead, SpanFeatures, yes_no_scores
from qakit_heads.places import Place, over_places, target_places
from qakit_heads.soft_labels import soft_boundaries


class LinearSpan(SpanFeatureHead):
    """The span head of BERT: a span's score is the start score of its first token plus the end score of its last.

    The loss is the mean of two cross-entropies over positions, first and last token. Only context tokens and position 0
    ("no answer") take part in it: question, special tokens and padding can never hold the answer, so no probability
    should be spent on them. Of an answer with several places the loss is half the negative log-probability that first
    and last token are those of any of them. The scores themselves stay as the layer gives them, and equal those of the
    transformers model with the same weights. The score of "no answer" is that of position 0 as first and last token,
    plus the log-odds of the answerability classifier where that is on.

    Source: Devlin et al. 2019, "BERT: Pre-training of Deep Bidirectional Transformers", section 4.2 and 4.3.
    """

    reads: Literal["tokens", "sequence", "group"] = "tokens"
    auto_class: str = "AutoModelForQuestionAnswering"
    has_distributions: bool = True
    any_place: bool = True
    sums_positions: bool = True

    def __init__(self, settings: LinearSpanSettings, runtime: HeadRuntime) -> None:
        super().__init__()
        self.transformers_names: Mapping[str, str] = {
            "features.linear.weight": "qa_outputs.weight",
            "features.linear.bias": "qa_outputs.bias",
        }
        self.config_updates: Mapping[str, Any] = {"num_labels": 2}
        self.settings = settings
        self.n_best = runtime.n_best
        self.max_answer_length = runtime.max_answer_length
        self.features = SpanFeatures(settings, runtime, outputs=2)

    def forward(self, hidden: Tensor, batch: Batch) -> HeadOutput:
        """``hidden`` (B, T, H) -> ``start`` and ``end`` (B, T) float32, and the loss if the batch has targets.

        ``no_answer`` (B,) and ``yes_no`` (B, 2) are there when their classifiers are on. With several dropout samples
        the loss is the mean of theirs, and the scores are the first one's.
        """
        samples = self.features.logits(hidden)  # (B, T, 2) each
        start, end = (logits.contiguous() for logits in samples[0].unbind(-1))
        scores = {"start": start, "end": end, **self.features.window_scores(hidden)}
        return HeadOutput(self._loss(samples, hidden, batch), scores)

    def decode(self, scores: Mapping[str, Tensor], batch: Batch) -> SpanCandidates:
        """The best spans of each window, exactly; "no answer" scores as the span of position 0."""
        start, end = scores["start"], scores["end"]
        first, last, score = best_spans(
            start,
            end,
            start_mask=batch.start_mask,
            end_mask=batch.context_mask,
            k=self.n_best,
            max_length=self.max_answer_length,
        )
        null = start[:, 0] + end[:, 0]
        if "no_answer" in scores:
            null = null + scores["no_answer"]
        if not self.yes_no:
            return SpanCandidates(first, last, score, null=null)
        starts, ends = (_masked(side, _possible(batch)).logsumexp(1) for side in (start, end))
        return SpanCandidates(first, last, score, null=null, yes_no=yes_no_scores(scores, starts + ends))

    def position_scores(self, scores: Mapping[str, Tensor], batch: Batch) -> PositionScores:
        """``start[i] - start[0]`` and ``end[i] - end[0]``; half of the answerability log-odds comes off each.

        So the start of one position and the end of another sum up to their span's score less that of "no answer".
        """
        start, end = (scores[name] - scores[name][:, :1] for name in ("start", "end"))
        if "no_answer" in scores:
            half = scores["no_answer"][:, None] / 2
            start, end = start - half, end - half
        outside = ~batch.context_mask
        return PositionScores(start.masked_fill(outside, -torch.inf), end.masked_fill(outside, -torch.inf))

    def distributions(self, scores: Mapping[str, Tensor], batch: Batch) -> list[Distributions]:
        """Of the first and of the last token, over what the loss knows: the context's positions and position 0."""
        possible = _possible(batch)
        return [
            Distributions(_masked(scores[name], possible).log_softmax(1), possible, len(batch), weight=0.5)
            for name in ("start", "end")
        ]

    def _loss(self, samples: Sequence[Tensor], hidden: Tensor, batch: Batch) -> Tensor | None:
        places = target_places(batch)
        if not places:
            return None
        with torch.autocast(hidden.device.type, enabled=False):
            losses = [self._sample_loss(logits, batch, places) for logits in samples]
            loss = torch.stack(losses).mean()
            extra = self.features.auxiliary_loss(hidden, batch)
            return loss if extra is None else loss + extra

    def _sample_loss(self, logits: Tensor, batch: Batch, places: Sequence[Place]) -> Tensor:
        """Mean of the cross-entropies of first and last tokens, from ``logits`` (B, T, 2)."""
        smoothing, possible = self.settings.label_smoothing, _possible(batch)
        start, end = (logits[..., at].contiguous() for at in (0, 1))
        if len(places) == 1:
            targets = self._targets(*places[0], batch.context_mask)
            first, last = (
                _cross_entropy(scores, possible, target, smoothing=smoothing)
                for scores, target in zip((start, end), targets, strict=True)
            )
            return (first + last) / 2
        starts, ends = (_log_probabilities(scores, possible) for scores in (start, end))
        targets_of = [self._targets(*place, batch.context_mask) for place in places]
        wanted = over_places([_wanted(starts, first) + _wanted(ends, last) for first, last in targets_of], places)
        even = (starts + ends).sum(1) / possible.sum(1)
        return -torch.lerp(wanted, even, smoothing).mean() / 2

    def _targets(self, first: Tensor, last: Tensor, context_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Of first and last token: positions (B,), or distributions (B, T)."""
        if not self.settings.soft_labels:
            return first, last
        return soft_boundaries(first, last, context_mask, sharpness=self.settings.soft_label_sharpness)


def _possible(batch: Batch) -> Tensor:
    """(B, T) bool: windows without the answer aim at position 0, also where every question has an answer."""
    possible = batch.context_mask.clone()
    possible[:, 0] = True
    return possible


def _masked(scores: Tensor, possible: Tensor) -> Tensor:
    """The scores, far below any other where nothing is possible."""
    return scores.masked_fill(~possible, torch.finfo(scores.dtype).min)


def _cross_entropy(scores: Tensor, possible: Tensor, target: Tensor, *, smoothing: float) -> Tensor:
    """Mean cross-entropy (float32) over the possible positions, (B, T) bool; the others get scores far below any other.

    ``target`` is (B,) int64 or (B, T) float32; the share ``smoothing`` of it is spread evenly over what is possible.
    """
    if target.ndim == 1 and not smoothing:
        return F.cross_entropy(_masked(scores, possible), target)
    log_probabilities = _log_probabilities(scores, possible)
    even = log_probabilities.sum(1) / possible.sum(1)
    return -torch.lerp(_wanted(log_probabilities, target), even, smoothing).mean()


def _log_probabilities(scores: Tensor, possible: Tensor) -> Tensor:
    """(B, T) float32, 0 where nothing is possible."""
    return _masked(scores, possible).log_softmax(1).masked_fill(~possible, 0.0)


def _wanted(log_probabilities: Tensor, target: Tensor) -> Tensor:
    """(B,) the target's log-probability, of a position (B,); or its mean under a distribution (B, T)."""
    if target.ndim == 1:
        return log_probabilities.gather(1, target[:, None]).squeeze(1)
    return (target * log_probabilities).sum(1)
