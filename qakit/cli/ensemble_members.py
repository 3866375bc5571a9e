"""What ``qakit ensemble`` combines: answer files and run folders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from qakit.data.predictions_file import AnswerFile, first_ids, read_answers
from qakit.errors import DataError
from qakit.values import Prediction, SpanPrediction


@dataclass(frozen=True, slots=True)
class Member:
    """One member's predictions and how it writes them."""

    path: Path
    predictions: tuple[Prediction, ...]
    columns: tuple[str, str] | None = None
    """Headers of the id and the answer column, where the member is, or has, a CSV file."""
    line_end: Literal["\n", "\r\n"] = "\n"

    @property
    def answers(self) -> dict[str, str | float]:
        """As :func:`final_answers`."""
        return final_answers(self.predictions)


def final_answers(predictions: Sequence[Prediction]) -> dict[str, str | float]:
    """Final texts (classes, numbers) by id."""
    return {item.id: item.answer if isinstance(item, SpanPrediction) else item.label for item in predictions}


def read_member(path: Path) -> Member:
    """A ``.csv`` file, a JSON file (id -> text), or a run folder with its ``predictions/``.

    Raises:
        DataError: as :func:`~qakit.data.predictions_file.read_answers`, or the folder has no predictions.
    """
    if path.is_dir():
        return _read_run(path)
    file = read_answers(path)
    predictions = tuple(SpanPrediction(id_, answer) for id_, answer in file.answers.items())
    return Member(path, predictions, file.columns, file.line_end)


def check_same_ids(members: Sequence[Member]) -> None:
    """Refuse members that answer other questions than the first one.

    Raises:
        DataError: names the file and the first ids that it lacks or has too many.
    """
    first = members[0]
    wanted = first.answers
    for member in members[1:]:
        found = member.answers
        missing = [id_ for id_ in wanted if id_ not in found]
        unknown = [id_ for id_ in found if id_ not in wanted]
        parts = [
            *([f"{len(missing)} ids of {first.path} are missing here: {first_ids(missing)}"] if missing else []),
            *([f"{len(unknown)} ids are not in {first.path}: {first_ids(unknown)}"] if unknown else []),
        ]
        if parts:
            raise DataError("; ".join(parts), path=member.path)


def agreement(members: Sequence[Member]) -> list[list[float]]:
    """Share (0 to 1) of equal answers for each pair of members."""
    answers = [member.answers for member in members]
    return [[sum(one[id_] == other[id_] for id_ in one) / max(1, len(one)) for other in answers] for one in answers]


def _read_run(folder: Path) -> Member:
    from qakit.inference.nbest_file import read_nbest

    file = folder / "predictions" / "nbest.jsonl"
    if not file.is_file():
        raise DataError("has no predictions/nbest.jsonl; name a run that has answered a test file", path=folder)
    predictions = tuple(read_nbest(file))
    submission = _submission(folder / "predictions")
    if submission is None:
        return Member(folder, predictions)
    return Member(folder, predictions, submission.columns, submission.line_end)


def _submission(folder: Path) -> AnswerFile | None:
    """The run's own CSV file, for its header."""
    file = next(iter(sorted(folder.glob("*.csv"))), None)
    return read_answers(file) if file else None
