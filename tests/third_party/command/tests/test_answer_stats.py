"""What the command says."""

from __future__ import annotations

from pathlib import Path

import pytest
from qakit_answer_stats import answer_stats

from qakit.api import DataError


def test_it_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "answers.json"
    path.write_text('{"a": "two", "b": ""}')
    answer_stats(path)
    assert capsys.readouterr().out == "2 answers, 1 empty, mean length 3.0 characters\n"


def test_what_is_no_file_of_answers_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "answers.json"
    path.write_text("[]")
    with pytest.raises(DataError, match=r"answers\.json: must hold one JSON object"):
        answer_stats(path)
