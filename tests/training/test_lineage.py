"""What stands behind a run, and when that is refused. The runs are folders that say what they were trained on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from qakit.errors import RunError, UsageError
from qakit.files import write_json
from qakit.recipe.model import Recipe
from qakit.registry import load_registry
from qakit.runs import SEEN, Run, create_run
from qakit.training.fingerprints import Seen
from qakit.training.lineage import is_another, trace
from qakit.values import Answer, Example

REGISTRY = load_registry()
VALIDATION = [Example("v", "Where is Rome?", ("Rome is in Italy.",), (Answer("Italy", 11),))]
OTHER = [Example("t", "Where is Oslo?", ("Oslo is in Norway.",), (Answer("Norway", 11),))]
THIRD = [Example("u", "Where is Bonn?", ("Bonn is in Germany.",), (Answer("Germany", 11),))]


def recipe(**blocks: Any) -> Recipe:
    return Recipe.model_validate({"data": {"reader": "squad"}, "backbone": {"source": "nowhere"}} | blocks)


def trained(folder: Path, examples: list[Example], *, files: dict[str, str] | None = None) -> Path:
    """A run that was trained on these."""
    run = create_run(recipe(), folder)
    Seen.of(examples).write(run.seen_file)
    write_json(run.meta_file, {"recipe_sha256": folder.name, "data": {"train": {"files": files or {}}}})
    return folder


def ensemble(folder: Path, *members: Path) -> Path:
    """An ensemble; its recipe is that of its first member, as in the real ones."""
    run = create_run(recipe(), folder)
    write_json(run.folder / "ensemble.json", {"members": [{"path": str(member)} for member in members]})
    return folder


def pseudo(labeller: Path) -> Recipe:
    return recipe(pseudo={"from_run": str(labeller)})


def refused(of: Recipe) -> str:
    with pytest.raises(UsageError) as caught:
        trace(of, REGISTRY, OTHER, VALIDATION)
    return str(caught.value)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    seen = Seen.of(OTHER).also(Seen.unknown_of(tmp_path / "b.csv")).also(Seen.unknown_of(tmp_path / "a.csv"))
    seen.write(tmp_path / SEEN)
    back = Seen.read(tmp_path / SEEN)
    assert np.array_equal(back.records, seen.records)
    assert np.array_equal(back.contexts, seen.contexts)
    assert back.unknown == (str(tmp_path / "a.csv"), str(tmp_path / "b.csv"))
    save_file({"records": seen.records, "contexts": seen.contexts}, tmp_path / "older")
    assert Seen.read(tmp_path / "older").unknown == ()


def test_pseudo_labelled_examples_excuse_no_leak(tmp_path: Path) -> None:
    """A context that only they show came from the labelling run's file; the training knows no answer to it."""
    labeller = trained(tmp_path / "labeller", VALIDATION)
    shown = [Example("pseudo:p", "What is in Italy?", VALIDATION[0].contexts, (Answer("Rome", 0),))]
    with pytest.raises(UsageError, match="was trained on 1 of the 1 validation questions"):
        trace(pseudo(labeller), REGISTRY, OTHER, VALIDATION, pseudo=shown)
    lineage = trace(pseudo(trained(tmp_path / "other", THIRD)), REGISTRY, OTHER, VALIDATION, pseudo=shown)
    assert len(lineage.seen.contexts) == 3
    assert lineage.seen.which(VALIDATION) == VALIDATION  # for those that build on this run


def test_what_a_training_builds_on_is_another_one_when_it_was_trained_anew(tmp_path: Path) -> None:
    def edge(folder: Path) -> Mapping[str, Any]:
        return trace(pseudo(folder), REGISTRY, OTHER, ()).edges["pseudo.from_run"]

    labeller = Run(trained(tmp_path / "a", THIRD, files={"train.json": "1"}))
    write_json(labeller.decision_file, {"step": 3})
    before = edge(ensemble(tmp_path / "both", labeller.folder))
    assert not is_another({key: value for key, value in before.items() if key != "decisions"}, before)
    labeller.folder.rename(tmp_path / "moved")
    assert not is_another(before, edge(ensemble(tmp_path / "other", tmp_path / "moved")))
    write_json(Run(tmp_path / "moved").decision_file, {"step": 4})
    assert is_another(before, edge(tmp_path / "other"))
    write_json(Run(tmp_path / "moved").decision_file, {"step": 3})
    meta = {"recipe_sha256": "a", "data": {"train": {"files": {"train.json": "2"}}}}
    write_json(tmp_path / "moved" / "meta.json", meta)
    assert is_another(before, edge(tmp_path / "other"))
    answers = tmp_path / "answers.csv"
    found = []
    for text in ("id,answer\n", "id,answer\n1,a\n"):
        answers.write_text(text, "utf-8")
        found.append(edge(answers))
    assert is_another(*found)


def test_a_context_that_the_training_itself_shows_is_no_leak(tmp_path: Path) -> None:
    same = Example("t", "What is in Italy?", VALIDATION[0].contexts, (Answer("Rome", 0),))
    labeller = trained(tmp_path / "labeller", [same])
    assert trace(pseudo(labeller), REGISTRY, [same], VALIDATION).edges.keys() == {"pseudo.from_run"}
    assert f"{labeller} was trained on" in refused(pseudo(labeller))


def test_an_empty_context_tells_nothing(tmp_path: Path) -> None:
    """As the second text of some pairs."""
    pair = Example("t", "Is it raining?", ("",), label="no")
    judged = [Example("v", "Is it snowing?", ("",), label="no")]
    labeller = trained(tmp_path / "labeller", [pair])
    assert trace(pseudo(labeller), REGISTRY, OTHER, judged).seen.which([pair]) == [pair]


def test_an_ensemble_has_seen_what_its_members_have(tmp_path: Path) -> None:
    first = trained(tmp_path / "first", OTHER, files={"a.json": "1"})
    second = trained(tmp_path / "second", VALIDATION, files={"b.json": "2"})
    harmless, harmful = ensemble(tmp_path / "one", first, first), ensemble(tmp_path / "both", first, second)
    edge = trace(pseudo(harmless), REGISTRY, OTHER, VALIDATION).edges["pseudo.from_run"]
    assert edge == {"run": str(harmless), "recipe_sha256": None, "train": {"a.json": "1"}, "decisions": []}
    assert f"pseudo.from_run: {harmful} was trained on 1 of the 1 validation questions" in refused(pseudo(harmful))
    assert f"{tmp_path / 'outer'} was trained on" in refused(pseudo(ensemble(tmp_path / "outer", first, harmful)))
    lineage = trace(pseudo(harmful), REGISTRY, OTHER, ())
    assert lineage.seen.which(VALIDATION)
    assert lineage.edges["pseudo.from_run"]["train"] == {"a.json": "1", "b.json": "2"}


def test_a_member_that_belongs_to_no_run_may_know_everything(tmp_path: Path) -> None:
    first, answers = trained(tmp_path / "first", OTHER), tmp_path / "answers.csv"
    answers.write_text("id,answer\n", "utf-8")
    labeller = ensemble(tmp_path / "both", first, answers)
    assert f"{answers}, on which {labeller} builds, does not say what it was trained on" in refused(pseudo(labeller))
    lineage = trace(pseudo(labeller), REGISTRY, OTHER, ())
    assert lineage.seen.unknown == (str(answers),)
    lineage.seen.write(trained(tmp_path / "middle", []) / SEEN)
    assert f"{answers}, on which {tmp_path / 'middle'} builds" in refused(
        recipe(backbone={"from_run": str(tmp_path / "middle")})
    )
    (first / "submission.csv").write_text("id,answer\n", "utf-8")
    assert trace(pseudo(ensemble(tmp_path / "own", first / "submission.csv")), REGISTRY, OTHER, VALIDATION).edges


def test_the_members_of_a_trained_ensemble_move_with_it(tmp_path: Path) -> None:
    folder = tmp_path / "ensemble"
    ensemble(folder, folder / "members" / "a")
    trained(folder / "members" / "a", VALIDATION)
    shutil.move(folder, tmp_path / "moved")
    assert "was trained on 1 of the 1" in refused(pseudo(tmp_path / "moved"))
    shutil.rmtree(tmp_path / "moved" / "members")
    assert "does not say what it was trained on" in refused(pseudo(tmp_path / "moved"))


def test_a_pipeline_has_seen_what_its_stages_have(tmp_path: Path) -> None:
    pipeline = create_run(recipe(), tmp_path / "pipeline").folder
    trained(pipeline / "span", OTHER)
    stages = {"selection": {"from_run": str(trained(tmp_path / "selection", VALIDATION))}, "span": "recipes/span.yaml"}
    (pipeline / "pipeline.yaml").write_text(json.dumps({"name": "both", "stages": stages}), "utf-8")
    assert f"{pipeline} was trained on" in refused(pseudo(pipeline))


def test_a_folder_of_folds_has_seen_what_the_folds_have(tmp_path: Path) -> None:
    folds = create_run(recipe(), tmp_path / "folds").folder
    write_json(Run(folds).folds_file, {"k": 3, "folds": [{"fold": number} for number in (1, 2, 3)]})
    trained(folds / "fold-1", OTHER)
    assert trace(pseudo(folds), REGISTRY, OTHER, VALIDATION).edges
    trained(folds / "fold-3", VALIDATION)
    assert f"{folds} was trained on" in refused(pseudo(folds))


@pytest.mark.parametrize("place", ["weights", "run/model"])
def test_weights_that_were_taken_out_of_a_run_keep_its_lineage(tmp_path: Path, place: str) -> None:
    weights = tmp_path / place
    weights.mkdir(parents=True)
    Seen.of(VALIDATION).write(weights / SEEN)
    begun = recipe(backbone={"source": str(weights)})
    assert f"backbone.source: {weights} was trained on" in refused(begun)
    assert trace(begun, REGISTRY, OTHER, THIRD).edges["backbone.source"] == {"folder": str(weights)}
    assert not trace(recipe(backbone={"source": str(weights), "init": "scratch"}), REGISTRY, OTHER, VALIDATION).edges
    if place == "run/model":  # as an export leaves it: its recipe names no files
        create_run(recipe(), tmp_path / "exported")
        shutil.move(weights, tmp_path / "exported" / "model")
        assert f"{tmp_path / 'exported'} was trained on" in refused(pseudo(tmp_path / "exported"))


def test_a_run_that_says_nothing_and_names_no_file_may_know_everything(tmp_path: Path) -> None:
    silent = create_run(recipe(), tmp_path / "silent").folder
    assert f"pseudo.from_run: {silent} does not say what it was trained on" in refused(pseudo(silent))


def test_what_is_no_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="there is no run"):
        trace(pseudo(tmp_path / "none"), REGISTRY, OTHER, VALIDATION)
    run = create_run(recipe(), tmp_path / "damaged")
    write_json(run.folder / "ensemble.json", {"members": [{"name": "x"}]})
    with pytest.raises(RunError, match="does not name its members"):
        trace(pseudo(run.folder), REGISTRY, OTHER, VALIDATION)
