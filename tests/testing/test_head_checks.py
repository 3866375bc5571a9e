"""The contract check of heads: what breaks it ends in an ``AssertionError`` with a short reason, whatever it raises."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from contract_faults import SETTINGS, component, fails
from torch import Tensor, nn

from qakit import testing
from qakit.api import Component, HeadOutput, LabelScores, NoSettings, PositionScores, SpanCandidates, best_spans


class Good(nn.Module):
    """A sound span head, which each case spoils."""

    reads = "tokens"

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(16, 2)

    def forward(self, hidden: Tensor, batch: Any) -> HeadOutput:
        with torch.autocast("cpu", enabled=False):
            scores = self.linear(hidden.float())
            start, end = scores.unbind(-1)
            loss = None
            if batch.target_first is not None:
                mask = batch.context_mask.clone()
                mask[:, 0] = True
                loss = sum(
                    nn.functional.cross_entropy(side.masked_fill(~mask, -1e4), target)
                    for side, target in ((start, batch.target_first), (end, batch.target_last))
                )
        return HeadOutput(loss, {"start": start, "end": end})

    def decode(self, scores: Any, batch: Any) -> Any:
        start, end = scores["start"], scores["end"]
        masks = {"start_mask": batch.start_mask, "end_mask": batch.context_mask}
        first, last, score = best_spans(start, end, **masks, k=5, max_length=4)
        return SpanCandidates(first, last, score, start[:, 0] + end[:, 0])


class DecodesOutside(Good):
    shift = 1000

    def decode(self, scores: Any, batch: Any) -> Any:
        good = super().decode(scores, batch)
        return SpanCandidates(good.first + self.shift, good.last + self.shift, good.score, good.null)


class DecodesBefore(DecodesOutside):
    shift = -1000


class DecodeRaises(Good):
    def decode(self, scores: Any, batch: Any) -> Any:
        return scores["nothing"]


class DecodesNothing(Good):
    def decode(self, scores: Any, batch: Any) -> Any:
        return None


class DecodesLabels(Good):
    def decode(self, scores: Any, batch: Any) -> Any:
        return LabelScores(scores["start"])


class DecodesNumbers(Good):
    gives = "labels"

    def decode(self, scores: Any, batch: Any) -> Any:
        return LabelScores([1.0])  # type: ignore[arg-type]


class ScoresNothing(Good):
    def forward(self, hidden: Tensor, batch: Any) -> HeadOutput:
        output = super().forward(hidden, batch)
        return HeadOutput(output.loss, {name: score * float("nan") for name, score in output.scores.items()})


class Raises(Good):
    def forward(self, hidden: Tensor, batch: Any) -> HeadOutput:
        raise RuntimeError("shapes do not match")


class ReturnsNone(Good):
    def forward(self, hidden: Tensor, batch: Any) -> Any:
        return None


class ReadsNothing(Good):
    reads = "token"


class GivesNothing(Good):
    gives = "label"


class JoinsContexts(Good):
    def decode(self, scores: Any, batch: Any) -> Any:
        if batch.contexts.shape[1] > 1:
            raise ValueError("two contexts in a window")
        return super().decode(scores, batch)


class Pools(Good):
    pools = True

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(4))

    def pool(self, layers: Any) -> Any:
        return torch.einsum("l,lbth->bth", self.weights.softmax(0), torch.stack(list(layers)))


class PoolsToOne(Pools):
    def pool(self, layers: Any) -> Any:
        return super().pool(layers)[:, :1]


class ScoresPositions(Good):
    fill = -torch.inf

    def position_scores(self, scores: Any, batch: Any) -> Any:
        return PositionScores(*(scores[side].masked_fill(~batch.context_mask, self.fill) for side in ("start", "end")))


class ScoresOutside(ScoresPositions):
    fill = 0.0


class ScoresOnePlace(Good):
    def position_scores(self, scores: Any, batch: Any) -> Any:
        return PositionScores(scores["start"][:, 0], scores["end"])


class ScoresNoPlace(Good):
    def position_scores(self, scores: Any, batch: Any) -> Any:
        return scores


class CountsPadding(Good):
    """Its softmax is over all positions."""

    def forward(self, hidden: Tensor, batch: Any) -> HeadOutput:
        output = super().forward(hidden, batch)
        if batch.target_first is None:
            return output
        sides = ((output.scores["start"], batch.target_first), (output.scores["end"], batch.target_last))
        return HeadOutput(sum(nn.functional.cross_entropy(*side) for side in sides), output.scores)  # type: ignore[arg-type]


class SumsWindows(Good):
    def forward(self, hidden: Tensor, batch: Any) -> HeadOutput:
        output = super().forward(hidden, batch)
        return HeadOutput(None if output.loss is None else output.loss * len(batch), output.scores)


class ShiftsNull(Good):
    def decode(self, scores: Any, batch: Any) -> Any:
        good = super().decode(scores, batch)
        return SpanCandidates(good.first, good.last, good.score, good.null + 100)


class SwapsSides(ScoresPositions):
    def position_scores(self, scores: Any, batch: Any) -> Any:
        good = super().position_scores(scores, batch)
        return PositionScores(good.end, good.start)


class SaysYes(Good):
    has_distributions = "yes"


@pytest.mark.parametrize("head", [Good, Pools, ScoresPositions])
def test_sound_heads_pass(head: Callable[[], Any]) -> None:
    testing.check_head(component(head()), SETTINGS)


@pytest.mark.parametrize(
    ("head", "reason", "cause"),
    [
        (DecodesOutside, "a decoded span lies outside the input positions 0 to 13", None),
        (DecodesBefore, "a decoded span lies outside the input positions 0 to 13", None),
        (DecodeRaises, "decode fails: KeyError: 'nothing'", KeyError),
        (DecodesNothing, "decode returned None, where SpanCandidates is expected", None),
        (DecodesLabels, "decode returned LabelScores, where SpanCandidates is expected", None),
        (DecodesNumbers, "decode returned LabelScores whose `scores` is list, not a tensor", None),
        (ScoresNothing, "the head's scores['start'] hold NaN", None),
        (Raises, "forward fails: RuntimeError: shapes do not match", RuntimeError),
        (ReturnsNone, "forward returned None; it must return a HeadOutput", None),
        (ReadsNothing, "whose `reads` is 'token', not 'tokens', 'sequence' or 'group'", None),
        (GivesNothing, "whose `gives` is 'label', not 'spans', 'sets', 'labels' or 'contexts'", None),
        (JoinsContexts, "decode fails: ValueError: two contexts in a window", ValueError),
        (PoolsToOne, "of shape (4, 1, 16); it must return hidden states of shape (4, 14, 16)", None),
        (ScoresOutside, "position scores: start is not -inf outside the context", None),
        (ScoresOnePlace, "position_scores returned start (4,) and end (4, 14), not (4, 14)", None),
        (ScoresNoPlace, "position_scores returned dict; it must return PositionScores", None),
        (CountsPadding, "padding changes the loss: it counts padded positions", None),
        (SumsWindows, "the loss must be the mean over the windows", None),
        (ShiftsNull, 'trained on an answer, the head decodes "no answer"', None),
        (SwapsSides, "position scores: trained on an answer, its first position is no likely start", None),
        (SaysYes, "has_distributions is str, not bool", None),
    ],
)
def test_heads(head: Callable[[], Any], reason: str, cause: type[Exception] | None) -> None:
    message, raised = fails(testing.check_head, head())
    assert reason in message
    assert isinstance(raised, cause) if cause else raised is None


@pytest.mark.parametrize("segments", [False, True])
def test_the_made_up_batch_is_as_batches_are(segments: bool) -> None:
    batch = testing.made_up_batch(segments=segments)
    special = (batch.attention_mask == 1).numpy() & (batch.token < 0)
    assert special.sum(axis=1).tolist() == [3, 3, 3, 3 + segments]  # questions have tokens, too
    assert ((batch.segment_number >= 0) == batch.context_mask).all()
    chosen = batch.contexts.gather(1, batch.segment_number.clamp(min=0))
    assert (torch.where(batch.context_mask, chosen, -1).numpy() == batch.segment).all()
    assert batch.target_first is not None
    assert batch.target_segment is not None
    held = batch.target_first > 0
    at_answer = batch.segment_number.gather(1, batch.target_first[:, None])[:, 0]
    assert (at_answer[held] == batch.target_segment[held]).all()


def test_a_class_is_no_head() -> None:
    assert fails(testing.check_head, Good)[0] == "the head 'mine' built the class Good; call it"


def test_a_build_that_raises() -> None:
    def build(settings: Any, runtime: Any) -> Any:
        raise KeyError("width")

    with pytest.raises(AssertionError, match=r"^build of 'mine' raises KeyError: 'width'$"):
        testing.check_head(Component("mine", "Mine", NoSettings, build), SETTINGS)
