"""An ensemble that answers: its members are asked one after the other, and combined as when it was made."""

from __future__ import annotations

import json
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import pytest
from ensemble.made_up import questions, write_questions, write_run

from qakit.ensembling.answering import TrainedEnsemble
from qakit.ensembling.combine import Ensemble, combine
from qakit.ensembling.folder import open_stored, write_ensemble
from qakit.ensembling.kept import Source, find_kept
from qakit.ensembling.load import EnsemblePlan, Weights
from qakit.errors import RecipeError, RunError, UsageError
from qakit.inference.answering import Inferred
from qakit.recipe.model import Recipe
from qakit.registry import load_registry
from qakit.runs import Run, nested
from qakit.runs.opening import DEEPEST
from qakit.values import Example
from qakit.workflows.loading import load_trained

COUNT = 12
EXAMPLES = questions(COUNT)


@dataclass(frozen=True)
class Member:
    """Says what its run has kept."""

    run: Run
    recipe: Recipe
    asked: list[Recipe] = field(default_factory=list)

    def alone(self) -> Self:
        return self

    def with_recipe(self, recipe: Recipe) -> Self:
        self.asked.append(recipe)
        return replace(self, recipe=recipe)

    def infer(self, examples: Sequence[Example], **_: Any) -> Inferred:
        assert list(examples) == EXAMPLES
        wanted = self.recipe.predict.character_scores
        kept = find_kept(Source(self.run.folder, self.run, self.recipe), "test", characters=wanted)
        assert kept is not None
        return Inferred(list(kept.predictions()), kept.characters() if wanted else None)


def opened(path: Path) -> Any:
    return Member(Run(path), Run(path).recipe())


def made(folder: Path, method: str, weights: Weights = None) -> Ensemble:
    """An ensemble of two runs that err about a third of the questions each, in ``folder / "whole"``."""
    write_questions(folder / "data.json", EXAMPLES)
    runs = [
        write_run(folder / name, folder / "data.json", EXAMPLES, [n % 3 != number for n in range(COUNT)])
        for number, name in enumerate(("one", "two"))
    ]
    for run in runs:
        (run / "model").mkdir()
    found = combine(EnsemblePlan("mine", tuple(runs), method, {}, weights), load_registry(), want_test=True, say=print)
    write_ensemble(found, folder / "whole", load_registry())
    return found


def loaded(folder: Path, open_member: Any = opened, **options: Any) -> TrainedEnsemble:
    registry = load_registry()
    return TrainedEnsemble.of(open_stored(folder / "whole", registry), registry, open_member, **options)


@pytest.mark.parametrize(("method", "weights"), [("voting", (2.0, 1.0)), ("nbest", "learn"), ("char_average", "learn")])
def test_it_says_what_it_said_when_it_was_made(tmp_path: Path, method: str, weights: Weights) -> None:
    before, found = made(tmp_path, method, weights), loaded(tmp_path)
    assert tuple(found.infer(EXAMPLES).predictions) == before.test
    evaluation = found.evaluate(EXAMPLES)
    assert evaluation.predictions == before.test
    assert before.validation is not None
    # Figures on the very questions that weights and threshold were learnt on.
    assert evaluation.figures[before.validation.figure] == before.validation.seen
    for top_k in (1, 50):
        answers = found.answer(EXAMPLES, top_k=top_k)
        assert [each.answer for each in answers] == [each.final for each in before.test or ()]
        assert all(len(each.candidates) <= top_k for each in answers)


def test_one_member_is_in_memory_at_a_time_or_all_are_kept(tmp_path: Path) -> None:
    made(tmp_path, "voting")
    alive, calls = weakref.WeakValueDictionary[str, Any](), list[tuple[str, list[str]]]()

    def watched(path: Path) -> Any:
        calls.append((path.name, sorted(alive)))
        alive[path.name] = member = opened(path)
        return member

    loaded(tmp_path, watched).infer(EXAMPLES)
    assert calls == [("one", []), ("two", [])]
    kept = loaded(tmp_path, watched, keep=True)
    kept.infer(EXAMPLES)
    kept.alone().answer(EXAMPLES, top_k=1)
    assert calls[2:] == [("one", []), ("two", ["one"])]


def test_members_are_asked_for_character_scores_where_the_method_reads_them(tmp_path: Path) -> None:
    for method, wanted in (("nbest", False), ("char_average", True)):
        folder = tmp_path / method
        folder.mkdir()
        made(folder, method)
        asked: list[Recipe] = []
        found = loaded(folder, lambda path, asked=asked: replace(opened(path), asked=asked))
        found.infer(EXAMPLES)
        assert [each.predict.character_scores for each in asked] == [wanted, wanted]
        wide = found.recipe.model_copy(update={"predict": found.recipe.predict.model_copy(update={"batch_size": 3})})
        found.with_recipe(wide).infer(EXAMPLES)
        assert [each.predict.batch_size for each in asked[2:]] == [3, 3]
        with pytest.raises(UsageError, match=r"whole is an ensemble, which has no character scores of its own"):
            found.with_recipe(opened(folder / "one").recipe)


def test_the_threshold_is_of_the_whole(tmp_path: Path) -> None:
    made(tmp_path, "nbest")
    found = loaded(tmp_path)
    for threshold, answered in ((1e6, COUNT), (-1e6, 0)):
        given = found.with_threshold(threshold)
        assert given.null_threshold == threshold
        assert sum(bool(each.final) for each in given.infer(EXAMPLES).predictions) == answered
    set_ = loaded(tmp_path, overrides=["predict.null_threshold=-1e6", "metric=squad_v2"])
    assert set_.null_threshold == -1e6


def test_finished_answers_have_no_threshold_to_be_set(tmp_path: Path) -> None:
    made(tmp_path, "voting")
    with pytest.raises(UsageError, match=r"combines its members' finished answers \(voting\): it has no no-answer"):
        loaded(tmp_path).with_threshold(0.0)


def test_clean_up_and_metric_may_be_others(tmp_path: Path) -> None:
    made(tmp_path, "nbest")
    found = loaded(tmp_path, overrides=["metric=exact_match"])
    assert list(found.evaluate(EXAMPLES).figures) != list(loaded(tmp_path).evaluate(EXAMPLES).figures)
    with pytest.raises(UsageError, match=r"--set train\.epochs: this takes another training"):
        loaded(tmp_path, overrides=["train.epochs=2"])
    with pytest.raises(RecipeError, match="n_bset"):
        loaded(tmp_path, overrides=["predict.n_bset=2"])


def test_errors_are_explained_by_one_model(tmp_path: Path) -> None:
    made(tmp_path, "voting")
    with pytest.raises(UsageError, match=r"ask a member, such as .*one"):
        loaded(tmp_path).examine(EXAMPLES)


def test_an_ensemble_is_no_member_of_itself(tmp_path: Path) -> None:
    made(tmp_path, "voting")
    file = tmp_path / "whole" / "ensemble.json"
    described = json.loads(file.read_text("utf-8"))
    described["members"][1]["path"] = str(tmp_path / "whole")
    file.write_text(json.dumps(described), "utf-8")
    with pytest.raises(RunError, match="whole is a member of itself"):
        load_trained(tmp_path / "whole")


def test_ensembles_are_nested_so_deep_at_most(tmp_path: Path) -> None:
    within: tuple[Path, ...] = ()
    for number in range(DEEPEST):
        within = nested(tmp_path / str(number), within)
    with pytest.raises(RunError, match="one in another"):
        nested(tmp_path / "last", within)


def test_a_member_that_would_read_files_otherwise_is_told_of(tmp_path: Path) -> None:
    made(tmp_path, "voting")
    told: list[str] = []
    load_trained(tmp_path / "whole", warn=told.append)
    assert told == []
    recipe = tmp_path / "two" / "recipe.yaml"
    recipe.write_text(recipe.read_text("utf-8").replace("labelled: auto", "labelled: true"), "utf-8")
    load_trained(tmp_path / "whole", warn=told.append)
    assert [f"{tmp_path / 'two'} reads files otherwise (data.reader)" in line for line in told] == [True]
