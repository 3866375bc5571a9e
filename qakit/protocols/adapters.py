"""Adapters: which parameters of the backbone train."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import nn


@runtime_checkable
class Adapter(Protocol):
    """Which parameters train: those are what a checkpoint holds. Knows nothing of the head."""

    def apply(self, backbone: nn.Module) -> nn.Module:
        """Prepare the backbone (freeze, wrap) and return it. The head always trains.

        What does not train depends on the backbone alone, never on chance: it is made anew when a training is resumed.
        """
        ...

    def merge(self, backbone: nn.Module) -> nn.Module:
        """The backbone with the adapter folded into plain weights, for a model that loads without the adapter."""
        ...


@runtime_checkable
class ExportsAdapter(Protocol):
    """Optional for adapters: what was trained, as other software reads it (`qakit export --adapter-only`)."""

    def export(self, backbone: nn.Module, folder: Path, *, source: str) -> None:
        """Write files into ``folder``.

        Args:
            backbone: as ``apply`` of this same object returned it, with the trained weights.
            folder: empty.
            source: the backbone's name or path, as the recipe has it.
        """
        ...
