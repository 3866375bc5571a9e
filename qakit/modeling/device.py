"""Which device, which precision, and what a CPU needs to be fast."""

from __future__ import annotations

import ctypes
import platform
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Literal

import torch

from qakit.errors import UsageError

Precision = Literal["fp32", "bf16", "fp16"]
PrecisionChoice = Literal["auto", "fp32", "bf16", "fp16"]

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""``mallopt`` parameters, from glibc's malloc.h."""
LARGEST_MMAP_THRESHOLD = 32 * 1024 * 1024
"""What glibc accepts at most on 64-bit machines."""
FULL_PRECISION_ONLY = frozenset({"deberta", "xmod"})
"""Architectures (``model_type``) whose code in transformers fails under autocast: DeBERTa v1, not v2 and v3; X-MOD."""


def pick_device() -> torch.device:
    """The first GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def resolve_precision(choice: PrecisionChoice, device: torch.device, architecture: str | None = None) -> Precision:
    """What ``auto`` means on this device: bf16 where it is native, else fp16 on a GPU and fp32 on a CPU.

    There is no fp16 on a CPU, nor mixed precision for some architectures: fp32 takes its place.

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
    if choice == "fp16" and device.type == "cpu":
        return "fp32"
    if choice != "auto":
        return choice
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return "bf16" if _cpu_has_native_bf16() else "fp32"


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
