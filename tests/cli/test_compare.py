"""``qakit compare``: one trained run and copies of it with other answers."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from qakit.data.read import read_examples
from qakit.errors import DataError, QakitError, RunError, UsageError
from qakit.inference.nbest_file import read_nbest, write_nbest
from qakit.protocols import NoRuntime
from qakit.registry import load_registry
from qakit.values import SpanPrediction

Invoke = Callable[..., Result]
Copy = Callable[..., Path]


@pytest.fixture
def copy(small_run: Path, small_data: Path, tmp_path: Path) -> Copy:
    """A copy of the trained run; ``right`` of its 12 answers are the gold ones, the others are wrong."""
    reader = load_registry().build("readers", "squad", {}, NoRuntime())
    gold = {example.id: example.answers for example in read_examples(reader, small_data / "dev.json").examples}

    def make(name: str, /, *, right: int | None = None, **changed: str) -> Path:
        folder = tmp_path / name
        shutil.copytree(small_run, folder)
        if right is not None:
            file = folder / "predictions" / "validation" / "nbest.jsonl"
            predictions = [item for item in read_nbest(file) if isinstance(item, SpanPrediction)]
            texts = [(gold[item.id] or ())[0].text for item in predictions]
            write_nbest(
                file,
                [
                    item.with_answer(text if number < right else "nothing of the kind")
                    for number, (item, text) in enumerate(zip(predictions, texts, strict=True))
                ],
            )
        for key, value in changed.items():
            edit(folder / "recipe.yaml", rf"(?m)^( *){key}: .*$", rf"\g<1>{key}: {value}")
        return folder

    return make


def edit(path: Path, pattern: str, replacement: str) -> None:
    text, count = re.subn(pattern, replacement, path.read_text("utf-8"), count=1)
    assert count == 1, f"{pattern} is not in {path}"
    path.write_text(text, "utf-8")


def refusal(invoke: Invoke, *arguments: object) -> QakitError:
    result = invoke("compare", *arguments)
    assert isinstance(result.exception, QakitError), result.output
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "\n" not in str(result.exception)
    return result.exception


def test_a_comparison_and_its_files(invoke: Invoke, copy: Copy, small_run: Path, tmp_path: Path) -> None:
    good, bad = copy("good", right=11, learning_rate="0.005"), copy("bad", right=1, learning_rate="0.007")
    output = tmp_path / "out" / "comparison"
    result = invoke("compare", small_run, good, bad, "--pairs", "--output", output)
    assert result.exit_code == 0, result.output
    for text in ("train.learning_rate=0.005", "91.67 [", "8.33 [", "second is better", "Differences", "12 questions"):
        assert text in result.stdout, text
    assert "Groups of seeds" not in result.stdout
    assert sorted(path.name for path in output.iterdir()) == ["compare.json", "compare.md", "compare.png"]
    assert (output / "compare.png").read_bytes().startswith(b"\x89PNG\r\n")
    page = (output / "compare.md").read_text("utf-8")
    assert "| good | train.learning\\_rate=0.005 | 91.67 \\[" in page
    for text in (result.stdout, page):
        assert not re.search(r"(?i)\b(nan|none|inf)\b", text)

    report = json.loads((output / "compare.json").read_text("utf-8"))
    trained = json.loads((small_run / "metrics.json").read_text("utf-8"))["validation"]
    for key in ("exact_match", "f1"):
        assert report["runs"][0]["figures"][key]["mean"] == pytest.approx(trained[key])
    (pair,) = [each for each in report["differences"] if (each["first"], each["second"]) == ("bad", "good")][:1]
    assert pair["figure"] == "exact_match"
    assert pair["mean"] == pytest.approx(-100 * 10 / 12)
    assert pair["distinguishable"] and pair["high"] < 0 and pair["opposite"] == 0


def test_json_on_stdout_holds_everything(invoke: Invoke, copy: Copy, small_run: Path) -> None:
    other = copy("other", right=12, seed="1")
    result = invoke("compare", small_run, other, "--json", "--seeds", "--resamples", 500, "--metric-key", "f1")
    report: dict[str, Any] = json.loads(result.stdout)
    assert {key: report[key] for key in ("metric", "figures", "questions", "level", "resamples", "seed")} == {
        "metric": "squad_v1",
        "figures": ["f1"],
        "questions": 12,
        "level": 0.95,
        "resamples": 500,
        "seed": 0,
    }
    run = report["runs"][1]
    assert run["run"] == str(other)
    assert (run["label"], run["seed"], run["differs"], run["finished"]) == ("other", 1, {"seed": "1"}, True)
    assert run["figures"]["f1"] == {"mean": 100.0, "low": 100.0, "high": 100.0}
    for cost in ("trainable_parameters", "seconds_per_step"):
        assert run[cost] > 0
    for stage in ("train", "evaluation"):
        assert run[f"{stage}_windows_per_second"] > 0
    assert [group["runs"] for group in report["groups"]] == [[str(small_run)], [str(other)]]
    assert report["groups"][0]["seeds"] == {}
    (difference,) = report["differences"]
    assert set(difference) == {"first", "second", "figure", "mean", "low", "high", "opposite", "distinguishable"}
    assert (difference["first"], difference["second"]) == ("other", small_run.name)
    again = invoke("compare", small_run, other, "--json", "--seeds", "--resamples", 500, "--metric-key", "f1")
    assert again.stdout == result.stdout


@pytest.mark.usefixtures("drawn_pictures")
def test_runs_that_differ_in_the_seed_are_a_group(invoke: Invoke, copy: Copy, tmp_path: Path) -> None:
    runs = [copy("a", right=4), copy("b", right=8, seed="1", name="again"), copy("c", right=7, learning_rate="0.1")]
    output = tmp_path / "out"
    result = invoke("compare", *runs, "--baseline", runs[2], "--output", output)
    assert result.exit_code == 0, result.output
    assert "a (2 seeds)" in result.stdout and "33.33 .. 66.67" in result.stdout
    assert "Seeds are taken as fixed" in result.stdout
    report = json.loads((output / "compare.json").read_text("utf-8"))
    assert [group["label"] for group in report["groups"]] == ["a (2 seeds)", "c"]
    exact = report["groups"][0]
    assert exact["figures"]["exact_match"]["mean"] == pytest.approx(50)
    assert exact["seeds"]["exact_match"]["max"] == pytest.approx(100 * 8 / 12)
    assert [(each["first"], each["second"]) for each in report["differences"]] == [("a (2 seeds)", "c")] * 2
    assert (output / "compare.png").stat().st_size > 1000


def test_a_run_and_its_copy_are_not_distinguishable(invoke: Invoke, copy: Copy, small_run: Path) -> None:
    report = json.loads(invoke("compare", small_run, copy("twin"), "--seeds", "--json").stdout)
    for difference in report["differences"]:
        assert (difference["mean"], difference["low"], difference["high"]) == (0, 0, 0)
        assert not difference["distinguishable"]


def test_names_are_text_not_markup(invoke: Invoke, copy: Copy, small_run: Path, tmp_path: Path) -> None:
    odd = copy("_[red]$x_1|y", learning_rate="0.5")
    result = invoke("compare", small_run, odd, "--output", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "_[red]$x_1|y" in result.stdout
    assert "\\_\\[red\\]$x\\_1\\|y" in (tmp_path / "out" / "compare.md").read_text("utf-8")


def test_what_old_runs_did_not_log_is_a_dash(invoke: Invoke, copy: Copy, small_run: Path) -> None:
    old = copy("old", learning_rate="0.5")
    (old / "timings.jsonl").unlink()
    (old / "meta.json").write_text("{}", "utf-8")
    (old / "metrics.json").unlink()
    result = invoke("compare", small_run, old)
    row = next(line for line in result.stdout.splitlines() if line.split()[:1] == ["old"])
    assert row.split()[-4:] == ["-"] * 4
    assert "old is not finished; its best weights so far are compared" in result.stdout


def test_usage(invoke: Invoke, copy: Copy, small_run: Path, tmp_path: Path) -> None:
    other = copy("other")
    assert "at least two runs" in str(refusal(invoke, small_run))
    assert f"{small_run} is given twice" in str(refusal(invoke, small_run, other, small_run))
    assert "is none of the runs" in str(refusal(invoke, small_run, other, "--baseline", tmp_path))
    assert "there is no figure 'em'" in str(refusal(invoke, small_run, other, "--metric-key", "em"))
    (tmp_path / "a file").touch()
    assert "name a folder" in str(refusal(invoke, small_run, other, "--output", tmp_path / "a file"))
    assert "is not a run" in str(refusal(invoke, small_run, tmp_path))


def test_other_metrics_are_refused(invoke: Invoke, copy: Copy, small_run: Path) -> None:
    other = copy("other")
    edit(other / "recipe.yaml", r"name: squad_v1\n  primary: f1", "name: exact_match")
    error = refusal(invoke, small_run, other)
    assert isinstance(error, UsageError)
    assert str(error) == f"{other} has the metric exact_match, {small_run} has squad_v1"
    third = copy("third", primary="exact_match")
    error = refusal(invoke, small_run, third)
    assert "squad_v1 with different settings: primary is 'exact_match' and 'f1'" in str(error)


def test_other_questions_are_refused(invoke: Invoke, copy: Copy, small_run: Path) -> None:
    drawn = copy("drawn", validation_limit="6")
    assert isinstance(refusal(invoke, small_run, drawn), RunError)
    file = drawn / "predictions" / "validation" / "nbest.jsonl"
    ids = re.findall(r"missing|too many", str(refusal(invoke, small_run, drawn)))
    assert ids == ["too many"], "12 answers, but the recipe draws 6 questions"
    from qakit.data.splits import read_split
    from qakit.runs import open_run

    split = read_split(open_run(drawn).recipe(), load_registry(), "validation")
    assert split is not None and len(split.examples) == 6
    wanted = {example.id for example in split.examples}
    write_nbest(file, [item for item in read_nbest(file) if item.id in wanted])
    message = str(refusal(invoke, small_run, drawn))
    assert f"{drawn} and {small_run} were evaluated on different questions: 6 (" in message
    other = copy("other", validation_limit="6", seed="1")
    second = read_split(open_run(other).recipe(), load_registry(), "validation")
    assert second is not None and second.examples == split.examples, "another seed is judged by the same questions"


def test_another_validation_file_is_refused(
    invoke: Invoke, copy: Copy, small_run: Path, small_data: Path, tmp_path: Path
) -> None:
    other = copy("other")
    document = json.loads((small_data / "dev.json").read_text("utf-8"))
    document["version"] = "another"
    own = tmp_path / "dev.json"
    own.write_text(json.dumps(document), "utf-8")
    edit(other / "recipe.yaml", re.escape(str(small_data / "dev.json")), str(own))
    meta = other / "predictions" / "validation" / "meta.json"
    edit(meta, re.escape(str(small_data / "dev.json")), str(own))
    error = refusal(invoke, small_run, other)
    assert isinstance(error, DataError)
    assert str(error) == f"{own}: is not the file that {other} was evaluated on: it has changed since"

    from qakit.files import file_sha256

    meta.write_text(json.dumps({"inputs": {str(own): file_sha256(own)}}), "utf-8")
    assert "were evaluated on different files: SHA-256 " in str(refusal(invoke, small_run, other))


def test_a_run_without_predictions_says_how_to_go_on(invoke: Invoke, copy: Copy, small_run: Path) -> None:
    bare = copy("bare [x]")
    shutil.rmtree(bare / "predictions")
    message, again = str(refusal(invoke, small_run, bare)), ("predict", bare, "--split", "validation")
    assert message.startswith(f"{bare} has no validation predictions")
    assert message.endswith(f"qakit predict '{bare}' --split validation")
    assert invoke(*again).exit_code == 0
    assert invoke("compare", small_run, bare).exit_code == 0


@pytest.mark.parametrize(
    ("file", "content", "expected"),
    [
        ("predictions/validation/nbest.jsonl", b"{", "nbest.jsonl, line 1: not a line of nbest.jsonl"),
        ("predictions/validation/nbest.jsonl", b"", "does not answer the recipe's validation questions: 12 ("),
        ("predictions/validation/meta.json", b"[]", "meta.json is damaged"),
        ("predictions/validation/meta.json", b"{}", "meta.json is missing or damaged"),
        ("metrics.jsonl", b'{"step": 1}\n', "metrics.jsonl, line 1 is damaged"),
        ("metrics.jsonl", b"\xff\n", "metrics.jsonl, line 1 is damaged"),
        ("timings.jsonl", b"{}\n\xff\n", "timings.jsonl, line 2 is damaged"),
        ("timings.jsonl", b"7\n", "timings.jsonl, line 1 is damaged"),
        ("meta.json", b"{", "meta.json is damaged"),
    ],
)
def test_damaged_files_are_named(
    invoke: Invoke, copy: Copy, small_run: Path, file: str, content: bytes, expected: str
) -> None:
    broken = copy("broken")
    (broken / file).write_bytes(content)
    assert expected in str(refusal(invoke, small_run, broken))


def test_a_log_that_ends_within_a_character_is_read(invoke: Invoke, copy: Copy, small_run: Path) -> None:
    killed = copy("killed")
    for name in ("metrics.jsonl", "timings.jsonl"):
        with (killed / name).open("ab") as file:
            file.write('{"type": "train", "step": 99, "note": "é'.encode()[:-1])
    assert invoke("compare", small_run, killed).exit_code == 0


def test_a_run_without_validation_data(invoke: Invoke, copy: Copy, small_run: Path) -> None:
    other = copy("other", validation="null")
    assert str(refusal(invoke, small_run, other)).startswith(f"{other} has no validation questions")
