"""The submission file, and what is said about it."""

from __future__ import annotations

import csv
from pathlib import Path

from qakit.inference.output import Submission, write_submission
from qakit.recipe.model import Recipe
from qakit.registry import load_registry
from qakit.values import SpanPrediction

ANSWERS = [SpanPrediction("a", "=1+1"), SpanPrediction("b", "x"), SpanPrediction("c", "-3")]


def written(folder: Path, writer: str) -> Submission:
    recipe = Recipe.model_validate(
        {"data": {"reader": "squad"}, "backbone": {"source": "s"}, "writer": {"name": writer}}
    )
    return write_submission(folder / "submission", ANSWERS, recipe, load_registry())


def test_answers_like_formulas_stay_what_they_are_and_are_told(tmp_path: Path) -> None:
    submission = written(tmp_path, "csv")
    assert submission.notice is not None
    assert submission.notice.startswith("2 ids or answers begin like a spreadsheet formula")
    with submission.path.open(newline="") as file:
        assert [row[1] for row in csv.reader(file)][1:] == ["=1+1", "x", "-3"]


def test_files_that_no_spreadsheet_opens_need_no_notice(tmp_path: Path) -> None:
    assert written(tmp_path, "squad_json").notice is None
