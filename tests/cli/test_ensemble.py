"""``qakit ensemble``."""

from __future__ import annotations

import json
from collections.abc import Callable
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
    app.command()(ensemble.ensemble)
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
    run(*members, "--weights", "3,1,1", "--method-set", "ties=first", "-o", output)
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


def test_classes_in_files_for_glue(tmp_path: Path) -> None:
    members = []
    for name, value in (("a", "entailment"), ("b", "not_entailment"), ("c", "not_entailment")):
        members.append(tmp_path / f"{name}.tsv")
        members[-1].write_text(f"index\tprediction\n0\tentailment\n1\t{value}\n", "utf-8")
    run(*members, "-o", tmp_path / "RTE.tsv")
    assert (tmp_path / "RTE.tsv").read_text("utf-8") == "index\tprediction\n0\tentailment\n1\tnot_entailment\n"


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


@pytest.fixture(scope="module")
def made_up_runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three runs of 24 questions, each wrong about another third of them; one has other tokens."""
    from ensemble.made_up import questions, write_questions, write_run

    folder = tmp_path_factory.mktemp("made-up")
    examples = questions(24)
    write_questions(folder / "data.json", examples)
    return [
        write_run(folder / f"run-{n}", folder / "data.json", examples, [m % 3 != n for m in range(24)], split=n == 1)
        for n in range(3)
    ]


@pytest.mark.parametrize("method", ["voting", "nbest", "char_average"])
def test_runs_are_judged_and_kept(method: str, made_up_runs: list[Path], tmp_path: Path) -> None:
    output, folder = tmp_path / "final.csv", tmp_path / "whole"
    result = run(*made_up_runs, "--method", method, "-o", output, "--folder", folder, "--json")
    report = json.loads(result.stdout)
    assert (report["rows"], report["of"], report["no_validation"]) == (24, "test", None)
    assert report["validation"]["figures"]["exact"] == 100
    assert report["validation"]["best_figure"] == pytest.approx(200 / 3)
    assert report["validation"]["over_best"]["low"] > 0
    assert [each["figure"] for each in report["validation"]["rows"]] == pytest.approx([200 / 3] * 3)
    assert len(output.read_text("utf-8").splitlines()) == 25
    assert (folder / "predictions" / "submission.csv").read_bytes() == output.read_bytes().replace(
        b"id,answer", b"ID,Answer"
    )
    again = run(folder, made_up_runs[0], "--json", "--quiet")
    assert json.loads(again.stdout)["validation"]["rows"][0]["figure"] == 100, "an ensemble can be a member"


def test_what_is_shown_of_runs(made_up_runs: list[Path]) -> None:
    shown = run(*made_up_runs, "-m", "nbest", "--learn-weights").stdout
    for words in ("it adds", "best member: run-0", "equal weights", "each half by what the other taught"):
        assert words in shown


def test_a_recipe_says_everything(made_up_runs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(f"ensemble: {{members: ['{made_up_runs[0].parent}/run-*'], method: nbest, weights: learn}}\n")
    report = json.loads(run(recipe, "--json").stdout)
    folder = Path(report["folder"])
    assert folder.parent == Path("runs")
    assert folder.name.startswith("mine-")
    assert (folder / "predictions" / "submission.csv").is_file()
    for option in (("--method", "voting"), ("--seed", "3")):
        with pytest.raises(
            UsageError, match=r"--method, --method-set, --weights, --learn-weights, --seed are what .*mine\.yaml"
        ):
            run(recipe, *option)
    recipe.write_text("data: {}\n")
    with pytest.raises(UsageError, match="is no ensemble recipe"):
        run(recipe)


def test_ensemble_recipes_are_listed_and_validated(tmp_path: Path) -> None:
    from qakit.cli import build_app

    (tmp_path / "mine.yaml").write_text("ensemble: {members: [nowhere]}\n")
    listed = CliRunner().invoke(build_app(), ["recipes", "list", str(tmp_path), "--json"])
    assert json.loads(listed.stdout)["recipes"][0]["valid"] is True
    (tmp_path / "mine.yaml").write_text("ensemble: {members: [nowhere], method: nbset}\n")
    checked = CliRunner().invoke(build_app(), ["recipes", "validate", str(tmp_path / "mine.yaml")])
    assert checked.exit_code == 2
    assert "no ensembler is called 'nbset'" in checked.output + checked.stderr


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
    with pytest.raises(UsageError, match="is given twice; --weights makes a member count more"):
        run(first, first, "-o", output)
    with pytest.raises(UsageError, match="--weights and --learn-weights contradict each other"):
        run(first, second, "-o", output, "--weights", "1,2", "--learn-weights")
    with pytest.raises(UsageError, match=r"weights cannot be learnt: .*a\.csv is no run"):
        run(first, second, "-o", output, "--learn-weights")
    for method in ("nbest", "char_average"):
        with pytest.raises(UsageError, match=rf"{method} chooses among candidates, and files .* combine .* `voting`"):
            run(first, second, "-o", output, "--method", method)
    with pytest.raises(UsageError, match="needs a member that is a run"):
        run(first, second, "--folder", tmp_path / "whole")
    assert not (tmp_path / "whole").exists()
    with pytest.raises(UnknownPluginError, match="no ensembler is called 'votting'; did you mean"):
        run(first, second, "-o", output, "--method", "votting")


@pytest.mark.slow
def test_two_trained_runs_from_training_to_a_checked_submission(
    small_recipe: Path, invoke: Callable[..., Result], tmp_path: Path
) -> None:
    runs = [tmp_path / "one", tmp_path / "two"]
    for seed, folder in enumerate(runs):
        words = ("--set", f"seed={seed}", "--set", "predict.character_scores=true", "--quiet")
        assert invoke("train", small_recipe, "--output", folder, *words).exit_code == 0
    folder = tmp_path / "whole"
    result = invoke("ensemble", *runs, "--method", "char_average", "--learn-weights", "--folder", folder, "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["validation"]["questions"] == 12
    for name in ("predictions", "predictions/validation"):
        assert (folder / name / "nbest.jsonl").is_file()
    assert invoke("compare", folder, *runs, "--json").exit_code == 0
    assert invoke("runs", "show", folder).exit_code == 0
    submission = folder / "predictions" / "submission.csv"
    assert len(submission.read_text("utf-8").splitlines()) == 9


def test_without_an_output_it_says_that_nothing_is_written(tmp_path: Path) -> None:
    members = (member(tmp_path, "a.csv", "1", "2"), member(tmp_path, "b.csv", "1", "3"))
    assert "warning: nothing is written: --output FILE" in run(*members).stderr
    assert "nothing is written" not in run(*members, "-o", tmp_path / "final.csv").stderr
