"""What the folds have in common, and what is refused before the first of them is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from ensemble.made_up import write_guide_ensembler

from qakit.data.splits import part_of, read_folds
from qakit.errors import RunError
from qakit.graph.folds import fold_recipe
from qakit.recipe.load import load_recipe
from qakit.recipe.model import Recipe
from qakit.registry import Registry, load_registry
from qakit.training.events import silence
from qakit.training.prepare import prepare_training


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry()


@pytest.fixture(scope="module")
def classes_recipe_file(tiny_backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve texts in three folds; the class `rare` has a single one."""
    folder = tmp_path_factory.mktemp("classes")
    rows = [f"r{n},the gate {n} of part {n},{'rare' if n == 4 else 'ab'[n % 2]}" for n in range(12)]
    (folder / "train.csv").write_text("\n".join(["id,t,y", *rows]) + "\n", "utf-8")
    (folder / "test.csv").write_text("id,t\nx,the gate\n", "utf-8")
    path = folder / "classes.yaml"
    path.write_text(
        f"""\
data: {{reader: {{name: table, id: id, text_a: t, label: y}}, train: train.csv, test: test.csv}}
backbone: {{source: {tiny_backbone}}}
windows: {{max_length: 48, max_question_length: 40}}
head: classifier
metric: accuracy
preprocess: {{train: truncate, predict: truncate}}
train: {{max_steps: 1, precision: fp32}}
folds: {{k: 3, group_by: none}}
""",
        "utf-8",
    )
    return path


def loaded(path: Path, registry: Registry, *changes: str) -> Recipe:
    return load_recipe(path, list(changes), registry=registry).recipe


def test_all_folds_have_the_classes_of_the_whole_file(classes_recipe_file: Path, registry: Registry) -> None:
    recipe = loaded(classes_recipe_file, registry)
    unseen = 0
    for fold in (1, 2, 3):
        own = fold_recipe(recipe, fold)
        prepared = prepare_training(own, registry, device=torch.device("cpu"), listener=silence)
        assert prepared.assembled.classes == ("a", "b", "rare")
        unseen += all(example.label != "rare" for example in prepared.train_split.examples)
    assert unseen == 1


def test_a_limit_draws_the_same_examples_whatever_the_runs_seed(fold_recipe_file: Path, registry: Registry) -> None:
    def folds_of(*changes: str) -> dict[str, int]:
        recipe = loaded(fold_recipe_file, registry, "data.train_limit=16", *changes)
        split, assignment = read_folds(recipe, registry)
        return {each.id: fold for each, fold in zip(split.examples, assignment.fold, strict=True)}

    assert len(folds_of()) == 16
    assert folds_of("seed=0") == folds_of("seed=1") == folds_of("seed=2")
    assert folds_of("folds.seed=1").keys() != folds_of().keys()


def test_the_sides_of_a_fold_and_the_rest_are_the_whole_file(fold_recipe_file: Path, registry: Registry) -> None:
    recipe = loaded(fold_recipe_file, registry, "data.train_limit=16")
    whole, assignment = read_folds(recipe, registry)
    train, validation = (part_of(recipe, whole, assignment, name, fold=2) for name in ("train", "validation"))
    assert {each.id for each in train.examples} | {each.id for each in validation.examples} == {
        each.id for each in whole.examples
    }
    for side in (train, validation):
        assert len({each.id for each in (*side.examples, *side.others)}) == len(side.examples) + len(side.others) == 26


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (("folds.combine=mean",), "folds.combine: the prediction for id 'abbey-0-0' is an answer; mean is for classes"),
        (
            ("folds.combine=char_average", "predict.character_scores=false"),
            "char_average needs the members' character scores: put `predict: {character_scores: true}` into the recipe",
        ),
        (("folds.combine=votin",), "voting"),
        (
            ("folds.combine={name: by_figure, figure: ff1}",),
            "folds.combine: by_figure: fold-1 has no validation figure 'ff1'; it has exact_match, f1",
        ),
    ],
)
def test_an_ensembler_that_cannot_combine_the_folds_is_refused_before_they_are_trained(
    fold_recipe_file: Path, invoke: Any, tmp_path: Path, changes: tuple[str, ...], problem: str
) -> None:
    options = [part for change in changes for part in ("--set", change)]
    plugin = write_guide_ensembler(tmp_path)
    for way in ((), ("--fold", "2"), ("--dry-run",)):
        result = invoke("--plugin", plugin, "train", fold_recipe_file, *options, "--output", tmp_path / "run", *way)
        assert result.exit_code == 2, result.output
        assert problem in str(result.exception)
        assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (("folds.combine=nbest",), "nbest is for answers"),
        (("folds.combine=char_average", "predict.character_scores=true"), "char_average is for answers"),
        (("data.train=numbers.csv", "data.reader.label_type=number", "metric=pearson_spearman"), "is a number"),
    ],
)
def test_an_ensembler_of_answers_is_refused_for_classes(
    classes_recipe_file: Path, invoke: Any, tmp_path: Path, changes: tuple[str, ...], problem: str
) -> None:
    numbers = classes_recipe_file.parent / "numbers.csv"
    numbers.write_text("id,t,y\n" + "".join(f"r{n},the gate {n},{n}.5\n" for n in range(9)), "utf-8")
    changes = tuple(change.replace("numbers.csv", str(numbers)) for change in changes)
    options = [part for change in changes for part in ("--set", change)]
    result = invoke("train", classes_recipe_file, *options, "--output", tmp_path / "run")
    assert result.exit_code == 2, result.output
    assert problem in str(result.exception)
    assert not (tmp_path / "run").exists()


def test_what_combines_is_let_through(classes_recipe_file: Path, fold_recipe_file: Path, invoke: Any) -> None:
    for file, change in (
        (classes_recipe_file, "mean"),
        (classes_recipe_file, "voting"),
        (fold_recipe_file, "nbest"),
        (fold_recipe_file, "char_average"),
    ):
        result = invoke("train", file, "--set", f"folds.combine={change}", "--dry-run", "--json")
        assert result.exit_code == 0, result.output
    without_test = ("--set", "folds.combine=mean", "--set", "data.test=null")
    result = invoke("train", fold_recipe_file, *without_test, "--dry-run", "--json")
    assert result.exit_code == 0, result.output


def test_a_run_that_was_moved_is_named(fold_recipe_file: Path, tmp_path: Path, registry: Registry) -> None:
    recipe = loaded(fold_recipe_file, registry)
    gone = recipe.backbone.model_copy(update={"from_run": str(tmp_path / "gone")})
    with pytest.raises(RunError, match=r"backbone\.from_run: .*/gone is not there"):
        fold_recipe(recipe.model_copy(update={"backbone": gone}), 1)
