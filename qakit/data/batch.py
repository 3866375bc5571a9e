"""One batch of windows as tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Batch:
    """B windows padded to T positions. Position 0 is the tokenizer's first special token ([CLS]): "no answer".

    Attributes:
        input_ids: (B, T) int64.
        attention_mask: (B, T) int64, 1 for real tokens.
        token_type_ids: (B, T) int64, or None for backbones without them.
        context_mask: (B, T) bool, positions of context tokens: where an answer may lie.
        start_mask: (B, T) bool, positions where an answer may *start*. In training this is ``context_mask``; in
            prediction each context token is owned by the one window that sees most around it (max-context).
        target_first: (B,) int64 input position of the answer's first token; 0 for "no answer"; None without targets.
        target_last: (B,) int64 input position of the answer's last token, **inclusive**; 0 for "no answer".
        other_first: (B, A) int64, first tokens of further places of the answer that are as right, or, where the answer
            is several spans together, of the others; 0 where a window has fewer than A; None where no window has any,
            and without targets.
        other_last: (B, A) int64, their last tokens, **inclusive**, likewise.
        target_yes_no: (B,) int64, 1 where a context in the window shows that the answer is yes, 2 where no, else 0;
            such a window has no span. None without targets, and where the head does not learn these.
        target_label: (B,) float32, the class (its place in the run's classes) or the regression target of the window's
            example, or (B, K) of a run whose examples have K numbers; NaN where one is not known; None without targets.
        target_segment: (B,) int64, which of the window's segments (contexts), counted from 0, is of the context that
            holds the example's answer, -1 if none is; None without targets.
        contexts: (B, S) int64, which of the batch's contexts each of a window's segments is of, in their order; -1
            where a window has fewer than S. The contexts of all windows are numbered from 0 to C - 1.
        context_example: (C,) int64, which of the batch's examples each context is of.
        segment_number: (B, T) int64, each position's segment, counted from 0 in its window; -1 outside contexts.
        example: (B,) int64, which of the batch's examples each window belongs to (its *group*), numbered from 0 in
            their order.
        examples: how many they are; known here, so that nobody has to ask the device.
        window: (B,) int64 numpy, row of each window in ``Windows``. Stays on the CPU.
        token: (B, T) int64 numpy, index of each position's token in the flat store, -1 for special tokens and padding.
        segment: (B, T) int32 numpy, row of each position's segment in ``Windows.pair``; -1 outside contexts.
        soft_targets: what the teachers of ``distill`` answered: (B, T, 2) float32, how likely each position is the
            answer's first one and its last one, position 0 for "no answer" in this window; or (B, C) float32, how
            likely each class is. None without teachers.
        extras: (B) what the reader has put on each window's example (``Example.extra``); None where no example that the
            batch is drawn from has any.
        padded: whether any window is shorter than T; known here, so that nobody has to ask the device.
        lengths: (B,) int64 numpy, tokens of each window, special tokens included; padding stands behind them. None of
            a batch made by hand. Stays on the CPU.
    """

    input_ids: Tensor
    attention_mask: Tensor
    token_type_ids: Tensor | None
    context_mask: Tensor
    start_mask: Tensor
    target_first: Tensor | None
    target_last: Tensor | None
    contexts: Tensor
    context_example: Tensor
    segment_number: Tensor
    example: Tensor
    examples: int
    window: NDArray[np.int64]
    token: NDArray[np.int64]
    segment: NDArray[np.int32]
    target_label: Tensor | None = None
    target_segment: Tensor | None = None
    other_first: Tensor | None = None
    other_last: Tensor | None = None
    soft_targets: Tensor | None = None
    target_yes_no: Tensor | None = None
    extras: tuple[Mapping[str, Any], ...] | None = None
    padded: bool = True
    lengths: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.window)

    def to(self, device: torch.device) -> Self:
        """The same batch with its tensors on ``device``; the numpy bookkeeping stays on the CPU."""
        from torch import Tensor

        held = {field.name: getattr(self, field.name) for field in fields(self)}
        moved: dict[str, Any] = {name: sent(value, device) for name, value in held.items() if isinstance(value, Tensor)}
        return replace(self, **moved)


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor on its way to ``device``.

    To CUDA through pinned memory: a copy from other memory may wait for the work that is queued before it. An Apple GPU
    might read what has been freed meanwhile, so there the copy is waited for.
    """
    cuda = device.type == "cuda"
    pinned = tensor.pin_memory() if cuda and not tensor.is_cuda else tensor
    return pinned.to(device, non_blocking=cuda)


def numbered(example: NDArray[np.int64], contexts: NDArray[np.int64]) -> dict[str, Any]:
    """What a batch says of its examples and contexts: ``example``, ``examples``, ``contexts`` and ``context_example``.

    Args:
        example: (B,) a number for each window, the same one for windows of one example.
        contexts: (B, S) a number from 0 for each segment of each window, the same one for segments of one context (of
            one example); -1 where a window has fewer.
    """
    import numpy as np
    import torch

    _, first, own = np.unique(example, return_index=True, return_inverse=True)
    place = np.empty(len(first), np.int64)
    place[np.argsort(first)] = np.arange(len(first))
    held = contexts >= 0
    pairs, segment = np.unique(contexts[held], return_inverse=True)  # (C,), (n,)
    within, owner = np.full_like(contexts, -1), np.empty(len(pairs), np.int64)
    within[held] = segment
    owner[segment] = place[own][np.nonzero(held)[0]]
    return {
        "example": torch.from_numpy(place[own]),
        "examples": len(first),
        "contexts": torch.from_numpy(within),
        "context_example": torch.from_numpy(owner),
    }
