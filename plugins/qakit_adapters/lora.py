"""LoRA: low-rank updates beside frozen weights, by PEFT."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from qakit_adapters.lora_export import converted, factors
from qakit_adapters.lora_targets import targets_of

if TYPE_CHECKING:
    from torch import Tensor

    from qakit_adapters import LoraSettings

MOVES_WEIGHTS = ("pissa", "olora")
"""Initialisations that begin with the weights' own directions and take them out of the frozen weights."""


class Lora:
    """A trainable low-rank update ``B A`` beside each chosen weight; the backbone itself stays as it is.

    Source: Hu et al. 2022, "LoRA: Low-Rank Adaptation of Large Language Models".
    """

    def __init__(self, settings: LoraSettings) -> None:
        self.settings = settings
        self._initial: dict[str, Tensor] = {}

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
            target_modules=targets_of(backbone, settings.targets),
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about saving a PeftModel by its own means
            adapted: nn.Module = get_peft_model(backbone, config)
        self._initial = factors(adapted) if settings.init in MOVES_WEIGHTS else {}
        return adapted

    def merge(self, backbone: nn.Module) -> nn.Module:
        """The plain backbone with the updates added to its weights."""
        merged: nn.Module = backbone.merge_and_unload()  # type: ignore[operator]
        return merged

    def export(self, backbone: nn.Module, folder: Path, *, source: str) -> None:
        """Write a folder for ``PeftModel.from_pretrained``, over the backbone as it was before ``apply``.

        What began with ``pissa`` or ``olora`` becomes an ordinary LoRA of twice the rank: its first half is what was
        trained, its second takes away what was there at the beginning.
        """
        from peft import get_peft_model_state_dict
        from safetensors.torch import save_file

        state: dict[str, Tensor] = get_peft_model_state_dict(backbone)
        config: Any = backbone.peft_config["default"]  # type: ignore[index]
        state, config = converted(state, config, self._initial)
        config.base_model_name_or_path = source
        config.inference_mode = True
        config.save_pretrained(str(folder))
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
        save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
