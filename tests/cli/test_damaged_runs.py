"""A run folder with a damaged file: one line and exit code 2, in every command that reads it."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from qakit.errors import RunError
from qakit.runs import open_run

sys.path.insert(0, str(Path(__file__).parents[1] / "hostile"))

from run_files import BROKEN, FILES, broken

LISTED = 3
"""Damages that are tried in each file, evenly out of all; the first ones (no JSON at all) always."""


def chosen(file: Path) -> list[tuple[str, bytes]]:
    every = list(broken(file))
    rest = every[len(BROKEN) :]
    return every[: len(BROKEN)] + rest[:: max(1, len(rest) // LISTED)]


def commands(run: Path, name: str, tmp_path: Path) -> list[tuple[object, ...]]:
    """Those that read the file."""
    ask = ("ask", run, "Where?", "-c", "The army landed at Pevensey.")
    if name.startswith("model/"):
        return [ask]
    if name == "predictions/nbest.jsonl":
        return [("ensemble", run, run, "-o", tmp_path / "o.csv")]
    return [("runs", "show", run), ("runs", "list", run.parent)]


@pytest.fixture
def run(small_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small_run, tmp_path / "runs" / "run"))


@pytest.mark.parametrize("name", [name for name in FILES if not name.startswith("model/")])
def test_damage_is_told_in_one_line(run: Path, invoke: Any, tmp_path: Path, name: str) -> None:
    _damage_and_try(run, name, invoke, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in FILES if name.startswith("model/")])
def test_damage_to_the_model_is_told_in_one_line(run: Path, invoke: Any, tmp_path: Path, name: str) -> None:
    _damage_and_try(run, name, invoke, tmp_path)


@pytest.mark.parametrize("what", BROKEN)
def test_a_configuration_that_is_none(run: Path, invoke: Any, tmp_path: Path, what: str) -> None:
    (run / "model" / "config.json").write_bytes(BROKEN[what])
    result = invoke(*commands(run, "model/config.json", tmp_path)[0])
    assert result.exit_code == 2 and len(str(result.exception).splitlines()) == 1


def test_a_configuration_that_fails_only_when_it_is_used(run: Path, invoke: Any, tmp_path: Path) -> None:
    config = json.loads((run / "model" / "config.json").read_text("utf-8"))
    (run / "model" / "config.json").write_text(json.dumps(config | {"chunk_size_feed_forward": []}), "utf-8")
    result = invoke(*commands(run, "model/config.json", tmp_path)[0])
    message = str(result.exception)
    assert result.exit_code == 2 and message.startswith(f"{run}/model is damaged") and len(message.splitlines()) == 1


def _damage_and_try(run: Path, name: str, invoke: Any, tmp_path: Path) -> None:
    file = run / name
    for what, content in chosen(file):
        file.write_bytes(content)
        for arguments in commands(run, name, tmp_path):
            result = invoke(*arguments)  # raises whatever is no QakitError
            assert result.exit_code in (0, 2), what
            if result.exit_code and not isinstance(result.exception, SystemExit):
                message = str(result.exception)
                assert len(message.splitlines()) == 1 and str(run) in message, (what, message)


@pytest.mark.parametrize("name", [".recipe.yaml.adding", ".model.old"])
def test_what_lies_behind_a_link_is_not_taken_for_a_killed_process_leftover(
    run: Path, tmp_path: Path, name: str
) -> None:
    private = tmp_path / "private"
    (private / "sub").mkdir(parents=True)
    (private / "thesis.txt").write_text("precious", "utf-8")
    (run / name).symlink_to(private)
    with pytest.raises(RunError, match="is a link that leads out of "):
        open_run(run)
    assert sorted(file.name for file in private.iterdir()) == ["sub", "thesis.txt"]
    assert not (run / "thesis.txt").exists()


def test_a_folder_that_cannot_be_looked_into_is_refused(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Links in it could not be seen, and names in it that are known can be used all the same."""
    scandir = os.scandir

    def refusing(path: Any) -> Any:
        if Path(path).name == "predictions":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(RunError, match="predictions cannot be looked into: Permission denied"):
        open_run(run)


@pytest.mark.parametrize("name", ["metrics.jsonl", "model", "predictions/validation", "predictions/nbest.jsonl", "new"])
def test_a_link_out_of_the_run_is_refused(run: Path, tmp_path: Path, name: str) -> None:
    place = run / name
    if place.exists():
        place.rename(tmp_path / "elsewhere")
    else:
        (tmp_path / "elsewhere").write_text("private", "utf-8")
    place.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError, match="is a link that leads out of "):
        open_run(run)


def test_links_within_a_run_and_to_a_run_are_fine(run: Path, tmp_path: Path) -> None:
    (run / "latest").symlink_to(run / "model")
    (tmp_path / "linked").symlink_to(run)
    assert open_run(tmp_path / "linked").recipe().name


def test_a_pickle_instead_of_weights_is_refused_with_the_reason(run: Path, invoke: Any, tmp_path: Path) -> None:
    (run / "model" / "model.safetensors").rename(run / "model" / "pytorch_model.bin")
    result = invoke(*commands(run, "model/config.json", tmp_path)[0])
    assert result.exit_code == 2 and "pytorch_model.bin is a pickle" in str(result.exception)


def test_a_run_that_trusts_code_says_so_before_it_answers(run: Path, invoke: Any, tmp_path: Path) -> None:
    text = (run / "recipe.yaml").read_text("utf-8")
    (run / "recipe.yaml").write_text(text.replace("trust_remote_code: false", "trust_remote_code: true"), "utf-8")
    result = invoke(*commands(run, "model/config.json", tmp_path)[0])
    assert result.exit_code == 0
    assert "warning: trust_remote_code is on: Python code of" in result.output


def test_a_recipe_that_trusts_code_says_so_when_it_is_shown_and_tried(small_recipe: Path, invoke: Any) -> None:
    trusting = ("--set", "backbone.trust_remote_code=true")
    shown = invoke("recipes", "show", small_recipe, *trusting)
    assert "warning: backbone.trust_remote_code is on" in shown.output
    from qakit.modeling import remote_code

    remote_code._announce.cache_clear()
    tried = invoke("train", small_recipe, "--dry-run", *trusting)
    assert tried.exit_code == 0 and "warning: trust_remote_code is on" in tried.output
    assert "trust_remote_code is on" not in invoke("train", small_recipe, "--dry-run").output


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-1e999", "true", '"0.5"', "1" * 400, "[]"])
@pytest.mark.parametrize("name", ["null_threshold", "temperature"])
def test_a_decision_that_is_no_number_is_damage(run: Path, name: str, value: str) -> None:
    """Of a run that somebody else has sent: it is held to what a recipe would be."""
    from qakit.inference.trained import TrainedRun

    file = run / "model" / "decision.json"
    decision = json.loads(file.read_text("utf-8"))
    file.write_text(json.dumps(decision | {name: "HERE"}).replace('"HERE"', value), "utf-8")
    with pytest.raises(RunError, match=r"decision\.json is damaged") as caught:
        TrainedRun.load(run)
    assert len(str(caught.value)) < 400 + len(str(file))


@pytest.mark.parametrize(
    "change",
    [
        ("n_best: 20", "n_best: 1000000000"),
        ("max_length: 128", f"max_length: {'9' * 400}"),
        ("folds: null", "folds: {k: 100000000}"),
    ],
)
def test_a_recipe_that_would_take_all_memory_is_refused(run: Path, invoke: Any, change: tuple[str, str]) -> None:
    text = (run / "recipe.yaml").read_text("utf-8")
    assert change[0] in text
    (run / "recipe.yaml").write_text(text.replace(*change), "utf-8")
    result = invoke("ask", run, "Where?", "-c", "At Pevensey.")
    assert result.exit_code == 2
    assert "should be an integer" in str(result.exception) and "at most" in str(result.exception)
