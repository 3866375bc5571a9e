"""``qakit submit``, ``qakit kaggle submissions`` and ``qakit export``, as far as they go without Kaggle."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import notebooks
import pytest
from typer.testing import Result

Invoke = Callable[..., Result]


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No credentials, and a working directory of one's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_API_TOKEN", "KAGGLE_CONFIG_DIR", "QAKIT_SUBMISSIONS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def run(small_run: Path, tmp_path: Path) -> Path:
    """The small run with a competition in its recipe, whose sample wants other columns."""
    folder = tmp_path / "runs" / "one"
    shutil.copytree(small_run, folder)
    lines = (folder / "predictions" / "submission.csv").read_text("utf-8").splitlines()
    ids = [line.partition(",")[0] for line in lines[1:] if line.count('"') % 2 == 0]
    sample = tmp_path / "sample.csv"
    sample.write_text("Id,Prediction\n" + "".join(f"{each},\n" for each in ids))
    recipe = folder / "recipe.yaml"
    block = f"{{slug: qa-cup, sample_submission: {sample}, id_column: Id, answer_column: Prediction}}"
    text = recipe.read_text("utf-8")
    assert "competition: null" in text
    recipe.write_text(text.replace("competition: null", f"competition: {block}"), "utf-8")
    return folder


def test_a_run_is_predicted_checked_and_described(run: Path, invoke: Invoke) -> None:
    (run / "predictions" / "submission.csv").unlink()
    result = invoke("submit", run, "--dry-run", "--json")
    assert result.exit_code == 0, result.output
    report: dict[str, Any] = json.loads(result.stdout)
    assert report["competition"] == "qa-cup"
    assert report["rows"] == 8
    assert report["run_id"] == "one"
    assert report["message"].startswith("one: f1 ")
    expected = report["expected"]
    assert expected["metric"] == "f1"
    assert expected["low"] <= expected["mean"] <= expected["high"]
    assert report["kaggle"] is None
    assert (run / "predictions" / "submission.csv").read_text("utf-8").startswith("Id,Prediction\n")
    assert not Path("submissions").exists()


def test_a_run_whose_file_does_not_fit_is_told_why(run: Path, invoke: Invoke) -> None:
    result = invoke("submit", run, "--dry-run")
    assert result.exit_code == 2
    assert "the columns are 'id,answer', the sample has 'Id,Prediction'" in str(result.exception)


def test_a_file_of_a_run(run: Path, invoke: Invoke) -> None:
    file = run / "predictions" / "submission.csv"
    file.write_text(file.read_text("utf-8").replace("id,answer", "Id,Prediction", 1), "utf-8")
    shutil.copy(file, "mine.csv")
    result = invoke("submit", "mine.csv", "--run", "one", "-m", "by hand", "--dry-run", "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert (report["run_id"], report["message"]) == ("one", "by hand")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "what is to be submitted?"),
        (("nowhere.csv", "-c", "qa-cup"), "there is no file or run nowhere.csv"),
        (("answers.json", "-c", "qa-cup"), "is no CSV file"),
        (("answers.csv",), "which competition? -c NAME"),
        (("answers.csv", "-c", "https://example.com/x"), "the last part of its address"),
        (("answers.csv", "-c", "qa-cup", "--run", "nothing"), "there is no run nothing"),
        (("answers.csv", "-c", "qa-cup", "--version", "1"), "--notebook USER/NAME --version N"),
        (("--notebook", "a/b", "-c", "qa-cup"), "which version of the notebook?"),
        (("--notebook", "nb", "--version", "1", "-c", "qa-cup"), "USER/NAME"),
        (("answers.csv", "--notebook", "a/b", "--version", "1", "-c", "qa-cup"), "goes with no file"),
    ],
)
def test_commands_that_make_no_sense(arguments: tuple[str, ...], words: str, invoke: Invoke) -> None:
    Path("answers.csv").write_text("id,answer\n1,a\n")
    Path("answers.json").write_text("{}")
    result = invoke("submit", *arguments)
    assert result.exit_code == 2
    assert words in str(result.exception)


def test_without_credentials_nothing_is_sent_and_that_is_said(invoke: Invoke) -> None:
    Path("answers.csv").write_text("id,answer\n1,a\n")
    result = invoke("submit", "answers.csv", "-c", "qa-cup")
    assert result.exit_code == 4
    assert "no Kaggle credentials" in str(result.exception)
    assert not Path("submissions/ledger.jsonl").exists()


def test_a_downloaded_sample_is_used(invoke: Invoke) -> None:
    Path("answers.csv").write_text("id,answer\n1,a\n")
    Path("data/qa-cup").mkdir(parents=True)
    Path("data/qa-cup/sample_submission.csv").write_text("id,answer\n1,\n2,\n")
    result = invoke("submit", "answers.csv", "-c", "qa-cup", "--dry-run")
    assert result.exit_code == 2
    assert "1 ids of the sample are missing: 2" in str(result.exception)


def test_nothing_was_submitted_yet(invoke: Invoke) -> None:
    result = invoke("kaggle", "submissions")
    assert result.exit_code == 0
    assert "nothing was submitted" in result.stdout
    assert json.loads(invoke("kaggle", "submissions", "--json").stdout) == {
        "submissions": [],
        "elsewhere": [],
        "warnings": [],
    }


def test_the_doctor_finds_no_credentials(invoke: Invoke) -> None:
    result = invoke("kaggle", "doctor", "--json")
    assert result.exit_code == 4
    assert [check["verdict"] for check in json.loads(result.stdout) if check["name"] == "credentials"] == ["bad"]


def test_an_export_is_whole(run: Path, invoke: Invoke) -> None:
    result = invoke("export", run, "--kaggle", "out", "--user", "ada", "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    dataset, notebook = Path(report["dataset"]), Path(report["notebook"])
    assert {"recipe.yaml", "model"} == {path.name for path in (dataset / "run").iterdir()}
    [wheel] = dataset.glob("qakit-*.whl")
    with zipfile.ZipFile(wheel) as opened:
        names = opened.namelist()
    assert {"qakit/cli/__init__.py", "qakit_writers/__init__.py"} <= set(names)
    needed = (dataset / "requirements.txt").read_text().split()
    assert {"torch", "transformers", "typer"} <= {line.partition("==")[0] for line in needed}
    kernel = json.loads((notebook / "kernel-metadata.json").read_text())
    assert kernel["enable_internet"] is False
    assert kernel["competition_sources"] == ["qa-cup"]
    assert kernel["dataset_sources"] == [json.loads((dataset / "dataset-metadata.json").read_text())["id"]]
    cells = json.loads((notebook / kernel["code_file"]).read_text())["cells"]
    for cell in cells:
        if cell["cell_type"] == "code":
            compile("".join(cell["source"]), "cell", "exec")
    assert any("test.json" in "".join(cell["source"]) for cell in cells)
    assert kernel["machine_shape"] == "NvidiaTeslaT4"
    assert invoke("export", run, "--kaggle", "out", "--user", "ada").exit_code == 0, "again, over itself"


@pytest.mark.slow
def test_an_exported_notebook_answers_the_test_file(
    run: Path, small_data: Path, invoke: Invoke, tmp_path: Path
) -> None:
    report = json.loads(invoke("export", run, "--kaggle", "out", "--user", "ada", "--json").stdout)
    inputs = tmp_path / "input"
    shutil.copytree(report["dataset"], inputs / "datasets" / "ada" / "a")
    (inputs / "qa-cup").mkdir()
    shutil.copyfile(small_data / "test.json", inputs / "qa-cup" / "test.json")
    (file,) = Path(report["notebook"]).glob("*.ipynb")
    done = notebooks.start(json.loads(file.read_text()), tmp_path / "there", inputs)
    said, _ = done.communicate(timeout=400)
    assert done.returncode == 0, said
    answers = (tmp_path / "there" / "working" / "submission.csv").read_bytes().splitlines()
    assert answers[0] == b"Id,Prediction", "the competition's columns"
    assert answers[1:] == (run / "predictions" / "submission.csv").read_bytes().splitlines()[1:]


def test_an_export_does_not_replace_other_things(run: Path, invoke: Invoke) -> None:
    Path("out").mkdir()
    Path("out/mine.txt").write_text("mine")
    result = invoke("export", run, "--kaggle", "out", "--user", "ada")
    assert result.exit_code == 2
    assert "holds something else" in str(result.exception)
    assert Path("out/mine.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["../../secret.csv", "/etc/hostname.csv", "", None, 3])
def test_a_run_that_names_a_file_elsewhere_is_not_submitted(name: object, run: Path, invoke: Invoke) -> None:
    (run.parent / "secret.csv").write_text((run / "predictions" / "submission.csv").read_text("utf-8"), "utf-8")
    metrics = json.loads((run / "metrics.json").read_text("utf-8"))
    metrics["submission"]["file"] = name
    (run / "metrics.json").write_text(json.dumps(metrics), "utf-8")
    result = invoke("submit", run, "--dry-run")
    assert result.exit_code == 2
    assert "metrics.json is damaged: submission: " in str(result.exception)


def test_the_problems_of_a_file_are_a_list(tmp_path: Path, invoke: Invoke) -> None:
    ours, sample = tmp_path / "ours.csv", tmp_path / "sample.csv"
    ours.write_text("id,answer\n1,a\n2,b\n")
    sample.write_text("id,answer\n001,x\n002,x\n")
    result = invoke("submit", ours, "-c", "some-cup", "--sample", sample, "--dry-run")
    first, *others = str(result.exception).splitlines()
    assert first == f"{ours}, compared with {sample}: 2 problems:"
    assert [line[:4] for line in others] == ["  - ", "  - "]
    assert "\\n" not in str(result.exception)
