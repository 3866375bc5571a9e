"""Which sample a file is compared with."""

from __future__ import annotations

from pathlib import Path

import pytest

from qakit.errors import DataError
from qakit.recipe.model import Recipe
from qakit.submit.target import Target, check_target

DATA = {"reader": "squad", "train": "train.json"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Answers to the recipe's competition, its sample, and another competition's downloaded one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.csv").write_text("ID,Answer\n1,a\n", "utf-8")
    (tmp_path / "sample.csv").write_text("ID,Answer\n1,\n", "utf-8")
    (tmp_path / "data" / "other-cup").mkdir(parents=True)
    (tmp_path / "data" / "other-cup" / "sample_submission.csv").write_text("id,text\n7,\n", "utf-8")
    return tmp_path


def target(folder: Path) -> Target:
    competition = {"slug": "qa-cup", "sample_submission": str(folder / "sample.csv"), "id_column": "ID"}
    recipe = Recipe.model_validate({"data": DATA, "backbone": {"source": "x"}, "competition": competition})
    return Target(folder / "mine.csv", recipe=recipe)


def test_the_recipes_competition_has_the_recipes_sample(folder: Path) -> None:
    checked = check_target(target(folder), None, slug="qa-cup")
    assert checked.ok
    assert checked.sample == folder / "sample.csv"
    assert not any("not other-cup" in notice for notice in checked.notices)


def test_another_competition_has_its_own_sample(folder: Path) -> None:
    checked = check_target(target(folder), None, slug="other-cup")
    assert checked.sample == Path("data/other-cup/sample_submission.csv")
    assert not checked.ok
    assert "for the competition qa-cup, not other-cup" in checked.notices[0]


def test_a_copy_of_the_competition_keeps_the_recipes_sample(folder: Path) -> None:
    checked = check_target(target(folder), None, slug="qa-cup-2")
    assert checked.ok
    assert checked.sample == folder / "sample.csv"
    assert "not qa-cup-2" in checked.notices[0]


def test_a_sample_that_was_not_fetched_says_how_to_get_it(folder: Path) -> None:
    (folder / "sample.csv").unlink()
    with pytest.raises(DataError, match="fetch it with `qakit kaggle download -c qa-cup`, or name another one"):
        check_target(target(folder), None, slug="qa-cup")
