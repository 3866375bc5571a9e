"""Classes and numbers through every command, with GLUE's files and a model of two layers."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import Result

from qakit.errors import UsageError
from qakit.inference.nbest_file import read_nbest
from qakit.values import LabelPrediction

pytestmark = pytest.mark.slow

Invoke = Callable[..., Result]
WORDS = ("the people of the south", "a great war", "the king was early", "in the city", "of the first church")


def pairs(count: int) -> list[tuple[str, str, bool]]:
    """Pairs of texts, and whether both are the same."""
    found = []
    for number in range(count):
        first = WORDS[number % 5]
        second = first if number % 2 else WORDS[(number + 1 + number // 2 % 4) % 5]
        found.append((first, second, first == second))
    return found


def write(path: Path, rows: list[tuple[str, ...]]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join("\t".join(row) + "\n" for row in rows), "utf-8")


@pytest.fixture(scope="module")
def glue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """WNLI (classes; as many test rows as GLUE has) and STS-B (numbers) with made-up pairs."""
    folder = tmp_path_factory.mktemp("glue")
    header = ("index", "sentence1", "sentence2")
    for split, count in (("train", 60), ("dev", 20), ("test", 146)):
        known = split != "test"
        rows = [(str(i), one, other, str(int(same))) for i, (one, other, same) in enumerate(pairs(count))]
        write(folder / "WNLI" / f"{split}.tsv", [(*header, "label")[: 3 + known], *(row[: 3 + known] for row in rows)])
        numbers = [(*row[:3], f"{4 * int(row[3]) + int(row[0]) % 3 / 2:.3f}") for row in rows]
        write(
            folder / "STS-B" / f"{split}.tsv", [(*header, "score")[: 3 + known], *(row[: 3 + known] for row in numbers)]
        )
    return folder


@pytest.fixture(scope="module")
def train(
    glue: Path, tiny_backbone: Path, invoke: Invoke, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Path]:
    def run(task: str, name: str, *settings: str) -> Path:
        folder = tmp_path_factory.mktemp("glue-runs")
        recipe = folder / "recipe.yaml"
        recipe.write_text(
            f"""\
data:
  reader: {{name: glue, task: {task}}}
  train: {glue}/{task}/train.tsv
  validation: {glue}/{task}/dev.tsv
  test: {glue}/{task}/test.tsv
backbone: {{source: {tiny_backbone}}}
windows: {{max_length: 32}}
preprocess: {{train: truncate, predict: truncate}}
head: classifier
train: {{epochs: 1, batch_size: 8, learning_rate: 1e-3, precision: fp32}}
metric: {{name: glue, task: {task}}}
writer: {{name: glue, task: {task}}}
""",
            "utf-8",
        )
        options = [part for setting in settings for part in ("--set", setting)]
        result = invoke("train", recipe, *options, "--output", folder / name, "--quiet")
        assert result.exit_code == 0, result.output
        assert "qakit ask" not in result.output
        assert "(no answer)" not in result.output
        return folder / name

    return run


@pytest.fixture(scope="module")
def classes(train: Callable[..., Path]) -> Path:
    return train("WNLI", "classes")


@pytest.fixture(scope="module")
def numbers(train: Callable[..., Path]) -> Path:
    return train("STS-B", "numbers", "head={name: classifier, pooling: mean, dense: false}", "train.epochs=4")


def test_an_ensemble_answers_its_test_file_again(
    classes: Path, train: Callable[..., Path], glue: Path, invoke: Invoke, tmp_path: Path
) -> None:
    other, folder, output = train("WNLI", "other", "seed=1"), tmp_path / "both", tmp_path / "WNLI.tsv"
    result = invoke("ensemble", classes, other, "--method", "mean", "--learn-weights", "--folder", folder, "--quiet")
    assert result.exit_code == 0, result.output
    result = invoke("predict", folder, "--input", glue / "WNLI" / "test.tsv", "--output", output)
    assert result.exit_code == 0, result.output
    submissions = [path for path in (folder / "predictions").iterdir() if path.suffix == ".tsv"]
    assert [path.read_bytes() for path in submissions] == [output.read_bytes()]


def test_members_may_have_their_classes_in_other_orders(
    classes: Path, train: Callable[..., Path], invoke: Invoke, tmp_path: Path
) -> None:
    """In an ensemble of them, in one of ensembles, and whatever they predict."""
    turned = train("WNLI", "turned", "seed=2", 'data.labels=["1", "0"]')
    both, outer = tmp_path / "both", tmp_path / "outer"
    assert invoke("ensemble", turned, classes, "--method", "mean", "--folder", both, "--quiet").exit_code == 0
    assert invoke("ensemble", classes, both, "--method", "mean", "--folder", outer, "--quiet").exit_code == 0

    def shares(run: Path) -> np.ndarray:
        predictions = read_nbest(run / "predictions" / "nbest.jsonl")
        return np.array([each.scores for each in predictions if isinstance(each, LabelPrediction)])

    mean = (shares(classes) + shares(turned)[:, ::-1]) / 2
    np.testing.assert_allclose(shares(both), mean[:, ::-1], atol=1e-9)
    np.testing.assert_allclose(shares(outer), (shares(classes) + mean) / 2, atol=1e-9)


def evaluated(invoke: Invoke, run: Path, file: Path) -> dict[str, Any]:
    result = invoke("evaluate", run, "--input", file, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@pytest.mark.parametrize(
    ("task", "figures"), [("WNLI", {"accuracy"}), ("STS-B", {"pearson", "spearman", "pearson_spearman"})]
)
def test_evaluate_gives_the_figures_of_the_training_with_intervals(
    task: str, figures: set[str], glue: Path, invoke: Invoke, request: pytest.FixtureRequest
) -> None:
    run: Path = request.getfixturevalue("classes" if task == "WNLI" else "numbers")
    found = evaluated(invoke, run, glue / task / "dev.tsv")
    assert found["figures"] == pytest.approx(json.loads((run / "metrics.json").read_text())["validation"])
    assert found["figures"].keys() == found["intervals"].keys() == figures
    assert all(low <= found["figures"][name] <= high for name, (low, high) in found["intervals"].items())


def test_predictions_are_in_glues_format(
    classes: Path, numbers: Path, glue: Path, invoke: Invoke, tmp_path: Path
) -> None:
    lines = (classes / "predictions" / "submission.tsv").read_text().splitlines()
    assert lines[0] == "index\tprediction"
    assert [line.split("\t")[0] for line in lines[1:]] == [str(index) for index in range(146)]
    assert {line.split("\t")[1] for line in lines[1:]} <= {"0", "1"}
    lines = (numbers / "predictions" / "submission.tsv").read_text().splitlines()[1:]
    assert all(0 <= float(line.split("\t")[1]) <= 5 and line[-4] == "." for line in lines)
    again = tmp_path / "again.tsv"
    result = invoke("predict", classes, "--input", glue / "WNLI" / "test.tsv", "--output", again)
    assert result.exit_code == 0, result.output
    assert again.read_bytes() == (classes / "predictions" / "submission.tsv").read_bytes()


def test_one_text_alone_is_predicted_as_among_others(classes: Path, glue: Path, invoke: Invoke, tmp_path: Path) -> None:
    rows = (glue / "WNLI" / "test.tsv").read_text().splitlines()
    write(tmp_path / "one.tsv", [tuple(rows[0].split("\t")), tuple(rows[4].split("\t"))])
    result = invoke("predict", classes, "--input", tmp_path / "one.tsv", "--output", tmp_path / "one-out.tsv")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "one-out.tsv").read_text().splitlines()[1] == (
        classes / "predictions" / "submission.tsv"
    ).read_text().splitlines()[4]


def test_score_of_a_file_is_that_of_the_run(classes: Path, glue: Path, invoke: Invoke, tmp_path: Path) -> None:
    answers = tmp_path / "answers.csv"
    dev = glue / "WNLI" / "dev.tsv"
    assert invoke("predict", classes, "--input", dev, "--output", answers).exit_code == 0
    reader = ("--reader", "glue", "--reader-set", "task=WNLI")
    result = invoke("score", "--metric", "accuracy", "--gold", dev, "--predictions", answers, *reader, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == evaluated(invoke, classes, dev)["figures"]


def test_a_correlation_is_compared_by_draws(numbers: Path, invoke: Invoke, tmp_path: Path) -> None:
    worse = tmp_path / "worse"
    shutil.copytree(numbers, worse)
    file = worse / "predictions" / "validation" / "nbest.jsonl"
    records = [json.loads(line) for line in file.read_text().splitlines()]
    file.write_text("".join(json.dumps(record | {"label": -record["label"]}) + "\n" for record in records))
    result = invoke("compare", numbers, worse, "--json", "--resamples", 200, "--seeds")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    best, worst = (run["figures"]["pearson_spearman"] for run in found["runs"])
    assert best["mean"] == pytest.approx(-worst["mean"])
    assert best["low"] <= best["mean"] <= best["high"]
    (difference,) = [each for each in found["differences"] if each["figure"] == "pearson_spearman"]
    assert difference["mean"] == pytest.approx(worst["mean"] - best["mean"])
    assert found["questions"] == 20


def test_classes_are_compared_and_voted_on(
    classes: Path, train: Callable[..., Path], invoke: Invoke, tmp_path: Path
) -> None:
    other = train("WNLI", "other", "seed=1")
    result = invoke("compare", classes, other, "--resamples", 200)
    assert result.exit_code == 0, result.output
    output = tmp_path / "vote.csv"
    options = ("--weights", "2,1", "--output")  # the first one decides
    result = invoke("ensemble", classes, other, *options, output)
    assert result.exit_code == 0, result.output
    voted = [line.split(",")[1] for line in output.read_text().splitlines()[1:]]
    tsv = tmp_path / "WNLI.tsv"
    assert invoke("ensemble", classes, other, *options, tsv).exit_code == 0
    assert tsv.read_bytes() == (classes / "predictions" / "submission.tsv").read_bytes()
    own = [line.split("\t")[1] for line in (classes / "predictions" / "submission.tsv").read_text().splitlines()[1:]]
    assert voted == own


def test_data_check_knows_labels(classes: Path, invoke: Invoke) -> None:
    result = invoke("data", "check", classes.parent / "recipe.yaml")
    assert result.exit_code == 0, result.output


def test_a_classifier_answers_no_questions(classes: Path, invoke: Invoke) -> None:
    with_error = invoke("ask", classes, "who?", "-c", "the king")
    assert isinstance(with_error.exception, UsageError)
    assert with_error.exit_code == 2


def test_a_run_is_packed_for_glue(classes: Path, numbers: Path, invoke: Invoke, tmp_path: Path) -> None:
    archive = tmp_path / "glue.zip"
    result = invoke("glue", "pack", classes, "--fill", "--output", archive)
    assert result.exit_code == 0, result.output
    with zipfile.ZipFile(archive) as opened:
        assert len(opened.namelist()) == 11
        assert opened.read("WNLI.tsv") == (classes / "predictions" / "submission.tsv").read_bytes()
    result = invoke("glue", "pack", classes, numbers, "--fill", "--output", tmp_path / "other.zip")
    assert result.exit_code == 2  # the STS-B here has fewer test rows than GLUE's
    assert not (tmp_path / "other.zip").exists()


def test_a_competition_with_a_csv_of_labels(tiny_backbone: Path, invoke: Invoke, tmp_path: Path) -> None:
    rows = [f'{i},"{one}, {other}",{"same" if same else "other"}' for i, (one, other, same) in enumerate(pairs(24))]
    (tmp_path / "train.csv").write_text("\n".join(["id,text,target", *rows]) + "\n")
    (tmp_path / "test.csv").write_text("\n".join(["id,text", *(row.rsplit(",", 1)[0] for row in rows)]) + "\n")
    (tmp_path / "sample.csv").write_text("id,target\n" + "".join(f"{i},same\n" for i in range(24)))
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"""\
data:
  reader: {{name: table, id: id, text_a: text, label: target}}
  train: train.csv
  validation: train.csv
  test: test.csv
  sample_submission: sample.csv
backbone: {{source: {tiny_backbone}}}
windows: {{max_length: 32}}
preprocess: {{train: truncate, predict: truncate}}
head: {{name: classifier, pooling: mean}}
train: {{epochs: 1, batch_size: 8, precision: fp32}}
metric: {{name: accuracy_f1, primary: f1}}
writer: {{name: csv, id_column: id, answer_column: target}}
competition: {{slug: same-or-other}}
""",
        "utf-8",
    )
    run = tmp_path / "run"
    result = invoke("train", recipe, "--output", run, "--quiet")
    assert result.exit_code == 0, result.output
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["validation"].keys() == {"accuracy", "f1", "accuracy_f1"}
    assert metrics["submission"]["problems"] == []
    lines = (run / "predictions" / "submission.csv").read_text().splitlines()
    assert lines[0] == "id,target"
    assert {line.split(",")[1] for line in lines[1:]} <= {"same", "other"}
    result = invoke("submit", run, "--dry-run")
    assert result.exit_code == 0, result.output


def test_a_runs_own_probabilities_are_judged(train: Callable[..., Path], glue: Path) -> None:
    """``log_loss`` and ``auc`` in ``metrics.json`` are scikit-learn's of what ``nbest.jsonl`` holds."""
    from sklearn.metrics import log_loss, roc_auc_score

    gold = [int(same) for *_, same in pairs(20)]
    for name in ("log_loss", "auc"):
        run = train("WNLI", name, f"metric={name}")
        lines = (run / "predictions" / "validation" / "nbest.jsonl").read_text("utf-8").splitlines()
        shares = [json.loads(line)["scores"] for line in lines]
        figures = json.loads((run / "metrics.json").read_text("utf-8"))["validation"]
        if name == "auc":
            assert figures["auc"] == pytest.approx(100 * roc_auc_score(gold, [second for _, second in shares]))
        else:
            assert figures["log_loss"] == pytest.approx(log_loss(gold, shares))
            assert figures["negative_log_loss"] == -figures["log_loss"]
