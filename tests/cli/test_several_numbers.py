"""Several numbers of each text, from a CSV to a submission with a column for each, through every command."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import Result

import qakit
from qakit.api import LabelPrediction, Targets
from qakit.inference.nbest_file import read_nbest

pytestmark = pytest.mark.slow

Invoke = Callable[..., Result]
NAMES = ("war", "king", "city")
WORDS = ("a great war", "the king was early", "in the city", "the king of the city", "the people of the south")


def rows(count: int) -> list[dict[str, str]]:
    """Texts and shares of raters who find something of each kind in them; of every tenth text one is not known."""
    found = []
    for number in range(count):
        one, other = WORDS[number % 5], WORDS[number // 5 % 5]
        shares = {name: str(round((one.count(name) + other.count(name)) / 2, 3)) for name in NAMES}
        if number % 10 == 3:
            shares["king"] = ""
        found.append({"row id": f"q{number}", "one": one, "other": f"{other} {number}", **shares})
    return found


def write(path: Path, columns: list[str], table: list[dict[str, str]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(table)
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shares")
    texts = ["row id", "one", "other"]
    write(folder / "train.csv", [*texts, *NAMES], rows(60))
    write(folder / "dev.csv", [*texts, *NAMES], rows(20))
    write(folder / "test.csv", texts, rows(11))
    zero = [{**row, **dict.fromkeys(NAMES, "0.5")} for row in rows(11)]
    write(folder / "sample.csv", ["row id", "city", "war", "king"], zero)  # another order than the recipe's
    return folder


@pytest.fixture(scope="module")
def recipe(data: Path, tiny_backbone: Path) -> Path:
    path = data / "recipe.yaml"
    path.write_text(
        f"""\
data:
  reader: {{name: table, id: row id, text_a: "{{one}}, {{other}}", label: [war, king, city], label_type: number}}
  train: train.csv
  validation: dev.csv
  test: test.csv
  sample_submission: sample.csv
backbone: {{source: {tiny_backbone}}}
windows: {{max_length: 32}}
preprocess: {{train: truncate, predict: truncate}}
head: {{name: classifier, pooling: mean, loss: binary_cross_entropy}}
train: {{epochs: 4, batch_size: 8, learning_rate: 2e-3, precision: fp32}}
metric: columnwise_spearman
writer: {{name: csv, id_column: row id}}
competition: {{slug: shares}}
""",
        "utf-8",
    )
    return path


@pytest.fixture(scope="module")
def train(recipe: Path, invoke: Invoke, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    def run(*settings: str) -> Path:
        folder = tmp_path_factory.mktemp("runs") / "run"
        options = [part for setting in settings for part in ("--set", setting)]
        result = invoke("train", recipe, *options, "--output", folder, "--quiet")
        assert result.exit_code == 0, result.output
        return folder

    return run


@pytest.fixture(scope="module")
def shares(train: Callable[..., Path]) -> Path:
    return train()


@pytest.fixture(scope="module")
def plain(train: Callable[..., Path]) -> Path:
    return train("head.loss=mse", "seed=1", "metric=columnwise_rmse")


def said(result: Result) -> str:
    return " ".join(f"{result.output} {result.exception}".split())


def table_of(path: Path) -> tuple[list[str], np.ndarray]:
    with path.open(newline="") as file:
        header, *lines = csv.reader(file)
    return header, np.array([[float(cell) for cell in line[1:]] for line in lines])


def predicted(run: Path) -> list[Targets]:
    found = [
        each.label for each in read_nbest(run / "predictions" / "nbest.jsonl") if isinstance(each, LabelPrediction)
    ]
    return [label for label in found if isinstance(label, Targets)]


def test_a_submission_has_the_samples_columns(shares: Path, invoke: Invoke) -> None:
    header, numbers = table_of(shares / "predictions" / "submission.csv")
    assert header == ["row id", "city", "war", "king"]
    assert numbers.shape == (11, 3)
    assert ((numbers > 0) & (numbers < 1)).all()
    kept = [label.by_name() for label in predicted(shares)]
    assert numbers.tolist() == [[label[name] for name in header[1:]] for label in kept]
    metrics = json.loads((shares / "metrics.json").read_text())
    assert metrics["submission"]["problems"] == []
    assert metrics["validation"].keys() == {"spearman", "columns"}
    assert metrics["validation"]["columns"] == 3
    assert metrics["validation"]["spearman"] > 60  # of numbers that follow from words; 0 by chance
    assert invoke("submit", shares, "--dry-run").exit_code == 0


def test_numbers_are_learnt_by_their_squared_error(plain: Path) -> None:
    figures = json.loads((plain / "metrics.json").read_text())["validation"]
    assert -0.35 < figures["negative_rmse"] < 0  # the gold numbers' own spread is about 0.35
    assert figures["columns"] == 3


@pytest.mark.parametrize("run", ["shares", "plain"])
def test_evaluate_gives_the_figures_of_the_training_with_intervals(
    run: str, data: Path, invoke: Invoke, request: pytest.FixtureRequest
) -> None:
    folder: Path = request.getfixturevalue(run)
    result = invoke("evaluate", folder, "--input", data / "dev.csv", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["figures"] == pytest.approx(json.loads((folder / "metrics.json").read_text())["validation"])
    assert all(low <= found["figures"][name] <= high for name, (low, high) in found["intervals"].items())


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_answers_in_every_form_are_scored_as_by_the_training(
    ending: str, shares: Path, data: Path, invoke: Invoke, tmp_path: Path
) -> None:
    output = tmp_path / f"dev{ending}"
    if ending == ".csv":
        result = invoke("predict", shares, "--input", data / "dev.csv", "--output", output)
    else:
        form = "parquet" if ending == ".parquet" else "jsonl"
        folder = tmp_path / "out"
        result = invoke("predict", shares, "--input", data / "dev.csv", "--output", f"{folder}/", "--format", form)
        output = next(iter(folder.glob(f"*{ending}")), output)
    assert result.exit_code == 0, result.output
    mapped = [
        "--reader-set", "id=row id", "--reader-set", "text_a=one", "--reader-set", "label_type=number",
        "--reader-set", 'label=["city", "king", "war"]',
    ]  # fmt: skip
    options = ("--metric", "columnwise_spearman", "--gold", data / "dev.csv", "--reader", "table")
    result = invoke("score", *options, *mapped, "--predictions", output, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == pytest.approx(json.loads((shares / "metrics.json").read_text())["validation"])


def test_score_names_a_number_that_is_not_there(shares: Path, data: Path, invoke: Invoke, tmp_path: Path) -> None:
    table = "row id,city,king\n" + "".join(f"q{number},0.1,0.2\n" for number in range(20))
    (tmp_path / "two.csv").write_text(table)
    options = ["--metric", "columnwise_rmse", "--gold", data / "dev.csv", "--reader", "table"]
    for setting in ("id=row id", "text_a=one", "label_type=number", 'label=["city", "king", "war"]'):
        options += ["--reader-set", setting]
    result = invoke("score", *options, "--predictions", tmp_path / "two.csv")
    assert result.exit_code == 2
    assert "there is no number 'war', as the gold file has it; there are city, king" in said(result)
    (tmp_path / "two.csv").write_text(table.replace("q7,0.1", "q7,none"))
    result = invoke("score", *options, "--predictions", tmp_path / "two.csv")
    assert "line 9, field 'city': 'none' is no number" in said(result)


def test_the_mean_of_runs_and_of_their_files(shares: Path, plain: Path, invoke: Invoke, tmp_path: Path) -> None:
    both = np.mean([[list(label) for label in predicted(run)] for run in (shares, plain)], axis=0)
    output, folder = tmp_path / "mean.csv", tmp_path / "both"
    result = invoke("ensemble", shares, plain, "--method", "mean", "--learn-weights", "--folder", folder, "--quiet")
    assert result.exit_code == 0, result.output
    assert len(predicted(folder)) == 11
    result = invoke("ensemble", shares, plain, "--method", "mean", "--output", output)
    assert result.exit_code == 0, result.output
    header, numbers = table_of(output)
    order = [NAMES.index(name) for name in header[1:]]
    assert numbers == pytest.approx(both[:, order])
    one, other = (run / "predictions" / "submission.csv" for run in (shares, plain))
    lines = [line.split(",") for line in other.read_text().splitlines()]
    turned = tmp_path / "turned.csv"  # columns in another order: numbers are joined by their names
    turned.write_text("".join(",".join([line[0], *line[:0:-1]]) + "\n" for line in lines))
    result = invoke("ensemble", one, turned, "--method", "mean", "--output", tmp_path / "files.csv")
    assert result.exit_code == 0, result.output
    assert table_of(tmp_path / "files.csv")[1] == pytest.approx(numbers)
    result = invoke("ensemble", one, turned, "--method", "voting", "--output", tmp_path / "votes.csv")
    assert result.exit_code == 2
    assert "needs answers or classes" in said(result)


def test_folds_answer_each_text_once_and_the_test_file_together(train: Callable[..., Path]) -> None:
    run = train("data.validation=null", "folds={k: 2, combine: mean}", "train.epochs=1")
    assert len(read_nbest(run / "predictions" / "validation" / "nbest.jsonl")) == 60
    together = np.array([list(label) for label in predicted(run)])
    alone = [[list(label) for label in predicted(run / f"fold-{number}")] for number in (1, 2)]
    assert together == pytest.approx(np.mean(alone, axis=0))


def test_from_python(shares: Path, data: Path) -> None:
    found = list(qakit.predict(shares, data / "test.csv").predictions)
    labels = [each.label for each in found if isinstance(each, LabelPrediction)]
    assert [label.by_name() for label in labels if isinstance(label, Targets)] == [
        pytest.approx(label.by_name()) for label in predicted(shares)
    ]


def test_transformers_gives_the_same_logits(train: Callable[..., Path]) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    run = train("head.pooling=cls", "train.epochs=1")
    model = AutoModelForSequenceClassification.from_pretrained(run / "model")
    assert model.config.problem_type == "multi_label_classification"
    assert tuple(model.config.id2label.values()) == NAMES
    tokenizer = AutoTokenizer.from_pretrained(run / "model")
    row = rows(1)[0]
    logits = model(**tokenizer(f"{row['one']}, {row['other']}", return_tensors="pt")).logits
    assert logits.sigmoid()[0].tolist() == pytest.approx(list(predicted(run)[0]), abs=1e-5)


def test_another_training_begins_with_the_head(shares: Path, recipe: Path, invoke: Invoke, tmp_path: Path) -> None:
    options = ("--set", f"backbone.from_run={shares}", "--set", "train.epochs=1")
    result = invoke("train", recipe, *options, "--output", tmp_path / "on")
    assert result.exit_code == 0, result.output
    assert "begins with the encoder and the head of" in said(result)
    layout = json.loads((tmp_path / "on" / "model" / "qakit.json").read_text())
    assert (layout["classes"], layout["numbers"]) == (list(NAMES), True)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            ["data.reader.label=[war, king, moon]"],
            "there is no column 'moon' (the reader's `label`); there are 'row id'",
        ),
        (["data.reader.label_type=class"], "a list of columns in `label` is for numbers: set `label_type: number`"),
        (["metric=pearson_spearman"], "this metric compares single numbers, but the example 'q0' has 3"),
        (["metric=accuracy"], "this metric compares classes, but the example 'q0' has 3 numbers"),
        (["metric=columnwise_auc"], "this metric wants gold numbers that are 0 or 1, and some are others"),
        (["folds={k: 2, stratify_by: label}", "data.validation=null"], "the label is a number, no class"),
        (["train.r_drop={weight: 1}"], "a regression has none"),
        (["head=linear_span", "preprocess={}"], "they have a class or a number, which heads such as classifier learn"),
        (["folds={k: 2, combine: voting}", "data.validation=null"], "voting needs answers or classes"),
    ],
)
def test_what_does_not_fit_is_said_before_the_training(
    settings: list[str], message: str, recipe: Path, invoke: Invoke, tmp_path: Path
) -> None:
    options = [part for setting in settings for part in ("--set", setting)]
    result = invoke("train", recipe, *options, "--output", tmp_path / "run")
    assert result.exit_code == 2, result.output
    assert message in said(result)
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_numbers_that_the_loss_cannot_learn(recipe: Path, data: Path, invoke: Invoke, tmp_path: Path) -> None:
    table = rows(60)
    table[7]["city"], table[8]["war"] = "1.5", "-1"
    changed = write(tmp_path / "train.csv", ["row id", "one", "other", *NAMES], table)
    for command in (("train", recipe, "--output", tmp_path / "run"), ("data", "check", recipe)):
        result = invoke(*command, "--set", f"data.train={changed}")
        assert result.exit_code == (2 if command[0] == "train" else 1)
        text = said(result)
        assert "numbers of train examples that are not from 0 to 1, as the head's loss needs them" in text
        assert "id q7: 1.5" in text
    result = invoke("data", "check", recipe, "--set", f"data.train={changed}", "--set", "head.loss=mse")
    assert result.exit_code == 0, result.output
    assert "of the numbers are not known of all train examples" in said(result)


@pytest.mark.parametrize("section", ["pseudo", "distill"])
def test_numbers_say_not_how_sure_they_are(
    section: str, shares: Path, train: Callable[..., Path], recipe: Path, invoke: Invoke, tmp_path: Path
) -> None:
    source = (
        shares
        if section == "pseudo"
        else train("data.validation=null", "folds={k: 2, combine: mean}", "train.epochs=1")
    )
    result = invoke("train", recipe, "--set", f"{section}.from_run={source}", "--output", tmp_path / "run")
    assert result.exit_code == 2
    why = {"pseudo": "gives numbers, and says not how sure it is of them", "distill": "cannot learn from teachers"}
    assert why[section] in said(result)


def test_ask_is_for_answers(shares: Path, invoke: Invoke) -> None:
    result = invoke("ask", shares, "who?", "--context", "the king")
    assert result.exit_code == 2
    assert "classes or numbers" in said(result)


def test_tables_of_answers_for_programs(shares: Path, data: Path, invoke: Invoke, tmp_path: Path) -> None:
    import pyarrow.parquet

    folder = tmp_path / "out"
    result = invoke("predict", shares, "--input", data / "test.csv", "--output", f"{folder}/", "--format", "parquet")
    assert result.exit_code == 0, result.output
    table = pyarrow.parquet.read_table(next(iter(folder.glob("*.parquet"))))
    assert table.column_names == ["id", *NAMES]
    assert table["id"].to_pylist() == [f"q{number}" for number in range(11)]
    assert table.drop_columns("id").to_pylist() == [pytest.approx(label.by_name()) for label in predicted(shares)]
