"""An ensemble answers as one model: ``qakit predict``, ``evaluate``, ``ask``, ``export``, ``compare``."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import Invoke

import qakit
from qakit.inference.nbest_file import read_nbest
from qakit.runs import Run

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


@pytest.mark.parametrize("method", METHODS)
def test_its_own_test_file_gets_the_same_submission_again(
    method: str, ensemble: Callable[..., Path], small_data: Path, invoke: Invoke
) -> None:
    folder = ensemble(method, *METHODS[method])
    submission = folder / "predictions" / "submission.csv"
    assert predict(invoke, folder, small_data / "test.json").read_bytes() == submission.read_bytes()


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
    assert "the recipe beside it has no folds: the folder is damaged" in refused(invoke, folder, *source)
    (member / "folds.json").rename(member / "ensemble.json")
    assert f"{member / 'ensemble.json'} is damaged" in refused(invoke, folder, *source)
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


def test_what_an_ensemble_does_not_do(ensemble: Callable[..., Path], small_data: Path, invoke: Invoke) -> None:
    folder, source = ensemble("voting"), small_data / "test.json"
    assert "has answered its validation questions while it was made" in refused(invoke, folder, "--split", "validation")
    scores = ("--character-scores", folder.parent / "scores")
    assert "has no character scores of its own" in refused(invoke, folder, "--input", source, *scores)
    assert "there is no file for them" in refused(invoke, folder, "--input", source, "--contexts", source)
    assert "is the input file" in refused(invoke, folder, "--input", source, "--nbest", source)
    assert "no no-answer threshold of its own" in refused_evaluation(invoke, folder, "--threshold", "1")
    assert "no no-answer threshold of its own" in refused_evaluation(invoke, folder, "--curve", "curve.png")
    assert f"ask a member, such as {folder.parent / 'one'}" in refused_evaluation(invoke, folder, "--errors")


def refused_evaluation(invoke: Invoke, folder: Path, *options: object) -> str:
    result = invoke("evaluate", folder, *options)
    assert result.exit_code == 2
    return str(result.exception)


def test_its_test_split_and_many_files(ensemble: Callable[..., Path], small_data: Path, invoke: Invoke) -> None:
    folder = ensemble("nbest")
    result = invoke("predict", folder, "--split", "test")
    assert result.exit_code == 0, result.output
    kept = folder / "predictions"
    assert (kept / "test" / "nbest.jsonl").read_bytes() == (kept / "nbest.jsonl").read_bytes()
    many = folder.parent / "many"
    command = ("predict", folder, "--input", small_data / "test.json", "--output", f"{many}/", "--format", "csv")
    for times in ("answered", "skipped"):
        result = invoke(*command, "--json")
        assert json.loads(result.stdout)[times] == 1
    rows = (many / "test.csv").read_text("utf-8").splitlines()
    submitted = (kept / "submission.csv").read_text("utf-8").splitlines()
    assert [row.split(",")[:2] for row in rows[1:]] == [row.split(",")[:2] for row in submitted[1:]]
    decision = folder.parent / "two" / "model" / "decision.json"
    decision.write_text(decision.read_text("utf-8") + " ", "utf-8")
    assert "other weights of the run whole" in str(invoke(*command).exception)


@pytest.mark.parametrize("method", METHODS)
def test_it_is_judged_with_what_was_stored(
    method: str, ensemble: Callable[..., Path], small_data: Path, invoke: Invoke
) -> None:
    folder = ensemble(method, *METHODS[method])
    metrics = json.loads((folder / "metrics.json").read_text("utf-8"))
    report = json.loads(invoke("evaluate", folder, "--json").stdout)
    assert report["figures"][metrics["ensemble"]["figure"]] == pytest.approx(metrics["ensemble"]["seen"])
    assert report == json.loads(invoke("evaluate", folder, "--input", small_data / "dev.json", "--json").stdout)
    if method == "voting":
        assert (report["threshold"], report["oracle"]) == (None, None)
        return
    stored = json.loads((folder / "ensemble.json").read_text("utf-8"))["null_threshold"]
    assert (report["threshold"]["value"], report["threshold"]["source"]) == (stored, "validation")
    given = json.loads(invoke("evaluate", folder, "--json", "--threshold=-1e9").stdout)
    assert given["threshold"] == {"value": -1e9, "source": "option", "answered": 0}
    assert given["oracle"] == report["oracle"]
    curve = folder.parent / "curve.png"
    assert invoke("evaluate", folder, "--curve", curve).exit_code == 0
    assert curve.is_file()


@pytest.mark.parametrize("method", METHODS)
def test_it_is_asked(method: str, ensemble: Callable[..., Path], invoke: Invoke) -> None:
    folder = ensemble(method, *METHODS[method])
    question = ("Who came?", "--context", "The Normans came.", "--context", "Rollo led them home.")
    replies = [json.loads(invoke("ask", folder, *question, "-k", k, "--json").stdout) for k in (1, 4)]
    assert [len(reply["candidates"]) for reply in replies] == [1, 4]
    assert replies[0]["answer"] == replies[1]["answer"]
    assert len({each["text"] for each in replies[1]["candidates"]}) == 4
    found = qakit.load(folder).answer("Who came?", ["The Normans came.", "Rollo led them home."], top_k=4)
    assert [each.text for each in found.candidates] == [each["text"] for each in replies[1]["candidates"]]


def test_values_are_handed_to_the_members(ensemble: Callable[..., Path], small_data: Path, invoke: Invoke) -> None:
    folder = ensemble("nbest")
    nbest = folder.parent / "short.jsonl"
    options = ("--nbest", nbest, "--set", "predict.max_answer_length=1", "--set", "predict.null_threshold=1e6")
    predict(invoke, folder, small_data / "dev.json", *options)
    found = read_nbest(nbest)
    assert all(len(each.final.split()) == 1 for each in found)
    (folder.parent / "answers.csv").unlink()
    text = refused(invoke, folder, "--input", small_data / "dev.json", "--set", "windows.max_length=64")
    assert text.startswith("--set windows.max_length: this takes another training")
    text = refused(invoke, folder, "--input", small_data / "dev.json", "--set", "predict.max_answer_length=none")
    assert "predict.max_answer_length" in text


@pytest.mark.parametrize("method", METHODS)
def test_an_ensemble_of_ensembles(method: str, ensemble: Callable[..., Path], small_data: Path, invoke: Invoke) -> None:
    inner = ensemble("nbest", "--weights", "1,3")
    one, whole = inner.parent / "one", inner.parent / "nested"
    if method == "char_average":
        made = invoke("ensemble", inner, one, "--method", method, "--folder", whole)
        assert "has no character scores" in str(made.exception)
        return
    made = invoke("ensemble", inner, one, *METHODS[method], "--method", method, "--folder", whole, "--quiet")
    assert made.exit_code == 0, made.output
    answers = predict(invoke, whole, small_data / "test.json")
    assert answers.read_bytes() == (whole / "predictions" / "submission.csv").read_bytes()
    report = json.loads(invoke("evaluate", whole, "--input", small_data / "dev.json", "--json").stdout)
    assert report["questions"] == 12
    assert invoke("ask", whole, "Who?", "-c", "Rollo came.").exit_code == 0
    compared = invoke("compare", whole, inner, one, "--json", "--resamples", "100")
    assert compared.exit_code == 0, compared.output + str(compared.exception)
    assert len(json.loads(compared.stdout)["runs"]) == 3
    exported = invoke("export", whole, "--offline", "--output", whole.parent / "exported")
    assert exported.exit_code == 0, exported.output
    kept = {path.name: Run(path).figures() for path in (whole.parent / "exported" / "run" / "members").iterdir()}
    assert kept == {f"{n}-{path.name}": Run(path).figures() for n, path in enumerate((inner, one), start=1)}
    assert all(kept.values()), "an ensembler may ask for them"


@pytest.mark.parametrize("kind", ["offline", "kaggle"])
def test_it_is_exported_with_all_members(
    ensemble: Callable[..., Path], small_data: Path, invoke: Invoke, kind: str
) -> None:
    folder = ensemble("nbest", "--weights", "1,2")
    exported = folder.parent / "exported"
    result = invoke("export", folder, "--merge", "--output", exported)
    assert result.exit_code == 2
    members = f"{folder.parent / 'one'}, {folder.parent / 'two'}"
    assert f"export its members ({members}), or all of it with --offline or --kaggle" in str(result.exception)
    options = (
        ("--kaggle", exported, "--user", "ada", "-c", "cup") if kind == "kaggle" else ("--offline", "-o", exported)
    )
    result = invoke("export", folder, *options)
    assert result.exit_code == 0, result.output + str(result.exception)
    submission = (folder / "predictions" / "submission.csv").read_bytes()
    for gone in (folder, folder.parent / "one", folder.parent / "two"):
        shutil.rmtree(gone)
    packed = exported / "dataset" if kind == "kaggle" else exported
    assert predict(invoke, packed / "run", small_data / "test.json").read_bytes() == submission
    texts = [file.read_text("utf-8") for file in exported.rglob("*.json")]
    assert not any(str(folder.parent) in text for text in texts)
