"""``qakit train`` of an ensemble whose members are trained."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from command_line import Invoke

from qakit.errors import UsageError
from qakit.outputs import new_path

RECIPE = """\
name: whole
ensemble:
  train:
    recipe: {recipe}
    set: {{predict.character_scores: true}}
    grid:
      train.learning_rate: [1e-3, 2e-3]
      preprocess.predict.overlap: [16, 32]
  method: {method}
"""
MEMBERS = [f"learning_rate{rate}-overlap{overlap}" for rate in ("0.001", "0.002") for overlap in (16, 32)]


@pytest.fixture(scope="module")
def recipe(small_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ensemble") / "whole.yaml"
    path.write_text(RECIPE.format(recipe=small_recipe, method="char_average"), "utf-8")
    return path


@pytest.fixture(scope="module")
def whole(recipe: Path, invoke: Invoke) -> Path:
    """Four members of two trainings, and what they are together."""
    folder = recipe.parent / "run"
    result = invoke("train", recipe, "--output", folder, "--quiet")
    assert result.exit_code == 0, result.output
    return folder


@pytest.mark.slow
def test_members_are_trained_and_combined_into_a_submission(whole: Path, invoke: Invoke) -> None:
    assert sorted(each.name for each in (whole / "members").iterdir()) == sorted(MEMBERS)
    metrics = json.loads((whole / "metrics.json").read_text("utf-8"))
    assert metrics["submission"]["rows"] == 8
    assert metrics["submission"]["problems"] == []
    assert len(metrics["ensemble"]["rows"]) == 4
    assert (whole / "predictions" / "submission.csv").is_file()
    compared = invoke("compare", whole, *(whole / "members" / name for name in MEMBERS), "--json")
    assert compared.exit_code == 0, compared.output
    assert invoke("runs", "show", whole).exit_code == 0
    assert invoke("ensemble", whole, whole / "members" / MEMBERS[0], "--json").exit_code == 0


@pytest.mark.slow
def test_members_that_differ_in_prediction_share_one_training(whole: Path) -> None:
    trained, shared = (whole / "members" / name for name in MEMBERS[:2])
    weights = [run / "model" / "model.safetensors" for run in (trained, shared)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    assert (trained / "metrics.jsonl").is_file()
    assert not (shared / "metrics.jsonl").exists()
    assert json.loads((shared / "meta.json").read_text())["weights_from"] == str(trained)
    assert "overlap: 16" in (trained / "recipe.yaml").read_text("utf-8")
    assert "overlap: 32" in (shared / "recipe.yaml").read_text("utf-8")
    figures = json.loads((shared / "metrics.json").read_text("utf-8"))["validation"]
    assert figures.keys() == json.loads((trained / "metrics.json").read_text("utf-8"))["validation"].keys()


@pytest.mark.slow
def test_the_shared_weights_predict_as_their_own_recipe_says(whole: Path, invoke: Invoke, tmp_path: Path) -> None:
    shared = whole / "members" / MEMBERS[1]
    kept = json.loads((shared / "metrics.json").read_text("utf-8"))["validation"]
    report = json.loads(invoke("evaluate", shared, "--json").stdout)
    assert report["figures"] == pytest.approx(kept)


@pytest.mark.slow
def test_it_goes_on_with_what_is_missing(whole: Path, invoke: Invoke) -> None:
    before = {name: (whole / "members" / name / "metrics.json").stat().st_mtime_ns for name in MEMBERS}
    lost = whole / "members" / MEMBERS[3]
    (lost / "metrics.json").unlink()
    (whole / "metrics.json").unlink()
    submission = (whole / "predictions" / "submission.csv").read_bytes()
    result = invoke("train", "--resume", "--output", whole, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["submission"]["rows"] == 8
    assert (whole / "predictions" / "submission.csv").read_bytes() == submission
    after = {name: (whole / "members" / name / "metrics.json").stat().st_mtime_ns for name in MEMBERS}
    assert [after[name] > before[name] for name in MEMBERS] == [False, False, False, True]
    assert "cannot change it" in str(
        invoke("train", "--resume", "--output", whole, "--set", "train.epochs=2").exception
    )


@pytest.mark.slow
def test_another_recipe_does_not_go_on(recipe: Path, whole: Path, invoke: Invoke) -> None:
    before = {name: (whole / "members" / name / "metrics.json").stat().st_mtime_ns for name in MEMBERS}
    refused = invoke("train", recipe, "--output", whole, "--set", "train.epochs=2")
    assert refused.exit_code == 2 and "choose another --output" in str(refused.exception)
    again = invoke("train", recipe, "--output", whole)
    assert again.exit_code == 0, again.output
    assert "submission.csv (8 rows)" in again.stdout, "also where nothing was left to do"
    assert {name: (whole / "members" / name / "metrics.json").stat().st_mtime_ns for name in MEMBERS} == before


def test_dry_run_lists_the_members(recipe: Path, invoke: Invoke) -> None:
    result = invoke("train", recipe, "--dry-run", "--json", "--set", "train.epochs=2")
    report = json.loads(result.stdout)
    assert report["nodes"] == [
        *(
            {"node": f"members/{name}", "work": f"the weights of members/{first}" if number % 2 else "training"}
            for number, (name, first) in enumerate(zip(MEMBERS, sorted(MEMBERS[::2] * 2), strict=True))
        ),
        {"node": ".", "work": "joining"},
    ]
    assert [one["steps"] for one in report["trainings"].values()] == [12, 12]
    assert report["method"]["name"] == "char_average" and report["existing"] == []


def test_recipes_commands_know_them(recipe: Path, invoke: Invoke) -> None:
    assert invoke("recipes", "validate", recipe).exit_code == 0
    assert f"# members/{MEMBERS[0]}: training" in invoke("recipes", "show", recipe).stdout
    shown = json.loads(invoke("recipes", "show", recipe, "--json").stdout)
    assert [each["label"] for each in shown["members"]] == MEMBERS
    assert shown["members"][1]["work"] == f"the weights of members/{MEMBERS[0]}"
    rows = json.loads(invoke("recipes", "list", recipe.parent, "--json").stdout)["recipes"]
    assert [row["valid"] for row in rows if row["path"] == str(recipe)] == [True]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("recipe: ", "recipe: no-such-"), "file not found"),
        (("train.learning_rate:", "train.learning_rat:"), "did you mean 'learning_rate'"),
        (("[1e-3, 2e-3]", "[1e-3, x]"), "learning_rate"),
        (("[1e-3, 2e-3]", "[]"), "the list is empty"),
        (("predict.character_scores: true", "seed: 1"), "seeds are given by `seeds`"),
        (("  method: char_average", "  weights: [1, 2]"), "2 numbers for the members"),
        (("predict.character_scores: true", "predict.n_best: 5"), "needs the members' character scores"),
        (("char_average", "char_averag"), "did you mean 'char_average'"),
        (("    grid:\n", "    variants: {'..': {}}\n    grid:\n"), "ensemble.train.variants: the name '..' may have"),
        (("    grid:\n", "    seeds: [1, 1]\n    grid:\n"), ": ensemble.train.seeds: 1 is given twice"),
        (("  method: char_average", "  weights: [2, 1, -1, 1]"), "weights must be numbers from 0 up"),
    ],
)
def test_what_is_wrong_is_said_before_any_training(
    change: tuple[str, str], message: str, recipe: Path, invoke: Invoke, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.yaml"
    text = recipe.read_text("utf-8")
    assert change[0] in text
    if change[0] == "recipe: ":
        change = (text.split("recipe: ")[1].splitlines()[0], str(tmp_path / "none.yaml"))
    bad.write_text(text.replace(*change), "utf-8")
    result = invoke("train", bad, "--output", tmp_path / "run")
    assert result.exit_code == 2
    assert message in str(result.exception)
    assert not (tmp_path / "run").exists()


def test_each_command_names_the_other(recipe: Path, invoke: Invoke, tmp_path: Path) -> None:
    assert "qakit train" in str(invoke("ensemble", recipe).exception)
    plain = tmp_path / "plain.yaml"
    plain.write_text(f"ensemble: {{members: [{tmp_path}, {tmp_path.parent}]}}\n", "utf-8")
    assert "qakit ensemble" in str(invoke("train", plain).exception)
    plain.write_text("ensemble: {method: voting}\n", "utf-8")
    assert "give `members`, or `train`" in str(invoke("ensemble", plain).exception)


@pytest.mark.parametrize("how", ["--dry-run", "--quiet"])
def test_a_method_for_other_predictions_is_refused_before_a_training(
    how: str, recipe: Path, tmp_path: Path, invoke: Invoke
) -> None:
    done = invoke("train", recipe, "--set", "ensemble.method=mean", "--output", tmp_path / "run", how)
    assert done.exit_code == 2
    assert "is an answer; mean is for classes, numbers and contexts" in str(done.exception)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_no_file_of_it_is_an_output_of_another_command(whole: Path) -> None:
    files = [path for path in whole.rglob("*") if path.is_file()]
    assert len(files) > 60
    for file in files:
        with pytest.raises(UsageError, match="a part of the"):
            new_path(file)


@pytest.mark.slow
def test_one_that_is_not_made_yet_answers_nothing(
    whole: Path, small_data: Path, tmp_path: Path, invoke: Invoke
) -> None:
    begun = Path(shutil.copytree(whole, tmp_path / "a run"))
    for name in ("ensemble.json", "metrics.json"):
        (begun / name).unlink()
    done = invoke("predict", begun, "--input", small_data / "test.json", "--output", tmp_path / "a.csv")
    assert done.exit_code == 2
    assert str(done.exception) == f"{begun} is not finished; resume with: qakit train --resume --output '{begun}'"
    exported = invoke("export", begun, "--merge", "--output", tmp_path / "x")
    assert exported.exit_code == 2
    assert "warning" not in exported.stderr


@pytest.mark.slow
def test_an_ensemble_in_its_place_would_lose_the_trained_members(whole: Path, small_run: Path, invoke: Invoke) -> None:
    before = sorted(path for path in whole.rglob("*"))
    done = invoke("ensemble", small_run, whole, "--folder", whole, "--quiet")
    assert done.exit_code == 2
    done = invoke("ensemble", small_run, small_run.parent / "other", "--folder", whole, "--quiet")
    assert "holds more than an ensemble (members, members.json), which would be lost" in str(done.exception)
    assert sorted(path for path in whole.rglob("*")) == before


def test_weights_that_cannot_be_learnt_are_refused_before_a_training(
    small_recipe: Path, small_data: Path, tmp_path: Path, invoke: Invoke
) -> None:
    """Its validation file is one without answers."""
    (tmp_path / "whole.yaml").write_text(
        f"""\
ensemble:
  train: {{recipe: {small_recipe}, set: {{data.validation: {small_data}/test.json}}, seeds: [1, 2]}}
  weights: learn
""",
        "utf-8",
    )
    result = invoke("train", tmp_path / "whole.yaml", "--output", tmp_path / "run", "--quiet")
    assert result.exit_code == 2
    assert "weights cannot be learnt: data.validation of the members' recipe holds no right" in str(result.exception)
    assert not (tmp_path / "run").exists()


def test_members_that_lack_something_are_told_before_the_others_are_trained(
    small_run: Path, small_recipe: Path, tmp_path: Path, invoke: Invoke
) -> None:
    begun, whole = tmp_path / "begun", tmp_path / "whole.yaml"
    shutil.copytree(small_run, begun)
    shutil.rmtree(begun / "predictions")
    answers = small_run / "predictions" / "submission.csv"
    train = f"train: {{recipe: {small_recipe}, set: {{predict.character_scores: true}}}}"
    for member, more, message in (
        (begun, "", "has no predictions/nbest.jsonl: let it answer a test file, with `qakit predict "),
        (small_run, "method: char_average", "has no character scores; train with `predict: {character_scores: true}`"),
        (answers, "weights: learn", "is no run, so nothing is known of its answers"),
    ):
        whole.write_text(f"ensemble:\n  {train}\n  members: [{member}]\n  {more}\n", "utf-8")
        result = invoke("train", whole, "--output", tmp_path / "run", "--quiet")
        assert result.exit_code == 2
        assert message in str(result.exception)
        assert not (tmp_path / "run").exists()
