"""One softmax over all possible spans and "no answer"."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from qakit.api import Batch, Distributions, HeadOutput, HeadRuntime, PositionScores, SpanCandidates
from qakit_heads import JointSpanSettings
from qakit_heads.band import over_spans, possible_spans
from qakit_heads.features import SpanFeatureHead, SpanFeatures, yes_no_scores
from qakit_heads.places import Place, over_places, target_places
from qakit_heads.segments import spans_from
from qakit_heads.soft_labels import soft_span_weights
from qakit_heads.span_scores import InteractingSpans, SeparableSpans
from qakit_heads.windowed import NEVER

Spans = SeparableSpans | InteractingSpans

CHUNK_SCORES = 1 << 22
"""In prediction, at most this many scores of single spans (16 MiB) are held at once, or those of a single window."""


class JointSpan(SpanFeatureHead):
    """A span head that is trained on what it is asked for: the best span, not the best start and the best end.

    A span's score is the start score of its first token plus the end score of its last, and with ``interaction`` a
    bilinear term of both. "No answer" scores as position 0 as first and last token (without that term). The loss is the
    negative log-probability of the answer under one softmax over "no answer" and all spans that could be decoded:
    within one context and at most ``max_answer_length`` tokens. A longer training answer counts as one more span. Of an
    answer with several places the probabilities add up.

    The scores are not normalised over the window: like ``linear_span``'s they are compared between windows, and with
    the null score, as they are; the answerability classifier's log-odds are added to the null score where it is on.
    Without interaction the weights have the meaning, and in the model folder the names, of ``linear_span``'s.

    Source: Fajcik et al. 2021, "Rethinking the Objectives of Extractive Question Answering" (the joint objective); the
    "no answer" option in one softmax with the spans: Clark & Gardner 2018, "Simple and Effective Multi-Paragraph
    Reading Comprehension".
    """

    reads: Literal["tokens", "sequence", "group"] = "tokens"
    auto_class: str = "AutoModelForQuestionAnswering"
    has_distributions: bool = True
    any_place: bool = True

    def __init__(self, settings: JointSpanSettings, runtime: HeadRuntime) -> None:
        super().__init__()
        plain = {"features.linear.weight": "qa_outputs.weight", "features.linear.bias": "qa_outputs.bias"}
        # With interaction the linear layer is wider, and transformers has no such head.
        self.transformers_names: Mapping[str, str] = {} if settings.interaction else plain
        self.config_updates: Mapping[str, Any] = {"num_labels": 2}
        self.settings = settings
        self.n_best = runtime.n_best
        self.max_answer_length = runtime.max_answer_length
        self.features = SpanFeatures(settings, runtime, outputs=2 + 2 * settings.interaction)

    def forward(self, hidden: Tensor, batch: Batch) -> HeadOutput:
        """``hidden`` (B, T, H) -> ``start`` and ``end`` (B, T) float32, and the loss if the batch has targets.

        With interaction also ``left`` and ``right`` (B, T, R); ``no_answer`` (B,) and ``yes_no`` (B, 2) when their
        classifiers are on. With several dropout samples the loss is the mean of theirs, and the scores are the first
        one's.
        """
        samples = [self._scores(logits) for logits in self.features.logits(hidden)]
        scores = samples[0] | self.features.window_scores(hidden)
        places = target_places(batch)
        if not places:
            return HeadOutput(None, scores)
        with torch.autocast(hidden.device.type, enabled=False):
            loss = torch.stack([self._loss(each, batch.context_mask, places) for each in samples]).mean()
            extra = self.features.auxiliary_loss(hidden, batch)
        return HeadOutput(loss if extra is None else loss + extra, scores)

    @torch.no_grad()
    def decode(self, scores: Mapping[str, Tensor], batch: Batch) -> SpanCandidates:
        """The best spans of each window, exactly; none goes from one context into another."""
        found, segments = [], batch.contexts.shape[1]
        for at, part in self._chunks(scores, batch):
            spans = self._spans(part, batch.context_mask[at])
            best, null = spans.best(batch.start_mask[at], k=self.n_best, segments=segments), _null(part)
            everything = [torch.cat([null[:, None], spans.log_starts()], 1).logsumexp(1)] if self.yes_no else []
            found.append((*best, null, *(yes_no_scores(part, total) for total in everything)))
        return SpanCandidates(*(torch.cat(parts) for parts in zip(*found, strict=True)))

    def position_scores(self, scores: Mapping[str, Tensor], batch: Batch) -> PositionScores:
        """Exact marginals: log-odds of "the answer starts (ends) here" against "no answer", over all possible spans."""
        found = []
        for at, part in self._chunks(scores, batch):
            spans = self._spans(part, batch.context_mask[at])
            found.append((spans.log_starts(), spans.log_ends()))
        outside, null = ~batch.context_mask, _null(scores)[:, None]
        start, end = ((torch.cat(parts) - null).masked_fill(outside, -torch.inf) for parts in zip(*found, strict=True))
        return PositionScores(start, end)

    def distributions(self, scores: Mapping[str, Tensor], batch: Batch) -> list[Distributions]:
        """Over "no answer" and all spans that could be decoded."""
        null = scores["start"][:, 0] + scores["end"][:, 0]
        return [over_spans(null, *self._spans(scores, batch.context_mask).every())]

    def _scores(self, logits: Tensor) -> dict[str, Tensor]:
        """By name, from the linear layer's outputs (B, T, 2 + 2R)."""
        scores = {"start": logits[..., 0].contiguous(), "end": logits[..., 1].contiguous()}
        if self.settings.interaction:
            scores["left"], scores["right"] = logits[..., 2:].chunk(2, dim=-1)
        return scores

    def _spans(self, scores: Mapping[str, Tensor], context_mask: Tensor) -> Spans:
        limit = min(self.max_answer_length, context_mask.shape[1])
        start, end = scores["start"], scores["end"]
        if not self.settings.interaction:
            return SeparableSpans(start, end, context_mask, limit)
        return InteractingSpans.of(start, end, scores["left"], scores["right"], context_mask=context_mask, limit=limit)

    def _chunks(self, scores: Mapping[str, Tensor], batch: Batch) -> Iterator[tuple[slice, dict[str, Tensor]]]:
        """Rows of the batch and their scores: as many at once as memory is meant for."""
        size, width = batch.context_mask.shape
        rows = size
        if self.settings.interaction:
            rows = max(1, CHUNK_SCORES // (width * min(self.max_answer_length, width)))
        for first in range(0, size, rows):
            at = slice(first, first + rows)
            yield at, {name: value[at] for name, value in scores.items()}

    def _loss(self, scores: Mapping[str, Tensor], context_mask: Tensor, places: Sequence[Place]) -> Tensor:
        """Mean over windows of the cross-entropy between the target and the softmax over spans and "no answer"."""
        spans, null = self._spans(scores, context_mask), _null(scores)
        limit = min(self.max_answer_length, context_mask.shape[1])
        answered = places[0][0] > 0
        answers = [spans.at(*place) for place in places]
        # No span of the softmax is as long as these: each is added as one.
        too_long = [(first > 0) & (last - first >= limit) for first, last in places]
        each = list(zip(answers, too_long, strict=True))
        options = [null[:, None], spans.log_starts()]
        options += [answer.masked_fill(~longer, NEVER)[:, None] for answer, longer in each]
        partition = torch.cat(options, dim=1).logsumexp(1)
        targets, added = answers, [answer.masked_fill(~longer, 0.0) for answer, longer in each]
        if self.settings.soft_labels:  # in place of each answer's score its expected score
            possible, sharpness = possible_spans(context_mask, limit), self.settings.soft_label_sharpness
            weights = [soft_span_weights(*place, possible, sharpness=sharpness) for place in places]
            targets = [
                # the total is at least 1, the answer's own weight, or 0 without one
                (spans.weighted(weight) + more) / (weight.sum((1, 2)) + longer).clamp(min=1.0)
                for weight, more, longer in zip(weights, added, too_long, strict=True)
            ]
        target = torch.where(answered, over_places(targets, places), null)
        if self.settings.label_smoothing:
            count = spans_from(context_mask, limit).sum(1) + 1 + sum(too_long)
            target = torch.lerp(target, (spans.total() + null + sum(added)) / count, self.settings.label_smoothing)
        return (partition - target).mean()


def _null(scores: Mapping[str, Tensor]) -> Tensor:
    """(B,) the score of "no answer"."""
    null = scores["start"][:, 0] + scores["end"][:, 0]
    return null + scores["no_answer"] if "no_answer" in scores else null
