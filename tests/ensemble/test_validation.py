"""What an ensemble is worth: nothing is judged on the questions that taught it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from qakit.ensembling.method import Method
from qakit.ensembling.validation import Bench, Decision, Judged, Validation, validate
from qakit.inference.evaluation import Judge
from qakit.protocols import EnsembleMember, Pool
from qakit.recipe.load import load_recipe
from qakit.registry import load_registry
from qakit.statistics import Sampling
from qakit.values import Answer, Candidate, Example, NoAnswer, Prediction, SpanPrediction

COUNT = 21
EXAMPLES = [Example(f"q{n}", "?", ("right wrong",), () if n % 3 == 2 else (Answer("right", 0),)) for n in range(COUNT)]
GOLD = ["right" if example.answers else "" for example in EXAMPLES]


def said(row: int, *, right: bool) -> SpanPrediction:
    return SpanPrediction(f"q{row}", GOLD[row] if right else "wrong")


@dataclass
class Crammer:
    """Learns answers by heart: right about the questions that taught it, wrong about all others."""

    taught: dict[float, frozenset[int]] = field(default_factory=dict)
    """Rows by the first member's weight, which is another one for each lesson."""

    def learn(self, rows: Sequence[int]) -> tuple[tuple[float, ...], tuple[float, ...]]:
        weight = round(0.1 + 0.01 * len(self.taught), 2)
        self.taught[weight] = frozenset(rows)
        return (weight, 1 - weight), (1.0, 1.0)

    def combine(self, weights: Sequence[float], temperatures: Sequence[float], *, n_best: int) -> list[Prediction]:
        known = self.taught.get(round(weights[0], 4), frozenset())
        return [said(row, right=row in known) for row in range(COUNT)]


class Shifting:
    """Two members whose scores of "no answer" are fine together; without the first one they are all higher by 5."""

    def learn(self, rows: Sequence[int]) -> tuple[tuple[float, ...], tuple[float, ...]]:
        raise AssertionError(rows)

    def combine(self, weights: Sequence[float], temperatures: Sequence[float], *, n_best: int) -> list[Prediction]:
        shift = 0.0 if weights[0] else 5.0
        best = (Candidate("right", 0, 5, 0, 0.0, 0.5),)
        nulls = [NoAnswer(shift + (-1.0 if gold else 1.0), 0.5) for gold in GOLD]
        return [SpanPrediction(f"q{row}", "right", best, null) for row, null in enumerate(nulls)]


@dataclass
class Ensembling:
    """An ensembler of a pool."""

    made: Pool
    decodes: bool
    reads_characters: bool = False

    def combine(self, members: Sequence[Sequence[Prediction]]) -> list[Prediction]:
        raise AssertionError(members)

    def pool(self, members: Sequence[EnsembleMember], examples: Sequence[Example] | None) -> Pool:
        return self.made


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Judge:
    file = tmp_path_factory.mktemp("judge") / "recipe.yaml"
    recipe = {
        "data": {"reader": "squad", "validation": "dev.json"},
        "backbone": {"source": "nothing"},
        "predict": {"no_answer": True},
        "metric": "squad_v2",
    }
    file.write_text(json.dumps(recipe), "utf-8")
    return Judge.of(load_recipe(file).recipe, load_registry())


def bench_of(pool: Pool, judge: Judge, weights: tuple[float, ...] | None, *, decodes: bool) -> Bench:
    method = Method("fake", {}, Ensembling(pool, decodes), 2, weights, leaves_out=True)
    return Bench(method, pool, Judged(EXAMPLES, judge, Sampling(200, 0)), 1)


def validated(bench: Bench) -> Validation:
    members = [EnsembleMember(name, [said(row, right=row % 2 == 0) for row in range(COUNT)]) for name in "ab"]
    return validate(bench, members, bench.decide(bench.rows))


def test_each_question_is_answered_with_what_the_other_half_taught(judge: Judge) -> None:
    bench = bench_of(Crammer(), judge, None, decodes=False)
    lessons: list[frozenset[int]] = []

    def decide(rows: Sequence[int]) -> Decision:
        lessons.append(frozenset(rows))
        return bench.decide(rows)

    found = bench.cross_fitted(decide)
    assert [each.id for each in found] == [example.id for example in EXAMPLES]
    assert [len(rows) for rows in lessons] == [COUNT // 2, COUNT - COUNT // 2]
    assert lessons[0] | lessons[1] == frozenset(range(COUNT))
    assert [each.final for each in found] == ["wrong"] * COUNT, "nobody was asked what it had learnt by heart"


def test_learning_by_heart_gains_nothing(judge: Judge) -> None:
    found = validated(bench_of(Crammer(), judge, None, decodes=False))
    assert found.cross_fitted
    assert found.seen == 100
    assert found.figures["exact"] == found.equal == 0
    assert found.interval == (0, 0)
    assert found.gain is not None
    assert (found.gain.low, found.gain.mean, found.gain.high) == (0, 0, 0)
    assert found.over_best is not None
    assert found.over_best.mean == pytest.approx(-found.best_figure)
    assert [each.final for each in found.predictions] == ["wrong"] * COUNT


def test_without_a_member_the_threshold_is_tuned_anew(judge: Judge) -> None:
    found = validated(bench_of(Shifting(), judge, (0.5, 0.5), decodes=True))
    assert found.figures["exact"] == found.seen == 100
    assert [row.without for row in found.rows] == [100, 100]
    assert [row.adds.mean for row in found.rows if row.adds] == [0, 0]
