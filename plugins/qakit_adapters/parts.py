"""Training some of the backbone's own parameters, or all of them; the rest keeps its pretrained values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from qakit.api import ModelError, backbone_parts, layer_count
from qakit_adapters import BitFitSettings, FreezeSettings


@dataclass(frozen=True, slots=True)
class Parts:
    """An adapter that adds nothing."""

    choose: Callable[[nn.Module], set[str]]
    """Names of the parameters that train.

    Raises:
        ModelError: the backbone has not what was asked for.
    """

    def apply(self, backbone: nn.Module) -> nn.Module:
        """Freeze everything but the chosen parameters."""
        chosen = self.choose(backbone)
        for name, parameter in backbone.named_parameters():
            parameter.requires_grad_(name in chosen)
        return backbone

    def merge(self, backbone: nn.Module) -> nn.Module:
        """Nothing to fold in: the parameters are the backbone's own."""
        return backbone


def full() -> Parts:
    """Every parameter trains."""
    return Parts(lambda backbone: {name for name, _ in backbone.named_parameters()})


def norm_tuning() -> Parts:
    """The gains and biases of the normalisation layers train.

    Sources: Qi et al. 2022, "Parameter-Efficient Tuning on Layer Normalization for Pre-trained Language Models"; Zhao
    et al. 2024, "Tuning LayerNorm in Attention: Towards Efficient Multi-Modal LLM Finetuning".
    """
    return Parts(_norms)


def freeze(settings: FreezeSettings) -> Parts:
    """The embeddings and the first encoder layers keep their values."""
    return Parts(lambda backbone: _above(backbone, settings))


def bitfit(settings: BitFitSettings) -> Parts:
    """Only biases train (Ben Zaken, Goldberg and Ravfogel 2022)."""
    return Parts(lambda backbone: _biases(backbone, settings.which))


def _norms(backbone: nn.Module) -> set[str]:
    chosen = {
        f"{place}.{name}" if place else name
        for place, module in backbone.named_modules()
        if "norm" in type(module).__name__.lower()  # architectures have classes of their own (RMSNorm)
        for name, _ in module.named_parameters(recurse=False)
    }
    if not chosen:
        raise ModelError(f"adapter 'layernorm': {type(backbone).__name__} has no normalisation layers with weights")
    return chosen


def _above(backbone: nn.Module, settings: FreezeSettings) -> set[str]:
    name, parts = type(backbone).__name__, backbone_parts(backbone)
    held = layer_count(parts)
    if settings.embeddings and "embeddings" not in parts.values():
        raise ModelError(f"adapter 'freeze': cannot find the embeddings of {name}")
    if settings.layers and not held:
        raise ModelError(f"adapter 'freeze': cannot find the encoder layers of {name}")
    if settings.layers > held:
        raise ModelError(f"adapter 'freeze': layers is {settings.layers}, but {name} has {held}")
    frozen = {"embeddings"} if settings.embeddings else set()
    chosen = {each for each, part in parts.items() if part not in frozen.union(range(settings.layers))}
    if not chosen:
        raise ModelError("adapter 'freeze': nothing of the backbone would train; freeze fewer layers")
    return chosen


def _biases(backbone: nn.Module, which: str | list[str]) -> set[str]:
    name = type(backbone).__name__
    biases = [each for each, _ in backbone.named_parameters() if each.endswith("bias")]  # DeBERTa: q_bias, v_bias
    chosen = {each for each in biases if _is_wanted(each, which)}
    if isinstance(which, list) and biases:
        _check_names(which, biases, name)
    elif not chosen:
        where = f" in its {which} blocks" if biases else ""
        raise ModelError(f"adapter 'bitfit': {name} has no biases{where}; use 'full', or another backbone")
    return chosen


def _is_wanted(bias: str, which: str | list[str]) -> bool:
    if isinstance(which, list):
        return any(_holds(bias, part) for part in which)
    parts = bias.split(".")
    attention = any("attention" in part or part in ("attn", "self_attn") for part in parts)
    block = any(part.isdigit() for part in parts)  # encoder layers are numbered; embeddings and poolers are not
    return {"all": True, "attention": attention, "mlp": block and not attention}[which]


def _check_names(wanted: list[str], biases: list[str], backbone: str) -> None:
    missing = [part for part in wanted if not any(_holds(name, part) for name in biases)]
    if missing:
        known = sorted({name.split(".")[-2] for name in biases if "." in name})
        if not known:
            raise ModelError(f"adapter 'bitfit': {backbone} has no bias at all; choose another adapter")
        raise ModelError(
            f"adapter 'bitfit': {backbone} has no bias of {', '.join(missing)}; it has those of {', '.join(known)}, "
            "and neighbours in a name can be joined by a dot, as in attention.output"
        )


def _holds(name: str, part: str) -> bool:
    """Whether whole parts of the dotted name, one after the other, are those of ``part``."""
    return f".{part}." in f".{name}."
