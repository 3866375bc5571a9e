"""``qakit score``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from qakit.cli import score
from qakit.errors import DataError, PluginError, UnknownPluginError, UsageError


def run(*arguments: object) -> Result:
    """The command alone, its errors raised."""
    app = typer.Typer()
    app.command()(score.score)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def gold_file(folder: Path, questions: dict[str, list[str]]) -> Path:
    """A SQuAD file; an answer "text@5" has that offset, whatever the context says."""
    qas = [
        {
            "id": id_,
            "question": "?",
            "answers": [
                {"text": text.partition("@")[0], "answer_start": int(text.partition("@")[2] or 0)} for text in answers
            ],
        }
        for id_, answers in questions.items()
    ]
    path = folder / "gold.json"
    article = {"title": "t", "paragraphs": [{"context": "Paris is a city", "qas": qas}]}
    path.write_text(json.dumps({"version": "1.1", "data": [article]}), encoding="utf-8")
    return path


def write(folder: Path, name: str, value: Any) -> Path:
    path = folder / name
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


def test_json_has_the_official_keys(tmp_path: Path) -> None:
    gold = gold_file(tmp_path, {"a": ["Paris"], "b": ["city", "a city"]})
    answers = write(tmp_path, "p.json", {"a": "the Paris", "b": "village"})
    result = run("--metric", "squad_v1", "--gold", gold, "--predictions", answers, "--json")
    assert json.loads(result.stdout) == {"exact_match": 50.0, "f1": 50.0}
    assert result.stderr == ""


def test_the_table_shows_the_same(tmp_path: Path) -> None:
    gold = gold_file(tmp_path, {"a": ["Paris"]})
    result = run("-m", "squad_v1", "-g", gold, "-p", write(tmp_path, "p.json", {"a": "Paris"}))
    assert "exact_match" in result.stdout
    assert "100.0000" in result.stdout


def test_offsets_of_the_gold_file_do_not_matter(tmp_path: Path) -> None:
    gold = gold_file(tmp_path, {"a": ["Paris@3"], "b": ["London@-1"], "c": ["city@9999"], "d": ["CITY@11"]})
    answers = write(tmp_path, "p.json", {"a": "Paris", "b": "London", "c": "city", "d": "city"})
    result = run("-m", "squad_v1", "-g", gold, "-p", answers, "--json")
    assert json.loads(result.stdout)["exact_match"] == 100.0


@pytest.mark.parametrize(
    ("fields", "exact"),
    [
        ({"answers": [{"text": "Paris"}]}, 100.0),
        ({"answers": [{"text": "Paris", "answer_start": None}]}, 100.0),
        ({"answers": [{"text": "Paris", "answer_start": 0}], "is_impossible": True}, 100.0),
        ({"answers": [], "is_impossible": False}, 0.0),
    ],
)
def test_gold_files_that_only_the_official_script_would_take(
    tmp_path: Path, fields: dict[str, Any], exact: float
) -> None:
    question = {"id": "a", "question": "?", **fields}
    gold = write(tmp_path, "gold.json", {"data": [{"paragraphs": [{"context": "Paris is", "qas": [question]}]}]})
    answers = write(tmp_path, "p.json", {"a": "Paris"})
    assert json.loads(run("-m", "squad_v2", "-g", gold, "-p", answers, "--json").stdout)["exact"] == exact


def test_missing_and_unknown_ids_are_warned_about(tmp_path: Path) -> None:
    gold = gold_file(tmp_path, {"a": ["Paris"], "b": ["city"]})
    answers = write(tmp_path, "p.json", {"a": "Paris", "zz": "x"})
    for metric, key in (("squad_v1", "exact_match"), ("squad_v2", "exact"), ("exact_match", "exact_match")):
        result = run("-m", metric, "-g", gold, "-p", answers, "--json")
        assert json.loads(result.stdout)[key] == 50.0
        assert "1 questions are unanswered and score 0: b" in result.stderr
        assert "1 ids are not in the gold file: zz" in result.stderr


def test_csv_predictions_and_settings(tmp_path: Path) -> None:
    gold = gold_file(tmp_path, {"a": ["1,912"]})
    answers = write(tmp_path, "p.csv", "ID,Answer\na,1912\n")
    arguments = ("-m", "exact_match", "-g", gold, "-p", answers, "--json")
    assert json.loads(run(*arguments).stdout)["exact_match"] == 0.0
    assert json.loads(run(*arguments, "--metric-set", "remove_characters=,").stdout)["exact_match"] == 100.0


def test_no_answer_probabilities(tmp_path: Path) -> None:
    gold = gold_file(tmp_path, {"a": ["Paris"], "b": []})
    answers = write(tmp_path, "p.json", {"a": "Paris", "b": "city"})
    probabilities = write(tmp_path, "na.json", {"b": 0.8, "a": 0.2})
    arguments = ("-m", "squad_v2", "-g", gold, "-p", answers, "--json", "--no-answer-probability")
    figures = json.loads(run(*arguments, probabilities).stdout)
    assert (figures["exact"], figures["best_exact"], figures["best_exact_thresh"]) == (50.0, 100.0, 0.2)
    with pytest.raises(DataError, match=r"na\.json: 1 answered questions have no number here: b"):
        run(*arguments, write(tmp_path, "na.json", {"a": 0.2}))


def test_problems_are_one_line(tmp_path: Path) -> None:
    gold = gold_file(tmp_path, {"a": ["Paris"]})
    answers = write(tmp_path, "p.json", {"a": "Paris"})
    with pytest.raises(UnknownPluginError, match="no metric is called 'squad'"):
        run("-m", "squad", "-g", gold, "-p", answers)
    with pytest.raises(PluginError, match="primari"):
        run("-m", "squad_v1", "-g", gold, "-p", answers, "--metric-set", "primari=f1")
    with pytest.raises(UsageError, match="should be key=value"):
        run("-m", "squad_v1", "-g", gold, "-p", answers, "--metric-set", "primary")
    with pytest.raises(UsageError, match="twice"):
        run("-m", "squad_v1", "-g", gold, "-p", answers, "--metric-set", "primary=f1", "--metric-set", "primary=f1")
    with pytest.raises(DataError, match=r"gold\.json"):
        run("-m", "squad_v1", "-g", write(tmp_path, "gold.json", {"data": []}), "-p", answers)
    with pytest.raises(DataError, match="no such file"):
        run("-m", "squad_v1", "-g", tmp_path / "none.json", "-p", answers)


def test_settings_of_the_reader(tmp_path: Path) -> None:
    gold = write(tmp_path, "gold.csv", "0,q,c,a\n7,?,Paris is,Paris\n")
    answers = write(tmp_path, "p.json", {"7": "Paris"})
    arguments = ("-m", "exact_match", "-g", gold, "-p", answers, "--json", "--reader", "table")
    columns = ("id=0", "question=q", "context=c", "answer_text=a")
    mapping = [word for column in columns for word in ("--reader-set", column)]
    assert json.loads(run(*arguments, *mapping).stdout)["exact_match"] == 100.0
    with pytest.raises(UsageError, match="--reader-set 'id' should be key=value"):
        run(*arguments, "--reader-set", "id")


@pytest.mark.parametrize("spelt", [("1", "0"), ("B", "A"), ("b", "a")])
def test_chosen_contexts(tmp_path: Path, spelt: tuple[str, str]) -> None:
    gold = write(tmp_path, "gold.csv", "id,q,a,b,label\n1,?,x,y,b\n2,?,x,y,b\n")
    recipe = write(
        tmp_path,
        "recipe.yaml",
        "data: {train: gold.csv, reader: {name: table, id: id, question: q, choices: [a, b], label: label}}\n"
        "backbone: {source: none}\nhead: multiple_choice\nmetric: selection\n",
    )
    answers = write(tmp_path, "p.csv", f"id,answer\n1,{spelt[0]}\n2,{spelt[1]}\n")
    assert json.loads(run("--recipe", recipe, "-g", gold, "-p", answers, "--json").stdout)["accuracy"] == 50.0
    other = write(tmp_path, "p.csv", "id,answer\n1,2\n2,0\n")
    with pytest.raises(DataError, match=r"id 1: '2' is no number of a context, from 0 to 1, and neither its name nor"):
        run("--recipe", recipe, "-g", gold, "-p", other)


def test_labels_need_a_metric_for_labels(tmp_path: Path) -> None:
    gold = write(tmp_path, "gold.tsv", "sentence\tlabel\nfine\t1\n")
    answers = write(tmp_path, "p.json", {"0": "1"})
    with pytest.raises(UsageError, match="name a metric for classification"):
        run("-m", "exact_match", "-g", gold, "-p", answers, "--reader", "glue", "--reader-set", "task=SST-2")


@pytest.mark.shared_data
@pytest.mark.parametrize("name", ["squad_v1", "squad_v2", "cmrc2018"])
def test_it_replaces_the_official_scripts(shared_data: Path, tmp_path: Path, name: str) -> None:
    case = json.loads((shared_data / "metric_parity" / f"{name}.json").read_text(encoding="utf-8"))
    gold = next(p for p in (shared_data / case["gold"], shared_data / "metric_parity" / case["gold"]) if p.exists())
    arguments = ["-m", name, "-g", gold, "-p", write(tmp_path, "p.json", case["predictions"]), "--json"]
    figures = json.loads(run(*arguments).stdout)
    assert figures.keys() == case["expected"].keys()
    assert {key: float(value) for key, value in figures.items()} == pytest.approx(
        {key: float(value) for key, value in case["expected"].items()}, abs=1e-6
    )
    if "no_answer_probability" in case:
        probabilities = write(tmp_path, "na.json", case["no_answer_probability"])
        figures = json.loads(run(*arguments, "--no-answer-probability", probabilities).stdout)
        assert figures == pytest.approx(case["expected_with_no_answer_probability"], abs=1e-6)


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("reader", "file", "metric", "key"),
    [
        ("squad", "drcd/DRCD_dev.json", "cmrc2018", "EM"),
        ("squad", "cmrc2018/cmrc2018_dev.json", "cmrc2018", "EM"),
        ("squad", "squad2/train.json", "squad_v2", "exact"),
        ("hw7", "hw7/hw7_dev.json", "exact_match", "exact_match"),
        ("adl", "adl/valid.json", "exact_match", "exact_match"),
    ],
)
def test_gold_answers_score_full_marks(
    shared_data: Path, tmp_path: Path, reader: str, file: str, metric: str, key: str
) -> None:
    from qakit.cli.score import _read_gold
    from qakit.cli.terminal.component_settings import build_component
    from qakit.registry import load_registry

    examples = _read_gold(
        shared_data / file, build_component(load_registry(), "readers", reader, None, option="--reader-set")
    )
    answers = {item.id: item.answers[0].text if item.answers else "" for item in examples}
    path = write(tmp_path, "p.json", answers)
    result = run("-m", metric, "-g", shared_data / file, "--reader", reader, "-p", path, "--json")
    assert float(json.loads(result.stdout)[key]) == 100.0


def test_glues_own_prediction_files_are_read(tmp_path: Path) -> None:
    gold = write(tmp_path, "dev.tsv", "sentence\tlabel\ngood\t1\nbad\t0\nfine\t1\n")
    answers = write(tmp_path, "SST-2.tsv", "index\tprediction\n0\t1\n1\t0\n2\t0\n")
    of_task = ("--metric-set", "task=SST-2", "--reader", "glue", "--reader-set", "task=SST-2")
    result = run("--metric", "glue", "--gold", gold, "--predictions", answers, *of_task, "--json")
    assert json.loads(result.stdout) == {"accuracy": pytest.approx(200 / 3)}
    assert result.stderr == ""


def glue_file(folder: Path, column: str, *labels: str) -> Path:
    rows = [f"{number}\ta\tb\t{label}\n" for number, label in enumerate(labels)]
    return write(folder, "gold.tsv", f"index\tsentence1\tsentence2\t{column}\n" + "".join(rows))


def test_classes_that_the_gold_file_does_not_have_are_told(tmp_path: Path) -> None:
    gold, answers = glue_file(tmp_path, "label", "1", "0"), write(tmp_path, "p.csv", "id,answer\n0,yes\n1,0\n")
    known = ("--metric", "accuracy", "--gold", gold, "--reader", "glue", "--reader-set", "task=WNLI")
    result = run(*known, "--predictions", answers)
    assert "1 of 2 answers are no class of the gold file and count as wrong: 'yes'; its classes are '0', '1'" in (
        result.stderr
    )
    write(tmp_path, "p.csv", "id,answer\n0,1.0\n1,0\n")
    result = run(*known, "--predictions", answers, "--json")
    assert json.loads(result.stdout)["accuracy"] == 100
    assert result.stderr == ""


def test_a_missing_number_is_one_error_and_no_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gold, answers = glue_file(tmp_path, "score", "1.0", "2.0"), write(tmp_path, "p.csv", "id,answer\n0,1.0\n")
    with pytest.raises(DataError, match=r"p\.csv: 1 of 2 numbers are missing: 1$"):
        run(
            *("--metric", "pearson_spearman", "--gold", gold, "--predictions", answers),
            *("--reader", "glue", "--reader-set", "task=STS-B"),
        )
    assert "score 0" not in capsys.readouterr().err
