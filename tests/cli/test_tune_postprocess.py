"""``qakit tune-postprocess``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import Invoke
from ensemble.made_up import questions, write_questions, write_run

from qakit.recipe.load import load_recipe


@pytest.fixture(scope="module")
def made_up_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tune")
    examples = questions(24)
    write_questions(folder / "data.json", examples)
    return write_run(folder / "run", folder / "data.json", examples, [number % 3 > 0 for number in range(24)])


def test_it_says_what_was_tried_and_gives_a_block(made_up_run: Path, invoke: Invoke, tmp_path: Path) -> None:
    output = tmp_path / "found.yaml"
    result = invoke("tune-postprocess", made_up_run, "--output", output)
    assert result.exit_code == 0, result.output
    for words in ("special_chars", "length_prior", "number_units", "trim_to_tokens", "optimistic", "postprocess: []"):
        assert words in result.stdout
    assert output.read_text("utf-8") == "postprocess: []\n"
    assert invoke("tune-postprocess", made_up_run, "--output", output).exit_code == 0
    output.write_text("postprocess:\n- name: x\n# mine\ndata: {reader: squad}\n", "utf-8")
    refused = invoke("tune-postprocess", made_up_run, "--output", output)
    assert "holds more than a `postprocess` block" in str(refused.exception)
    assert "data: {reader: squad}" in output.read_text("utf-8")


def test_json(made_up_run: Path, invoke: Invoke) -> None:
    words = ("--candidates", "special_chars,trim_to_tokens", "--holdout", "0.5", "--resamples", "1000", "--json")
    report = json.loads(invoke("tune-postprocess", made_up_run, *words).stdout)
    assert report["searched_on"]["questions"] == report["held_out"]["questions"] == 12
    assert report["optimistic"] is False
    assert {each["step"]["name"] for each in report["tried"]} == {"special_chars", "trim_to_tokens"}


def test_the_block_is_a_piece_of_a_recipe(small_run: Path, small_recipe: Path, invoke: Invoke, tmp_path: Path) -> None:
    result = invoke("tune-postprocess", small_run, "--json", "--output", tmp_path / "found.yaml")
    assert result.exit_code == 0, result.output
    own = tmp_path / "own.yaml"
    own.write_text(f"extends: {small_recipe}\n" + (tmp_path / "found.yaml").read_text("utf-8"), "utf-8")
    assert load_recipe(own).recipe.postprocess is not None


def test_what_goes_wrong_is_one_line(made_up_run: Path, invoke: Invoke, tmp_path: Path) -> None:
    bare = write_run(tmp_path / "bare", made_up_run.parent / "data.json", questions(24), [True] * 24, splits=("test",))
    for words, message in (
        ((tmp_path / "nowhere",), "there is no run"),
        ((bare,), f"{bare} is not finished; resume with: qakit train --resume"),
        ((made_up_run, "--candidates", "specal_chars"), "did you mean 'special_chars'"),
        ((made_up_run, "--candidates", ","), "names no postprocessor"),
        ((made_up_run, "--output", "a.txt"), "should end in .yaml"),
    ):
        result = invoke("tune-postprocess", *words)
        assert result.exit_code == 2
        assert message in str(result.exception)
