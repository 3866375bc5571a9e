"""Natural Questions' submissions: tokens of the document for the long and the short answer of each question."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from qakit.api import YES_NO, Candidate, DataError, Prediction, SpanPrediction, UsageError
from qakit.reading import text_lines
from qakit_writers import CsvSettings, NaturalQuestionsSettings
from qakit_writers.table import CsvWriter

_COLUMNS = {"id_column": "example_id", "answer_column": "PredictionString"}


class NaturalQuestionsWriter:
    """``example_id,PredictionString``: rows ``ID_long`` and ``ID_short`` with ``first:stop``, YES, NO or nothing."""

    suffix = ".csv"

    def __init__(self, settings: NaturalQuestionsSettings) -> None:
        self._questions = Path(settings.questions)
        self._threshold = settings.long_threshold
        self._table = CsvWriter(CsvSettings.model_validate(_COLUMNS))

    def write(self, predictions: Sequence[Prediction], path: Path) -> None:
        """Write the file atomically, in the order of ``predictions``.

        Raises:
            UsageError: the predictions are no answers.
            DataError: a question is not in the file of the questions, or that is none.
        """
        wanted = {prediction.id for prediction in predictions}
        documents = {document.id: document for document in _documents(self._questions, wanted)}
        self._table.write([row for each in predictions for row in self._rows(each, documents.get(each.id))], path)

    def check(self, path: Path, sample: Path) -> list[str]:
        """Problems of a written file against the sample submission; empty when it is fine.

        Raises:
            DataError: the sample itself cannot be read.
        """
        return self._table.check(path, sample)

    def _rows(self, prediction: Prediction, document: _Document | None) -> Iterator[Prediction]:
        if not isinstance(prediction, SpanPrediction):
            raise UsageError(f"this writer writes answers, but the prediction for id {prediction.id!r} is none")
        if document is None:
            message = (
                f"has no question {prediction.id}; the writer's setting `questions` names the file that is predicted"
            )
            raise DataError(message, path=self._questions)
        answer, null = prediction.answer, prediction.null
        same = next((each for each in prediction.candidates if each.text == answer), None)
        best = same or prediction.best or document.found(answer)
        if best is not None and best.context >= len(document.passages):
            message = f"the answer is in context {best.context}, but the question has {len(document.passages)}"
            raise DataError(message, path=self._questions, row=f"id {prediction.id}")
        likely = null is not None and null.probability <= self._threshold
        long = document.long(best) if best is not None and (answer or likely) else ""
        said = answer in YES_NO and (same is None or same.start is None)
        short = answer.upper() if said else document.short(best) if answer and best else ""
        yield SpanPrediction(f"{prediction.id}_long", long)
        yield SpanPrediction(f"{prediction.id}_short", short)


@dataclass(frozen=True, slots=True)
class _Document:
    """A question's document.

    Attributes:
        id: the question's.
        tokens: of the document, which blanks separate.
        passages: [first, stop) tokens of its contexts, as the reader of this format has them: the top-level candidates.
        is_whole: there are no candidates; the only context is the whole document.
    """

    id: str
    tokens: Sequence[str]
    passages: Sequence[tuple[int, int]]
    is_whole: bool

    def found(self, text: str) -> Candidate | None:
        """An answer of which only the text is known, where the first passage has it."""
        texts = [" ".join(self.tokens[first:stop]) for first, stop in self.passages]
        row = next((row for row, passage in enumerate(texts) if text and text in passage), None)
        if row is None:
            return None
        start = texts[row].index(text)
        return Candidate(text, start, start + len(text), row, 0.0, 0.0)

    def long(self, candidate: Candidate) -> str:
        """The passage that holds the candidate."""
        first, stop = self.passages[candidate.context]
        return "" if self.is_whole else f"{first}:{stop}"

    def short(self, candidate: Candidate) -> str:
        """The tokens that the candidate has characters of."""
        first, stop = self.passages[candidate.context]
        tokens = self.tokens[first:stop]
        start, end = candidate.start, candidate.end
        if start is None or end is None:  # from a file without offsets
            start = " ".join(tokens).find(candidate.text)
            end = start + len(candidate.text)
        ends = list(accumulate((len(token) for token in tokens), lambda end, length: end + 1 + length))
        covered = [at for at, stop in enumerate(ends) if stop > start and stop - len(tokens[at]) < end]
        return f"{first + covered[0]}:{first + covered[-1] + 1}" if start >= 0 and covered else ""


def _documents(path: Path, wanted: set[str]) -> Iterator[_Document]:
    """The documents of some questions in a file of the simplified format."""
    number = 0
    if not path.is_file():
        raise DataError("there is no such file; the writer's setting `questions` names it", path=path)
    try:
        for number, line in text_lines(path):  # noqa: B007 - what messages name
            record = json.loads(line) if line.strip() else {}
            if str(record.get("example_id")) in wanted:
                yield _document(record)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        problem = f"is no question of Natural Questions' simplified form ({type(error).__name__}: {error})"
        raise DataError(problem, path=path, row=f"line {number}") from None


def _document(record: dict[str, Any]) -> _Document:
    candidates = [each for each in record["long_answer_candidates"] if each.get("top_level", True) is not False]
    tokens = record["document_text"].split(" ")
    passages = [(int(each["start_token"]), int(each["end_token"])) for each in candidates]
    return _Document(str(record["example_id"]), tokens, passages or [(0, len(tokens))], not passages)
