"""How several processes share a prediction: every example exactly once, whatever their number."""

from __future__ import annotations

import os
import pickle
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qakit.data.batching import prediction_batches
from qakit.distributed import ALONE, AbandonedError, Workers, adopt_slurm, launched_processes


@given(windows=st.integers(0, 200), batch_size=st.integers(1, 50), size=st.integers(1, 70))
def test_every_window_belongs_to_exactly_one_process(windows: int, batch_size: int, size: int) -> None:
    lengths = np.arange(windows, dtype=np.int32) % 37 + 1
    batches = prediction_batches(lengths, batch_size=batch_size)
    shares = [Workers(rank, size).share(batches) for rank in range(size)]
    computed = [row for share in shares for rows in share for row in rows.tolist()]
    assert sorted(computed) == list(range(windows))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_one_process_does_everything_and_asks_nobody() -> None:
    assert ALONE.first
    assert ALONE.gather("value") == ["value"]
    assert ALONE.from_first("value") == "value"
    with ALONE.fail_together(), ALONE.leaders_first():
        pass
    with pytest.raises(ValueError, match="as it is"), ALONE.fail_together():
        raise ValueError("as it is")


class Scripted(Workers):
    """A process whose neighbours answer as told."""

    answers: list[bool]
    said: list[bool]

    def gather(self, value: object) -> list[object]:
        self.said.append(bool(value))
        return [value, self.answers.pop(0)]


def scripted(*answers: bool, local_rank: int = 0) -> Scripted:
    workers = Scripted(0, 2, local_rank)
    object.__setattr__(workers, "answers", list(answers))
    object.__setattr__(workers, "said", [])
    return workers


def test_a_failure_elsewhere_ends_this_process() -> None:
    workers = scripted(False)
    with pytest.raises(AbandonedError), workers.fail_together():
        pass
    assert workers.said == [True]


def test_a_failure_here_is_told_once_and_stays_what_it_is() -> None:
    workers = scripted(True, True)
    with pytest.raises(ValueError, match="mine"), workers.fail_together(), workers.leaders_first():
        raise ValueError("mine")
    assert workers.said == [False]


@pytest.mark.parametrize("local_rank", [0, 1])
def test_the_first_of_a_machine_goes_first(local_rank: int) -> None:
    workers = scripted(True, True, local_rank=local_rank)
    with workers.fail_together():
        with workers.leaders_first():
            assert workers.said == [True] * local_rank
        assert workers.said == [True]
    assert workers.said == [True, True]


@pytest.mark.parametrize("local_rank", [0, 1])
def test_who_sees_a_failure_in_between_leaves_without_another_word(local_rank: int) -> None:
    workers = scripted(False, local_rank=local_rank)
    with pytest.raises(AbandonedError), workers.fail_together(), workers.leaders_first():
        pass
    assert workers.said == [True]


@pytest.mark.parametrize(
    ("environment", "count"),
    [
        ({}, 1),
        ({"WORLD_SIZE": "8"}, 1),  # a batch system's variable for the whole job
        ({"WORLD_SIZE": "8", "LOCAL_RANK": "0"}, 8),
        ({"WORLD_SIZE": "many", "LOCAL_RANK": "0"}, 1),
    ],
)
def test_only_a_launcher_makes_several_processes(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], count: int
) -> None:
    for name in ("WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert launched_processes() == count


STEP = {
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2)",
    "SLURM_STEP_NODELIST": "gpu[03-05,9]",
    "SLURM_JOB_ID": "123456",
    "SLURM_STEP_ID": "1",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "1",
}
LAUNCHED = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def adopted(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> dict[str, str]:
    """What a launcher would have set, after a command has begun with these variables alone."""
    monkeypatch.setattr(os, "environ", dict(environment))
    adopt_slurm()
    return {name: os.environ[name] for name in LAUNCHED if name in os.environ}


def test_tasks_of_one_step_of_slurm_are_the_processes_of_a_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    found = adopted(monkeypatch, STEP)
    assert found.pop("MASTER_PORT") == "23457"
    assert found == {
        "RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "gpu03",
    }  # fmt: skip
    assert launched_processes() == 4


def test_what_is_said_of_the_meeting_place_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    found = adopted(monkeypatch, {**STEP, "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "1234"})
    assert (found["MASTER_ADDR"], found["MASTER_PORT"]) == ("10.0.0.1", "1234")


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {**STEP, "SLURM_STEP_NUM_TASKS": "1"},
        {"SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"},  # a batch script, outside srun
        {**STEP, "LOCAL_RANK": "0", "RANK": "0", "WORLD_SIZE": "8"},  # torchrun below srun
    ],
)
def test_where_slurm_started_one_or_another_launcher_many_nothing_is_said(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    said = {name: environment[name] for name in LAUNCHED if name in environment}
    assert adopted(monkeypatch, environment) == said


@pytest.mark.parametrize(
    ("nodes", "first"),
    [("n1", "n1"), ("n1,n2", "n1"), ("gpu[03-05,9],cpu1", "gpu03"), ("a[1,3]-ib,b", "a1-ib"), ("r[1-2]n[5-6]", "r1n5")],
)
def test_the_first_machine_of_slurms_list(monkeypatch: pytest.MonkeyPatch, nodes: str, first: str) -> None:
    assert adopted(monkeypatch, {**STEP, "SLURM_STEP_NODELIST": nodes})["MASTER_ADDR"] == first


def test_what_a_recipe_is_loaded_as_goes_to_other_processes() -> None:
    mapping = MappingProxyType({"a": 1})
    assert pickle.loads(pickle.dumps(mapping)) == mapping
