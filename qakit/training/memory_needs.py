"""How much memory a training will need, from its recipe alone: no weights are read, and nothing is computed.

A forward and a backward pass go through the model with tensors that have shapes and no content. What is held at once at
most is counted, for a few numbers of windows: what they differ by is the windows', the rest does not depend on them.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import AttentionInterface, AttentionMaskInterface, PretrainedConfig
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from qakit.data.batch import Batch, numbered
from qakit.errors import ModelError, QakitError
from qakit.modeling.assemble import build, build_head, use_gradient_checkpointing
from qakit.modeling.attention import FUSED_DEBERTA, SDPA, attention_for, attention_of
from qakit.modeling.backbones import configuration, from_config, tokenizer_of
from qakit.modeling.device import FULL_PRECISION_ONLY, Precision, autocast, resolve_precision
from qakit.modeling.model import ReadingModel
from qakit.names import one_line
from qakit.protocols import NoRuntime
from qakit.recipe.model import Recipe
from qakit.registry import Registry
from qakit.training.parts import needed_later
from qakit.training.step import mean_loss

LEFT_FREE = 0.1
"""Share of a device's memory that is not planned with: its driver's own, and what lies between two tensors."""
FEW, MANY = 32, 64
"""Windows between which the needs grow along a line; with fewer the gradient of the embedding table is what counts."""
CPU, META = torch.device("cpu"), torch.device("meta")
COUNTED = "qakit_counted"
"""The attention that stands for all fused ones."""


@dataclass(frozen=True, slots=True)
class MemoryNeeds:
    """Bytes on a training's device.

    Attributes:
        weights: of the whole model, float32.
        gradients: of what trains.
        moments: what the optimiser keeps of it, and further copies that the recipe asks for (an average, an attack).
        window: what a forward and a backward pass hold at once for each window of ``tokens`` tokens.
        copies: what they hold besides, whatever the number of windows: the weights in half precision.
        single: what they hold with a single window, which may be more than these two.
    """

    weights: int
    gradients: int
    moments: int
    window: int
    copies: int
    single: int
    tokens: int
    precision: Precision
    attention: str

    def total(self, windows: int) -> int:
        """What training with so many windows at a time needs, at least one."""
        passes = max(self.single, self.copies + windows * self.window)
        return self.weights + self.gradients + self.moments + passes

    def windows_in(self, size: int) -> int:
        """How many windows at a time a device of so many bytes has room for; 0 where not even one."""
        room = size * (1 - LEFT_FREE)
        if room < self.total(1):
            return 0
        return int((room - self.weights - self.gradients - self.moments - self.copies) // self.window)


def memory_needs(recipe: Recipe, registry: Registry, device: torch.device) -> MemoryNeeds:
    """What training by a recipe will need on a device of this type, which need not be there.

    Raises:
        ModelError: the backbone's configuration is not found, or its code needs more than shapes.
    """
    config = configuration(recipe.backbone, registry)
    if recipe.backbone.init == "scratch":
        config.vocab_size = len(tokenizer_of(recipe.backbone, registry))
    attention = attention_for(recipe.train.attention, device, config)
    stepwise = "eager" if attention == FUSED_DEBERTA else attention  # more than the kernel needs
    config._attn_implementation = COUNTED if attention in (SDPA, "flash_attention_2") else stepwise
    precision = _precision(recipe, device, config.model_type)
    batches = [full_windows(count, recipe.windows.max_length) for count in (1, FEW, MANY)]
    try:
        with META:
            model = _built(recipe, registry, config)
        with FakeTensorMode(allow_non_fake_inputs=True) as shapes:
            _lie_on_cpu(model)
            single, few, many = (_peak(recipe, model, _shapes_of(batch, shapes), precision) for batch in batches)
    except QakitError:
        raise
    except Exception as error:  # whatever the code of an architecture makes of tensors without content
        raise ModelError(
            f"the memory that {recipe.backbone.called!r} needs cannot be told beforehand: its code, or the head's, "
            f"needs more than shapes ({one_line(error)}); `qakit train RECIPE --dry-run` tries a real batch"
        ) from error
    window = (many - few) // (MANY - FEW)
    trained = [each for each in model.parameters() if each.requires_grad]
    return MemoryNeeds(
        weights=_size([*model.parameters(), *model.buffers()]),
        gradients=_size(trained),
        moments=needed_later(model, recipe.train),
        window=window,
        copies=max(0, few - FEW * window),
        single=single,
        tokens=recipe.windows.max_length,
        precision=precision,
        attention=attention_of(SimpleNamespace(_attn_implementation=attention)),
    )


def _precision(recipe: Recipe, device: torch.device, architecture: str) -> Precision:
    """The recipe's; a GPU that is not here has half precision of one kind or the other."""
    choice = recipe.train.precision
    if device.type == "cuda" and not torch.cuda.is_available():
        return "fp32" if choice == "fp32" or architecture in FULL_PRECISION_ONLY else "fp16"
    return resolve_precision(choice, device, architecture)


def _built(recipe: Recipe, registry: Registry, config: PretrainedConfig) -> ReadingModel:
    """The recipe's model, as a training has it."""
    backbone = from_config(config, registry, trust_remote_code=recipe.backbone.trust_remote_code)
    adapted = build(registry, "adapters", recipe.adapter, NoRuntime()).apply(backbone)
    if recipe.train.gradient_checkpointing:
        use_gradient_checkpointing(adapted, config.model_type)
    head = build_head(recipe, config, registry, classes=tuple(map(str, recipe.data.labels or ())))
    return ReadingModel(adapted, head).train()


def _lie_on_cpu(model: nn.Module) -> None:
    """Let weights and buffers on ``meta``, where there is no autocast, lie on the CPU, and have gradients; to be called
    where tensors have no content."""
    moved: dict[int, Tensor] = {}

    def on_cpu(tensor: Tensor) -> Tensor:
        if id(tensor) not in moved:  # some are tied
            new = torch.empty_like(tensor, device=CPU)
            if isinstance(tensor, nn.Parameter):
                new = nn.Parameter(new, requires_grad=tensor.requires_grad)
                new.grad = torch.empty_like(new) if tensor.requires_grad else None
            moved[id(tensor)] = new
        return moved[id(tensor)]

    for module in model.modules():
        tables: list[dict[str, Any]] = [module._parameters, module._buffers]
        for held in tables:
            held.update({name: on_cpu(each) for name, each in held.items() if each is not None and each.is_meta})


def full_windows(count: int, length: int) -> Batch:
    """So many windows of so many tokens, each of an example of its own."""
    question = min(16, length // 4)
    place = torch.arange(length).expand(count, length)
    context = (place > question + 1) & (place < length - 1)
    ones, number = torch.ones_like(place), torch.zeros(count, dtype=torch.int64)
    inside = context.numpy()
    return Batch(
        input_ids=ones,
        attention_mask=ones,
        token_type_ids=None,
        context_mask=context,
        start_mask=context,
        target_first=number + length // 2,
        target_last=number + length // 2,
        target_label=number.float(),
        target_segment=number,
        segment_number=context.long() - 1,
        window=np.arange(count),
        token=np.where(inside, 0, -1),
        segment=np.where(inside, 0, -1).astype(np.int32),
        **numbered(np.arange(count), np.arange(count)[:, None]),
    )


def _shapes_of(batch: Batch, mode: FakeTensorMode) -> Batch:
    """The same without content."""
    held = {each.name: getattr(batch, each.name) for each in fields(batch)}
    shapes: dict[str, Any] = {
        name: mode.from_tensor(value) for name, value in held.items() if isinstance(value, Tensor)
    }
    return replace(batch, **shapes)


def _peak(recipe: Recipe, model: ReadingModel, batch: Batch, precision: Precision) -> int:
    """Bytes that one forward and one backward pass hold at most beside weights and gradients."""
    there = (*model.parameters(), *model.buffers(), *(getattr(batch, each.name) for each in fields(batch)))
    with _Held(there) as held:
        with autocast(CPU, "fp32" if precision == "fp32" else "bf16"):
            loss = mean_loss(recipe, batch, "memory", model=model, plain=model)
        torch.autograd.backward(loss)
    most: int = held.most
    return most


def _size(tensors: Iterable[Tensor]) -> int:
    return sum(each.numel() * each.element_size() for each in tensors)


def _fused(*tensors: Any, **settings: Any) -> Any:
    """The fused attention as GPUs have it. On a CPU, which counts here, dropout would keep it from being chosen."""
    return sdpa_attention_forward(*tensors, **(settings | {"dropout": 0.0}))


AttentionInterface.register(COUNTED, _fused)
AttentionMaskInterface.register(COUNTED, sdpa_mask)


class _Held(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of all tensors that are made while it is active and have not gone yet."""

    def __init__(self, there: Iterable[object]) -> None:
        """``there``: whose content, and that of their gradients, was there before."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.now: int = 0
        self.most: int = 0
        before = [each for each in there if isinstance(each, Tensor)]
        before += [each.grad for each in before if each.grad is not None]
        self._known = {each.untyped_storage()._cdata for each in before}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for each in tree_leaves(made):
            if isinstance(each, Tensor):
                self._count(each.untyped_storage())
        return made

    def _count(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key not in self._known:
            size = storage.nbytes()
            self._known.add(key)
            self.now += size
            self.most = max(self.most, self.now)
            weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size
