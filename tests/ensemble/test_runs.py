"""Ensembles of run folders: same questions, honest figures, memory in blocks."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ensemble.made_up import questions, write_guide_ensembler, write_questions, write_run

from qakit.ensembling import combine as combine_module
from qakit.ensembling.combine import Ensemble, combine
from qakit.ensembling.folder import check_target, write_ensemble
from qakit.ensembling.kept import Kept, Source, check_same_files, find_kept, open_source
from qakit.ensembling.load import EnsemblePlan, Weights, load_ensemble
from qakit.errors import DataError, RecipeError, RunError, UsageError
from qakit.files import write_json
from qakit.inference.inputs import Inputs
from qakit.inference.nbest_file import read_nbest, write_nbest
from qakit.inference.output import write_submission
from qakit.plugin_code import PluginCode, load_code
from qakit.registry import load_registry
from qakit.runs import Run, open_run
from qakit.submit.target import find_target
from qakit.values import Example, Prediction, SpanPrediction
from qakit.workflows.loading import load_trained

METHODS = ("voting", "nbest", "char_average")
COUNT = 24


def pattern(number: int) -> list[bool]:
    """Members are wrong about different thirds of the questions."""
    return [n % 3 != number for n in range(COUNT)]


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Example]]:
    file, examples = tmp_path_factory.mktemp("asked") / "data.json", questions(COUNT)
    write_questions(file, examples)
    return file, examples


@pytest.fixture(scope="module")
def runs(asked: tuple[Path, list[Example]], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three runs; the second one's tokens are single characters."""
    folder = tmp_path_factory.mktemp("runs")
    return [write_run(folder / f"run-{n}", *asked, pattern(n), split=n == 1) for n in range(3)]


def made(
    runs: Sequence[Path], method: str, weights: Weights = None, *, want_test: bool = True, **settings: Any
) -> Ensemble:
    plan = EnsemblePlan("mine", tuple(runs), method, settings, weights)
    return combine(plan, load_registry(), want_test=want_test, say=lambda _: None)


@pytest.mark.parametrize("method", METHODS)
def test_three_members_that_err_elsewhere_are_right_together(
    method: str, runs: list[Path], asked: tuple[Path, list[Example]]
) -> None:
    found = made(runs, method)
    gold = [each.answers[0].text if each.answers else "" for each in asked[1]]
    assert found.test is not None
    assert [each.final for each in found.test] == gold
    validation = found.validation
    assert validation is not None
    assert validation.figures["exact"] == 100
    assert validation.best_figure == pytest.approx(200 / 3)
    assert validation.over_best is not None
    assert validation.over_best.low > 0
    assert validation.cross_fitted == (method != "voting"), "the no-answer threshold is tuned where answers are decoded"
    assert [row.figure for row in validation.rows] == pytest.approx([200 / 3] * 3)
    assert all(row.without is not None and row.without <= 100 for row in validation.rows)
    assert found.agreement[0][0] == 1
    assert found.agreement[0][1] == pytest.approx(1 / 3)
    assert list(found.changed) == [8, 8, 8]


@pytest.mark.parametrize("method", METHODS)
def test_copies_of_one_run_answer_as_it_does(method: str, asked: tuple[Path, list[Example]], tmp_path: Path) -> None:
    copies = [write_run(tmp_path / f"r{n}", *asked, pattern(0), splits=["test"]) for n in range(3)]
    found = made(copies, method)
    assert found.test is not None
    alone = read_nbest(copies[0] / "predictions" / "nbest.jsonl")
    assert [each.final for each in found.test] == [each.final for each in alone]


@pytest.mark.parametrize("method", METHODS)
def test_learning_finds_the_better_member_and_says_what_that_gains(
    method: str, asked: tuple[Path, list[Example]], tmp_path: Path
) -> None:
    good = write_run(tmp_path / "good", *asked, [n % 12 != 0 for n in range(COUNT)])
    bad = [write_run(tmp_path / f"bad{n}", *asked, [n2 % 2 == 0 for n2 in range(COUNT)]) for n in range(2)]
    found = made([*bad, good], method, "learn")
    assert found.decision.weights[2] == max(found.decision.weights) > 1 / 3
    validation = found.validation
    assert validation is not None
    assert validation.cross_fitted
    assert validation.gain is not None
    assert validation.gain.mean == pytest.approx(validation.figures["exact"] - validation.equal)
    assert validation.seen >= validation.equal
    assert validation.rows[2].adds is not None
    assert validation.rows[2].adds.mean > 0


def test_blocks_and_the_whole_are_the_same(runs: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    for method in METHODS:
        whole = made(runs, method)
        with monkeypatch.context() as patch:
            patch.setattr(combine_module, "BLOCK", 5)
            assert made(runs, method).test == whole.test


def test_only_a_block_of_candidates_is_in_memory(runs: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(combine_module, "BLOCK", 5)
    kept = [found for run in runs if (found := find_kept(open_source(run), "test", characters=True))]
    sizes = [
        (len(member.predictions), len(member.characters or ()))
        for block in combine_module.blocks(kept, characters=True)
        for member in block
    ]
    assert set(sizes[:-3]) == {(5, 5)}
    assert sum(size for size, _ in sizes) == 3 * COUNT


def test_members_in_other_orders_are_put_in_the_firsts(asked: tuple[Path, list[Example]], tmp_path: Path) -> None:
    runs = [write_run(tmp_path / f"r{n}", *asked, pattern(n)) for n in range(3)]
    for name in ("predictions", "predictions/validation"):
        file = runs[1] / name / "nbest.jsonl"
        write_nbest(file, read_nbest(file)[::-1])
    gold = [each.answers[0].text if each.answers else "" for each in asked[1]]
    for method in METHODS:
        found = made(runs, method)
        assert found.test is not None
        assert [each.final for each in found.test] == gold


def test_character_scores_in_another_order_are_refused(asked: tuple[Path, list[Example]], tmp_path: Path) -> None:
    file, examples = asked
    runs = [
        write_run(tmp_path / "r0", file, examples, pattern(0)),
        write_run(tmp_path / "r1", file, examples[::-1], pattern(1)),
    ]
    assert made(runs, "nbest").test is not None
    with pytest.raises(DataError, match=r"r1/predictions/nbest\.jsonl: its character scores have other questions"):
        made(runs, "char_average")


def test_missing_ids_are_named(asked: tuple[Path, list[Example]], tmp_path: Path) -> None:
    runs = [write_run(tmp_path / f"r{n}", *asked, pattern(n), splits=["test"]) for n in range(2)]
    file = runs[1] / "predictions" / "nbest.jsonl"
    write_nbest(file, read_nbest(file)[:-2])
    with pytest.raises(DataError, match=r"r1/predictions/nbest.jsonl: 2 ids of .*r0.* are missing here: q22, q23"):
        made(runs, "nbest")


def test_other_data_is_refused(asked: tuple[Path, list[Example]], tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    write_questions(other, [Example(each.id, "who?", each.contexts, each.answers) for each in asked[1]])
    runs = [
        write_run(tmp_path / "a", *asked, pattern(0)),
        write_run(tmp_path / "b", other, asked[1], pattern(1)),
    ]
    with pytest.raises(DataError, match=r"b/predictions/nbest.jsonl: is of other questions \(SHA-256 [0-9a-f]{12}\)"):
        made(runs, "voting")
    with pytest.raises(UsageError, match=r"weights cannot be learnt: .*is of other questions"):
        made(runs, "voting", "learn")
    with pytest.raises(UsageError, match="'char_average' learns no weights with these settings; give --weights"):
        made(runs, "char_average", "learn", mean="log")


def test_contexts_beside_the_file_are_compared_among_all_that_noted_them() -> None:
    """A member of an older version noted none: it must not hide that two others had different ones."""
    notes = [{}, {"context.json": "aa"}, {"other/context.json": "bb"}]
    kept = [
        Kept(Source(Path(f"r{n}")), Path(f"r{n}"), Inputs({"test.json": "cc"}, beside))
        for n, beside in enumerate(notes)
    ]
    with pytest.raises(DataError, match=r"r2/nbest.jsonl: is of other questions .*aa\)"):
        check_same_files(kept)
    check_same_files(kept[:2])


def test_a_file_that_has_changed_is_refused_where_it_is_needed(tmp_path: Path) -> None:
    file, examples = tmp_path / "data.json", questions(COUNT)
    write_questions(file, examples)
    runs = [write_run(tmp_path / f"r{n}", file, examples, pattern(n)) for n in range(2)]
    file.write_text(file.read_text("utf-8") + "\n", "utf-8")
    with pytest.raises(DataError, match=r"has answers to an older data\.json"):
        made(runs, "char_average")
    for run in runs:  # as of a version that did not note which file was answered
        meta = run / "predictions" / "meta.json"
        meta.write_text(json.dumps(json.loads(meta.read_text("utf-8")) | {"inputs": {}}), "utf-8")
    found = made(runs, "voting")  # needs no questions
    assert found.test is not None
    assert found.validation is None
    assert "has changed since" in str(found.no_validation)


def test_a_file_that_is_gone_is_missed_where_it_is_needed(tmp_path: Path) -> None:
    file, examples = tmp_path / "data.json", questions(COUNT)
    write_questions(file, examples)
    runs = [write_run(tmp_path / f"r{n}", file, examples, pattern(n)) for n in range(2)]
    file.unlink()
    assert made(runs, "voting").test is not None
    with pytest.raises(DataError, match="is not there any more"):
        made(runs, "char_average")


def test_runs_without_character_scores_say_how_to_get_them(asked: tuple[Path, list[Example]], tmp_path: Path) -> None:
    runs = [write_run(tmp_path / f"r{n}", *asked, pattern(n), characters=False, splits=["test"]) for n in range(2)]
    with pytest.raises(DataError, match=r"r0.* has no character scores; train with .*--split test --character-scores"):
        made(runs, "char_average")


def test_what_is_no_run_is_to_be_given_as_one(asked: tuple[Path, list[Example]], tmp_path: Path) -> None:
    runs = [write_run(tmp_path / f"r{n}", *asked, pattern(n), splits=["test"]) for n in range(2)]
    file = runs[1] / "predictions" / "submission.csv"
    file.write_text("ID,Answer\n" + "".join(f"{each.id},x\n" for each in asked[1]), "utf-8")
    with pytest.raises(DataError, match=r"submission\.csv: is no run, so it has no character scores: give the run in"):
        made([runs[0], file], "char_average")
    for run in runs:
        (run / "recipe.yaml").unlink()
    with pytest.raises(DataError, match=r"does not say which questions it answered: give the run in its place"):
        made(runs, "char_average")


def test_runs_with_validation_alone_are_judged(asked: tuple[Path, list[Example]], tmp_path: Path) -> None:
    runs = [write_run(tmp_path / f"r{n}", *asked, pattern(n), splits=["validation"]) for n in range(3)]
    found = made(runs, "nbest", want_test=False)
    assert found.test is None
    assert found.validation is not None
    with pytest.raises(UsageError, match=r"r0 has no predictions of a test file; make them with `qakit predict"):
        made(runs, "nbest")


def test_weights_that_do_not_fit(runs: list[Path]) -> None:
    with pytest.raises(UsageError, match="2 weights for 3 members"):
        made(runs, "nbest", (1.0, 2.0))
    with pytest.raises(UsageError, match="at least one above 0"):
        made(runs, "nbest", (0.0, 0.0, 0.0))


@pytest.fixture
def replaced(asked: tuple[Path, list[Example]], tmp_path: Path) -> tuple[list[Path], list[Example]]:
    """Two runs that have answered a file in whose place another one lies now, and the questions of that."""
    file, examples = tmp_path / "test.json", asked[1]
    write_questions(file, examples)
    runs = [write_run(tmp_path / f"r{n}", file, examples, pattern(n), splits=["test"]) for n in range(2)]
    now = [replace(each, id=f"new-{each.id}") for each in examples]
    write_questions(file, now)
    return runs, now


def answer_again(run: Path, now: list[Example]) -> None:
    """What ``qakit predict RUN --split test`` keeps."""
    (run.parent / "anew").mkdir(exist_ok=True)
    new = write_run(run.parent / "anew" / run.name, run.parent / "test.json", now, pattern(0), splits=["test"])
    shutil.copytree(new / "predictions", run / "predictions" / "test")


@pytest.mark.parametrize("method", METHODS)
def test_answers_to_an_older_test_file_do_not_count(method: str, replaced: tuple[list[Path], list[Example]]) -> None:
    runs, now = replaced
    for run in runs:
        remedy = f"has answers to an older test.json: qakit predict {run} --split test"
        with pytest.raises(DataError, match=re.escape(remedy)):
            made(runs, method)
        answer_again(run, now)
    found = made(runs, method)
    assert found.test is not None
    assert [each.id for each in found.test] == [each.id for each in now]
    (runs[0].parent / "test.json").unlink()
    gone = made(runs, "voting")
    assert gone.test is not None
    assert gone.test[0].id == "q0", "nobody can say which ones are of the file as it was last"


def test_no_answers_to_an_older_test_file_are_submitted(replaced: tuple[list[Path], list[Example]]) -> None:
    runs, now = replaced
    run, registry, said = open_run(runs[0]), load_registry(), list[str]()
    answers = read_nbest(run.predictions / "nbest.jsonl")
    write_submission(run.predictions / "submission", answers, run.recipe(), registry)
    with pytest.raises(DataError, match=re.escape(f"older test.json: qakit predict {run.folder} --split test")):
        find_target(run.folder, None, load_trained, say=said.append)
    answer_again(run.folder, now)
    file = find_target(run.folder, None, load_trained, say=said.append).file
    assert [line.split(",")[0] for line in file.read_text("utf-8").splitlines()[1:]] == [each.id for each in now]
    assert "older test.json" in said[0]


def test_the_folder_is_a_run(runs: list[Path], tmp_path: Path) -> None:
    from qakit.report.compare_runs import read_members

    folder = tmp_path / "whole"
    check_target(folder, runs)
    submission = write_ensemble(made(runs, "char_average"), folder, load_registry())
    assert submission is not None
    assert submission.rows == COUNT
    told = json.loads((folder / "ensemble.json").read_text("utf-8"))
    assert [Path(each["path"]).name for each in told["members"]] == ["run-0", "run-1", "run-2"]
    assert all(len(digest) == 64 for digest in told["test"].values())
    meta = json.loads((folder / "predictions" / "meta.json").read_text("utf-8"))
    assert len(meta["members"]) == 3
    run = open_run(folder)
    assert run.recipe().name == "mine"
    assert run.read_json(run.metrics_file)["validation"]["exact"] > 90
    assert find_target(folder, None, load_trained, say=print).file == folder / "predictions" / "submission.csv"
    compared = read_members([folder, runs[0]], load_registry())
    assert sum(compared[0].figures["exact"]) > sum(compared[1].figures["exact"])


def test_a_folder_is_replaced_only_if_it_holds_an_ensemble(runs: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "whole"
    write_ensemble(made(runs, "voting"), folder, load_registry())
    predicted, own = folder / "predictions", folder / "predictions" / "mine"
    shutil.copytree(predicted / "validation", predicted / "test")
    check_target(folder, runs)
    for file in (own / "notes.txt", predicted / "notes.txt", predicted / "test" / "notes.txt"):
        file.parent.mkdir(exist_ok=True)
        file.touch()
    others = re.escape("(predictions/mine, predictions/notes.txt, predictions/test/notes.txt)")
    with pytest.raises(RunError, match=f"holds more than an ensemble {others}, which would be lost"):
        check_target(folder, runs)
    shutil.rmtree(own)
    (predicted / "notes.txt").unlink()
    (predicted / "test" / "notes.txt").unlink()
    write_ensemble(made(runs, "nbest"), folder, load_registry())
    assert json.loads((folder / "ensemble.json").read_text("utf-8"))["method"] == {"name": "nbest"}
    assert [each.name for each in tmp_path.iterdir()] == ["whole"], "nothing is left beside it"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    with pytest.raises(RunError, match="holds no ensemble"):
        check_target(tmp_path / "other", runs)
    with pytest.raises(UsageError, match="is, or holds, the member"):
        check_target(runs[0].parent, runs)


def test_decoded_answers_are_cleaned_up_and_voted_ones_are_clean(
    runs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from qakit.ensembling import validation

    monkeypatch.setattr(
        validation, "finish", lambda found, *_: [each.with_answer(each.answer.upper()) for each in found]
    )
    for method in METHODS:
        found = made(runs, method)
        assert found.validation is not None
        for predictions in (found.validation.predictions, found.test if method == "char_average" else ()):
            assert predictions is not None
            shouted = [each.final == each.final.upper() for each in predictions if each.final]
            assert set(shouted) <= {method != "voting"}


# ------------------------------------------------------------------------------------------------------- recipes
def recipe(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text, "utf-8")
    return path


def test_a_recipe_finds_its_members_by_pattern(runs: list[Path]) -> None:
    path = recipe(
        runs[0].parent,
        "description: three\nensemble:\n  members: ['run-[0-9]']\n"
        "  method: {name: char_average, mean: log}\n  weights: [2, 1, 1]\n",
    )
    plan = load_ensemble(path, load_registry())
    assert [each.name for each in plan.members] == ["run-0", "run-1", "run-2"]
    assert (plan.name, plan.method, plan.settings["mean"], plan.weights) == ("mine", "char_average", "log", (2, 1, 1))
    assert combine(plan, load_registry(), want_test=True, say=lambda _: None).test is not None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ensemble:\n  members: [run-0, nowhere]\n", r"mine\.yaml:2:20: ensemble.members.1: not found: .*nowhere"),
        ("ensemble:\n  members: ['x-*']\n", r"mine\.yaml:2:13: ensemble.members.0: nothing is called"),
        ("ensemble:\n  members: [run-0, 'run-*']\n", r"mine\.yaml:2:20: .*run-0 is among the members already"),
        ("ensemble:\n  members: [run-0]\n  method: nbset\n", r"mine\.yaml:3:11: .*no ensembler is called 'nbset'"),
        ("ensemble:\n  members: [run-0]\n  method: {name: nbest, k: 1}\n", r"mine\.yaml:3:25: .*k"),
        ("ensemble:\n  members: [run-0, run-1]\n  weights: [1]\n", r"mine\.yaml:3:12: .*1 numbers for 2 members"),
        ("ensemble:\n  members: [run-0]\n  weights: heavy\n", r"mine\.yaml:3:12: ensemble.weights"),
        (
            "ensemble:\n  members: [run-0, run-1]\n  weights: [2, -1]\n",
            r"mine\.yaml:3:12: ensemble.weights: .*from 0 up",
        ),
        ("ensemble:\n  members: [run-0, run-1]\n  weights: [0, 0]\n", r"mine\.yaml:3:12: .*at least one above 0"),
        ("ensemble:\n  member: [run-0]\n", r"mine\.yaml:2:3: .*member"),
        ("ensemble:\n  members: []\n", r"mine\.yaml:2:3: ensemble: give `members`, or `train`"),
    ],
)
def test_what_is_wrong_with_a_recipe_has_its_place(text: str, message: str, runs: list[Path]) -> None:
    with pytest.raises(RecipeError, match=message):
        load_ensemble(recipe(runs[0].parent, text), load_registry())


def test_members_need_not_be_there_for_a_check_of_the_rest(tmp_path: Path) -> None:
    path = recipe(tmp_path, "ensemble:\n  members: [nowhere]\n  weights: [1, 2]\n")
    assert load_ensemble(path, load_registry(), check_members=False).method == "voting"


def likeliest(predictions: Sequence[Prediction]) -> list[str | None]:
    return [each.best.text if isinstance(each, SpanPrediction) and each.best else None for each in predictions]


def test_an_ensembler_gets_what_its_members_have_reached(
    asked: tuple[Path, list[Example]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = {"name": "second", "seed": 7}
    runs = [write_run(tmp_path / f"r{n}", *asked, pattern(n), extra=named if n == 1 else None) for n in range(3)]
    for run, figure in zip(runs, (90.0, 10.0, 10.0), strict=True):
        write_json(run / "metrics.json", {"validation": {"exact": figure, "odd": None}})
    first, second = (find_kept(open_source(run), "test", characters=False) for run in runs[:2])
    assert first is not None and second is not None
    assert (first.member().figures, first.member().seed) == ({"exact": 90.0}, 0)
    assert (second.member().seed, second.member().recipe) == (7, "second")

    file = write_guide_ensembler(tmp_path)
    code = PluginCode.read(file)
    load_code(code, path=file)
    registry, settings = load_registry().with_code([code.package]), {"figure": "exact", "power": 3}
    plan = EnsemblePlan("mine", tuple(runs), "by_figure", settings, None)
    alone = likeliest(read_nbest(runs[0] / "predictions" / "nbest.jsonl"))
    for block in (combine_module.BLOCK, 5):
        monkeypatch.setattr(combine_module, "BLOCK", block)
        found = combine(plan, registry, want_test=True, say=lambda _: None)
        assert likeliest(found.test or ()) == alone, "the first has nearly all of the weight"
    (runs[2] / "metrics.json").unlink()
    with pytest.raises(UsageError, match="r2 has no validation figure 'exact'; it has none"):
        combine(plan, registry, want_test=True, say=lambda _: None)


def test_the_figures_of_a_run(tmp_path: Path) -> None:
    run = Run(tmp_path)
    assert run.figures() == {}
    run.model.mkdir()
    write_json(run.decision_file, {"figures": {"f1": 70.0}})
    assert run.figures() == {"f1": 70.0}, "of an export, which has no metrics.json"
    write_json(run.metrics_file, {"validation": {"f1": 71, "odd": None}})
    assert run.figures() == {"f1": 71.0}
    write_json(run.metrics_file, {"validation": [1]})
    with pytest.raises(RunError, match=r"metrics\.json is damaged: validation holds no figures"):
        run.figures()
