"""A model of a few weights and steps over four windows, to be calculated by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from qakit.data.batch import Batch, numbered
from qakit.modeling.model import ReadingModel
from qakit.protocols import HeadRuntime
from qakit.recipe.model import Recipe
from qakit.registry import load_registry
from qakit.testing.heads import made_up_batch
from qakit.training.adversarial import Attack
from qakit.training.events import Listener, silence
from qakit.training.exchange import GradientExchange
from qakit.training.feed import Epoch
from qakit.training.plan import Plan
from qakit.training.step import step_gradients

WINDOWS = 4


_registry = cache(load_registry)


class TinyBackbone(nn.Module):
    """Embeddings, dropout, one linear layer."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.embeddings = nn.Embedding(32, 16)
        self.dropout = nn.Dropout(dropout)
        self.dense = nn.Linear(16, 16)

    def get_input_embeddings(self) -> nn.Embedding:
        return self.embeddings

    def forward(self, input_ids: Tensor, **_: Any) -> SimpleNamespace:
        return SimpleNamespace(last_hidden_state=self.dense(self.dropout(self.embeddings(input_ids))).tanh())


def tiny_head(name: str, *, labels: tuple[str, ...] = (), **settings: Any) -> Any:
    """One of the heads that recipes can name."""
    runtime = HeadRuntime(
        hidden_size=16,
        initializer_range=0.5,
        n_best=3,
        max_answer_length=14,
        no_answer=True,
        labels=labels,
    )
    return _registry().build("heads", name, settings, runtime)


def tiny_model(
    head: str = "linear_span", *, backbone_dropout: float = 0.0, labels: tuple[str, ...] = (), **settings: Any
) -> ReadingModel:
    """The same weights each time."""
    torch.manual_seed(1)
    return ReadingModel(TinyBackbone(backbone_dropout), tiny_head(head, labels=labels, **settings)).train()


def rows_of(batch: Batch, rows: Any) -> Batch:
    """Some windows of a batch, not padded anew."""
    chosen = {each.name: getattr(batch, each.name) for each in fields(batch)}
    cut = {name: value[rows] for name, value in chosen.items() if hasattr(value, "shape") and name != "context_example"}
    return replace(batch, **(cut | numbered(cut["example"].numpy(), cut["contexts"].numpy())))


def tiny_epoch(*, grouped: bool = False) -> Epoch:
    """Its collator cuts windows out of one batch."""
    collator = SimpleNamespace(collate=lambda rows, targets: rows_of(made_up_batch(targets=targets), rows))
    windows = SimpleNamespace(example=made_up_batch().example.numpy())
    return Epoch(0, windows, collator, [np.arange(WINDOWS)], grouped)  # type: ignore[arg-type]


def tiny_recipe(**train: Any) -> Recipe:
    """A recipe with this train section."""
    return Recipe.model_validate({"data": {"reader": "squad"}, "backbone": {"source": "none"}, "train": train})


def tiny_plan(*ends: int, steps: int | None = None) -> Plan:
    """A training whose epochs end after so many steps; by default with the last of them."""
    return Plan(ends[-1] if steps is None else steps, 0, tiny_epoch(), ends)


def gradients(
    model: ReadingModel,
    *,
    parts: int = 1,
    attack: Attack | None = None,
    exchange: GradientExchange | None = None,
    listener: Listener = silence,
    **train: Any,
) -> float:
    """Those of one step over all windows, left in the model; returns the loss."""
    model.zero_grad()
    computed = step_gradients(
        tiny_recipe(**train),
        tiny_epoch(grouped=model.decoder.reads == "group"),
        np.arange(WINDOWS),
        3,
        parts,
        attack=attack,
        accelerator=Accelerator(cpu=True),
        model=model,
        optimiser=SimpleNamespace(zero_grad=lambda set_to_none: model.zero_grad(set_to_none)),
        listener=listener,
        exchange=exchange,
    )
    return float(computed.loss)


def gradients_of(model: nn.Module) -> Mapping[str, Tensor]:
    """By parameter name."""
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def weights_of(model: nn.Module) -> Mapping[str, Tensor]:
    """By parameter name."""
    return {name: p.detach().clone() for name, p in model.named_parameters()}
