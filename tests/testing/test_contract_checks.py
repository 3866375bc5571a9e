"""The contract checks: what breaks a contract ends in an ``AssertionError`` with a short reason, whatever it raises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from qakit import testing
from qakit.api import (
    Component,
    DataError,
    Example,
    HeadOutput,
    LabelScores,
    NoSettings,
    PositionScores,
    SpanCandidates,
    SpanPrediction,
    best_spans,
    write_text,
)
from qakit_preprocess import CONCATENATE
from qakit_preprocess.concatenate import Concatenate
from qakit_preprocess.settings import ConcatenateSettings

SETTINGS = NoSettings()


def component(built: Any) -> Component[Any, Any, Any]:
    return Component("mine", "Mine", NoSettings, lambda settings, runtime: built)


def fails(check: Callable[..., Any], built: Any, *arguments: Any) -> tuple[str, BaseException | None]:
    with pytest.raises(AssertionError) as caught:
        check(component(built), SETTINGS, *arguments)
    return str(caught.value), caught.value.__cause__


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


@pytest.mark.parametrize("head", [Good, Pools, ScoresPositions])
def test_sound_heads_pass(head: Callable[[], Any]) -> None:
    testing.check_head(component(head()), SETTINGS)


@pytest.mark.parametrize(
    ("head", "reason", "cause"),
    [
        (DecodesOutside, "a decoded span lies outside the input positions 0 to 13", None),
        (DecodesBefore, "a decoded span lies outside the input positions 0 to 13", None),
        (DecodeRaises, "the head's decode raises KeyError: 'nothing'", KeyError),
        (DecodesNothing, "the head's decode returns None, not SpanCandidates", None),
        (DecodesLabels, "the head's decode returns LabelScores, not SpanCandidates", None),
        (DecodesNumbers, "the head's label scores are list, not a tensor", None),
        (ScoresNothing, "the head's scores['start'] hold NaN", None),
        (Raises, "calling the head raises RuntimeError: shapes do not match", RuntimeError),
        (ReturnsNone, "the head returns None, not HeadOutput", None),
        (ReadsNothing, "whose `reads` is 'token', not 'tokens', 'sequence' or 'group'", None),
        (GivesNothing, "whose `gives` is 'label', not 'spans', 'labels' or 'contexts'", None),
        (JoinsContexts, "the head's decode raises ValueError: two contexts in a window", ValueError),
        (PoolsToOne, "the head's pool returns the shape (4, 1, 16), not (B, T, H)", None),
        (ScoresOutside, "position scores: start is not -inf outside the context", None),
        (ScoresOnePlace, "position scores: start must be (B, T)", None),
        (ScoresNoPlace, "position_scores returns dict, not PositionScores", None),
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


# -------------------------------------------------------------------------------------------------------- adapters
class Full:
    def apply(self, backbone: Any) -> Any:
        self.applied = backbone
        return backbone

    def merge(self, backbone: Any) -> Any:
        return backbone


class MergesInPlace(Full):
    """Allowed: what ``merge`` gets is a copy."""

    def merge(self, backbone: Any) -> Any:
        return backbone.requires_grad_(False)


class MergesNothing(Full):
    def merge(self, backbone: Any) -> Any:
        return None


class MergeRaises(Full):
    def merge(self, backbone: Any) -> Any:
        raise ValueError("no such layer")


class Freezes(Full):
    """Changes the module that it remembers from ``apply``."""

    def merge(self, backbone: Any) -> Any:
        self.applied.requires_grad_(False)
        return backbone


class Grows(Full):
    def merge(self, backbone: Any) -> Any:
        self.applied.register_buffer("extra", torch.zeros(1))
        return backbone


class Moves(Full):
    def merge(self, backbone: Any) -> Any:
        with torch.no_grad():
            self.applied.embeddings.word_embeddings.weight.mul_(2.0)
        return backbone


class ByChance(Full):
    """A frozen weight that is drawn anew each time."""

    def apply(self, backbone: Any) -> Any:
        nn.init.normal_(backbone.embeddings.LayerNorm.weight.requires_grad_(False))
        return backbone


class TrainsByTurns(Full):
    turn = False

    def apply(self, backbone: Any) -> Any:
        self.turn = not self.turn
        backbone.embeddings.LayerNorm.weight.requires_grad_(self.turn)
        return backbone


class ExportsNothing(Full):
    def export(self, backbone: Any, folder: Path, *, source: str) -> None:
        pass


@pytest.mark.parametrize("adapter", [Full, MergesInPlace])
def test_sound_adapters_pass(adapter: Callable[[], Any]) -> None:
    testing.check_adapter(component(adapter()), SETTINGS)


@pytest.mark.parametrize(
    ("adapter", "reason"),
    [
        (MergesNothing, "merge returns None, not a module"),
        (MergeRaises, "merge raises ValueError: no such layer"),
        (Freezes, "merging a copy changes the trained backbone: its weights' names or what trains"),
        (Grows, "merging a copy changes the trained backbone: its weights' names or what trains"),
        (Moves, "merging a copy changes the trained backbone's output"),
        (
            ByChance,
            "embeddings.LayerNorm.weight does not train, and its value depends on chance: no checkpoint would hold it",
        ),
        (TrainsByTurns, "what trains depends on chance"),
        (ExportsNothing, "export writes nothing"),
    ],
)
def test_adapters(adapter: Callable[[], Any], reason: str) -> None:
    assert fails(testing.check_adapter, adapter())[0] == reason


# --------------------------------------------------------------------------------------------------------- readers
class Reads:
    def __init__(self, result: Any) -> None:
        self.result = result

    def read(self, path: Path, problems: Any) -> Any:
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (None, "read returns None, not examples (is `yield` missing?)"),
        (KeyError("id"), "read raises KeyError: 'id'"),
        ([None], "read yields None, not Example"),
        ([Example("1", "a?"), Example("2", "b?"), Example("1", "c?")], "the id '1' occurs twice"),
    ],
)
def test_readers(result: Any, reason: str, tmp_path: Path) -> None:
    assert fails(testing.check_reader, Reads(result), tmp_path / "file")[0] == reason


def test_a_bad_file_is_not_the_readers_fault(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        testing.check_reader(component(Reads(DataError("cannot be read"))), SETTINGS, tmp_path / "file")


# ----------------------------------------------------------------------------------------------------- predictions
class Writes:
    suffix: Any = ".txt"

    def __init__(self, write: Callable[[Path], Any], problems: Any = ()) -> None:
        self._write, self._problems = write, problems

    def write(self, predictions: Any, path: Path) -> None:
        self._write(path)

    def check(self, path: Path, sample: Path) -> Any:
        return self._problems


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (lambda path: None, "write writes no file"),
        (lambda path: path.parent.joinpath("no", "folder").write_text("x"), "write raises FileNotFoundError: "),
        (lambda path: path.open("x").write("x"), "writing the file again raises FileExistsError: "),
        (lambda path: write_text(path, "x"), "check returns tuple, not a list of problems"),
    ],
)
def test_writers(write: Callable[[Path], Any], reason: str, tmp_path: Path) -> None:
    assert fails(testing.check_writer, Writes(write), tmp_path)[0].startswith(reason)


class Computes:
    primary = "right"

    def __init__(self, result: Any) -> None:
        self.result = result

    def compute(self, examples: Any, predictions: Any) -> Any:
        return self.result[0] if self.result else self.result

    combine = compute


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (None, "compute returns None, not a dict"),
        (7, "compute raises TypeError: 'int' object is not subscriptable"),
        ([{"right": None}], "right is None, not a number"),
    ],
)
def test_metrics(result: Any, reason: str) -> None:
    assert fails(testing.check_metric, Computes(result))[0] == reason


class Combines:
    def __init__(self, combine: Callable[[Any], Any]) -> None:
        self.combine = combine


@pytest.mark.parametrize(
    ("combine", "reason"),
    [
        (lambda members: None, "combine returns None, not a list"),
        (lambda members: [None for _ in members[0]], "of SpanPredictions, combine makes None"),
        (lambda members: members[9], "combine raises IndexError: list index out of range"),
    ],
)
def test_ensemblers(combine: Callable[[Any], Any], reason: str) -> None:
    assert fails(testing.check_ensembler, Combines(combine))[0] == reason


@pytest.mark.parametrize(
    ("postprocess", "reason"),
    [
        (lambda prediction, example: None, "a SpanPrediction became None"),
        (lambda prediction, example: prediction.text, "calling the postprocessor raises AttributeError: "),
        (lambda prediction, example: SpanPrediction("other", ""), "the id 'q0' became 'other'"),
    ],
)
def test_postprocessors(postprocess: Callable[..., Any], reason: str) -> None:
    assert fails(testing.check_postprocessor, postprocess)[0].startswith(reason)


class Slices:
    redraws = False

    def __init__(self, result: Any) -> None:
        self.result = result

    def windows(self, encoded: Any, *, epoch: int) -> Any:
        return self.result[epoch] if self.result else None


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (None, "windows returns None, not Windows"),
        ({1: 1}, "windows raises KeyError: 0"),
    ],
)
def test_preprocessors(result: Any, reason: str) -> None:
    assert fails(testing.check_preprocessor, Slices(result))[0] == reason


class Tight(Concatenate):
    """Forgets the separators between contexts."""

    def windows(self, encoded: Any, *, epoch: int) -> Any:
        runtime = replace(self.runtime, separator_tokens=0)
        return Concatenate(self.settings, runtime).windows(encoded, epoch=epoch)


def test_separators_between_contexts_take_room() -> None:
    settings = ConcatenateSettings(overlap=0)
    testing.check_preprocessor(CONCATENATE, settings)
    tight: Any = Component("tight", "Tight", ConcatenateSettings, Tight)
    with pytest.raises(AssertionError, match="longer than max_length"):
        testing.check_preprocessor(tight, settings)
