"""Which devices trainings may take, on machines that are made up: their GPUs as PyTorch counts them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable

import pytest
import torch

from qakit import devices
from qakit.devices import Slot, environment_of, slots, slots_for_one, told
from qakit.errors import UsageError

Machine = Callable[..., None]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """``machine(gpus=2, model="Tesla T4", visible="0,1", cores=4)``; nothing begins CUDA."""

    def make(gpus: int = 0, *, model: str = "", visible: str | None = None, cores: int = 4, **variables: str) -> None:
        def forbidden(*arguments: object) -> None:
            raise AssertionError("CUDA was begun")

        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        for name in ("init", "_lazy_init", "get_device_name", "get_device_properties", "current_device"):
            monkeypatch.setattr(torch.cuda, name, forbidden)
        monkeypatch.setattr(devices, "_model", lambda: model)
        monkeypatch.setattr(devices, "_cores", lambda: cores)
        for name in ("CUDA_VISIBLE_DEVICES", "QAKIT_DEVICES", "OMP_NUM_THREADS"):
            monkeypatch.delenv(name, raising=False)
        if visible is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return make


def shown(chosen: tuple[Slot, ...]) -> list[str]:
    return [slot.visible for slot in chosen]


@pytest.mark.parametrize(
    ("visible", "asked", "gpus", "expected"),
    [
        (None, None, 3, ["0", "1", "2"]),
        (None, "2", 3, ["0", "1"]),
        (None, "0,2", 3, ["0", "2"]),
        (None, "2,0", 3, ["2", "0"]),
        (None, "1,", 3, ["1"]),
        ("5,3", None, 2, ["5", "3"]),
        ("5,3", "1,", 2, ["3"]),
        ("0, 7", None, 1, ["0"]),  # CUDA takes the list up to the first that there is not
        ("GPU-aa,GPU-bb", None, 2, ["GPU-aa", "GPU-bb"]),
        ("MIG-aa,MIG-bb", None, 1, ["MIG-aa", "MIG-bb"]),  # CUDA counts one of them
    ],
)
def test_gpus_are_chosen_among_those_that_this_process_may_see(
    machine: Machine, visible: str | None, asked: str | None, gpus: int, expected: list[str]
) -> None:
    machine(gpus, visible=visible)
    assert shown(slots(asked)) == expected


def test_each_slot_shows_a_process_its_gpu_and_several_show_all(machine: Machine) -> None:
    machine(2, visible="5,3", model="Tesla T4")
    first, second = slots()
    assert second.environment == {"CUDA_VISIBLE_DEVICES": "3", "QAKIT_DEVICES": ""}
    assert environment_of([first, second])["CUDA_VISIBLE_DEVICES"] == "5,3"
    assert (first.own, second.own) == (True, False)


def test_the_variable_says_it_where_the_option_does_not(machine: Machine) -> None:
    machine(3, QAKIT_DEVICES="2")
    assert shown(slots()) == ["0", "1"]
    assert shown(slots("1,")) == ["1"]
    machine(3, QAKIT_DEVICES=" ")
    assert len(slots()) == 3


def test_jobs_share_the_cores_of_a_cpu_and_take_as_many_gpus(machine: Machine) -> None:
    machine(cores=5)
    assert [(slot.name, slot.threads, slot.own) for slot in slots()] == [("CPU 0", None, True)]
    assert [slot.threads for slot in slots(jobs=2)] == [2, 2]
    assert [slot.threads for slot in slots("cpu:3")] == [1, 1, 1]
    assert slots(jobs=2)[0].environment == {
        "CUDA_VISIBLE_DEVICES": "", "QAKIT_DEVICES": "cpu", "OMP_NUM_THREADS": "2",
    }  # fmt: skip
    machine(cores=8, OMP_NUM_THREADS="1")
    assert [slot.threads for slot in slots(jobs=2)] == [1, 1]
    machine(3)
    assert shown(slots(jobs=2)) == ["0", "1"]
    assert shown(slots("1,2", jobs=1)) == ["1"]


def test_the_cpu_of_a_machine_with_gpus_is_not_what_a_process_takes_by_itself(machine: Machine) -> None:
    machine(2)
    (slot,) = slots("cpu")
    assert not slot.own
    assert slot.environment["CUDA_VISIBLE_DEVICES"] == ""


def test_one_training_takes_one_instance_of_mig(machine: Machine) -> None:
    machine(1, visible="MIG-aa,MIG-bb")
    assert shown(slots_for_one()) == ["MIG-aa"]
    assert shown(slots_for_one("1,")) == ["MIG-bb"]
    with pytest.raises(UsageError, match="MIG"):
        slots_for_one("2")


@pytest.mark.parametrize(
    ("gpus", "asked", "jobs", "says"),
    [
        (2, "3", None, "--devices 3: this process sees 2 GPUs"),
        (1, "0", None, "sees 1 GPU (cpu for none)"),
        (2, "0,2", None, "there is no GPU 2; this process sees 2 GPUs, counted from 0"),
        (2, "1,1", None, "each GPU once"),
        (2, "two", None, "give a number of GPUs"),
        (2, "-1", None, "give a number of GPUs"),
        (2, "0,,1", None, "give a number of GPUs"),
        (2, "²", None, "give a number of GPUs"),
        (0, "1", None, "sees no GPU that PyTorch can use; there is cpu"),
        (0, "cpu:0", None, "at least one process"),
        (0, "cpu:2", 3, "give one of them"),
        (0, None, 0, "--jobs 0: at least one"),
        (0, None, 5, "--jobs 5: each process needs a core, and there are 4"),
        (0, "cpu:1000", None, "--devices cpu:1000: each process needs a core, and there are 4"),
        (2, None, 3, "each training has a GPU of its own, and there are 2"),
    ],
)
def test_what_there_is_not_is_one_line(
    machine: Machine, gpus: int, asked: str | None, jobs: int | None, says: str
) -> None:
    machine(gpus)
    with pytest.raises(UsageError) as caught:
        slots(asked, jobs)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_wrong_variable_is_named(machine: Machine) -> None:
    machine(2, QAKIT_DEVICES="9")
    with pytest.raises(UsageError, match=r"^QAKIT_DEVICES 9: "):
        slots()


def test_what_is_chosen_is_one_line(machine: Machine) -> None:
    machine(3, model="Tesla T4")
    assert told(slots()) == "3 GPUs (Tesla T4): one process on each"
    assert told(slots("2"), each="training") == "2 of 3 GPUs (Tesla T4): one training on each"
    assert told(slots("1,")) == "GPU 1 (Tesla T4), one of 3"
    assert told(slots("cpu")) == "the CPU, not a GPU"
    machine(1)
    assert told(slots()) is None
    machine()
    assert told(slots()) is None
    assert told(slots("cpu:2")) == "2 shares of the CPU: one process on each, 2 threads for each"


@pytest.mark.parametrize(
    ("said", "model"), [("Tesla T4\nTesla T4\n", "Tesla T4"), ("Tesla T4\nTesla P100\n", ""), ("", ""), (None, "")]
)
def test_the_cards_name_comes_from_nvidias_tool_where_it_is_one(
    monkeypatch: pytest.MonkeyPatch, said: str | None, model: str
) -> None:
    def run(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        if said is None:
            raise FileNotFoundError(command[0])
        return subprocess.CompletedProcess(command, 0, said)

    monkeypatch.setattr(subprocess, "run", run)
    assert devices._model() == model


def test_the_cores_are_those_that_this_process_may_use() -> None:
    assert devices._cores() == len(os.sched_getaffinity(0))
