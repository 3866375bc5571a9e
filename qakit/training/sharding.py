"""Fully sharded training: weights, gradients and moments in parts over the processes, and whole again where needed.

The loop trains the parts. Judging, keeping and checkpoints see plain copies, which are filled from the parts first; so
a run's files are the same however it was trained.

Source: Zhao et al. 2023, "PyTorch FSDP: Experiences on Scaling Fully Sharded Data Parallel"; its second version,
``torch.distributed.fsdp.fully_shard``.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from qakit.errors import UsageError
from qakit.modeling.assemble import Assembled
from qakit.protocols import HeadOutput
from qakit.recipe.model import Recipe
from qakit.training.averaging import TAKEN, WeightAverage, average_of
from qakit.training.optim import build_optimiser, trained

TRAINABLE_WITH = (DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU, DistributedType.FSDP)


@dataclass(frozen=True, slots=True)
class Trainee:
    """What a training changes: the model, the optimiser's moments, the average of the weights."""

    assembled: Assembled
    optimiser: torch.optim.Optimizer
    average: WeightAverage | None

    @staticmethod
    def of(assembled: Assembled, recipe: Recipe, *, steps: int) -> Trainee:
        """Nothing trained yet; ``steps`` is the length of the training."""
        average = average_of(assembled.model, recipe.train, steps=steps)
        return Trainee(assembled, build_optimiser(assembled.model, recipe.train, assembled.adapter), average)

    def parameters(self) -> dict[str, nn.Parameter]:
        """What trains, by name, where it lies."""
        return trained(self.optimiser)

    def copied(self, recipe: Recipe) -> Trainee:
        """The same model once more, without moments and average."""
        model = copy.deepcopy(self.assembled.model)
        return Trainee(
            replace(self.assembled, model=model), build_optimiser(model, recipe.train, self.assembled.adapter), None
        )


def check_launch(accelerator: Accelerator, recipe: Recipe) -> None:
    """Refuse what the launcher's configuration asks for and the loop cannot do.

    Raises:
        UsageError: it asks for DeepSpeed, Megatron, the first version of FSDP or the like.
    """
    if accelerator.distributed_type not in TRAINABLE_WITH:
        raise not_trainable_with(accelerator.distributed_type.value)
    if is_sharded(accelerator) and not accelerator.is_fsdp2:
        raise UsageError("qakit trains with the second version of FSDP: set fsdp_version: 2 in fsdp_config")
    if is_sharded(accelerator) and recipe.train.compile:
        raise UsageError("train.compile does not go together with FSDP")
    if is_sharded(accelerator) and recipe.train.accumulation == "auto":
        raise UsageError("train.accumulation: auto does not go together with FSDP: set a number")
    if is_sharded(accelerator) and recipe.train.optimizer == "adamw_8bit":
        raise UsageError("train.optimizer: adamw_8bit does not go together with FSDP, which cuts the moments itself")
    for trick in ("adversarial", "r_drop"):
        if is_sharded(accelerator) and getattr(recipe.train, trick) is not None:
            raise UsageError(
                f"train.{trick} does not go together with FSDP: train with one whole model per process (MULTI_GPU, as "
                "torchrun does)"
            )


def not_trainable_with(kind: str) -> UsageError:
    """What to say of a launcher that asks for this."""
    return UsageError(
        f"the launcher asks for {kind}; qakit trains with one whole model per process (MULTI_GPU, as torchrun does) or "
        "with FSDP"
    )


def is_sharded(accelerator: Accelerator) -> bool:
    """Whether each process holds a part of the weights only."""
    return bool(accelerator.distributed_type == DistributedType.FSDP)


def shard(
    trainee: Trainee, accelerator: Accelerator, recipe: Recipe, *, steps: int
) -> tuple[nn.Module, object, Trainee]:
    """Cut a trainee into the processes' parts: the prepared model, the prepared optimiser, and both as a trainee.

    The parts begin with the plain trainee's weights, moments and average, which stay what they are. All processes do
    this together.
    """
    if HeadOutput not in pytree.SUPPORTED_NODES:  # else the hooks that gather weights would not find the loss
        pytree.register_pytree_node(
            HeadOutput,
            lambda output: ([output.loss, dict(output.scores), dict(output.figures)], None),
            lambda parts, _: HeadOutput(*parts),
        )
    parts = trainee.copied(recipe)
    model = parts.assembled.model
    model._no_split_modules = _blocks(model)  # type: ignore[assignment]  # accelerate shards them one by one
    prepared, optimiser = accelerator.prepare(model, parts.optimiser)
    average = average_of(model, recipe.train, steps=steps)
    parts = replace(parts, average=average)
    with torch.no_grad():
        plain, kept = _moments(trainee.optimiser), dict(trainee.assembled.model.named_parameters())
        for name, parameter in trained(parts.optimiser).items():
            held = plain.get(name, {})
            parts.optimiser.state[parameter] = {key: _part_of(value, parameter) for key, value in held.items()}
        if average is not None and trainee.average is not None:
            weights, state = dict(model.named_parameters()), trainee.average.state()
            taken = {TAKEN: state.pop(TAKEN)}
            cut = {name: _part_of(value.to(kept[name].device), weights[name]) for name, value in state.items()}
            average.load(cut | taken)
    trainee.optimiser.state.clear()  # the copies' room is needed elsewhere
    return prepared, optimiser, parts


def gather(parts: Trainee, into: Trainee, *, moments: bool) -> None:
    """Fill the plain copies from the parts, in every process; ``moments``: those too. All do this together.

    Where the whole is trained, there is nothing to do.
    """
    if parts is into:
        return
    with torch.no_grad():
        _fill(into.assembled.model, parts.assembled.model)
        if parts.average is not None and into.average is not None:
            into.average.load({name: whole(value) for name, value in parts.average.tensors().items()})
        if moments:
            targets = trained(into.optimiser)
            for name, state in _moments(parts.optimiser).items():
                held = {key: whole(value).cpu() for key, value in state.items()}
                if torch.distributed.get_rank() == 0:  # which writes them
                    into.optimiser.state[targets[name]] = held


def whole(tensor: Tensor) -> Tensor:
    """A tensor's whole content, where the processes hold parts of it. Then all do this together."""
    return tensor.full_tensor() if _is_cut(tensor) else tensor  # type: ignore[attr-defined]


def _is_cut(tensor: Tensor) -> bool:
    """Whether it is a ``DTensor``, whose module takes a second to import."""
    return hasattr(tensor, "full_tensor")


def _fill(model: nn.Module, parts: nn.Module) -> None:
    source = {**dict(parts.named_parameters()), **dict(parts.named_buffers())}
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        tensor.copy_(whole(source[name]))


def _part_of(value: Tensor, like: Tensor) -> Tensor:
    """This process's part of ``value``, cut as ``like`` is; single numbers are not cut."""
    if not _is_cut(like) or value.ndim == 0:
        return value
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(like, DTensor)
    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements)


def _moments(optimiser: torch.optim.Optimizer) -> dict[str, dict[str, Tensor]]:
    return {name: dict(optimiser.state.get(parameter, {})) for name, parameter in trained(optimiser).items()}


def _blocks(model: nn.Module) -> list[str]:
    """The classes of the backbone's layers, as transformers names them."""
    named = {name for module in model.modules() for name in getattr(module, "_no_split_modules", None) or ()}
    return sorted(named & {type(module).__name__ for module in model.modules()})
