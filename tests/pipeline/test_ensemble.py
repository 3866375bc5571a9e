"""Pipelines as members of an ensemble that answers a later file."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from command_line import Invoke


@pytest.mark.slow
def test_it_answers_a_file_whose_contexts_lie_elsewhere(
    trained_pipeline: Path, adl_data: Path, tmp_path: Path, invoke: Invoke
) -> None:
    other, folder = tmp_path / "other", tmp_path / "both"
    shutil.copytree(trained_pipeline, other)
    made = invoke("ensemble", trained_pipeline, other, "--method", "nbest", "--folder", folder, "--quiet")
    assert made.exit_code == 0, made.output
    questions, texts, output = tmp_path / "test.json", tmp_path / "texts.json", tmp_path / "answers.csv"
    shutil.copy(adl_data / "test.json", questions)
    shutil.copy(adl_data / "context.json", texts)
    result = invoke("predict", folder, "--input", questions, "--contexts", texts, "--output", output)
    assert result.exit_code == 0, result.output + str(result.exception)
    assert output.read_bytes() == (folder / "predictions" / "submission.csv").read_bytes()
    assert not list((folder / "predictions").glob("unfinished-*"))
