"""The contract check of adapters: each fault has its reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from contract_faults import SETTINGS, component, fails
from torch import nn

from qakit import testing


class Full:
    def apply(self, backbone: Any) -> Any:
        self.applied = backbone
        return backbone

    def merge(self, backbone: Any) -> Any:
        return backbone


class MergesInPlace(Full):
    """Allowed: what ``merge`` gets is a copy."""

    def merge(self, backbone: Any) -> Any:
        return backbone.requires_grad_(False)


class MergesNothing(Full):
    def merge(self, backbone: Any) -> Any:
        return None


class MergeRaises(Full):
    def merge(self, backbone: Any) -> Any:
        raise ValueError("no such layer")


class Freezes(Full):
    """Changes the module that it remembers from ``apply``."""

    def merge(self, backbone: Any) -> Any:
        self.applied.requires_grad_(False)
        return backbone


class Grows(Full):
    def merge(self, backbone: Any) -> Any:
        self.applied.register_buffer("extra", torch.zeros(1))
        return backbone


class Moves(Full):
    def merge(self, backbone: Any) -> Any:
        with torch.no_grad():
            self.applied.embeddings.word_embeddings.weight.mul_(2.0)
        return backbone


class ByChance(Full):
    """A frozen weight that is drawn anew each time."""

    def apply(self, backbone: Any) -> Any:
        nn.init.normal_(backbone.embeddings.LayerNorm.weight.requires_grad_(False))
        return backbone


class TrainsByTurns(Full):
    turn = False

    def apply(self, backbone: Any) -> Any:
        self.turn = not self.turn
        backbone.embeddings.LayerNorm.weight.requires_grad_(self.turn)
        return backbone


class ExportsNothing(Full):
    def export(self, backbone: Any, folder: Path, *, source: str) -> None:
        pass


class Gained(nn.Module):
    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.inner, self.gain = linear, nn.Parameter(torch.ones(linear.out_features))

    def forward(self, hidden: Any) -> Any:
        return self.inner(hidden) * self.gain


class Gains:
    """Trains a gain for each output of the layers' first linear maps."""

    scales_biases = True

    def apply(self, backbone: Any) -> Any:
        backbone.requires_grad_(False)
        for layer in backbone.encoder.layer:
            layer.intermediate.dense = Gained(layer.intermediate.dense)
        return backbone

    def merge(self, backbone: Any) -> Any:
        for layer in backbone.encoder.layer:
            made = layer.intermediate.dense
            with torch.no_grad():
                made.inner.weight.mul_(made.gain[:, None])
                if self.scales_biases:
                    made.inner.bias.mul_(made.gain)
            layer.intermediate.dense = made.inner
        return backbone


class ForgetsBiases(Gains):
    scales_biases = False


@pytest.mark.parametrize("adapter", [Full, MergesInPlace, Gains])
def test_sound_adapters_pass(adapter: Callable[[], Any]) -> None:
    testing.check_adapter(component(adapter()), SETTINGS)


@pytest.mark.parametrize(
    ("adapter", "reason"),
    [
        (MergesNothing, "merge returned None; it must return the backbone"),
        (MergeRaises, "merge fails: ValueError: no such layer"),
        (Freezes, "merging a copy changes the trained backbone: its weights' names or what trains"),
        (Grows, "merging a copy changes the trained backbone: its weights' names or what trains"),
        (Moves, "merging a copy changes the trained backbone's output"),
        (
            ByChance,
            "embeddings.LayerNorm.weight does not train, and its value depends on chance: no checkpoint would hold it",
        ),
        (TrainsByTurns, "what trains depends on chance"),
        (ExportsNothing, "export has written no file"),
        (ForgetsBiases, "merging changes the output"),
    ],
)
def test_adapters(adapter: Callable[[], Any], reason: str) -> None:
    assert fails(testing.check_adapter, adapter())[0].startswith(reason)
