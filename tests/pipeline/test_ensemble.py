"""Pipelines as members of an ensemble that answers a later file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from command_line import Invoke

from qakit.inference.nbest_file import read_nbest
from qakit.values import SpanPrediction


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
    report = json.loads(invoke("evaluate", folder, "--json").stdout)
    alone = json.loads(invoke("evaluate", trained_pipeline, "--json").stdout)
    assert report["figures"] == pytest.approx(alone["figures"])  # both members are the same
    fewer = invoke("evaluate", folder, "--set", "combine.top_k=1", "--json")
    assert fewer.exit_code == 0, fewer.output
    reply = json.loads(invoke("ask", folder, "Who?", "-c", "Rollo came.", "-c", "Two.", "--json").stdout)
    assert reply["answer"] == reply["candidates"][0]["text"]
    refused = invoke("predict", folder, "--input", questions, "--output", output, "--set", "predict.batch_size=2")
    assert f"{trained_pipeline} is a pipeline; say for which stage" in str(refused.exception)


@pytest.mark.slow
def test_values_are_for_a_stage_or_for_the_whole(trained_pipeline: Path, tmp_path: Path, invoke: Invoke) -> None:
    nbest = tmp_path / "nbest.jsonl"
    settings = ("span.predict.max_answer_length=1", "selection.predict.batch_size=2", "predict.n_best=2")
    options = [part for setting in settings for part in ("--set", setting)]
    result = invoke("evaluate", trained_pipeline, *options, "--nbest", nbest)
    assert result.exit_code == 0, result.output + str(result.exception)
    found = read_nbest(nbest)
    assert all(isinstance(each, SpanPrediction) and len(each.candidates) <= 2 for each in found)
    assert all(" " not in each.final for each in found)
    for setting, said in (
        ("span.train.epochs=1", "--set train.epochs: this takes another training"),
        ("preprocess.predict.overlap=1", "--set span.preprocess.predict.overlap=1"),
        ("span.predict.n_bset=1", "n_bset"),
        ("combine.topk=1", "unknown key 'topk' in combine"),
    ):
        refused = invoke("evaluate", trained_pipeline, "--set", setting)
        assert refused.exit_code == 2
        assert said in str(refused.exception)
