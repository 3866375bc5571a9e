"""``qakit ensemble``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from qakit.cli import ensemble
from qakit.errors import DataError, UnknownPluginError, UsageError
from qakit.values import Candidate, SpanPrediction


def run(*arguments: object) -> Result:
    """The command alone, its errors raised."""
    app = typer.Typer()
    ensemble.register(app)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def member(folder: Path, name: str, *answers: str, header: str = "ID,Answer", end: str = "\n") -> Path:
    path = folder / name
    rows = [f'{number},"{answer}"' for number, answer in enumerate(answers)]
    path.write_bytes((end.join([header, *rows]) + end).encode())
    return path


def test_bare_csv_files(tmp_path: Path) -> None:
    members = (
        member(tmp_path, "a.csv", "甲", "x,y", "1", end="\r\n"),
        member(tmp_path, "b.csv", "乙", "x,y", "2", end="\r\n"),
        member(tmp_path, "c.csv", "乙", "x", "3"),
    )
    output = tmp_path / "out" / "final.csv"
    result = run(*members, "--method", "voting", "--output", output, "--json")
    assert output.read_bytes() == 'ID,Answer\r\n0,乙\r\n1,"x,y"\r\n2,1\r\n'.encode()
    report = json.loads(result.stdout)
    assert report["rows"] == 3
    assert report["changed"] == [1, 1, 2]
    assert report["agreement"][0] == pytest.approx([1, 1 / 3, 0])
    assert report["agreement"][1] == pytest.approx([1 / 3, 1, 1 / 3])


def test_the_table(tmp_path: Path) -> None:
    members = (member(tmp_path, "a.csv", "甲", "乙"), member(tmp_path, "[b].csv", "甲", "丙"))
    output = tmp_path / "final.csv"
    result = run(*members, "-o", output)
    assert "50.0%" in result.stdout
    assert "2 [b].csv" in result.stdout
    assert "2 answers by voting" in result.stdout


def test_weights_and_settings(tmp_path: Path) -> None:
    members = (member(tmp_path, "a.csv", "甲"), member(tmp_path, "b.csv", "乙"), member(tmp_path, "c.csv", "乙"))
    output = tmp_path / "final.csv"
    run(*members, "--weights", "3,1,1", "--set", "ties=first", "-o", output)
    assert output.read_text(encoding="utf-8") == "ID,Answer\n0,甲\n"


def test_json_members_and_outputs(tmp_path: Path) -> None:
    first = tmp_path / "a.json"
    first.write_text('{"1": "x", "0": "y"}')
    second = member(tmp_path, "b.csv", "y", "x", header="Id,Predicted")
    run(first, second, "-o", tmp_path / "final.json")
    assert list(json.loads((tmp_path / "final.json").read_bytes()).items()) == [("1", "x"), ("0", "y")]
    run(first, second, "-o", tmp_path / "final.csv")
    assert (tmp_path / "final.csv").read_text() == "Id,Predicted\n1,x\n0,y\n"
    run(first, second, "-o", tmp_path / "final.jsonl")
    assert json.loads((tmp_path / "final.jsonl").read_text().split("\n")[0]) == {"id": "1", "answer": "x"}


def test_run_folders_bring_probabilities(tmp_path: Path) -> None:
    from qakit.inference.nbest_file import write_nbest

    runs = []
    for name, answer, probability in (("r1", "甲", 0.3), ("r2", "乙", 0.7)):
        folder = tmp_path / name / "predictions"
        folder.mkdir(parents=True)
        prediction = SpanPrediction("0", answer, (Candidate(answer, 0, 1, 0, 1.0, probability),))
        write_nbest(folder / "nbest.jsonl", [prediction])
        member(folder, "submission.csv", answer)
        runs.append(tmp_path / name)
    run(*runs, "-o", tmp_path / "final.csv")
    assert (tmp_path / "final.csv").read_text(encoding="utf-8") == "ID,Answer\n0,乙\n"


def test_a_folder_without_predictions(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with pytest.raises(DataError, match=r"run: has no predictions/nbest\.jsonl"):
        run(tmp_path / "run", member(tmp_path, "a.csv", "x"), "-o", tmp_path / "final.csv")


def test_other_ids_name_the_file_and_leave_no_output(tmp_path: Path) -> None:
    first = member(tmp_path, "a.csv", *"abcdefgh")
    second = member(tmp_path, "b.csv", "a")
    with pytest.raises(DataError, match=r"b\.csv: 7 ids of .*a\.csv are missing here: 1, 2, 3, 4, 5, \.\.\."):
        run(first, second, "-o", tmp_path / "final.csv")
    with pytest.raises(DataError, match=r"a\.csv: 7 ids are not in .*b\.csv: 1, 2, 3, 4, 5, \.\.\."):
        run(second, first, "-o", tmp_path / "final.csv")
    assert not (tmp_path / "final.csv").exists()


def test_other_columns_are_warned_about(tmp_path: Path) -> None:
    result = run(
        member(tmp_path, "a.csv", "x"), member(tmp_path, "b.csv", "x", header="id,answer"), "-o", tmp_path / "final.csv"
    )
    assert "the columns are id,answer" in result.stderr


def test_words_that_do_not_go_together(tmp_path: Path) -> None:
    first, second = member(tmp_path, "a.csv", "x"), member(tmp_path, "b.csv", "x")
    output = tmp_path / "final.csv"
    with pytest.raises(UsageError, match="at least two members"):
        run(first, "-o", output)
    with pytest.raises(UsageError, match=r"should end in \.csv, \.json, \.jsonl"):
        run(first, second, "-o", tmp_path / "final.txt")
    with pytest.raises(UsageError, match="is one of the members"):
        run(first, second, "-o", tmp_path / "sub" / ".." / "a.csv")
    with pytest.raises(UsageError, match="has 1 numbers for 2 members"):
        run(first, second, "-o", output, "--weights", "1")
    with pytest.raises(UsageError, match="should be numbers"):
        run(first, second, "-o", output, "--weights", "1,x")
    with pytest.raises(UnknownPluginError, match="no ensembler is called 'votting'; did you mean"):
        run(first, second, "-o", output, "--method", "votting")
