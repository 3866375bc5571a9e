"""Which device and precision, on cards that are not here."""

from __future__ import annotations

import logging
import signal
from contextlib import suppress
from typing import Any, get_args

import pytest
import torch

from qakit.errors import UsageError
from qakit.handin.predict import _autocast
from qakit.modeling import device
from qakit.modeling.device import PrecisionChoice, check_gpu, pick_device, resolve_precision

TODAY = ["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120", "compute_120"]
CUDA = torch.device("cuda")


@pytest.mark.parametrize(
    ("capability", "built_for"),
    [
        ((7, 5), TODAY),
        ((8, 9), TODAY),  # machine code for 8.6 runs on 8.9
        ((9, 0), ["sm_90a"]),
        ((12, 1), TODAY),
        ((13, 0), TODAY),  # compiled from compute_120
    ],
)
def test_cards_that_the_installed_pytorch_knows(capability: tuple[int, int], built_for: list[str]) -> None:
    check_gpu("some card", capability, built_for)


@pytest.mark.parametrize(
    ("capability", "built_for"),
    [((6, 0), TODAY), ((7, 0), TODAY), ((8, 0), ["sm_86"]), ((9, 0), ["sm_100"]), ((7, 5), [])],
)
def test_others_are_refused_before_anything_is_loaded(capability: tuple[int, int], built_for: list[str]) -> None:
    with pytest.raises(UsageError, match=r"no code for this GPU \(Tesla P100, sm_\d\d.*Kaggle: GPU T4 x2"):
        check_gpu("Tesla P100", capability, built_for)


@pytest.fixture
def a_t4(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: "Tesla T4")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: (7, 5))
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: TODAY)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    device._tell_of_fp16.cache_clear()


@pytest.mark.usefixtures("a_t4")
def test_on_a_t4_fp16_takes_the_place_of_bf16_and_it_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    before = torch.get_float32_matmul_precision()
    try:
        assert pick_device() == CUDA
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision(before)
    with caplog.at_level(logging.WARNING, "qakit"):
        assert resolve_precision("auto", CUDA) == "fp16"
        assert caplog.messages == []
        assert [resolve_precision("bf16", CUDA) for _ in range(2)] == ["fp16", "fp16"]
        assert resolve_precision("bf16_emulated", CUDA) == "bf16"
    assert [message[:20] for message in caplog.messages] == ["Tesla T4 has no bf16"]
    assert "or to bf16_emulated for bf16 all the same" in caplog.text
    assert resolve_precision("fp32", CUDA) == "fp32"


@pytest.mark.usefixtures("a_t4")
@pytest.mark.parametrize("choice", get_args(PrecisionChoice))
@pytest.mark.parametrize("where", [CUDA, torch.device("cpu")])
def test_a_hand_in_is_as_precise(choice: PrecisionChoice, where: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "autocast", lambda kind, dtype: dtype)
    types = {"bf16": torch.bfloat16, "fp16": torch.float16}
    found: Any = _autocast(choice, where)
    assert (found if isinstance(found, torch.dtype) else None) == types.get(resolve_precision(choice, where))


def test_a_signal_that_comes_while_memory_is_freed_is_heard_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is raised in the callback of a weak reference is lost."""

    def collect() -> None:
        with suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("gc.collect", collect)
    with pytest.raises(KeyboardInterrupt):
        device.free_memory()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
