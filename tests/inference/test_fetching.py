"""The host collects what a batch has given while the device is at the next one, and nothing is other for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_up_scores import AGGREGATIONS, LONG, MadeUpModel, PositionHead, assembled_of, questions, recipe_of
from torch import Tensor

from qakit.data.batch import Batch
from qakit.inference.collectors import Scores, SpanScores, collector
from qakit.inference.fetching import Fetch, one_late
from qakit.inference.scoring import ScoringSet, prepare, score
from qakit.inference.table import SpanTable
from qakit.modeling.assemble import Assembled
from qakit.protocols import HeadOutput, SpanCandidates
from qakit.recipe.model import Recipe
from qakit.registry import Registry
from qakit.values import Example

CPU = torch.device("cpu")


def one_by_one(prepared: ScoringSet, assembled: Assembled) -> Scores:
    """Each batch collected before the next one is begun."""
    collected = collector(prepared.encoded, prepared.windows, prepared.predict, (), "spans")
    model = assembled.model.eval()
    for rows in prepared.batches:
        batch = prepared.collator.collate(rows, targets=False)
        collected.add(model, collected.find(model, batch, batch, model(batch)))
    return collected.scores()


def contents(scores: Scores) -> list[list[Any]]:
    assert isinstance(scores, SpanScores)
    spans, positions = scores.spans, scores.positions
    held = [spans.segment, spans.start, spans.end, spans.score, spans.null]
    held += [] if positions is None else [positions.start, positions.end, positions.weight]
    return [each.tolist() for each in held]


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(questions(0, 40), st.sampled_from(AGGREGATIONS), st.integers(1, 5), st.booleans())
def test_the_scores_are_those_of_one_batch_after_the_other(
    registry: Registry,
    tokenizer: Any,
    examples: Sequence[Example],
    aggregation: str,
    batch_size: int,
    character_scores: bool,
) -> None:
    recipe = recipe_of(aggregation=aggregation, batch_size=batch_size, character_scores=character_scores)
    assembled = assembled_of(tokenizer, recipe)
    prepared = prepare(examples, assembled, recipe, registry)
    late = score(prepared, assembled, device=CPU, precision="fp32")
    assert contents(late) == contents(one_by_one(prepared, assembled))


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What happens: ``launch n`` as the model begins a batch, ``fetch n`` as its candidates come to the table."""
    happened: list[str] = []
    forward, add = MadeUpModel.forward, SpanTable.add

    def launched(self: MadeUpModel, batch: Batch) -> HeadOutput:
        happened.append(f"launch {batch.window.min()}")
        return forward(self, batch)

    def fetched(self: SpanTable, batch: Batch, decoded: SpanCandidates) -> None:
        happened.append(f"fetch {batch.window.min()}")
        add(self, batch, decoded)

    monkeypatch.setattr(MadeUpModel, "forward", launched)
    monkeypatch.setattr(SpanTable, "add", fetched)
    return happened


def short_batches(tokenizer: Any, registry: Registry, recipe: Recipe) -> tuple[ScoringSet, Assembled, list[int]]:
    """Windows in batches of three, and the lowest number in each batch."""
    assembled = assembled_of(tokenizer, recipe)
    prepared = prepare(LONG, assembled, recipe, registry)
    return prepared, assembled, [int(rows.min()) for rows in prepared.batches]


def test_a_batch_is_fetched_once_the_next_is_launched(registry: Registry, tokenizer: Any, log: list[str]) -> None:
    prepared, assembled, numbers = short_batches(tokenizer, registry, recipe_of())
    told: list[tuple[int, int]] = []
    score(prepared, assembled, device=CPU, precision="fp32", progress=lambda *each: told.append((len(log), each[0])))
    expected = [f"launch {numbers[0]}"]
    for before, number in pairwise(numbers):
        expected += [f"launch {number}", f"fetch {before}"]
    assert len(numbers) > 3
    assert log == [*expected, f"fetch {numbers[-1]}"]
    # What is told as done has been collected, however far the device may be.
    done = [sum(map(len, prepared.batches[: number + 1])) for number in range(len(numbers))]
    assert [each for _, each in told] == done
    assert all(log[:at].count(f"fetch {number}") for (at, _), number in zip(told, numbers, strict=True))


def test_where_memory_runs_out_the_smaller_batches_are_fetched_late_too(
    registry: Registry, tokenizer: Any, log: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared, assembled, _ = short_batches(tokenizer, registry, recipe_of(batch_size=4))
    plain, decode = contents(one_by_one(prepared, assembled)), PositionHead.decode
    log.clear()

    def large(self: PositionHead, scores: Mapping[str, Tensor], batch: Batch) -> SpanCandidates:
        if len(batch) > 2:
            raise torch.OutOfMemoryError("out of memory")
        return decode(self, scores, batch)

    monkeypatch.setattr(PositionHead, "decode", large)
    said: list[str] = []
    scores = score(prepared, assembled, device=CPU, precision="fp32", notice=said.append)
    assert contents(scores) == plain
    assert len(said) == 1
    assert [each.split()[0] for each in log][:4] == ["launch", "launch", "launch", "fetch"]


def test_a_head_may_write_each_batchs_results_into_the_same_tensors(
    registry: Registry, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared, assembled, numbers = short_batches(tokenizer, registry, recipe_of(character_scores=True))
    plain, kept = contents(score(prepared, assembled, device=CPU, precision="fp32")), dict[Any, Tensor]()
    assert len(numbers) > 3

    def reusing(method: str) -> None:
        real = getattr(PositionHead, method)

        def reuses(*arguments: Any) -> Any:
            made = real(*arguments)
            tensors = {each.name: getattr(made, each.name) for each in fields(made)}
            return replace(
                made,
                **{
                    name: kept.setdefault((method, name, each.shape), each.clone()).copy_(each)
                    for name, each in tensors.items()
                    if isinstance(each, Tensor)
                },
            )

        monkeypatch.setattr(PositionHead, method, reuses)

    reusing("decode")
    reusing("position_scores")
    assert contents(score(prepared, assembled, device=CPU, precision="fp32")) == plain


@dataclass(frozen=True)
class Held:
    numbers: Tensor
    name: str
    nothing: Tensor | None = None


def test_on_cuda_copies_are_queued_and_an_event_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    happened: list[str] = []

    class Event:
        def record(self) -> None:
            happened.append("record")

        def synchronize(self) -> None:
            happened.append("synchronize")

    class Numbers(Tensor):
        def to(self, *where: Any, non_blocking: bool = False) -> Tensor:
            happened.append(f"copy to {where[0]}, {'queued' if non_blocking else 'waited for'}")
            return torch.ones(3)

    monkeypatch.setattr(torch.cuda, "Event", Event)
    held = Held(torch.zeros(3).as_subclass(Numbers), "some")
    fetch = Fetch.begin(held, torch.device("cuda"))
    assert happened == ["copy to cpu, queued", "record"]
    assert fetch.result() == Held(fetch.value.numbers, "some")
    assert fetch.value.numbers.tolist() == [1, 1, 1]
    assert happened[2:] == ["synchronize"]

    happened.clear()
    fetch = Fetch.begin(held, torch.device("mps"))
    assert happened == []
    assert fetch.result().numbers.tolist() == [1, 1, 1]
    assert happened == ["copy to cpu, waited for"]


@given(st.integers(0, 5))
def test_one_late(count: int) -> None:
    made: list[int] = []

    def numbers() -> Any:
        for number in range(count):
            made.append(number)
            yield number

    seen = []
    for number in one_late(numbers()):
        assert len(made) == min(number + 2, count)
        seen.append(number)
    assert seen == list(range(count))


def test_to_cuda_batches_go_through_pinned_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy from other memory may wait for the forward pass before it."""
    from qakit.testing import made_up_batch

    pinned: list[int] = []
    batch = made_up_batch()
    monkeypatch.setattr(Tensor, "pin_memory", lambda self: pinned.append(id(self)) or self)
    monkeypatch.setattr(Tensor, "to", lambda self, device, non_blocking: self)
    batch.to(torch.device("cuda"))
    assert id(batch.input_ids) in pinned
    assert id(batch.target_first) in pinned
    pinned.clear()
    batch.to(CPU)
    assert pinned == []
