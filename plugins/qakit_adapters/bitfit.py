"""BitFit: train the biases only (Ben Zaken, Goldberg and Ravfogel 2022)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn

from qakit.api import ModelError

if TYPE_CHECKING:
    from qakit_adapters import BitFitSettings


@dataclass(frozen=True, slots=True)
class BitFit:
    """Only biases train; every weight keeps its pretrained value."""

    settings: BitFitSettings

    def apply(self, backbone: nn.Module) -> nn.Module:
        """Freeze everything but the chosen biases.

        Raises:
            ModelError: the backbone has none (ModernBERT, for one, has no biases), or none with one of the names.
        """
        biases = [name for name, _ in backbone.named_parameters() if _is_bias(name)]
        chosen = {name for name in biases if self._trains(name)}
        which = self.settings.which
        if isinstance(which, list) and biases:
            _check_names(which, biases, type(backbone).__name__)
        elif not chosen:
            where = f" in its {which} blocks" if biases else ""
            raise ModelError(
                f"adapter 'bitfit': {type(backbone).__name__} has no biases{where}; use 'full', or another backbone"
            )
        for name, parameter in backbone.named_parameters():
            parameter.requires_grad_(name in chosen)
        return backbone

    def merge(self, backbone: nn.Module) -> nn.Module:
        """Nothing to fold in: the biases are the backbone's own."""
        return backbone

    def _trains(self, name: str) -> bool:
        which = self.settings.which
        if isinstance(which, list):
            return any(_holds(name, part) for part in which)
        parts = name.split(".")
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


def _is_bias(name: str) -> bool:
    return name.endswith("bias")  # DeBERTa calls some of them q_bias and v_bias


def _holds(name: str, part: str) -> bool:
    """Whether whole parts of the dotted name, one after the other, are those of ``part``."""
    return f".{part}." in f".{name}."
