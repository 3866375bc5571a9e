"""Members that are not as they should be, or not as most are: ids that come twice, no answers, other tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pytest
from ensemble.made_up import questions, write_questions, write_run

from qakit.ensembling import combine as combine_module
from qakit.ensembling import folder as folder_module
from qakit.ensembling.combine import Ensemble, combine
from qakit.ensembling.folder import validation_json
from qakit.ensembling.kept import open_source
from qakit.ensembling.load import EnsemblePlan, Weights
from qakit.errors import DataError
from qakit.inference.nbest_file import read_nbest, write_nbest
from qakit.inference.output import write_submission
from qakit.registry import load_registry
from qakit.runs import Run
from qakit.values import LabelPrediction
from qakit.workflows.ensemble import _writer

COUNT = 6


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    return two_runs(tmp_path)


def two_runs(folder: Path, **extra: object) -> list[Path]:
    """Each errs about a half of the questions, and has a submission beside its predictions."""
    file, examples = folder / "data.json", questions(COUNT)
    write_questions(file, examples)
    made = []
    for number in range(2):
        right = [n % 2 == number for n in range(COUNT)]
        run = Run(write_run(folder / f"run-{number}", file, examples, right, extra=extra))
        write_submission(
            run.predictions / "submission", read_nbest(run.predictions / "nbest.jsonl"), run.recipe(), load_registry()
        )
        made.append(run.folder)
    return made


def together(runs: Sequence[Path], method: str, weights: Weights = None) -> Ensemble:
    plan = EnsemblePlan("mine", tuple(runs), method, {}, weights)
    return combine(plan, load_registry(), want_test=True, say=lambda _: None)


@pytest.mark.parametrize("method", ["voting", "nbest"])
def test_an_id_that_comes_twice_in_all_members_is_refused(method: str, runs: list[Path]) -> None:
    for run in runs:
        file = run / "predictions" / "nbest.jsonl"
        found = read_nbest(file)
        write_nbest(file, [*found, found[0]])
    with pytest.raises(DataError, match=r"nbest\.jsonl: has an id more than once"):
        together(runs, method)


@pytest.mark.parametrize("method", ["voting", "nbest"])
def test_validation_without_predictions_is_no_validation(method: str, runs: list[Path]) -> None:
    for run in runs:
        write_nbest(run / "predictions" / "validation" / "nbest.jsonl", [])
    found = together(runs, method)
    assert found.validation is None
    assert "holds no predictions" in str(found.no_validation)
    assert found.test is not None
    assert len(found.test) == COUNT


def test_the_class_of_a_question_does_not_depend_on_where_a_block_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The middle class is likeliest for "q", where no member says so; only from "r" is it known what it is called."""
    said = {"q": ((0.5, 0.4, 0.1), (0.1, 0.4, 0.5)), "r": ((0.1, 0.8, 0.1), (0.1, 0.8, 0.1))}
    members = [tmp_path / "a", tmp_path / "b"]
    for number, member in enumerate(members):
        (member / "predictions").mkdir(parents=True)
        shares = {id_: each[number] for id_, each in said.items()}
        predictions = [LabelPrediction(id_, "xyz"[own.index(max(own))], own) for id_, own in shares.items()]
        write_nbest(member / "predictions" / "nbest.jsonl", predictions)
    monkeypatch.setattr(combine_module, "BLOCK", 1)
    found = together(members, "mean").test
    assert found is not None
    assert [each.final for each in found] == ["y", "y"]


@pytest.mark.parametrize(
    ("settings", "first"),
    [({"id_column": "ID"}, "ID,answer"), ({"header": False}, "q0,"), ({"encoding": "utf-16"}, "id,answer")],
)
def test_answers_are_written_as_the_runs_write_theirs(settings: dict[str, object], first: str, tmp_path: Path) -> None:
    runs = two_runs(tmp_path, writer={"name": "csv", **settings})
    found = together(runs, "voting")
    assert found.test is not None
    output = tmp_path / "out.csv"
    _writer(output, found.sources, load_registry()).write(found.test, output)
    lines = output.read_text(str(settings.get("encoding", "utf-8"))).splitlines()
    assert lines[0].startswith(first)
    assert len(lines) == COUNT + ("header" not in settings)


def test_a_member_of_weight_zero_adds_nothing_after_clean_up_that_looks_at_candidates(tmp_path: Path) -> None:
    prior = {"name": "length_prior", "median": 4.0, "spread": 0.1, "weight": 5.0}
    runs = two_runs(tmp_path, postprocess=[prior])
    plain = together(runs, "char_average", (1.0, 0.0)).validation
    assert plain is not None
    (alone, nothing) = plain.rows
    assert nothing.adds is not None
    assert (nothing.without, nothing.adds.mean) == (plain.seen, 0.0)
    assert alone.without is not None


def test_a_table_of_another_kind_beside_a_runs_predictions_does_no_harm(runs: list[Path]) -> None:
    (runs[0] / "predictions" / "a.csv").write_text("a,b,c\n1,2,3\n", "utf-8")
    assert open_source(runs[0]).answers is None
    assert together(runs, "nbest").test is not None


def test_what_an_ensemble_is_worth_is_told_without_copying_its_predictions(
    runs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = []

    def watched(value: object) -> dict[str, object]:
        copied.append(getattr(value, "predictions", None))
        return dataclasses.asdict(value)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(folder_module, "asdict", watched)
    told = validation_json(together(runs, "nbest"))
    assert told is not None
    assert "predictions" not in told
    assert told["questions"] == COUNT
    assert copied == [()]
