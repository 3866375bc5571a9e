"""The next block is read and tokenised while one is answered: no more than that, in order, with nothing left behind."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from answered_shards import FirstWords, answer, begun, contents, write_shard, write_shards
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qakit.errors import DataError
from qakit.inference.ahead import Ahead
from qakit.inference.stream import StoppedError
from qakit.inference.stream_inputs import find_shards
from qakit.inference.stream_reading import PreparesAhead
from qakit.inference.trained import Inferred, TrainedRun
from qakit.recipe.model import Recipe
from qakit.registry import Registry
from qakit.values import Example

GPU = torch.device("cuda")
PATIENCE = 20.0
"""Seconds after which what should have happened has not."""


@dataclass(frozen=True)
class InTwoSteps(FirstWords):
    """As a run of one model, which tokenises before it answers."""

    device: torch.device = GPU
    made: list[str] = field(default_factory=list)
    """The first id of each block that was prepared."""
    preparing: Callable[[str], None] = lambda _: None
    """Called with it."""

    def prepare(self, examples: Sequence[Example], *, progress: Any) -> Any:
        progress(0, len(examples))
        self.preparing(examples[0].id)
        self.made.append(examples[0].id)
        return examples

    def infer_prepared(self, prepared: Any, *, progress: Any) -> Inferred:
        return self.infer(prepared, cache=None, progress=progress)


@pytest.fixture(scope="module")
def run(registry: Registry, nameless: Recipe) -> Callable[..., InTwoSteps]:
    return lambda **options: InTwoSteps(nameless, registry, **options)


@pytest.fixture
def shards(tmp_path: Path) -> Iterator[Path]:
    """Three files of 4, 2 and 3 questions. At the end no thread is left."""
    yield write_shards(tmp_path / "in", a=4, b=2, c=3)
    assert [each.name for each in threading.enumerate() if each.name == "qakit-ahead"] == []


def until(happened: Callable[[], bool]) -> bool:
    ends = time.monotonic() + PATIENCE
    while not happened() and time.monotonic() < ends:
        time.sleep(0.002)
    return happened()


def nobody_has(home: Path, trained: Any, source: Path, output: Path) -> bool:
    """Whether all files could be claimed by another process."""
    folder = begun(home, trained, output, form="jsonl")
    for shard in find_shards([str(source)], output, form="jsonl"):
        with folder.claim(shard) as ours:
            if not ours:
                return False
    return True


def test_a_run_of_one_model_can_tokenise_ahead(run: Any) -> None:
    assert {"device", "prepare", "infer_prepared"} <= set(dir(TrainedRun))
    assert isinstance(run(), PreparesAhead)


def test_on_a_cpu_reading_and_answering_take_turns(home: Path, run: Any, shards: Path, tmp_path: Path) -> None:
    seen: list[int] = []
    trained = run(device=torch.device("cpu"))
    trained = replace(trained, before=lambda _: seen.append(len(trained.made)))
    answer(home, trained, shards, tmp_path / "out", block=2)
    assert seen == [1, 2, 3, 4, 5]


def test_one_block_is_made_while_another_is_answered(home: Path, run: Any, shards: Path, tmp_path: Path) -> None:
    blocks = ["a0", "a2", "b0", "c0", "c2"]  # the next one may be of the next file
    trained = run()
    seen: list[list[str]] = []

    def waits(call: int) -> None:
        assert until(lambda: len(trained.made) >= min(call + 1, len(blocks))), "nothing is made meanwhile"
        time.sleep(0.02)
        seen.append(list(trained.made))

    trained = replace(trained, before=waits)
    assert answer(home, trained, shards, tmp_path / "out", block=2).examples == 9
    assert seen == [blocks[: call + 1] for call in range(1, 5)] + [blocks], "more is made than one block"


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(1, 7), min_size=1, max_size=5), st.integers(1, 4), st.integers(0, 10**9))
def test_the_answers_are_those_of_one_block_after_the_other(
    home: Path, run: Any, tmp_path: Path, sizes: list[int], block: int, number: int
) -> None:
    source, output = tmp_path / f"in-{number}-{block}-{sizes}", tmp_path / f"out-{number}-{block}-{sizes}"
    source.mkdir(exist_ok=True)
    for file, rows in enumerate(sizes):
        write_shard(source / f"{file}.csv", [f"{file}-{row},why,word{row} because" for row in range(rows)])
    trained = run()
    answer(home, trained, source, output, block=block, overwrite=True)
    for file, rows in enumerate(sizes):
        lines = [json.loads(line) for line in contents(output)[f"{file}.jsonl"].decode().splitlines()]
        expected = [(f"{file}-{row}", f"word{row}") for row in range(rows)]
        assert [(each["id"], each["answer"]) for each in lines] == expected
    cut = [min(block, rows - first) for rows in sizes for first in range(0, rows, block)]
    assert trained.calls == cut


def test_what_goes_wrong_ahead_is_told_when_its_turn_comes(home: Path, run: Any, shards: Path, tmp_path: Path) -> None:
    write_shard(shards / "b.csv", ["b0,why,because", "b1,why"])
    told = threading.Event()

    def slow(call: int) -> None:
        told.wait(0.05)  # b.csv has been found to be broken meanwhile

    with pytest.raises(DataError, match=r"b\.csv, line 3: the row has 2 cells"):
        answer(home, run(before=slow), shards, tmp_path / "out", block=4)
    assert set(contents(tmp_path / "out")) == {"a.jsonl"}
    assert nobody_has(home, run(), shards, tmp_path / "out")
    tally = answer(home, run(), shards, tmp_path / "out", keep_going=True)
    assert (tally.answered, list(tally.failed)) == (1, [str(shards / "b.csv")])


def test_an_error_of_a_plugin_ahead_is_raised_as_it_is(home: Path, run: Any, shards: Path, tmp_path: Path) -> None:
    def broken(first: str) -> None:
        if first == "b0":
            raise ZeroDivisionError("in the tokenizer")

    with pytest.raises(ZeroDivisionError, match="in the tokenizer"):
        answer(home, run(preparing=broken), shards, tmp_path / "out", keep_going=True)
    assert set(contents(tmp_path / "out")) == {"a.jsonl"}
    assert nobody_has(home, run(), shards, tmp_path / "out")


def test_an_error_in_the_answering_ends_the_reading(home: Path, run: Any, shards: Path, tmp_path: Path) -> None:
    def full(call: int) -> None:
        raise ZeroDivisionError("in the model")

    with pytest.raises(ZeroDivisionError, match="in the model"):
        answer(home, run(before=full), shards, tmp_path / "out", block=1)
    assert contents(tmp_path / "out") == {}
    assert nobody_has(home, run(), shards, tmp_path / "out")


def test_a_file_that_fails_in_the_middle_is_passed_over_with_what_was_read_of_it(
    home: Path, run: Any, shards: Path, tmp_path: Path
) -> None:
    def refuses(call: int) -> None:
        if call == 1:
            raise DataError("cannot be answered", path=shards / "a.csv")

    trained = run(before=refuses)
    tally = answer(home, trained, shards, tmp_path / "out", block=1, keep_going=True)
    assert (tally.answered, tally.examples, list(tally.failed)) == (2, 5, [str(shards / "a.csv")])
    assert set(contents(tmp_path / "out")) == {"b.jsonl", "c.jsonl"}


def test_a_stop_ends_a_block_that_is_being_read(home: Path, run: Any, shards: Path, tmp_path: Path) -> None:
    """Ctrl-C waits neither for a long block nor for what nobody will need."""
    write_shard(shards / "a.csv", [f"a{row},why,because" for row in range(1000)])
    asked: list[int] = []
    seen: list[str] = []

    def stopping() -> int:
        seen.append("asked")
        if len(seen) == 100:
            asked.append(2)
        return asked[0] if asked else 0

    trained = run()
    with pytest.raises(StoppedError) as caught:
        answer(home, trained, shards, tmp_path / "out", block=1000, stopping=stopping)
    assert (caught.value.exit_code, trained.calls, trained.made) == (130, [], [])
    assert len(seen) < 110
    assert contents(tmp_path / "out") == {}
    assert nobody_has(home, run(), shards, tmp_path / "out")


def test_what_was_made_and_not_taken_is_let_go() -> None:
    left: list[int] = []

    def numbers(_: Ahead[int]) -> Iterator[int]:
        yield from range(3)

    with Ahead[int](numbers, leave=left.append) as items:
        assert next(items) == 0
        assert until(lambda: len(items._items) == 2)
    assert left == [1, 2]


def test_leaving_ends_an_iterator_that_waits() -> None:
    ended: list[str] = []

    def numbers(ahead: Ahead[int]) -> Iterator[int]:
        try:
            for number in range(100):
                ahead.wait_until_taken(int)
                yield number
        finally:
            ended.append("ended")

    with Ahead[int](numbers, leave=lambda _: None) as items:
        assert next(items) == 0
    assert ended == ["ended"]
