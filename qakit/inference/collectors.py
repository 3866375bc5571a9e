"""What a head decodes to, gathered over all batches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

from qakit.attribution import fault
from qakit.data.batch import Batch
from qakit.data.encode import EncodedExamples
from qakit.data.windows import Windows
from qakit.errors import ModelError, PluginError, PluginFaultError
from qakit.inference.aggregation import against_no_answer, spans_of, whole_contexts
from qakit.inference.classification import LogitTable
from qakit.inference.positions import PositionTable
from qakit.inference.spans import BROKEN_SCORES
from qakit.inference.table import SpanTable
from qakit.modeling.model import ReadingModel
from qakit.protocols import Gives, HeadOutput, ScoresPositions, SpanCandidates
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
        with _answering(model, "decode", output):
            self.table.add(batch, model.decoder.decode(output.scores, on_device))  # type: ignore[arg-type]

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
        decoded: SpanCandidates | None = None
        if self.spans is not None:
            with _answering(model, "decode", output):
                decoded = model.decoder.decode(output.scores, on_device)  # type: ignore[assignment]
                assert decoded is not None
            if self.predict.aggregation != "max_context":
                decoded = against_no_answer(decoded)
        # The tables come last: where memory runs out before, nothing has been added to either.
        if self.positions is not None:
            assert isinstance(model.head, ScoresPositions)  # `prepare` has seen to it
            with _answering(model, "position_scores", output):
                self.positions.add(batch, model.head.position_scores(output.scores, on_device))
        if self.spans is not None and decoded is not None:
            with _answering(model, "decode", output):
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
