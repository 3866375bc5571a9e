"""What heads read of the backbone: layers pooled, dropout, a linear layer; and the span heads' additional losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qakit.api import YES_NO, Batch, HeadRuntime, ModelError
from qakit_heads import FeatureSettings, SpanSettings
from qakit_heads.places import Place, target_places


class Features(nn.Module):
    """One linear layer, and the options of :class:`~qakit_heads.FeatureSettings`.

    Everything is computed in float32, also under autocast. With no option on, the only parameters are ``linear.weight``
    (outputs, H) and ``linear.bias`` (outputs,).

    Attributes:
        pools: whether :meth:`pool` is wanted.
    """

    pools: bool

    def __init__(self, settings: FeatureSettings, runtime: HeadRuntime, outputs: int) -> None:
        super().__init__()
        self.samples = settings.multi_sample_dropout
        self.dropout = nn.Dropout(settings.dropout)
        self.linear = fresh_linear(runtime.hidden_size, outputs, std=runtime.initializer_range)
        self.pools = settings.layer_pooling is not None
        if settings.layer_pooling is not None:
            self.layer_weights = nn.Parameter(torch.zeros(_layers_pooled(settings.layer_pooling, runtime.layers)))

    def pool(self, layers: Sequence[Tensor]) -> Tensor:
        """The mean of the last layers under learned weights: (B, T, H) each -> (B, T, H) float32.

        Source: Peters et al. 2018, "Deep contextualized word representations", equation 1, without its scale: the
        linear layer has one.

        Raises:
            ModelError: the backbone gives fewer layers than its configuration says, or layers of several shapes.
        """
        count = len(self.layer_weights)
        chosen = layers[-count:]
        if len(chosen) < count or len({layer.shape for layer in chosen}) > 1:
            shapes = ", ".join(str(tuple(layer.shape)) for layer in layers)
            raise ModelError(f"layer_pooling wants {count} layers of one shape; the backbone gives {shapes}")
        with torch.autocast(layers[-1].device.type, enabled=False):
            weights = self.layer_weights.float().softmax(0)
            pooled = weights[0] * chosen[0].float()
            for weight, layer in zip(weights[1:], chosen[1:], strict=True):
                pooled = torch.addcmul(pooled, weight, layer.float())
            return pooled

    def logits(self, hidden: Tensor) -> list[Tensor]:
        """The linear layer's outputs, (..., outputs) float32, under each dropout mask: only one in eval mode.

        ``hidden`` is (..., H).

        Source of several masks: Inoue 2019, "Multi-Sample Dropout for Accelerated Training and Better Generalization".
        """
        with torch.autocast(hidden.device.type, enabled=False):
            hidden = hidden.float()
            samples = self.samples if self.training else 1
            return [apply_linear(self.linear, self.dropout(hidden)) for _ in range(samples)]


class SpanFeatures(Features):
    """The linear layer reads every position; with the options of :class:`~qakit_heads.SpanSettings`."""

    def __init__(self, settings: SpanSettings, runtime: HeadRuntime, outputs: int) -> None:
        super().__init__(settings, runtime, outputs)
        self.in_answer_weight = settings.in_answer_weight
        self.answerability_weight = settings.answerability_weight
        self.yes_no_weight = settings.yes_no_weight
        if self.in_answer_weight:
            self.in_answer = fresh_linear(runtime.hidden_size, 1, std=runtime.initializer_range)
        if self.answerability_weight:
            self.answerability = fresh_linear(runtime.hidden_size, 1, std=runtime.initializer_range)
        if self.yes_no_weight:
            self.answer_type = fresh_linear(runtime.hidden_size, 1 + len(YES_NO), std=runtime.initializer_range)

    def window_scores(self, hidden: Tensor) -> dict[str, Tensor]:
        """What is read of position 0, by name, float32; only what is on.

        ``no_answer`` (B,): log-odds of "no answer" (Zhang et al. 2021, "Retrospective Reader for Machine Reading
        Comprehension", I-FV). ``yes_no`` (B, 2): log-odds of yes and of no against neither.
        """
        scores = {}
        with torch.autocast(hidden.device.type, enabled=False):
            first = hidden[:, 0].float()
            if self.answerability_weight:
                scores["no_answer"] = apply_linear(self.answerability, first).squeeze(-1)
            if self.yes_no_weight:
                logits = apply_linear(self.answer_type, first)
                scores["yes_no"] = logits[:, 1:] - logits[:, :1]
        return scores

    def auxiliary_loss(self, hidden: Tensor, batch: Batch) -> Tensor | None:
        """The additional losses that are on, times their weights, as one float32 scalar; None when all are off.

        Each is a mean over windows; within a window, the in-answer loss is a mean over its context tokens. None for a
        batch without targets.
        """
        places = target_places(batch)
        if not places:
            return None
        scores, losses = self.window_scores(hidden), list[Tensor]()
        unanswered = places[0][0] == 0
        if self.in_answer_weight:
            with torch.autocast(hidden.device.type, enabled=False):
                logits = apply_linear(self.in_answer, hidden.float()).squeeze(-1)  # (B, T)
            losses.append(self.in_answer_weight * _inside_loss(logits, places, batch.context_mask))
        with torch.autocast(hidden.device.type, enabled=False):
            if "yes_no" in scores and batch.target_yes_no is not None:
                unanswered &= batch.target_yes_no == 0
                losses.append(
                    self.yes_no_weight * F.cross_entropy(F.pad(scores["yes_no"], (1, 0)), batch.target_yes_no)
                )
            if "no_answer" in scores:
                loss = F.binary_cross_entropy_with_logits(scores["no_answer"], unanswered.float())
                losses.append(self.answerability_weight * loss)
        return torch.stack(losses).sum() if losses else None


class FeatureHead(nn.Module):
    """What heads have in common that read the backbone through :class:`Features`."""

    features: Features

    @property
    def pools(self) -> bool:
        """Whether :meth:`pool` is wanted."""
        return self.features.pools

    def pool(self, layers: Sequence[Tensor]) -> Tensor:
        """See :meth:`Features.pool`."""
        return self.features.pool(layers)


class SpanFeatureHead(FeatureHead):
    """What heads have in common that read it through :class:`SpanFeatures`."""

    features: SpanFeatures

    @property
    def yes_no(self) -> bool:
        """Whether yes and no are learnt."""
        return self.features.yes_no_weight > 0


def yes_no_scores(scores: Mapping[str, Tensor], everything: Tensor) -> Tensor:
    """(B, 2) the scores of yes and no on the scale of the spans, from :meth:`SpanFeatures.window_scores`.

    A window's probability is shared out by type first, then among what is of no such type; so yes is to a span as its
    odds are to the span's own share.

    Args:
        everything: (B,) logsumexp of the scores of all of a window's spans and of "no answer".
    """
    return everything[:, None] + scores["yes_no"]


def fresh_linear(width: int, outputs: int, *, std: float) -> nn.Linear:
    """With normally distributed weights and no bias yet."""
    linear = nn.Linear(width, outputs)
    nn.init.normal_(linear.weight, std=std)
    nn.init.zeros_(linear.bias)
    return linear


def apply_linear(linear: nn.Linear, hidden: Tensor) -> Tensor:
    """In float32, whatever the weights are."""
    return F.linear(hidden, linear.weight.float(), linear.bias.float())


def _layers_pooled(wanted: int | str, layers: int) -> int:
    """How many of the backbone's layers, the embeddings counted as one.

    Raises:
        ModelError: the backbone has no such number, or does not say how many it has.
    """
    if not layers:
        raise ModelError("layer_pooling: the backbone's configuration does not say how many layers it has")
    if isinstance(wanted, int):
        if wanted > layers:
            raise ModelError(f"layer_pooling is {wanted} but the backbone has {layers} layers; `all` takes every one")
        return wanted
    return layers + 1


def _inside_loss(logits: Tensor, places: Sequence[Place], context_mask: Tensor) -> Tensor:
    """Binary cross-entropy of "this token lies inside the answer", at any of its places; mean over context tokens, then
    over windows."""
    position = torch.arange(logits.shape[1], device=logits.device)
    inside = torch.zeros_like(context_mask)
    for first, last in places:
        inside |= (position >= first[:, None]) & (position <= last[:, None])
    inside &= context_mask  # position 0 is no context
    loss = F.binary_cross_entropy_with_logits(logits, inside.float(), reduction="none")
    tokens = context_mask.sum(1).clamp(min=1)
    return (loss.masked_fill(~context_mask, 0.0).sum(1) / tokens).mean()
