"""``qakit study``: a small study of two trainings, from the file to the report."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from qakit.cli.study import _end
from qakit.errors import QakitError, RecipeError
from qakit.study.trials import Trial, TrialRecord

Invoke = Callable[..., Result]
ROOT = Path(__file__).resolve().parents[2]
STUDIES = ROOT / "recipes" / "studies"
pytestmark = pytest.mark.usefixtures("forked_python")


@pytest.fixture(scope="module")
def study_file(small_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of two rows."""
    file = tmp_path_factory.mktemp("study") / "small.yaml"
    file.write_text(
        f"name: small-study\ndescription: Two methods.\nrecipe: {small_recipe}\nset: {{train.evaluate_before: false}}\n"
        "variants: {full: {adapter: full}, bitfit: {adapter: bitfit, train.learning_rate: 5e-3}}\n",
        "utf-8",
    )
    return file


@pytest.fixture(scope="module")
def studied(study_file: Path, invoke: Invoke, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study's folder, trained."""
    folder = tmp_path_factory.mktemp("studies") / "small"
    result = invoke("study", study_file, "--output", folder, "--jobs", 2)  # without `run`
    assert result.exit_code == 0, result.output
    assert "full" in result.stdout and "finished" in result.stdout
    assert "2 shares of the CPU: one training on each" in result.stderr
    assert "runs/bitfit (2 of 2): training" in result.stderr and "runs/full: done" in result.stderr
    assert f"done; compare with: qakit study report {folder}" in result.stderr
    return folder


def test_studies_and_recipes_are_told_apart(
    invoke: Invoke, study_file: Path, small_recipe: Path, tmp_path: Path
) -> None:
    said = str(invoke("train", study_file).exception)
    assert said == f"{study_file} is a study, no recipe: qakit study run {study_file}"
    pipeline = tmp_path / "pipe line.yaml"
    pipeline.write_text("stages: {selection: a.yaml, span: b.yaml}\n", "utf-8")
    for recipe, named in ((small_recipe, f"{small_recipe}"), (pipeline, f"'{pipeline}'")):
        assert str(invoke("study", recipe).exception) == f"{recipe} is a recipe, no study: qakit train {named}"
    (typing_error := tmp_path / "seeds.yaml").write_text(f"extends: {small_recipe}\nseeds: 3\n", "utf-8")
    assert "did you mean 'seed'?" in str(invoke("train", typing_error).exception)


def test_a_dry_run_lists_the_trials(invoke: Invoke, study_file: Path) -> None:
    result = invoke("study", "run", study_file, "--dry-run")
    assert result.exit_code == 0, result.output
    assert "2 trials" in result.stdout and "adapter: bitfit, train.learning_rate: 0.005" in result.stdout
    plan = json.loads(invoke("study", "run", study_file, "--dry-run", "--json").stdout)
    assert [trial["trial"] for trial in plan["trials"]] == ["full", "bitfit"]


def test_a_dry_run_of_a_search_shows_where_it_looks(invoke: Invoke, small_recipe: Path, tmp_path: Path) -> None:
    file = tmp_path / "search.yaml"
    file.write_text(f"recipe: {small_recipe}\nsearch: {{space: {{train.epochs: {{uniform: [1, 2]}}}}}}\n")
    result = invoke("study", file, "--dry-run")
    assert "20 trials by tpe" in result.stdout and "{uniform: [1.0, 2.0]}" in result.stdout


def test_mistakes_are_said_before_anything_is_made(invoke: Invoke, small_recipe: Path, tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(f"recipe: {small_recipe}\ngrid: {{train.epocs: [1]}}\nset: {{data.train: gone.json}}\n")
    result = invoke("study", file, "--output", tmp_path / "out")
    assert isinstance(result.exception, RecipeError) and result.exit_code == 2
    assert "wrong.yaml:2:8: unknown key 'epocs' in train" in str(result.exception)
    assert f"data.train: file not found: {tmp_path}/gone.json" in str(result.exception)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_runs_are_ordinary_runs(invoke: Invoke, studied: Path) -> None:
    runs = [studied / "runs" / name for name in ("full", "bitfit")]
    result = invoke("compare", *runs, "--output", studied / "page.html")
    assert result.exit_code == 0, result.output
    page = (studied / "page.html").read_text("utf-8")
    assert page.startswith("<!DOCTYPE html>") and "<svg" in page and "adapter=bitfit" in page and "://" not in page
    for run in runs:
        metrics = json.loads((run / "metrics.json").read_text("utf-8"))
        assert metrics["peak_memory_mb"] > 50 and metrics["seconds"] > 0
        assert "evaluation step" in (run / "train.log").read_text("utf-8")


@pytest.mark.slow
def test_the_report_and_the_status(invoke: Invoke, studied: Path, study_file: Path) -> None:
    result = invoke("study", "report", studied, "--resamples", 500)
    assert result.exit_code == 0, result.output
    for expected in (
        "Results",
        "bitfit",
        "MiB",
        "paired over 12 questions",
        "trials: 2 finished",
        f"report: {studied / 'REPORT.md'}",
    ):
        assert expected in result.stdout, expected
    html = (studied / "report.html").read_text("utf-8")
    assert "Two methods." in html and html.count("<svg") == 3 and "compared with" in html
    report = json.loads(invoke("study", "report", studied, "--json", "--output", studied / "other").stdout)
    own = studied / "own"
    own.mkdir()
    (own / "REPORT.md").write_text("my own notes", "utf-8")
    refused = invoke("study", "report", studied, "--output", own)
    assert refused.exit_code == 2 and "no report of qakit's" in str(refused.exception)
    assert [path.name for path in own.iterdir()] == ["REPORT.md"]
    (task,) = report["tasks"]
    assert [(row["row"], row["trainable"] < row["total"]) for row in task["rows"]] == [
        ("full", False),
        ("bitfit", True),
    ]
    trained = json.loads((studied / "runs" / "full" / "metrics.json").read_text("utf-8"))["validation"]
    assert task["rows"][0]["figures"]["f1"]["mean"] == pytest.approx(trained["f1"])
    assert [(each["first"], each["second"], each["figure"]) for each in task["differences"]] == [
        ("bitfit", "full", "f1"),
        ("bitfit", "full", "exact_match"),
    ]
    assert (studied / "other" / "REPORT.md").is_file()

    shown = json.loads(invoke("study", "show", studied, "--json").stdout)
    assert [(trial["state"], trial["row"]) for trial in shown["trials"]] == [
        ("finished", "full"),
        ("finished", "bitfit"),
    ]
    listed = invoke("study", "list", studied.parent)
    assert "Two methods." in listed.stdout and "small" in listed.stdout
    (row,) = json.loads(invoke("study", "list", studied.parent, "--json").stdout)
    assert (row["trials"], row["finished"], row["failed"]) == (2, 2, 0)


@pytest.mark.slow
def test_a_failed_trial_makes_the_command_fail_and_can_be_retried(
    invoke: Invoke, small_recipe: Path, small_data: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "dev.json"
    bad.write_text("{}")
    file = tmp_path / "some.yaml"
    file.write_text(f"recipe: {small_recipe}\ngrid: {{data.validation: [dev.json]}}\n")
    result = invoke("study", file, "--output", tmp_path / "out", "--quiet")
    assert result.exit_code == 1
    assert "dev.json failed: " in result.stdout and str(bad) in result.stdout
    assert f"retry: qakit study run {file} --output {tmp_path / 'out'} --retry-failed" in result.stderr
    shutil.copy(small_data / "dev.json", bad)
    assert invoke("study", file, "--output", tmp_path / "out", "--quiet").exit_code == 1
    again = invoke("study", file, "--output", tmp_path / "out", "--quiet", "--retry-failed")
    assert again.exit_code == 0, again.output


def test_trials_that_are_left_when_the_time_is_over_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    """As of a search that was interrupted, and resumed too little time."""
    states = {"a": "finished", "b": "waiting", "c": "pruned"}
    records = [TrialRecord(Trial(name, "", name, {}, 0), state, None, {}, "") for name, state in states.items()]
    _end(records, Path("s.yaml"), None)
    assert "not trained yet: 1 of 3 trials; resume with: qakit study run s.yaml" in capsys.readouterr().err
    _end(records[:1], Path("s.yaml"), None)
    assert "not trained yet" not in capsys.readouterr().err


def test_what_is_no_study_is_said(invoke: Invoke, study_file: Path, tmp_path: Path) -> None:
    for arguments in (("report", tmp_path), ("show", tmp_path / "gone")):
        result = invoke("study", *arguments)
        assert isinstance(result.exception, QakitError) and "is not a study" in str(result.exception)
    result = invoke("study", "show", study_file)
    assert "there is no studies/small-study: `qakit study run" in str(result.exception)
    assert "no studies in" in invoke("study", "list", tmp_path).stdout


def test_the_studies_of_the_project_are_sound(invoke: Invoke) -> None:
    names = sorted(path.name for path in STUDIES.glob("*.yaml"))
    assert names == ["doc-stride.yaml", "lora-rank.yaml", "peft.yaml", "scratch.yaml", "tricks.yaml"]
    result = invoke("recipes", "validate", STUDIES)
    assert result.exit_code == 0 and result.stdout.count("ok  ") == 5
    rows = json.loads(invoke("recipes", "list", STUDIES, "--json").stdout)["recipes"]
    assert [row["name"] for row in rows] == ["doc-stride", "lora-rank", "peft", "scratch", "tricks"]
    assert all(row["valid"] and row["description"].startswith("Study: ") for row in rows)
    trials = {
        name: json.loads(invoke("study", "run", STUDIES / name, "--dry-run", "--json").stdout)["trials"]
        for name in names
    }
    assert {name: len(each) for name, each in trials.items()} == {
        "doc-stride.yaml": 9,
        "lora-rank.yaml": 36,
        "peft.yaml": 30,
        "scratch.yaml": 12,
        "tricks.yaml": 39,
    }


def test_a_wrong_study_is_found_by_validate(invoke: Invoke, small_recipe: Path, tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(f"recipe: {small_recipe}\nvariants: {{a: {{adapter: ful}}}}\n")
    result = invoke("recipes", "validate", file)
    assert result.exit_code == 2 and "wrong.yaml:2:25: adapter: no adapter is called 'ful'" in result.stdout


def test_the_reference_is_up_to_date(invoke: Invoke) -> None:
    page = invoke("study", "reference").stdout
    assert "| `seeds` |" in page and "| `log_integer` |" in page
    committed = (ROOT / "docs" / "study-reference.md").read_text("utf-8")
    assert committed == page, "run: qakit study reference --output docs/study-reference.md"
