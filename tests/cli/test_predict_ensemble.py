"""``qakit predict`` of an ensemble: a file that came after it was made."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import Invoke

from qakit.inference.nbest_file import read_nbest

pytestmark = pytest.mark.slow

METHODS = {
    "voting": ("--weights", "2,1.5"),
    "nbest": ("--weights", "1,2"),
    "char_average": ("--learn-weights",),
}


@pytest.fixture(scope="module")
def runs(small_recipe: Path, invoke: Invoke, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two runs that differ in seed and windows; their questions may have no answer."""
    folder = tmp_path_factory.mktemp("members")
    found = [folder / "one", folder / "two"]
    for seed, run in enumerate(found):
        settings = (
            f"seed={seed}",
            "predict.character_scores=true",
            "predict.no_answer=true",
            "metric=squad_v2",
            f"preprocess.predict.overlap={16 + 16 * seed}",
        )
        options = [part for setting in settings for part in ("--set", setting)]
        result = invoke("train", small_recipe, *options, "--output", run, "--quiet")
        assert result.exit_code == 0, result.output
    return found


@pytest.fixture
def ensemble(runs: list[Path], invoke: Invoke, tmp_path: Path) -> Callable[..., Path]:
    """Makes an ensemble's folder of copies of the runs, which a test may damage."""

    def make(method: str = "nbest", *options: str) -> Path:
        copies = [tmp_path / run.name for run in runs]
        for run, copy in zip(runs, copies, strict=True):
            shutil.copytree(run, copy, ignore=shutil.ignore_patterns("checkpoints"))
        folder = tmp_path / "whole"
        result = invoke("ensemble", *copies, "--method", method, *options, "--folder", folder, "--quiet")
        assert result.exit_code == 0, result.output
        return folder

    return make


def predict(invoke: Invoke, folder: Path, source: Path, *options: object) -> Path:
    output = folder.parent / "answers.csv"
    result = invoke("predict", folder, "--input", source, "--output", output, *options)
    assert result.exit_code == 0, result.output + str(result.exception)
    assert "warning" not in result.stderr
    return output


def refused(invoke: Invoke, folder: Path, *options: object) -> str:
    output = folder.parent / "answers.csv"
    result = invoke("predict", folder, "--output", output, *options)
    assert result.exit_code == 2
    assert not output.exists()
    return str(result.exception)


def unfinished(folder: Path) -> list[Path]:
    return sorted((folder / "predictions").glob("unfinished-*/*"))


@pytest.mark.parametrize("method", METHODS)
def test_its_own_test_file_gets_the_same_submission_again(
    method: str, ensemble: Callable[..., Path], small_data: Path, invoke: Invoke
) -> None:
    folder = ensemble(method, *METHODS[method])
    submission = folder / "predictions" / "submission.csv"
    assert predict(invoke, folder, small_data / "test.json").read_bytes() == submission.read_bytes()
    assert unfinished(folder) == []


def test_the_stored_threshold_and_weights_decide(
    ensemble: Callable[..., Path], small_data: Path, invoke: Invoke
) -> None:
    folder = ensemble("nbest")
    file = folder / "ensemble.json"
    stored = json.loads(file.read_text("utf-8"))
    nbest = folder.parent / "all.jsonl"
    predict(invoke, folder, small_data / "dev.json", "--nbest", nbest)
    assert len(read_nbest(nbest)) == 12
    for threshold, answered in ((-1e6, 0), (1e6, 12)):
        file.write_text(json.dumps(stored | {"null_threshold": threshold}), "utf-8")
        predict(invoke, folder, small_data / "dev.json", "--nbest", nbest)
        assert sum(bool(each.final) for each in read_nbest(nbest)) == answered
    one, two = stored["members"]
    alone, found = folder.parent / "alone.csv", set[bytes]()
    for first in (1.0, 0.0):
        weighted = [one | {"weight": first}, two | {"weight": 1 - first}]
        file.write_text(json.dumps(stored | {"members": weighted, "null_threshold": 1e6}), "utf-8")
        answers = predict(invoke, folder, small_data / "dev.json").read_bytes()
        taken = folder.parent / ("one" if first else "two")
        decision = taken / "model" / "decision.json"
        decision.write_text(json.dumps(json.loads(decision.read_text("utf-8")) | {"null_threshold": 1e6}), "utf-8")
        invoke("predict", taken, "--input", small_data / "dev.json", "--output", alone)
        assert alone.read_bytes() == answers
        found.add(answers)
    assert len(found) == 2


def test_an_interrupted_command_goes_on_with_the_next_member(
    ensemble: Callable[..., Path], small_data: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qakit.ensembling import later

    folder, loaded = ensemble("char_average"), list[str]()
    load = later.load_trained

    def dies_at(last: str) -> Callable[..., Any]:
        def load_or_die(run: Path, **options: Any) -> Any:
            loaded.append(run.name)
            if run.name == last:
                raise KeyboardInterrupt
            return load(run, **options)

        return load_or_die

    monkeypatch.setattr(later, "load_trained", dies_at("two"))
    source = small_data / "test.json"
    result = invoke("predict", folder, "--input", source, "--output", folder.parent / "answers.csv")
    assert result.exit_code != 0
    assert [path.name for path in unfinished(folder)] == ["1-one"]
    monkeypatch.setattr(later, "load_trained", dies_at(""))
    answers = predict(invoke, folder, source)
    assert answers.read_bytes() == (folder / "predictions" / "submission.csv").read_bytes()
    assert loaded == ["one", "two", "two"]
    assert unfinished(folder) == []


def test_what_a_member_said_before_it_changed_is_not_used(
    ensemble: Callable[..., Path], small_data: Path, invoke: Invoke
) -> None:
    folder = ensemble("char_average")
    weights = folder.parent / "two" / "model" / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(b"")
    source = small_data / "test.json"
    refused(invoke, folder, "--input", source)
    weights.write_bytes(whole)
    (kept,) = unfinished(folder)
    (kept / "nbest.jsonl").write_text("", "utf-8")  # would not do
    decision = folder.parent / "one" / "model" / "decision.json"
    decision.write_text(decision.read_text("utf-8") + " ", "utf-8")
    answers = predict(invoke, folder, source)
    assert answers.read_bytes() == (folder / "predictions" / "submission.csv").read_bytes()


def test_json_and_the_members_by_name(ensemble: Callable[..., Path], small_data: Path, invoke: Invoke) -> None:
    folder = ensemble("voting")
    source, output = small_data / "test.json", folder.parent / "answers.csv"
    result = invoke("predict", folder, "--input", source, "--output", output, "--json")
    assert json.loads(result.stdout) | {"sha256": ""} == {
        "rows": 8,
        "file": str(output),
        "sha256": "",
        "problems": [],
    }
    assert result.stderr == ""
    shown = invoke("predict", folder, "--input", source, "--output", output)
    assert f"member 2 of 2: {folder.parent / 'two'}" in shown.stderr
    assert "8 answers in" in shown.stdout


def test_members_that_cannot_answer_are_named(ensemble: Callable[..., Path], small_data: Path, invoke: Invoke) -> None:
    folder = ensemble("voting")
    source = ("--input", small_data / "test.json")
    member = folder.parent / "two"
    (member / "model").rename(member / "weights")
    assert f"its member {member} has no model: train it" in refused(invoke, folder, *source)
    (member / "folds.json").write_text("{}", "utf-8")
    assert f"take the folds themselves, {member / 'fold-1'}" in refused(invoke, folder, *source)
    (member / "folds.json").rename(member / "ensemble.json")
    assert "two is an ensemble itself" in refused(invoke, folder, *source)
    (member / "recipe.yaml").unlink()
    assert "two holds predictions and no run" in refused(invoke, folder, *source)
    member.rename(folder.parent / "elsewhere")
    assert "two is not there any more: put it back" in refused(invoke, folder, *source)
    member.write_text("id,answer\n", "utf-8")
    assert "two is a file of answers" in refused(invoke, folder, *source)


def test_members_in_its_own_folder_may_move_with_it(
    ensemble: Callable[..., Path], small_data: Path, invoke: Invoke
) -> None:
    folder = ensemble("nbest")
    for name in ("one", "two"):
        shutil.move(folder.parent / name, folder / "members" / name)
    answers = predict(invoke, folder, small_data / "test.json")
    assert answers.read_bytes() == (folder / "predictions" / "submission.csv").read_bytes()
    with (folder / "members" / "one" / "predictions" / "nbest.jsonl").open("a") as file:
        file.write("\n")
    result = invoke("predict", folder, "--input", small_data / "test.json", "--output", answers)
    assert f"warning: {folder / 'members' / 'one'} has other predictions" in result.stderr


def test_what_an_ensemble_does_not_do(
    ensemble: Callable[..., Path], small_data: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, source = ensemble("voting"), small_data / "test.json"
    assert "no --split of its own" in refused(invoke, folder, "--split", "test")
    assert "one --input FILE into one --output FILE" in refused(invoke, folder, "--input", source, "--input", source)
    assert "one --input FILE into one" in refused(invoke, folder, "--input", source, "--format", "csv")
    scores = ("--character-scores", folder.parent / "scores")
    assert "ask one of them for its character scores" in refused(invoke, folder, "--input", source, *scores)
    assert "there is no file for them" in refused(invoke, folder, "--input", source, "--contexts", source)
    assert "is the input file" in refused(invoke, folder, "--input", source, "--nbest", source)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert "without a launcher" in refused(invoke, folder, "--input", source)


def test_another_process_at_work(ensemble: Callable[..., Path], small_data: Path, invoke: Invoke) -> None:
    from qakit.runs import Run, alone_in

    folder = ensemble("voting")
    with alone_in(Run(folder)):
        assert "another process is at work" in refused(invoke, folder, "--input", small_data / "test.json")


def test_evaluate_and_ask_still_want_one_model(ensemble: Callable[..., Path], small_data: Path, invoke: Invoke) -> None:
    folder = ensemble("voting")
    result = invoke("evaluate", folder, "--input", small_data / "dev.json")
    assert result.exit_code == 2
    assert "`qakit predict` answers a file with all of them" in str(result.exception)
