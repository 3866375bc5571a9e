"""The search for clean-up that helps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from ensemble.made_up import write_questions

from qakit.errors import PluginError, UnknownPluginError, UsageError
from qakit.recipe.model import BackboneSection, DataSection, PluginRef, PredictSection, Recipe
from qakit.recipe.staged import FoldsSection
from qakit.registry import Registry, load_registry
from qakit.report.compare_runs import Answered
from qakit.report.postprocess import Tuning, tune
from qakit.report.postprocess_steps import Faults, known_steps
from qakit.runs import Run
from qakit.statistics import Sampling
from qakit.values import Answer, Candidate, Example, LabelPrediction, Prediction, SpanPrediction

SAMPLING = Sampling(2000, 0)
CONTEXT = "甲《三國演義》乙5公里丙"


def question(number: int, gold: str, said: str) -> tuple[Example, SpanPrediction]:
    """A question about :data:`CONTEXT`; its model says ``said``."""
    start = CONTEXT.index(said)
    candidates = (Candidate(said, start, start + len(said), 0, 1.0, 0.8),)
    example = Example(f"q{number}", "?", (CONTEXT,), (Answer(gold, CONTEXT.index(gold)),))
    return example, SpanPrediction(f"q{number}", said, candidates)


def answered(
    said: Sequence[tuple[str, str]],
    *,
    postprocess: Sequence[str] = (),
    no_answer: bool = False,
    metric: str = "exact_match",
) -> Answered:
    """A run that said something (gold, said) to each question."""
    pairs = [question(number, *each) for number, each in enumerate(said)]
    recipe = Recipe(
        data=DataSection(reader=PluginRef(name="squad")),
        backbone=BackboneSection(source="nothing"),
        metric=PluginRef(name=metric),
        predict=PredictSection(no_answer=no_answer),
        postprocess=[PluginRef(name=name) for name in postprocess],
    )
    return Answered(
        Run(Path("run")),
        recipe,
        (),
        {example.id: example for example, _ in pairs},
        {prediction.id: prediction for _, prediction in pairs},
    )


def search(run: Answered, *names: str, holdout: float = 0.0, registry: Registry | None = None) -> Tuning:
    return tune(run, registry or load_registry(), names=names, holdout=holdout, sampling=SAMPLING)


HELPS = [("《三國演義》", "《三國演義")] * 12 + [("甲", "甲")] * 28
"""``special_chars`` mends 12 of 40 answers."""
CHANCE = [("《三國演義》", "《三國演義")] * 2 + [("甲", "甲")] * 38
"""It mends two, which may be chance."""


def test_a_step_that_helps_is_kept() -> None:
    tuning = search(answered(HELPS), "special_chars", "trim_to_tokens")
    assert [step.block for step in tuning.chain] == [{"name": "special_chars"}]
    (taken,) = (each for each in tuning.tried if each.taken)
    assert (taken.round, taken.changed, taken.better, taken.worse) == (1, 12, 12, 0)
    assert taken.gain.mean == pytest.approx(30)
    assert taken.changes[0].before == "《三國演義"
    assert taken.changes[0].after == taken.changes[0].gold[0] == "《三國演義》"
    assert tuning.on_search.raw.value == pytest.approx(70)
    assert tuning.on_search.found.value == pytest.approx(100)
    assert tuning.on_holdout is None
    assert max(each.round for each in tuning.tried) == 2, "after a step was kept the others are tried again"


def test_a_step_that_may_help_by_chance_is_not() -> None:
    tuning = search(answered(CHANCE), "special_chars")
    assert tuning.chain == ()
    assert tuning.tried[0].gain.mean > 0
    assert not any(each.taken for each in tuning.tried)
    assert tuning.on_search.over_raw.mean == 0


def test_a_step_that_harms_is_not() -> None:
    tuning = search(answered([("《三國演義", "《三國演義")] * 20), "special_chars")
    assert tuning.chain == ()
    assert min(each.gain.mean for each in tuning.tried) == -100


def test_the_more_is_tried_the_more_it_takes(install: Callable[..., Any]) -> None:
    """Holm: eight better answers are enough for one candidate, and not for the best of many that differ."""
    said = [("《三國演義》", "《三國演義")] * 8 + [("甲", "甲")] * 32
    assert search(answered(said), "special_chars").chain != ()
    source = """
from qakit.api import Component, Settings, hookimpl
class Index(Settings):
    index: int = 0
def build(settings, _):
    def one(prediction, example):
        return prediction.with_answer("x") if prediction.id == f"q{settings.index}" else prediction
    return one
NOISE = Component(name="noise", summary="One answer", settings=Index, build=build,
                  tries=tuple({"index": index} for index in range(8, 40)))
@hookimpl
def qakit_register_postprocessors():
    return [NOISE]
"""
    from qakit.discovery import installed_entry_points

    registry = Registry.from_entry_points([*installed_entry_points(), *install("noisy", noisy=source)])
    tuning = search(answered(said), "special_chars", "noise", registry=registry)
    assert len({each.p for each in tuning.tried}) > 1
    assert tuning.chain == (), "32 more candidates were tried"


def test_five_better_answers_of_five_may_be_coins() -> None:
    """A coin falls five times on the same side in 2 of 32 cases; the bootstrap's interval leaves out 0."""
    said = [("《三國演義》", "《三國演義")] * 5 + [("甲", "甲")] * 35
    tuning = search(answered(said), "trim_to_tokens", "special_chars")
    best = tuning.tried[0]
    assert (best.better, best.worse) == (5, 0)
    assert best.gain.low > 0
    assert best.p >= 2 / 32
    assert tuning.chain == ()


def test_the_same_answers_are_one_test() -> None:
    """``complete: always`` gives what the default gives here, and ``drop`` something else."""
    tuning = search(answered(HELPS), "special_chars")
    first = [each for each in tuning.tried if each.round == 1]
    assert len(first) == 3
    assert min(each.p for each in first) == pytest.approx(2 * 2 / 2**12)


def test_the_runs_own_clean_up_is_undone_first() -> None:
    run = answered(HELPS, postprocess=["special_chars"])
    cleaned = {
        id_: each.with_answer(each.answer + "》") if each.answer.startswith("《") else each
        for id_, each in run.predictions.items()
        if isinstance(each, SpanPrediction)
    }
    tuning = search(Answered(run.run, run.recipe, (), run.examples, cleaned), "special_chars")
    assert tuning.on_search.raw.value == pytest.approx(70)
    assert tuning.on_search.own.value == pytest.approx(100)
    assert tuning.on_search.over_own.mean == 0


def test_no_answer_stays_no_answer() -> None:
    run = answered(HELPS, postprocess=["special_chars"], no_answer=True)
    refused = {id_: each.with_answer("") for id_, each in run.predictions.items() if isinstance(each, SpanPrediction)}
    tuning = search(Answered(run.run, run.recipe, (), run.examples, refused), "special_chars")
    assert tuning.on_search.raw.value == 0


def test_held_out_questions_only_judge() -> None:
    tuning = search(answered(HELPS * 3), "special_chars", holdout=0.5)
    assert tuning.on_holdout is not None
    assert tuning.on_search.questions == tuning.on_holdout.questions == 60
    assert tuning.chain
    assert tuning.on_holdout.over_raw.low > 0
    again = search(answered(HELPS * 3), "special_chars", holdout=0.5)
    assert again.on_holdout == tuning.on_holdout


def test_a_learner_is_taught_and_its_settings_come_into_the_recipe() -> None:
    tuning = search(answered([("5公里", "5")] * 20), "number_units")
    assert tuning.learnt_from == "validation"
    assert [step.block for step in tuning.chain] == [{"name": "number_units", "add": ["公里"]}]


PUPIL = """
from qakit.api import Component, Settings, hookimpl
class Taught(Settings):
    by: tuple[str, ...] = ()
class Pupil:
    def __call__(self, prediction, example):
        return prediction
    def learn(self, examples):
        return {"by": [example.id for example in examples]}
PUPIL = Component(name="pupil", summary="Says who taught it", settings=Taught, build=lambda settings, _: Pupil())
@hookimpl
def qakit_register_postprocessors():
    return [PUPIL]
"""


def test_held_out_questions_teach_nothing(install: Callable[..., Any]) -> None:
    from qakit.discovery import installed_entry_points

    registry = Registry.from_entry_points([*installed_entry_points(), *install("pupil", pupil=PUPIL)])
    tuning = search(answered(HELPS), "pupil", holdout=0.25, registry=registry)
    assert len(set(tuning.tried[0].step.settings["by"])) == tuning.on_search.questions == 30


def test_nor_do_they_where_the_training_questions_were_answered_out_of_fold(
    install: Callable[..., Any], tmp_path: Path
) -> None:
    from qakit.discovery import installed_entry_points

    registry = Registry.from_entry_points([*installed_entry_points(), *install("pupil", pupil=PUPIL)])
    run, file = answered(HELPS), tmp_path / "train.json"
    write_questions(file, [Example(id_, f"{id_}?", (f"{id_}: {CONTEXT}",), (Answer(id_, 0),)) for id_ in run.examples])
    data = run.recipe.data.model_copy(update={"train": str(file)})
    for folds, teachers, where in ((None, 40, "train"), (FoldsSection(k=2, group_by="none"), 30, "validation")):
        recipe = run.recipe.model_copy(update={"data": data, "folds": folds})
        own = Answered(run.run, recipe, (), run.examples, run.predictions)
        tuning = search(own, "pupil", holdout=0.25, registry=registry)
        assert len(set(tuning.tried[0].step.settings["by"])) == teachers
        assert tuning.learnt_from == where


def test_what_a_try_sets_is_not_overruled() -> None:
    examples = [question(number, "5公里", "5")[0] for number in range(9)]
    steps = known_steps(["length_prior"], load_registry(), examples, Faults(strict=True))
    assert [step.settings.get("weight", 0.5) for step in steps] == [0.25, 0.5, 1.0]
    assert {step.settings["median"] for step in steps} == {3.0}
    assert steps[0].label == "length_prior {weight: 0.25, median: 3.0, spread: 0.1}"


def test_a_step_may_come_before_those_that_were_kept(install: Callable[..., Any]) -> None:
    """Choosing another candidate throws away what clean-up did to the first."""
    source = """
from qakit.api import Component, NoSettings, hookimpl
def build(settings, _):
    def second(prediction, example):
        return prediction.with_answer(prediction.candidates[1].text) if len(prediction.candidates) > 1 else prediction
    return second
SECOND = Component(name="second", summary="The second candidate", settings=NoSettings, build=build)
@hookimpl
def qakit_register_postprocessors():
    return [SECOND]
"""
    from qakit.discovery import installed_entry_points

    registry = Registry.from_entry_points([*installed_entry_points(), *install("second", second=source)])
    run = answered([("《三國演義》", "《三國演義")] * 20 + [("《三國演義》", "甲")] * 10)
    predictions: dict[str, Prediction] = {}
    for id_, each in run.predictions.items():
        assert isinstance(each, SpanPrediction)
        extra = Candidate("《三國演義", 1, 6, 0, 0.5, 0.1)
        both = (*each.candidates, extra) if each.answer == "甲" else each.candidates
        predictions[id_] = SpanPrediction(id_, each.answer, both)
    tuning = search(
        Answered(run.run, run.recipe, (), run.examples, predictions), "special_chars", "second", registry=registry
    )
    assert [step.name for step in tuning.chain] == ["second", "special_chars"]
    assert tuning.on_search.found.value == 100


def test_what_cannot_be_tuned() -> None:
    with pytest.raises(UnknownPluginError, match="no postprocessor is called 'specal_chars'"):
        search(answered(HELPS), "specal_chars")
    run = answered(HELPS)
    labels: dict[str, Prediction] = {id_: LabelPrediction(id_, "a") for id_ in run.examples}
    with pytest.raises(UsageError, match="classes or contexts"):
        search(Answered(run.run, run.recipe, (), run.examples, labels), "special_chars")
    with pytest.raises(UsageError, match="too few"):
        search(answered(HELPS[:3]), "special_chars", holdout=0.5)
    with pytest.raises(UsageError, match="no figure for single questions"):
        search(answered(HELPS, metric="matthews"), "special_chars")


FAULTY = """
from qakit.api import Component, Settings, hookimpl
class Words(Settings):
    words: int = 0
class Says:
    def __init__(self, does, learns):
        self.does, self.learns = does, learns
    def __call__(self, prediction, example):
        return self.does(prediction)
class Learns(Says):
    def learn(self, examples):
        return self.learns
def fails(prediction):
    raise KeyError("boom")
def same(prediction):
    return prediction
def made(name, does=same, learns=None, tries=()):
    kind = Says if learns is None else Learns
    return Component(name=name, summary="s", settings=Words, build=lambda s, r: kind(does, learns), tries=tries)
@hookimpl
def qakit_register_postprocessors():
    return [
        made("bad_tries", tries=({"wrods": 1},)),
        made("bad_text", tries=("end",)),
        made("bad_learns", learns={"wrods": 1}),
        made("bad_list", learns=[1]),
        made("bad_raises", does=fails),
        made("bad_answer", does=lambda prediction: prediction.with_answer(None)),
        made("good"),
    ]
"""


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("bad_tries", "tries or learns settings that do not fit, {'wrods': 1}: there is no setting 'wrods'"),
        ("bad_text", "tries 'end', which is not settings by name"),
        ("bad_learns", "tries or learns settings that do not fit, {'wrods': 1}: there is no setting 'wrods'"),
        ("bad_list", "cannot be used: learn returned list; it must return values by name (faulty_faulty.py:"),
        ("bad_raises", "cannot be used: the call fails for the example 'q0': KeyError: 'boom' (faulty_faulty.py:"),
        ("bad_answer", "cannot be used: the call returned an answer that is None, not str for the example"),
    ],
)
def test_one_that_cannot_be_used_is_left_out_or_if_it_is_named_an_error(
    name: str, fault: str, install: Callable[..., Any]
) -> None:
    from qakit.discovery import installed_entry_points

    registry = Registry.from_entry_points([*installed_entry_points(), *install("faulty", faulty=FAULTY)])
    tuning = tune(answered(HELPS), registry, names=None, holdout=0, sampling=SAMPLING)
    assert tuning.left_out[name].startswith(fault)
    assert [step.name for step in tuning.chain] == ["special_chars"], "the others continue"
    assert {"good", "special_chars"} <= {each.step.name for each in tuning.tried}
    assert not [each for each in tuning.tried if each.step.name.startswith("bad_")]
    with pytest.raises(PluginError) as caught:
        search(answered(HELPS), "special_chars", name, registry=registry)
    assert str(caught.value).startswith(f"the postprocessor {name!r} {fault}")
