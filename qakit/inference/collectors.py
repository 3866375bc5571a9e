"""What a head decodes to, gathered over all batches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from qakit.attribution import fault
from qakit.data.batch import Batch
from qakit.data.encode import EncodedExamples
from qakit.data.windows import Windows
from qakit.errors import ModelError, PluginError, PluginFaultError
from qakit.inference.aggregation import against_no_answer, spans_of, whole_contexts
from qakit.inference.classification import LogitTable
from qakit.inference.fetching import Fetch
from qakit.inference.positions import PositionTable
from qakit.inference.spans import BROKEN_SCORES
from qakit.inference.table import SpanTable
from qakit.modeling.model import ReadingModel
from qakit.protocols import Decoded, Gives, HeadOutput, PositionScores, ScoresPositions
from qakit.recipe.model import PredictSection

Asked = TypeVar("Asked", Decoded, PositionScores)


@dataclass(frozen=True, slots=True)
class SpanScores:
    """What a span head makes of a set of windows.

    Attributes:
        spans: the candidates of each window.
        windows: what its rows are: the windows that were scored, or whole contexts where scores are averaged first.
        positions: start and end log-odds of every token; None where nobody asked for them.
    """

    spans: SpanTable
    windows: Windows
    positions: PositionTable | None


@dataclass(frozen=True, slots=True)
class SetScores:
    """The spans that a head takes for the answer, window by window."""

    spans: SpanTable
    windows: Windows


Scores = SpanScores | SetScores | LogitTable
"""What a head makes of a set of windows: spans, sets of these, or logits of classes (numbers) or contexts."""

Table = SpanTable | PositionTable | LogitTable


@dataclass(frozen=True, slots=True)
class Found:
    """What a head has made of one batch, on its way to the tables.

    Attributes:
        batch: the windows, on the CPU.
        output: what was decoded.
        decoded: the candidates or logits; None where nobody asked for them.
        positions: the scores of single positions; None likewise.
    """

    batch: Batch
    output: HeadOutput
    decoded: Fetch[Decoded] | None
    positions: Fetch[PositionScores] | None = None


def collector(
    encoded: EncodedExamples, windows: Windows, predict: PredictSection, classes: tuple[str, ...], gives: Gives
) -> _Logits | _Spans:
    """An empty collector of what a head of this kind decodes to, with room for all windows.

    ``find`` asks the head, and changes nothing here, so it may be called again where memory runs out; ``add`` waits for
    what it found and takes it over. ``tables`` are for several processes to share their rows, ``scores`` are what was
    collected.
    """
    if gives == "spans" or gives == "sets":
        return _Spans.of(encoded, windows, predict, sets=gives == "sets")
    return _Logits(LogitTable(len(windows), classes=classes if gives == "labels" else (), gives=gives))


@dataclass(frozen=True, slots=True)
class _Logits:
    """Logits of all windows: of their classes, or of their contexts."""

    table: LogitTable

    @property
    def tables(self) -> list[Table]:
        return [self.table]

    def find(self, model: ReadingModel, batch: Batch, on_device: Batch, output: HeadOutput) -> Found:
        with _answering(model, "decode", output):
            return Found(batch, output, _fetched(model.decoder.decode(output.scores, on_device), on_device))

    def add(self, model: ReadingModel, found: Found) -> None:
        assert found.decoded is not None
        with _answering(model, "decode", found.output):
            self.table.add(found.batch, found.decoded.result())  # type: ignore[arg-type]

    def scores(self) -> LogitTable:
        return self.table


@dataclass(frozen=True, slots=True)
class _Spans:
    """Candidates, scores of single positions, or both, of all windows."""

    encoded: EncodedExamples
    windows: Windows
    predict: PredictSection
    spans: SpanTable | None
    positions: PositionTable | None
    sets: bool

    @classmethod
    def of(cls, encoded: EncodedExamples, windows: Windows, predict: PredictSection, *, sets: bool) -> Self:
        mean = predict.aggregation == "mean"
        return cls(
            encoded,
            windows,
            predict,
            None if mean else SpanTable(len(windows), predict.n_best, encoded),
            PositionTable(encoded, windows, mean=mean) if mean or predict.character_scores else None,
            sets,
        )

    @property
    def tables(self) -> list[Table]:
        return [table for table in (self.spans, self.positions) if table is not None]

    def find(self, model: ReadingModel, batch: Batch, on_device: Batch, output: HeadOutput) -> Found:
        decoded: Fetch[Decoded] | None = None
        positions: Fetch[PositionScores] | None = None
        if self.spans is not None:
            with _answering(model, "decode", output):
                spans: Any = model.decoder.decode(output.scores, on_device)
            if self.predict.aggregation != "max_context":
                spans = against_no_answer(spans)
            decoded = _fetched(spans, on_device)
        if self.positions is not None:
            assert isinstance(model.head, ScoresPositions)  # `prepare` has seen to it
            with _answering(model, "position_scores", output):
                positions = _fetched(model.head.position_scores(output.scores, on_device), on_device)
        return Found(batch, output, decoded, positions)

    def add(self, model: ReadingModel, found: Found) -> None:
        if self.positions is not None and found.positions is not None:
            with _answering(model, "position_scores", found.output):
                self.positions.add(found.batch, found.positions.result())
        if self.spans is not None and found.decoded is not None:
            with _answering(model, "decode", found.output):
                self.spans.add(found.batch, found.decoded.result())  # type: ignore[arg-type]

    def scores(self) -> SpanScores | SetScores:
        predict = self.predict
        if self.sets and self.spans is not None:
            return SetScores(self.spans, self.windows)
        if self.spans is not None:
            return SpanScores(self.spans, self.windows, self.positions)
        assert self.positions is not None
        spans = spans_of(
            self.positions, self.encoded, n_best=predict.n_best, max_answer_length=predict.max_answer_length
        )
        return SpanScores(spans, whole_contexts(self.encoded), self.positions)


def _fetched(value: Asked, on_device: Batch) -> Fetch[Asked]:
    return Fetch.begin(value, on_device.input_ids.device)


@contextmanager
def _answering(model: ReadingModel, method: str, output: HeadOutput) -> Iterator[None]:
    """What is wrong with what a method of the head makes of ``output`` is the head's fault; broken scores are it only
    where finite ones were given."""
    try:
        yield
    except PluginFaultError:
        raise
    except PluginError as error:
        raise fault(model.head, method, str(error)) from error
    except ModelError as error:
        broken = (bool((each.isnan() | each.isposinf()).any()) for each in output.scores.values())
        if str(error) != BROKEN_SCORES or any(broken):
            raise
        raise fault(model.head, method, "gives scores that are NaN or infinite, of finite ones") from error
