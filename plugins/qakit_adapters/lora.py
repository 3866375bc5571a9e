"""LoRA: low-rank updates beside frozen weights, by PEFT."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import nn

from qakit.api import ModelError

if TYPE_CHECKING:
    from qakit_adapters import LoraSettings

ATTENTION: Mapping[str, tuple[str, ...]] = {
    "albert": ("query", "value"),
    "bert": ("query", "value"),
    "big_bird": ("query", "value"),
    "camembert": ("query", "value"),
    "deberta": ("in_proj",),
    "deberta-v2": ("query_proj", "value_proj"),
    "distilbert": ("q_lin", "v_lin"),
    "electra": ("query", "value"),
    "ernie": ("query", "value"),
    "longformer": ("query", "value"),
    "modernbert": ("Wqkv",),
    "mpnet": ("q", "v"),
    "rembert": ("query", "value"),
    "roberta": ("query", "value"),
    "splinter": ("query", "value"),
    "xlm-roberta": ("query", "value"),
}
"""By ``model_type``: the query and value projections, which is where the paper puts its updates. PEFT's own table lacks
half of these."""


class Lora:
    """A trainable low-rank update ``B A`` beside each chosen weight; the backbone itself stays as it is.

    Source: Hu et al. 2022, "LoRA: Low-Rank Adaptation of Large Language Models".
    """

    def __init__(self, settings: LoraSettings) -> None:
        self.settings = settings

    def apply(self, backbone: nn.Module) -> nn.Module:
        """Wrap the backbone; only the updates train.

        Raises:
            ModelError: no module to update is known for this architecture, or none of the named ones is there.
        """
        from peft import LoraConfig, get_peft_model

        settings = self.settings
        config = LoraConfig(
            r=settings.rank,
            lora_alpha=settings.alpha or 2 * settings.rank,
            lora_dropout=settings.dropout,
            use_rslora=settings.rslora,
            use_dora=settings.dora,
            init_lora_weights=True if settings.init == "default" else settings.init,
            target_modules=_targets(backbone, settings),
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about saving a PeftModel, which we don't
            return get_peft_model(backbone, config)

    def merge(self, backbone: nn.Module) -> nn.Module:
        """The plain backbone with the updates added to its weights."""
        merged: nn.Module = backbone.merge_and_unload()  # type: ignore[operator]
        return merged


def _targets(backbone: nn.Module, settings: LoraSettings) -> list[str]:
    """The last parts of the names of the modules to update."""
    linear = sorted(
        {name.rpartition(".")[2] for name, module in backbone.named_modules() if isinstance(module, nn.Linear)}
    )
    if settings.targets == "linear":
        return linear
    if settings.targets == "attention":
        kind = getattr(getattr(backbone, "config", None), "model_type", type(backbone).__name__)
        if kind not in ATTENTION:
            raise ModelError(
                f"adapter 'lora': the attention projections of {kind!r} are not known; name them in `targets`, "
                f"for example `targets: [{', '.join(linear[:2])}]` (linear modules: {', '.join(linear)}), "
                "or set `targets: linear`"
            )
        return list(ATTENTION[kind])
    missing = [name for name in settings.targets if name not in linear]
    if missing:
        raise ModelError(
            f"adapter 'lora': {type(backbone).__name__} has no linear module called {', '.join(missing)}; "
            f"it has {', '.join(linear)}"
        )
    return list(settings.targets)
