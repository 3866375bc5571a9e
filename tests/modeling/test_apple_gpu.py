"""What an Apple GPU (MPS) is given, on a machine that has none: PyTorch says that it is there."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, get_args

import pytest
import torch
from tiny_model import gradients, tiny_model
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import BertConfig

from qakit import distributed
from qakit.devices import slots, told
from qakit.errors import ModelError
from qakit.modeling.attention import SDPA, attention_for
from qakit.modeling.device import PrecisionChoice, autocast, empty_cache, pick_device, resolve_precision, wait_for_gpu
from qakit.recipe.model import TrainSection
from qakit.testing.heads import made_up_batch
from qakit.training import optim
from qakit.training.optim import build_optimiser
from qakit.training.preflight import _without_trace
from qakit_heads.chain_spans import span_scores

MPS = torch.device("mps")


@pytest.fixture(autouse=True)
def a_mac(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    for name in ("CUDA_VISIBLE_DEVICES", "QAKIT_DEVICES", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)


def test_it_is_taken_unless_the_cpu_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pick_device() == MPS
    (own,) = slots()
    assert (own.is_gpu, own.own, told([own])) == (True, True, None)
    (cpu,) = slots("cpu")
    assert not cpu.own  # so it is worked on in another process, with these variables
    for name, value in cpu.environment.items():
        monkeypatch.setenv(name, value)
    assert pick_device() == torch.device("cpu")
    (there,) = slots()
    assert there.own and not there.is_gpu


def test_a_process_for_it_alone_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in slots()[0].environment.items():
        monkeypatch.setenv(name, value)
    assert pick_device() == MPS
    assert [slot.own for slot in slots()] == [True]


def test_other_gpus_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [slot.visible for slot in slots()] == ["0", "1"]


def test_several_processes_meet_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def state(*, cpu: bool) -> Any:
        asked.append(cpu)
        return SimpleNamespace(process_index=0, num_processes=2, local_process_index=0, device=torch.device("cpu"))

    monkeypatch.setattr("accelerate.PartialState", state)
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed, "launched_processes", lambda: 2)
    assert distributed.join_workers()[1] == torch.device("cpu")
    assert asked == [True]


@pytest.mark.parametrize("choice", get_args(PrecisionChoice))
def test_all_is_computed_in_fp32(choice: PrecisionChoice) -> None:
    precision = resolve_precision(choice, MPS)
    assert precision == "fp32"
    with autocast(MPS, precision):
        assert not torch.is_autocast_enabled("mps")


def test_attention_is_eager_unless_it_is_chosen() -> None:
    config = BertConfig()
    assert attention_for("auto", MPS, config) == "eager"
    assert attention_for("flash_attention_2", MPS, config) == "eager"
    assert attention_for("sdpa", MPS, config) == SDPA


def test_what_is_sent_to_it_is_there_before_it_can_be_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    how, pinned = [], []

    def sent(self: torch.Tensor, device: torch.device, *, non_blocking: bool) -> torch.Tensor:
        how.append((device.type, non_blocking, self.dtype))
        return self

    monkeypatch.setattr(torch.Tensor, "to", sent)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: pinned.append(self) or self)
    made_up_batch(targets=True).to(MPS)
    assert {(kind, non_blocking) for kind, non_blocking, _ in how} == {("mps", False)}
    assert torch.float64 not in {dtype for *_, dtype in how}
    assert not pinned
    how.clear()
    made_up_batch().to(torch.device("cuda"))
    assert {non_blocking for _, non_blocking, _ in how} == {True}


class _Types(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the types of all tensors that are made."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: set[torch.dtype] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        self.seen |= {each.dtype for each in tree_leaves(made) if isinstance(each, torch.Tensor)}
        return made


@pytest.mark.parametrize("head", ["linear_span", "joint_span", "multiple_choice", "paragraph_scorer", "crf"])
def test_it_is_given_no_float64_but_by_the_crf(head: str) -> None:
    """In a step, and in decoding."""
    model = tiny_model(head)
    optimiser = build_optimiser(model, TrainSection())
    batch = made_up_batch()
    with _Types() as types:
        gradients(model)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        with torch.no_grad():
            model.decoder.decode(model(batch).scores, batch)
    assert (torch.float64 in types.seen) == (head == "crf")


def test_the_crf_refuses_it_in_one_line() -> None:
    emissions: Any = SimpleNamespace(device=MPS)
    with pytest.raises(ModelError, match=r"`crf` sums in float64, which Apple's GPUs do not have: use the CPU"):
        span_scores(emissions, None, None)  # type: ignore[arg-type]


def test_broken_steps_are_left_out_where_the_optimiser_does_not_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """On Apple's GPUs the fused AdamW does not heed ``found_inf``: so the gradients are gone before it looks."""
    monkeypatch.setattr(optim, "LOOKS_AT_FOUND_INF", ())
    model = tiny_model()
    optimiser: Any = build_optimiser(model, TrainSection())
    for broken in (1.0, 0.0):
        gradients(model)
        optimiser.found_inf = torch.tensor(broken)
        optimiser.step()
        assert all((parameter.grad is None) == bool(broken) for parameter in model.parameters())


def test_its_memory_and_its_generator_are_looked_after(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    note: Callable[[str], Callable[..., Any]] = lambda name: lambda *_: said.append(name)  # noqa: E731
    monkeypatch.setattr(torch.mps, "empty_cache", note("emptied"))
    monkeypatch.setattr(torch.mps, "synchronize", note("waited"))
    empty_cache()
    wait_for_gpu()
    assert said == ["emptied", "waited"]
    states = [torch.tensor([3], dtype=torch.uint8)]
    monkeypatch.setattr(torch.mps, "get_rng_state", lambda device: states[-1])
    monkeypatch.setattr(torch.mps, "set_rng_state", lambda state, device: states.append(state))
    assembled: Any = SimpleNamespace(model=tiny_model())
    monkeypatch.setattr("qakit.training.preflight.replace", lambda thing, **_: thing)
    with _without_trace(assembled, MPS):
        states.append(torch.tensor([9], dtype=torch.uint8))
    assert int(states[-1]) == 3
