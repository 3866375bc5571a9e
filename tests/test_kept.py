"""Outputs never take the place of what runs, studies, models, answers and ledgers are made of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qakit.errors import UsageError
from qakit.outputs import check_beside_kept, check_not_kept, check_outside_kept

KINDS = {
    "run": ("recipe.yaml", "meta.json", "metrics.jsonl", "model/decision.json", "weights.json", "train.log"),
    "study": ("study.json", "search.log", "runs/000-a/recipe.yaml", "runs/000-a/metrics.json"),
    "pretraining": ("pretrain.json", "metrics.jsonl", "checkpoints/step-00000002/state.json"),
    "model": ("config.json", "model.safetensors", "tokenizer.json", "decision.json", "vocab.txt"),
    "folder of answers": ("_progress/run.json", "_progress/done/a.jsonl.json"),
    "ledger": ("ledger.jsonl", ".lock", "one-0123456789/submission.csv"),
}


@pytest.fixture(params=KINDS)
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder of each kind, in its barest form."""
    folder = tmp_path / request.param.replace(" ", "-")
    for name in KINDS[request.param]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}", "utf-8")
    return folder


def test_a_part_of_a_kept_folder_is_no_name_for_an_output(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [path for path in kept.rglob("*") if path.is_file()]
    assert len(files) >= 2
    for file in files:
        with pytest.raises(UsageError, match=r"is, or lies in, a part of the .*: choose another name or folder"):
            check_beside_kept(file)
    monkeypatch.chdir(kept)
    for file in files:
        with pytest.raises(UsageError, match="part of the"):
            check_beside_kept(file.relative_to(kept))


def test_a_name_of_the_users_own_may_lie_in_a_kept_folder(kept: Path) -> None:
    check_beside_kept(kept / "my answers.csv")
    check_beside_kept(kept)
    check_beside_kept(kept.parent / "metrics.json")


def test_links_are_looked_through_and_are_files_themselves(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for name in ("recipe.yaml", "meta.json"):
        (run / name).write_text("{}", "utf-8")
    (tmp_path / "link").symlink_to(run)
    (run / "metrics.jsonl").symlink_to(tmp_path / "elsewhere.jsonl")
    (tmp_path / "loop").symlink_to("loop")
    for path in (tmp_path / "link" / "meta.json", run / "metrics.jsonl", run / "x" / ".." / "meta.json"):
        with pytest.raises(UsageError, match="a part of the run"):
            check_beside_kept(path)
    with pytest.raises(UsageError, match="lies in the run"):
        check_outside_kept(tmp_path / "link" / "deeper" / "new")
    check_beside_kept(tmp_path / "loop")


@pytest.mark.parametrize("name", ["METRICS.JSON", "Model/x.csv", "fold-12/x", ".lock", "checkpoints/a/b", "members/a"])
def test_names_are_those_of_any_file_system_and_of_all_that_may_come(tmp_path: Path, name: str) -> None:
    for file in ("recipe.yaml", "meta.json"):
        (tmp_path / file).write_text("{}", "utf-8")
    with pytest.raises(UsageError, match="a part of the run"):
        check_beside_kept(tmp_path / name)


def test_no_run_lies_in_a_run_or_a_study_but_what_is_there_is_for_its_command(tmp_path: Path) -> None:
    study, run = tmp_path / "study", tmp_path / "study" / "runs" / "000-a"
    run.mkdir(parents=True)
    (study / "study.json").write_text("{}", "utf-8")
    for file in ("recipe.yaml", "meta.json"):
        (run / file).write_text("{}", "utf-8")
    for folder in (study / "mine", study / "runs" / "mine", run / "mine", run / "model"):
        with pytest.raises(UsageError, match="choose a folder outside of it"):
            check_outside_kept(folder)
    check_outside_kept(run)
    check_outside_kept(study)
    check_beside_kept(run / "mine.csv")
    for folder in (run, study, run / "mine"):
        with pytest.raises(UsageError, match=r"holds a|lies in the"):
            check_not_kept(folder)


@pytest.mark.parametrize("kind", ["study.json", "meta.json"])
def test_what_is_laid_out_and_not_begun_is_gone_on_with(tmp_path: Path, kind: str) -> None:
    """A study's trials, and the members of an ensemble, before they are trained: by processes of their own."""
    part = tmp_path / "runs" / "000-a"
    part.mkdir(parents=True)
    for file in (tmp_path / kind, tmp_path / "recipe.yaml", part / "recipe.yaml"):
        file.write_text("{}", "utf-8")
    check_outside_kept(part)
    with pytest.raises(UsageError, match="choose a folder outside of it"):
        check_outside_kept(part.with_name("mine"))


def test_a_project_with_a_recipe_and_a_configuration_is_no_run(tmp_path: Path) -> None:
    for file in ("recipe.yaml", "config.json", "metrics.json"):
        (tmp_path / file).write_text(json.dumps({}), "utf-8")
    check_beside_kept(tmp_path / "predictions" / "answers.json")
    check_beside_kept(tmp_path / "metrics.json")
    check_not_kept(tmp_path)
