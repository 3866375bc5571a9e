"""Two runs whose readers put the choices of a question, or the numbers of a text, in another order."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from command_line import Invoke

COMMON = """\
backbone: {{source: {backbone}}}
train: {{max_steps: 1, batch_size: 6, precision: fp32}}
"""
CHOICES = (
    COMMON
    + """\
data:
  reader: {{name: table, id: id, question: q, choices: [{names}], label: right}}
  train: {folder}/{data}.csv
  validation: {folder}/{data}.csv
  test: {folder}/test.csv
windows: {{max_length: 48, max_question_length: 16}}
preprocess: {{train: every_context, predict: every_context}}
head: multiple_choice
metric: selection
writer: {{name: csv, id_column: id, answer_column: right}}
"""
)
NUMBERS = (
    COMMON
    + """\
data:
  reader: {{name: table, id: id, text_a: q, label: [{names}], label_type: number}}
  train: {folder}/numbers.csv
  validation: {folder}/numbers.csv
windows: {{max_length: 16}}
preprocess: {{train: truncate, predict: truncate}}
head: classifier
metric: columnwise_rmse
"""
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("choices")
    texts = [f"{n},the {n},gate {n},mill {n},inn {n}" for n in range(6)]
    (made / "data.csv").write_text("id,q,A,B,C,right\n" + "".join(f"{t},{'ABC'[n % 3]}\n" for n, t in enumerate(texts)))
    (made / "middle.csv").write_text("id,q,A,B,C,right\n" + "".join(f"{text},B\n" for text in texts))
    (made / "test.csv").write_text("id,q,A,B,C\n" + "".join(f"{text}\n" for text in texts))
    (made / "numbers.csv").write_text("id,q,x,y\n" + "".join(f"{n},the {n},{n / 8},{1 - n / 8}\n" for n in range(6)))
    return made


def trained(recipe: str, names: Sequence[str], folder: Path, backbone: Path, invoke: Invoke, *, data: str = "") -> Path:
    run = folder / f"{data}{'-'.join(names)}"
    if not run.exists():
        file = folder / f"{run.name}.yaml"
        text = recipe.format(names=", ".join(names), folder=folder, backbone=backbone, data=data)
        file.write_text(text, "utf-8")
        result = invoke("train", file, "--output", run, "--quiet")
        assert result.exit_code == 0, result.output
    return run


@pytest.mark.parametrize("command", ["compare", "view"])
def test_places_of_other_orders_are_not_judged_by_one_of_them(
    command: str, folder: Path, tiny_backbone: Path, invoke: Invoke, tmp_path: Path
) -> None:
    runs = [trained(CHOICES, order, folder, tiny_backbone, invoke, data="data") for order in ("ABC", "CBA")]
    result = invoke(command, *runs, "--output", tmp_path / "page.html")
    assert result.exit_code == 2
    assert "read different gold answers from the same files" in str(result.exception)


@pytest.mark.parametrize("data", ["data", "middle"])
@pytest.mark.parametrize("method", ["mean", "voting"])
def test_places_of_other_orders_are_not_combined(
    data: str, method: str, folder: Path, tiny_backbone: Path, invoke: Invoke, tmp_path: Path
) -> None:
    """Also where the right choice has the same place in both."""
    runs = [trained(CHOICES, order, folder, tiny_backbone, invoke, data=data) for order in ("ABC", "CBA")]
    result = invoke("ensemble", *runs, "--method", method, "--folder", tmp_path / "both")
    assert result.exit_code == 2
    assert "has the contexts of id '0' in another order" in str(result.exception)
    assert not (tmp_path / "both").exists()


@pytest.mark.parametrize("order", ["ABC", "CBA"])
def test_a_submission_spells_choices_as_the_sample_does(
    order: str, folder: Path, tiny_backbone: Path, invoke: Invoke, tmp_path: Path
) -> None:
    run = trained(CHOICES, order, folder, tiny_backbone, invoke, data="data")
    recipe = tmp_path / "run" / "recipe.yaml"
    shutil.copytree(run, recipe.parent)
    sample = tmp_path / "sample.csv"
    text = recipe.read_text("utf-8").replace("sample_submission: null", f"sample_submission: {sample}", 1)
    recipe.write_text(text, "utf-8")
    found = {}
    for answer in ("0", "A", "Gate"):
        sample.write_text("id,right\n" + "".join(f"{n},{answer}\n" for n in range(6)), "utf-8")
        output = tmp_path / f"{answer}.csv"
        result = invoke("predict", recipe.parent, "--input", folder / "test.csv", "--output", output)
        assert result.exit_code == 0, result.exception
        found[answer] = [line.partition(",")[2] for line in output.read_text("utf-8").splitlines()[1:]]
        told = "are numbers of contexts, from 0, and those of the sample are others: 'Gate'"
        assert (told in " ".join(result.output.split())) == (answer == "Gate")
    assert found["A"] == [order[int(number)] for number in found["0"]]
    assert found["Gate"] == found["0"]


@pytest.mark.parametrize("command", ["compare", "view"])
def test_numbers_are_the_same_in_any_order(
    command: str, folder: Path, tiny_backbone: Path, invoke: Invoke, tmp_path: Path
) -> None:
    runs = [trained(NUMBERS, order, folder, tiny_backbone, invoke) for order in ("xy", "yx")]
    result = invoke(command, *runs, "--output", tmp_path / "page.html")
    assert result.exit_code == 0, result.exception
