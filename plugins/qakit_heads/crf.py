"""A conditional random field over O, B, I tags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from qakit.api import Batch, Distributions, HeadOutput, HeadRuntime, PositionScores, SpanCandidates
from qakit_heads import CrfSettings
from qakit_heads.band import at_ends, over_spans, possible_spans
from qakit_heads.chain import TAGS, Transitions, log_partition, path_score, tags_of, viterbi
from qakit_heads.chain_spans import (
    best_chain_spans,
    best_of,
    chain_position_scores,
    log_partition_of_spans,
    score_of_spans,
    span_scores,
    spans_of_path,
)
from qakit_heads.features import SpanFeatureHead, SpanFeatures, yes_no_scores
from qakit_heads.places import Place, over_places, target_places

ENTER, LEAVE = 1 / 256, 0.3
"""Where the transitions start: how probable it is that an answer begins at a token outside one, and that it ends after
a token inside one. About one answer of a few tokens per window; from zeros, an untrained chain would put a tag other
than O on most tokens, and training would first have to unlearn that."""


class Crf(SpanFeatureHead):
    """Tags every context token O (outside), B (first token of the answer) or I (further token), as one linear chain.

    The loss is the negative log-probability of the path O..O B I..I O..O, all O where the window does not hold the
    answer; mean over windows. ``mode`` says among which paths: all legal ones (``bio``), or only those with at most one
    answer (``single_span``). Of an answer with several places, the paths with any one of them are right. What is
    decoded are paths with exactly one answer, exactly the best ones. With ``spans: many`` all places are right
    together: the target path has them all, and what is decoded are the answers of the best path of all.

    **Scores are log-odds against the path that is all O**, in candidates as in position scores: so ``null`` is 0 for
    every window (plus the log-odds of ``answerability_weight``'s classifier where that is on), and windows of one
    question compare.

    Source: Lafferty et al. 2001, "Conditional Random Fields"; with BERT for answer spans, Segal et al. 2020, "A Simple
    and Effective Model for Answering Multi-span Questions".
    """

    reads: Literal["tokens", "sequence", "group"] = "tokens"
    has_distributions: bool = True
    any_place: bool = True

    def __init__(self, settings: CrfSettings, runtime: HeadRuntime) -> None:
        super().__init__()
        self.mode = settings.mode
        self.gives: Literal["spans", "sets"] = "sets" if settings.spans == "many" else "spans"
        self.n_best = runtime.n_best
        self.max_answer_length = runtime.max_answer_length
        self.features = SpanFeatures(settings, runtime, outputs=TAGS)
        outside = [1 - ENTER, ENTER, 1.0]  # I after O is barred: that number is never read
        inside = [LEAVE - ENTER, ENTER, 1 - LEAVE]
        # One-dimensional, since weight decay is for matrices: it would pull all steps towards equally probable.
        self.transitions = nn.Parameter(torch.tensor([*outside, *inside, *inside]).log())
        self.start = nn.Parameter(torch.tensor(outside).log())
        self.end = nn.Parameter(torch.zeros(TAGS))

    def forward(self, hidden: Tensor, batch: Batch) -> HeadOutput:
        """``hidden`` (B, T, H) -> ``emissions`` (B, T, 3) float32, and the loss if the batch has targets."""
        with torch.autocast(hidden.device.type, enabled=False):
            samples = self.features.logits(hidden)
            loss, places = None, target_places(batch)
            if places:
                loss = self._loss(samples, batch.context_mask, places)
                auxiliary = self.features.auxiliary_loss(hidden, batch)
                loss = loss if auxiliary is None else loss + auxiliary
            scores = {"emissions": samples[0] if len(samples) == 1 else torch.stack(samples).mean(0)}
            scores |= self.features.window_scores(hidden)
        return HeadOutput(loss, scores)

    def decode(self, scores: Mapping[str, Tensor], batch: Batch) -> SpanCandidates:
        """The best single answers of each window, exactly, by their log-odds against all O; see the class for null.

        With ``spans: many`` those of the best path, as far as they begin in ``batch.start_mask`` and keep to the length
        limit; each by its own log-odds against all O.
        """
        with torch.no_grad():
            emissions = scores["emissions"]
            if self.gives == "sets":
                found = spans_of_path(self.best_path(scores, batch), batch.start_mask, limit=self.max_answer_length)
                spans = span_scores(emissions, self._transitions(), batch.context_mask)
                null = (0.0 * (spans.single.sum(1) + spans.last.sum(1))).float()  # NaN where a number is broken
                return SpanCandidates(*best_of(found, spans, k=self.n_best), null=null)
            first, last, score = best_chain_spans(
                emissions,
                self._transitions(),
                mask=batch.context_mask,
                start_mask=batch.start_mask,
                k=self.n_best,
                max_length=self.max_answer_length,
            )
            null = emissions.new_zeros(len(emissions)) + scores.get("no_answer", 0.0)
            if not self.yes_no:
                return SpanCandidates(first, last, score, null=null)
            total = log_partition_of_spans(span_scores(emissions, self._transitions(), batch.context_mask)).float()
            return SpanCandidates(first, last, score, null=null, yes_no=yes_no_scores(scores, total))

    def position_scores(self, scores: Mapping[str, Tensor], batch: Batch) -> PositionScores:
        """Log-odds that the window's only answer starts, and ends, at each position: (B, T) each.

        Sums over the answers of at most ``max_answer_length`` tokens. Each is against the null score by itself, so the
        classifier's log-odds come off both.
        """
        mask = batch.context_mask
        spans = span_scores(scores["emissions"], self._transitions(), mask)
        start, end = chain_position_scores(spans, mask, max_length=self.max_answer_length)
        if "no_answer" in scores:
            start, end = (part - scores["no_answer"][:, None] for part in (start, end))
        return PositionScores(start, end)

    def distributions(self, scores: Mapping[str, Tensor], batch: Batch) -> list[Distributions]:
        """Over the path that is all O and those with one answer that could be decoded, in either ``mode``."""
        mask = batch.context_mask
        limit = min(self.max_answer_length, mask.shape[1])
        spans = span_scores(scores["emissions"], self._transitions(), mask)
        longer = spans.first[:, :, None] + at_ends(spans.last, limit, fill=0.0)
        band = torch.cat([spans.single[:, :, None], longer[:, :, 1:]], 2)
        return [over_spans(band.new_zeros(len(band)), band, possible_spans(mask, limit))]

    def best_path(self, scores: Mapping[str, Tensor], batch: Batch) -> Tensor:
        """The best of all legal tag paths, with any number of answers: (B, T) int64, 0 for O, 1 for B, 2 for I.

        -1 outside the context.
        """
        return viterbi(scores["emissions"], self._transitions(), batch.context_mask)

    def _transitions(self) -> Transitions:
        return Transitions(self.transitions.float().view(TAGS, TAGS), self.start.float(), self.end.float())

    def _loss(self, samples: Sequence[Tensor], mask: Tensor, places: Sequence[Place]) -> Tensor:
        """Mean over windows and dropout samples, all in one chain batch."""
        emissions, transitions, count = samples[0], self._transitions(), len(samples)
        if count > 1:
            emissions, mask = torch.cat(list(samples)), mask.repeat(count, 1)
            places = [(first.repeat(count), last.repeat(count)) for first, last in places]
        if self.mode == "bio":
            paths = [places] if self.gives == "sets" else [[place] for place in places]
            targets = [path_score(emissions, transitions, mask, tags_of(path, mask)) for path in paths]
            target = targets[0] if len(targets) == 1 else over_places(targets, places)
            return (log_partition(emissions, transitions, mask) - target).mean()
        spans = span_scores(emissions, transitions, mask)
        target = over_places([score_of_spans(spans, *place) for place in places], places)
        return (log_partition_of_spans(spans) - target).mean().float()
