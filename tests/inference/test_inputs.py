"""Which files were read, among them those that a reader opens beside the data file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qakit.data.splits import Split, read_files
from qakit.errors import RunError
from qakit.files import write_json
from qakit.inference.inputs import Inputs
from qakit.inference.output import save_predictions
from qakit.recipe.model import Recipe
from qakit.registry import load_registry
from qakit.runs import Run

RECIPE = Recipe.model_validate(
    {
        "data": {"reader": {"name": "adl", "contexts": "context.json"}, "train": "none"},
        "backbone": {"source": "nowhere"},
    }
)


def split(folder: Path, *texts: str) -> Split:
    """A question about the first of the texts, as ADL has it."""
    folder.mkdir(exist_ok=True)
    (folder / "context.json").write_text(json.dumps(texts), "utf-8")
    (folder / "test.json").write_text('[{"id": "1", "question": "why", "paragraphs": [0]}]', "utf-8")
    return read_files(RECIPE, load_registry(), [folder / "test.json"], predicted_only=True)


def test_what_lies_beside_a_data_file_belongs_to_it(tmp_path: Path) -> None:
    read = split(tmp_path / "a", "It rains.")
    inputs = Inputs.of(read)
    assert [Path(name).name for name in inputs.files] == ["test.json"]
    assert [Path(name).name for name in inputs.beside] == ["context.json"]
    assert inputs.all_there()
    assert inputs.changed() is None
    assert inputs.same_as(Inputs.of(split(tmp_path / "b", "It rains.")))

    now = Inputs.of(split(tmp_path / "a", "It snows."))
    changed = tmp_path / "a" / "context.json"
    assert inputs.changed() == changed
    assert list(inputs.differing(now)) == [changed]
    assert not inputs.same_as(now)
    assert list(Inputs(inputs.files).differing(now)) == []  # a run of an older version did not note it
    assert Inputs(inputs.files).same_as(now)
    changed.unlink()
    assert not inputs.all_there()


def test_predictions_keep_it(tmp_path: Path) -> None:
    run, inputs = Run(tmp_path), Inputs.of(split(tmp_path / "data", "It rains."))
    run.predictions.mkdir()
    save_predictions(run.predictions, [], RECIPE, run="run", inputs=inputs)
    assert Inputs.read(run, run.predictions) == inputs
    write_json(run.predictions / "meta.json", {"inputs": {}, "beside": {"context.json": 3}})
    with pytest.raises(RunError, match=r"meta\.json is damaged: it does not say which files were answered"):
        Inputs.read(run, run.predictions)


def test_a_reader_notes_a_file_once(tmp_path: Path) -> None:
    (problems,) = split(tmp_path / "data", "It rains.").problems
    problems.opened(tmp_path / "data" / "context.json")
    assert problems.beside == [tmp_path / "data" / "context.json"]
