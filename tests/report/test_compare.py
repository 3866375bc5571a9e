"""Groups, differences and tables of a comparison, from figures made on the spot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from qakit.errors import UsageError
from qakit.files import write_json
from qakit.recipe.differences import differing_keys, seeds_apart, unusual
from qakit.recipe.model import Recipe
from qakit.report.compare import Comparison, Plan, compare
from qakit.report.compare_curves import mean_curve
from qakit.report.compare_runs import Member, Speeds
from qakit.report.compare_table import changes, grids, markdown
from qakit.runs import Run

FAST = Plan(resamples=200)


def recipe(**changed: Any) -> Recipe:
    data = {"data": {"reader": "squad"}, "backbone": {"source": "bert"}, "metric": {"name": "squad_v2"}}
    return Recipe.model_validate(data | changed)


def member(folder: str, exact: list[float], *, finished: bool = True, **changed: Any) -> Member:
    log = (
        {"type": "train", "step": 1, "epoch": 0.5, "loss": 1.0},
        {"type": "evaluation", "step": 2, "epoch": 1.0, "exact": 50.0, "f1": 50.0},
    )
    figures = {"exact": tuple(exact), "f1": tuple(value / 2 for value in exact)}
    return Member(Run(Path(folder)), recipe(**changed), figures, log, None, Speeds(None, None, None), finished)


GOOD, BAD = [100.0] * 80 + [0.0] * 20, [100.0] * 40 + [0.0] * 60


def texts(comparison: Comparison) -> list[str]:
    return [cell for grid in grids(comparison) for row in grid.rows for cell in row]


# ------------------------------------------------------------------------------------------------------------ recipes
def test_only_what_differs_is_named() -> None:
    first = recipe(head="linear_span", train={"epochs": 2}, name="a", description="first")
    second = recipe(head="crf", train={"epochs": 3}, name="b", description="second")
    assert differing_keys([first, second]) == [
        {"head": "linear_span", "train.epochs": "2.0"},
        {"head": "crf", "train.epochs": "3.0"},
    ]
    assert differing_keys([first, first]) == [{}, {}]


def test_the_hash_of_another_backbone_goes_without_saying() -> None:
    one, two = ({"source": source, "sha256": digit * 64} for source, digit in (("one", "1"), ("two", "2")))
    assert differing_keys([recipe(backbone=one), recipe(backbone=two)]) == [
        {"backbone.source": "one"},
        {"backbone.source": "two"},
    ]
    assert "backbone.sha256" in differing_keys([recipe(backbone=one), recipe(backbone=one | {"sha256": "2" * 64})])[0]


def test_what_most_recipes_have_goes_without_saying() -> None:
    swa, no_swa = {"train.swa.start": "0.5"}, {"train.swa": "null"}
    assert unusual([no_swa, swa, no_swa | {"train.ema": "0.9"}]) == [{}, swa, {"train.ema": "0.9"}]
    assert unusual([{"head": "crf"}, {"head": "linear_span"}]) == [{"head": "crf"}, {"head": "linear_span"}]


def test_settings_are_compared_among_those_who_have_them() -> None:
    plain = recipe(head="linear_span")
    one, other = (recipe(head={"name": "crf", "constrained": value, "order": 1}) for value in (True, False))
    assert differing_keys([plain, one]) == [{"head": "linear_span"}, {"head": "crf"}]
    assert differing_keys([plain, one, other])[1:] == [
        {"head": "crf", "head.constrained": "true"},
        {"head": "crf", "head.constrained": "false"},
    ]


def test_a_key_that_only_one_recipe_has_counts_outside_of_plugins() -> None:
    without, with_ = recipe(), recipe(backbone={"source": "bert", "overrides": {"hidden_dropout_prob": 0.0}})
    found = differing_keys([without, with_])
    assert found[1] == {"backbone.overrides.hidden_dropout_prob": "0.0"}


def test_seeds_and_names_do_not_part_a_group() -> None:
    recipes = [recipe(seed=0), recipe(seed=0, head="crf"), recipe(seed=1, name="x"), recipe(seed=5, description="y")]
    assert seeds_apart(recipes) == [[0, 2, 3], [1]]


# ---------------------------------------------------------------------------------------------- groups and differences
def test_a_group_holds_its_mean_and_spread() -> None:
    members = [member("a", GOOD), member("b", BAD, seed=1), member("c", BAD, head="crf")]
    comparison = compare(members, FAST)
    seeds, alone = comparison.groups
    assert (seeds.label, seeds.members, seeds.differs) == ("a (2 seeds)", (0, 1), {"head": "linear_span"})
    assert seeds.estimates["exact"].mean == pytest.approx(60)
    spread = seeds.spreads["exact"]
    assert (spread.low, spread.high) == (40, 80)
    assert spread.sd == pytest.approx(800**0.5)
    assert (alone.label, alone.spreads) == ("c", {})
    (exact, f1) = comparison.pairs
    assert (exact.first, exact.second, exact.key, f1.key) == (1, 0, "exact", "f1")
    assert exact.difference.mean == pytest.approx(-20)
    assert "Seeds are taken as fixed" in comparison.notes[0]


@pytest.mark.parametrize("file", ["ensemble.json", "pipeline.yaml"])
def test_what_is_made_of_several_recipes_stands_alone(file: str, tmp_path: Path) -> None:
    for name in ("voting", "nbest"):
        (tmp_path / name).mkdir()
        made = {"method": {"name": name, "top_k": 3}, "members": [{"path": "a"}, {"path": "b"}]}
        write_json(tmp_path / name / file, made)
    folders = [str(tmp_path / name) for name in ("voting", "plain", "nbest", "again")]
    members = [member(folder, [1.0, 2.0], seed=seed) for folder, seed in zip(folders, (7, 0, 7, 1), strict=True)]
    result = compare(members, Plan())
    assert [group.members for group in result.groups] == [(0,), (1, 3), (2,)]
    if file == "ensemble.json":  # whose recipe is its first member's
        assert [dict(differs) for differs in result.differs] == [
            {"ensemble": "voting of 2"}, {"seed": "0"}, {"ensemble": "nbest of 2"}, {"seed": "1"}
        ]  # fmt: skip


def test_without_groups_every_run_is_compared_with_the_baseline() -> None:
    members = [member("a", GOOD), member("b", BAD, seed=1), member("c", GOOD, head="crf")]
    comparison = compare(members, Plan(keys=("exact",), by_seed=False, baseline=1, resamples=200))
    assert [group.label for group in comparison.groups] == ["a", "b", "c"]
    assert [(pair.first, pair.second) for pair in comparison.pairs] == [(0, 1), (2, 1)]
    assert all(pair.difference.mean == 40 and pair.difference.distinguishable for pair in comparison.pairs)
    assert not comparison.notes


def test_all_pairs() -> None:
    members = [member(name, GOOD, head=name) for name in "abcd"]
    comparison = compare(members, Plan(keys=("f1",), all_pairs=True, resamples=200))
    assert {frozenset((pair.first, pair.second)) for pair in comparison.pairs} == {
        frozenset((first, second)) for first in range(4) for second in range(first)
    }
    assert len(comparison.pairs) == 6
    assert texts(comparison).count("not distinguishable") == 6


def test_the_verdict_names_the_better_one() -> None:
    found = texts(compare([member("a", BAD), member("b", GOOD, head="crf")], FAST))
    assert "first is better" in found
    assert "+40.00" in found
    found = texts(compare([member("a", GOOD), member("b", BAD, head="crf")], FAST))
    assert "second is better" in found


def test_runs_of_one_name_are_told_apart_by_their_folders() -> None:
    comparison = compare([member("x/run", GOOD), member("y/run", BAD, head="crf"), member("z", BAD)], FAST)
    assert comparison.labels == ("x/run", "y/run", "z")


def test_a_figure_that_the_metric_lacks() -> None:
    with pytest.raises(UsageError, match="there is no figure 'em': squad_v2 has exact, f1 for each question"):
        compare([member("a", GOOD), member("b", BAD)], Plan(keys=("em",)))


def test_what_should_be_kept_in_mind_is_said() -> None:
    notes = compare([member("a", [100.0]), member("b", [0.0], head="crf", finished=False)], FAST).notes
    assert notes == (
        "Intervals of 1 questions are too narrow: they know only what these questions show.",
        "b is not finished; its best weights so far are compared.",
    )


# ------------------------------------------------------------------------------------------------- tables and curves
def test_runs_of_other_training_data_under_the_same_name_are_told(tmp_path: Path) -> None:
    for name, digest in (("a", "1"), ("b", "2"), ("c", "2")):
        write_json(tmp_path / name / "meta.json", {"data": {"train": {"files": {"data/train.json": digest}}}})
    members = [member(str(tmp_path / name), GOOD, head=head) for name, head in (("a", "crf"), ("b", "linear_span"))]
    note = "train.json had other content when b was trained than for a: their difference is one of the training data, "
    assert compare(members, FAST).notes == (f"{note}too.",)
    assert compare([members[1], member(str(tmp_path / "c"), BAD, head="crf")], FAST).notes == ()


def test_what_is_not_known_is_a_dash() -> None:
    comparison = compare([member("a", GOOD), member("b", BAD)], FAST)
    runs = grids(comparison)[0]
    assert runs.columns[-4:] == ("trainable", "s/step", "train windows/s", "evaluation windows/s")
    assert all(row[-4:] == ("-",) * 4 for row in runs.rows)
    assert not [text for text in texts(comparison) if "nan" in text.lower() or "none" in text.lower()]
    assert changes({}) == "-"


def test_markdown_keeps_names_in_their_cells() -> None:
    text = markdown(compare([member("a|b_*c*", GOOD), member("<i>", BAD, head="crf")], FAST), picture="compare.png")
    lines = text.splitlines()
    assert "| a\\|b\\_\\*c\\* | head=linear\\_span | 80.00 \\[" in text
    assert "\\<i\\>" in text
    tables = [line.replace("\\|", "") for line in lines if line.startswith("|")]
    assert {line.count("|") for line in tables} == {9, 8}  # eight columns of runs, seven of differences
    assert "(compare.png)" in text


def test_the_mean_curve_ends_where_the_shortest_one_does() -> None:
    curves = [[(0.0, 0.0), (1.0, 10.0), (2.0, 20.0), (3.0, 30.0)], [(0.0, 2.0), (2.0, 6.0)]]
    assert mean_curve(curves) == [(0.0, 1.0), (1.0, 7.0), (2.0, 13.0)]
    assert mean_curve([[(0.0, 1.0)], [(5.0, 1.0)]]) == []
