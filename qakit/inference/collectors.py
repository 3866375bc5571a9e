"""What a head decodes to, gathered over all batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self, TypeVar

from qakit.data.batch import Batch
from qakit.data.encode import EncodedExamples
from qakit.data.windows import Windows
from qakit.errors import PluginError
from qakit.inference.aggregation import against_no_answer, spans_of, whole_contexts
from qakit.inference.classification import LogitTable
from qakit.inference.positions import PositionTable
from qakit.inference.table import SpanTable
from qakit.modeling.model import ReadingModel
from qakit.protocols import ContextScores, Decoded, Gives, HeadOutput, LabelScores, ScoresPositions, SpanCandidates
from qakit.recipe.model import PredictSection


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


def collector(
    encoded: EncodedExamples, windows: Windows, predict: PredictSection, classes: tuple[str, ...], gives: Gives
) -> _Logits | _Spans:
    """An empty collector of what a head of this kind decodes to, with room for all windows.

    It fills batch by batch with ``add``: all of one or, where memory runs out, nothing of it. ``tables`` are for
    several processes to share their rows, ``scores`` are what was collected.
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

    def add(self, model: ReadingModel, batch: Batch, on_device: Batch, output: HeadOutput) -> None:
        wanted: type[LabelScores | ContextScores] = LabelScores if self.table.gives == "labels" else ContextScores
        self.table.add(batch, _decoded(model, on_device, output, wanted))

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

    def add(self, model: ReadingModel, batch: Batch, on_device: Batch, output: HeadOutput) -> None:
        decoded = None
        if self.spans is not None:
            decoded = _decoded(model, on_device, output, SpanCandidates)
            if self.predict.aggregation != "max_context":
                decoded = against_no_answer(decoded)
        # The tables come last: where memory runs out before, nothing has been added to either.
        if self.positions is not None:
            assert isinstance(model.head, ScoresPositions)  # `prepare` has seen to it
            self.positions.add(batch, model.head.position_scores(output.scores, on_device))
        if self.spans is not None and decoded is not None:
            self.spans.add(batch, decoded)

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


D = TypeVar("D", bound=Decoded)


def _decoded(model: ReadingModel, batch: Batch, output: HeadOutput, wanted: type[D]) -> D:
    decoded = model.decoder.decode(output.scores, batch)
    if not isinstance(decoded, wanted):
        raise PluginError(
            f"the head decodes to {type(decoded).__name__}, where {wanted.__name__} is expected: "
            "its attribute `gives` must say what it decodes to"
        )
    return decoded
