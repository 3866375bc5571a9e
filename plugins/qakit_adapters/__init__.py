"""Adapters: which parameters of the backbone train."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from qakit.api import Adapter, Component, NoRuntime, NoSettings, Settings, hookimpl


class BitFitSettings(Settings):
    which: Literal["all", "attention", "mlp"] | list[str] = Field(
        default="all",
        description="Biases of the whole backbone, of its attention blocks only, of its feed-forward blocks only, or "
        "those with these parts in their names, for example `[query, intermediate]`, to which the paper comes down.",
    )

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if not self.which:
            raise ValueError("which names no bias; give at least one part of a name, or 'all'")
        return self


class FreezeSettings(Settings):
    embeddings: bool = Field(default=True, description="Freeze the embeddings.")
    layers: int = Field(default=0, ge=0, description="Freeze this many encoder layers, counted from the input.")


class LoraSettings(Settings):
    rank: int = Field(default=8, ge=1, description="Rank of the updates.")
    alpha: int | None = Field(
        default=None, ge=1, description="Updates are scaled by alpha / rank; by default alpha is twice the rank."
    )
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Dropout before the updates.")
    rslora: bool = Field(default=False, description="Scale by alpha / sqrt(rank) instead (rsLoRA, Kalajdzievski 2023).")
    dora: bool = Field(
        default=False, description="Train direction and magnitude of the weights apart (DoRA, Liu et al. 2024)."
    )
    init: Literal["default", "gaussian", "pissa", "olora", "orthogonal"] = Field(
        default="default",
        description="How the updates begin: at zero (`default`, `gaussian`), with factors that cancel each other "
        "(`orthogonal`), or as the weights' own main directions, taken out of the frozen weights (`pissa`, Meng et al. "
        "2024; `olora`, Büyükakyüz 2024).",
    )
    targets: Literal["attention", "linear"] | list[str] = Field(
        default="attention",
        description="Which modules get an update: the query and value projections, every linear layer, or those with "
        "these names.",
    )

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if not self.targets:
            raise ValueError("targets names no module; give at least one, or 'attention' or 'linear'")
        return self

    @model_validator(mode="after")
    def _orthogonal_halves(self) -> Self:
        if self.init == "orthogonal" and self.rank % 2:
            raise ValueError(
                f"init: orthogonal needs an even rank, not {self.rank}: each half is orthogonal to the other"
            )
        return self


class Ia3Settings(Settings):
    targets: Literal["default"] | list[str] = Field(
        default="default",
        description="What is scaled: keys, values and the feed-forward blocks' inner activations, or what the linear "
        "modules with these names give (`output.dense` and its like: what they get).",
    )

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if not self.targets:
            raise ValueError("targets names no module; give at least one, or 'default'")
        return self


class PromptSettings(Settings):
    tokens: int = Field(default=20, ge=1, description="How many vectors; each takes a position from the window.")


FULL: Component[NoSettings, NoRuntime, Adapter] = Component(
    name="full",
    summary="Every parameter of the backbone trains",
    settings=NoSettings,
    build="qakit_adapters.parts:full",
)
BITFIT: Component[BitFitSettings, NoRuntime, Adapter] = Component(
    name="bitfit",
    summary="Only the backbone's biases train (Ben Zaken et al. 2022): about 0.1% of the parameters",
    settings=BitFitSettings,
    build="qakit_adapters.parts:bitfit",
)
LAYERNORM: Component[NoSettings, NoRuntime, Adapter] = Component(
    name="layernorm",
    summary="Only the normalisation layers train (Qi et al. 2022): about 0.05% of the parameters",
    settings=NoSettings,
    build="qakit_adapters.parts:norm_tuning",
)
FREEZE: Component[FreezeSettings, NoRuntime, Adapter] = Component(
    name="freeze",
    summary="The embeddings and the bottom encoder layers stay as they are; the rest trains",
    settings=FreezeSettings,
    build="qakit_adapters.parts:freeze",
)
LORA: Component[LoraSettings, NoRuntime, Adapter] = Component(
    name="lora",
    summary="Low-rank updates beside frozen weights (Hu et al. 2022), with rsLoRA, DoRA and PEFT's initialisations",
    settings=LoraSettings,
    build="qakit_adapters.lora:Lora",
)

IA3: Component[Ia3Settings, NoRuntime, Adapter] = Component(
    name="ia3",
    summary="Factors for keys, values and inner activations (Liu et al. 2022): about 0.1% of the parameters",
    settings=Ia3Settings,
    build="qakit_adapters.ia3:Ia3",
)
PROMPT: Component[PromptSettings, NoRuntime, Adapter] = Component(
    name="prompt",
    summary="A soft prompt (Lester et al. 2021): vectors before the first token; the backbone stays as it is",
    settings=PromptSettings,
    build="qakit_adapters.prompt:Prompt",
)


@hookimpl
def qakit_register_adapters() -> Iterable[Component[Any, Any, Any]]:
    """The adapters of this package."""
    return FULL, BITFIT, LAYERNORM, FREEZE, LORA, IA3, PROMPT
