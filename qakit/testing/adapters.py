"""The contract of adapters."""

from __future__ import annotations

import copy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from qakit.components import Component, Settings
from qakit.protocols import ExportsAdapter, MergesAdapter, NoRuntime, RulesParameters
from qakit.testing.components import build_checked, running


def check_adapter(component: Component[Any, Any, Any], settings: Settings) -> None:
    """On a tiny BERT: training moves the output; the merged backbone is a plain one with the same output.

    Its biases and gains are random. As in training, ``merge`` gets a copy of the trained backbone; it may change the
    copy, but training continues with the original, which must stay as it is. What does not train must be the same each
    time the adapter is applied: a checkpoint holds only what trains. An adapter that exports must write something.

    Raises:
        AssertionError: with the reason.
    """
    adapter = build_checked("adapters", component, settings, NoRuntime())
    plain = set(_tiny_bert().state_dict())
    with running("apply"):
        backbone = adapter.apply(_tiny_bert())
    backbone.eval()
    free = [parameter for parameter in backbone.parameters() if parameter.requires_grad]
    assert free, "nothing of the backbone trains"
    with running("the adapted backbone"):
        before = _output(backbone)
    optimizer = torch.optim.AdamW(free, lr=0.1)
    for _ in range(2):  # LoRA's first step moves only one of its two factors
        optimizer.zero_grad()
        torch.autograd.backward((_output(backbone) * torch.linspace(-1, 1, 8)).sum())
        optimizer.step()
    trained = _output(backbone).detach()
    assert torch.isfinite(trained).all(), "the output is not finite after two steps"
    assert not torch.allclose(before, trained), "two training steps change nothing"
    state = _state(backbone)
    if isinstance(adapter, MergesAdapter):
        with running("merge"):
            merged = adapter.merge(copy.deepcopy(backbone))
        assert _state(backbone) == state, (
            "merging a copy changes the trained backbone: its weights' names or what trains"
        )
        assert torch.equal(_output(backbone), trained), "merging a copy changes the trained backbone's output"
        assert set(merged.state_dict()) == plain, "the merged backbone's weights are not those of a plain backbone"
        with running("the merged backbone"):
            output = _output(merged.eval())
        assert torch.allclose(output, trained, atol=1e-4), "merging changes the output"
    if isinstance(adapter, RulesParameters):
        with running("parameter_rule"):
            for name, _ in backbone.named_parameters():
                adapter.parameter_rule(name)
    if isinstance(adapter, ExportsAdapter):
        with TemporaryDirectory() as folder, running("export"):
            adapter.export(backbone, Path(folder), source="tiny-bert")
    _check_frozen(backbone, component, settings)


def _check_frozen(backbone: nn.Module, component: Component[Any, Any, Any], settings: Settings) -> None:
    """The adapter, built and applied once more after other draws, freezes the same names at the same values."""
    fresh = _tiny_bert()
    torch.manual_seed(1)
    again = component.build(settings, NoRuntime()).apply(fresh)
    first, second = (dict(each.named_parameters()) for each in (backbone, again))
    assert [(name, p.requires_grad) for name, p in first.items()] == [
        (name, p.requires_grad) for name, p in second.items()
    ], "what trains depends on chance"
    chance = [name for name, p in first.items() if not p.requires_grad and not torch.equal(p, second[name])]
    assert not chance, f"{chance[0]} does not train, and its value depends on chance: no checkpoint would hold it"


def _state(backbone: nn.Module) -> tuple[list[str], dict[str, bool]]:
    """The names of its weights, and which of them train."""
    return list(backbone.state_dict()), {name: each.requires_grad for name, each in backbone.named_parameters()}


def _tiny_bert() -> nn.Module:
    from transformers import BertConfig, BertModel

    config = BertConfig(vocab_size=30, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16)
    torch.manual_seed(0)
    backbone = BertModel(config, add_pooling_layer=False)
    with torch.no_grad():  # fresh biases are 0 and fresh gains 1: who forgets one would not be noticed
        for parameter in backbone.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn_like(parameter), alpha=0.5)
    return backbone


def _output(backbone: nn.Module) -> Tensor:
    hidden: Tensor = backbone(input_ids=torch.arange(12).view(2, 6)).last_hidden_state
    return hidden
