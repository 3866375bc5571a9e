"""Which device, which precision, and what a CPU needs to be fast."""

from __future__ import annotations

import ctypes
import gc
import logging
import platform
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import Literal

import torch

from qakit.devices import APPLE, has_apple_gpu
from qakit.errors import UsageError

logger = logging.getLogger(__name__)

Precision = Literal["fp32", "bf16", "fp16"]
PrecisionChoice = Literal["auto", "fp32", "bf16", "fp16", "bf16_emulated"]

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""``mallopt`` parameters, from glibc's malloc.h."""
LARGEST_MMAP_THRESHOLD = 32 * 1024 * 1024
"""What glibc accepts at most on 64-bit machines."""
FULL_PRECISION_ONLY = frozenset({"deberta", "xmod"})
"""Architectures (``model_type``) whose code in transformers fails under autocast: DeBERTa v1, not v2 and v3; X-MOD."""


def pick_device() -> torch.device:
    """The first GPU if there is one, else an Apple GPU, else the CPU.

    On a GPU, products of float32 matrices may use TF32 where the card has it: in training and in prediction alike.

    Raises:
        UsageError: the installed PyTorch has no code for the GPU.
    """
    if not torch.cuda.is_available():
        return torch.device(APPLE if has_apple_gpu() else "cpu")
    check_gpu(torch.cuda.get_device_name(), torch.cuda.get_device_capability(), torch.cuda.get_arch_list())
    torch.set_float32_matmul_precision("high")
    return torch.device("cuda")


def check_gpu(name: str, capability: tuple[int, int], built_for: Sequence[str]) -> None:
    """Make sure that PyTorch can run on a GPU: PyTorch itself calls it available, and fails at the first operation.

    Args:
        name: the card's.
        capability: major and minor compute capability, (7, 5) for a T4.
        built_for: what PyTorch holds: machine code (``sm_75``: this minor and later ones of the same major) and code
            to be compiled on the spot (``compute_90``: this and all later ones).

    Raises:
        UsageError: nothing fits; says what to choose instead.
    """
    for entry in built_for:
        kind, _, digits = entry.partition("_")
        if not (number := "".join(filter(str.isdigit, digits))):
            continue
        have = (int(number[:-1]), int(number[-1]))
        if (kind == "sm" and have[0] == capability[0] and have <= capability) or (
            kind == "compute" and have <= capability
        ):
            return
    raise UsageError(
        f"the installed PyTorch has no code for this GPU ({name}, sm_{capability[0]}{capability[1]}; it is built for "
        f"{', '.join(built_for) or 'none'}): choose another accelerator (on Kaggle: GPU T4 x2), install a PyTorch that "
        'has, or train on the CPU with CUDA_VISIBLE_DEVICES=""'
    )


def resolve_precision(choice: PrecisionChoice, device: torch.device, architecture: str | None = None) -> Precision:
    """What ``auto`` means on this device: bf16 where it is native, else fp16 on a GPU and fp32 on a CPU.

    There is no fp16 on a CPU, nor mixed precision for some architectures and on Apple's GPUs: fp32 takes its place. On
    a GPU without bf16 fp16 does, with a warning: PyTorch would compute bf16 there, and many times slower, as
    ``bf16_emulated`` asks for.

    Raises:
        UsageError: mixed precision is asked for by name, and the architecture cannot do it.
    """
    if architecture in FULL_PRECISION_ONLY:
        if resolve_precision(choice, device) != "fp32" and choice != "auto":
            raise UsageError(
                f"the {architecture} architecture cannot be run in {choice}: its code in transformers fails; "
                "set precision to fp32 (or auto)"
            )
        return "fp32"
    if device.type == APPLE or (choice == "fp16" and device.type == "cpu"):
        return "fp32"
    if choice == "bf16_emulated":
        return "bf16"
    if choice == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        _tell_of_fp16(torch.cuda.get_device_name(device))
        return "fp16"
    if choice != "auto":
        return choice
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return "bf16" if _cpu_has_native_bf16() else "fp32"


@cache
def _tell_of_fp16(card: str) -> None:
    logger.warning(
        "%s has no bf16: fp16 takes its place (set precision to fp16, auto or fp32 to choose, or to bf16_emulated for "
        "bf16 all the same, many times slower)",
        card,
    )


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """Mixed precision for a forward pass; nothing for fp32."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16 if precision == "bf16" else torch.float16)


def keep_freed_memory() -> bool:
    """Stop glibc from handing every large buffer back to the kernel; returns whether it agreed.

    Batches of varying length free and allocate activations of varying size; by default each goes through ``mmap`` and
    is zeroed again, which costs up to half of a CPU training step.
    """
    libc = _glibc()
    if libc is None:
        return False
    mallopt = libc.mallopt
    return bool(mallopt(M_MMAP_THRESHOLD, LARGEST_MMAP_THRESHOLD)) and bool(mallopt(M_TRIM_THRESHOLD, 2**31 - 1))


def free_memory() -> None:
    """Give back what a model held that nobody has any more.

    A signal that comes meanwhile is heard at the end: an exception in what is called for a collected object is lost.
    """
    with _signals_later():
        gc.collect()
    empty_cache()


@contextmanager
def _signals_later() -> Iterator[None]:
    came: list[int] = []
    main = threading.current_thread() is threading.main_thread()
    numbers = [getattr(signal, name, signal.SIGTERM) for name in ("SIGINT", "SIGTERM", "SIGHUP")] if main else []
    handlers = {number: handler for number in numbers if callable(handler := signal.getsignal(number))}
    for number in handlers:
        signal.signal(number, lambda number, _: came.append(number))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number in came:
            signal.raise_signal(number)


def empty_cache() -> None:
    """Give back what PyTorch keeps of a GPU's memory for tensors that are still to come."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif has_apple_gpu():
        torch.mps.empty_cache()


def wait_for_gpu() -> None:
    """Until all that it was given to do is done, if one is in use."""
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.synchronize()
    elif has_apple_gpu():
        torch.mps.synchronize()


def give_freed_memory_back() -> None:
    """Hand what :func:`keep_freed_memory` kept back to the kernel now, where the C library can.

    For work of any length, now and then: what is freed lies scattered, and the longer it is kept, the more there is.
    """
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


@cache
def _glibc() -> ctypes.CDLL | None:
    """The C library with the functions used here."""
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None


def _cpu_has_native_bf16() -> bool:
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
