"""One task's predictions as GLUE's server reads them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from qakit.api import DataError, LabelPrediction, Prediction, Targets, UsageError, write_text
from qakit_glue import GlueWriterSettings
from qakit_glue.tasks import HIGHEST_SIMILARITY, TEST_SETS, problem_of, read_table, table_text

_INDEX = re.compile(r"(?:mismatched-)?([0-9]+)")
"""The ids of the `glue` reader: the row's index, for MNLI's mismatched set with a word before it."""


class GlueWriter:
    """``index<TAB>prediction`` under a header, sorted by index; numbers with three decimals, between 0 and 5."""

    suffix = ".tsv"

    def __init__(self, settings: GlueWriterSettings) -> None:
        self._test = None if settings.task is None else TEST_SETS[settings.task]

    def write(self, predictions: Sequence[Prediction], path: Path) -> None:
        """Write the file atomically.

        Raises:
            UsageError: the predictions are answers, not classes or numbers.
            DataError: an id is no index, or comes twice; or the task does not have such a class.
        """
        rows = {self._index(prediction, path): self._value(prediction, path) for prediction in predictions}
        if len(rows) < len(predictions):
            raise DataError(f"{len(predictions) - len(rows)} indices come twice", path=path)
        write_text(path, table_text([rows[index] for index in sorted(rows)], indices=sorted(rows)))

    def check(self, path: Path, sample: Path) -> list[str]:
        """Problems of a written file against another one of the same task; empty when it is fine.

        Raises:
            DataError: the sample itself cannot be read.
        """
        wanted = read_table(sample)
        try:
            found = read_table(path)
        except DataError as error:
            return [str(error)]
        if found.keys() != wanted.keys():
            odd = sorted(found.keys() ^ wanted.keys())
            return [f"{len(odd)} indices are not in both files: {', '.join(map(str, odd[:5]))}"]
        return []

    def _index(self, prediction: Prediction, path: Path) -> int:
        match = _INDEX.fullmatch(prediction.id)
        if match is None:
            raise DataError(
                "the id is no index; GLUE's files number their rows: read them with the reader `glue`",
                path=path,
                row=f"id {prediction.id}",
            )
        return int(match[1])

    def _value(self, prediction: Prediction, path: Path) -> str:
        if not isinstance(prediction, LabelPrediction):
            raise UsageError(
                f"the prediction for id {prediction.id!r} is no class and no number; GLUE's tasks have those"
            )
        label = prediction.label
        if isinstance(label, Targets):
            raise UsageError(f"the prediction for id {prediction.id!r} is several numbers; GLUE's tasks have one")
        value = label if isinstance(label, str) else f"{min(max(label, 0.0), HIGHEST_SIMILARITY):.3f}"
        problem = None if self._test is None else problem_of(value, self._test)
        if problem is not None:
            raise DataError(problem, path=path, row=f"id {prediction.id}")
        return value
