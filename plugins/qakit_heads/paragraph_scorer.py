"""The answer's span and its paragraph at once, among all contexts of a question."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from qakit.api import Batch, Distributions, HeadOutput, HeadRuntime, SpanCandidates, best_spans
from qakit_heads import ParagraphScorerSettings
from qakit_heads.features import FeatureHead, Features, fresh_linear
from qakit_heads.grouped import among_windows, context_loss, over_contexts, over_windows, places_of
from qakit_heads.places import target_places


class ParagraphScorer(FeatureHead):
    """Start and end scores whose softmax goes over all windows of an example, and a score for each of its contexts.

    The preprocessor says how the model sees the contexts: ``concatenate`` puts them into one input (several, where
    they don't fit), so that it reads them together; ``every_context`` gives each an input of its own, so that any
    number fits. A span's score is its start plus its end plus ``span_paragraph_weight`` times the score of its
    context. All three can be compared between the windows of an example, since one softmax is over all of them.

    Source: the shared normalisation of Clark and Gardner 2018, "Simple and Effective Multi-Paragraph Reading
    Comprehension"; the linear paragraph scorer with a weighted loss beside it is how students of NTU's Applied Deep
    Learning course train one model for both steps.
    """

    reads: Literal["tokens", "sequence", "group"] = "group"
    has_distributions: bool = True
    any_place: bool = True

    def __init__(self, settings: ParagraphScorerSettings, runtime: HeadRuntime) -> None:
        super().__init__()
        self.settings = settings
        self.n_best = runtime.n_best
        self.max_answer_length = runtime.max_answer_length
        self.no_answer = runtime.no_answer
        self.features = Features(settings, runtime, outputs=2)
        self.paragraph = fresh_linear(runtime.hidden_size, 1, std=runtime.initializer_range)

    def forward(self, hidden: Tensor, batch: Batch) -> HeadOutput:
        """``hidden`` (B, T, H) -> ``start``, ``end`` (B, T), ``paragraph`` (B, S), float32; the loss with targets."""
        with torch.autocast(hidden.device.type, enabled=False):
            paragraph = self._paragraphs(hidden.float(), batch)
            samples = self.features.logits(hidden)  # (B, T, 2) each
            loss = None
            if batch.target_first is not None:
                loss = torch.stack([self._span_loss(logits, batch) for logits in samples]).mean()
                loss = loss + self.settings.paragraph_weight * context_loss(paragraph, batch)
        start, end = (logits.contiguous() for logits in samples[0].unbind(-1))
        return HeadOutput(loss, {"start": start, "end": end, "paragraph": paragraph})

    def decode(self, scores: Mapping[str, Tensor], batch: Batch) -> SpanCandidates:
        """The best spans of each window, exactly, none over the border of two contexts."""
        start, end, paragraph = scores["start"], scores["end"], scores["paragraph"]
        bonus = self.settings.span_paragraph_weight * paragraph  # (B, S)
        found = []
        for number in range(paragraph.shape[1]):
            here = batch.segment_number == number
            first, last, score = best_spans(
                start,
                end,
                start_mask=batch.start_mask & here,
                end_mask=batch.context_mask & here,
                k=self.n_best,
                max_length=self.max_answer_length,
            )
            found.append((first, last, score + bonus[:, number, None]))
        first, last, score = (torch.cat(parts, dim=1) for parts in zip(*found, strict=True))
        score, order = score.topk(self.n_best, dim=1)
        null = start[:, 0] + end[:, 0]
        return SpanCandidates(first.gather(1, order), last.gather(1, order), score, null=null)

    def distributions(self, scores: Mapping[str, Tensor], batch: Batch) -> list[Distributions]:
        """Of the first and of the last token over all windows of an example, and over its contexts."""
        possible = self._possible(batch)
        places = [over_windows(scores[name], possible, batch, weight=0.5) for name in ("start", "end")]
        return [*places, over_contexts(scores["paragraph"], batch, weight=self.settings.paragraph_weight)]

    def _possible(self, batch: Batch) -> Tensor:
        """(B, T) bool, where the answer may be; position 0 where there may be none."""
        possible = batch.context_mask
        if self.no_answer:
            possible = possible.clone()
            possible[:, 0] = True
        return possible

    def _paragraphs(self, hidden: Tensor, batch: Batch) -> Tensor:
        """(B, S) float32: a linear function of the mean hidden state of each segment; 0 for one without tokens."""
        segments = batch.contexts.shape[1]
        member = batch.segment_number[:, None] == torch.arange(segments, device=hidden.device)[:, None]  # (B, S, T)
        share = member.float() / member.sum(2, keepdim=True).clamp(min=1)
        means = share @ hidden  # (B, S, H)
        logits: Tensor = nn.functional.linear(means, self.paragraph.weight.float(), self.paragraph.bias.float())
        return logits.squeeze(-1)

    def _span_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Mean of the cross-entropies of first and last token, among all windows of an example."""
        places = target_places(batch)
        possible = self._possible(batch)
        held = places[0][0] > 0
        if self.no_answer:  # an example without an answer aims at position 0 of all its windows
            held = held | ~places_of(held, batch.example, batch.examples)[batch.example]
        losses = [
            among_windows(logits[..., at], possible, [torch.where(held, targets[0], -1), *targets[1:]], batch)
            for at, targets in enumerate(zip(*places, strict=True))
        ]
        return torch.stack(losses).mean()
