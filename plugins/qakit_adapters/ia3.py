"""IA3: frozen weights whose keys, values and inner activations are scaled, by PEFT, and in its file format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from qakit.api import ModelError, ParameterRule
from qakit_adapters import Ia3Settings
from qakit_adapters.lora import ATTENTION, wrapped, write_peft

KEYS = {"query": "key", "q": "k", "q_lin": "k_lin", "query_proj": "key_proj", "q_proj": "k_proj"}
"""The key projection beside each query projection."""
SECOND = ("output.dense", "ffn.lin2", "ffn_output", "mlp.down_proj", "mlp.fc2", "mlp.Wo")
"""How a feed-forward block's second linear layer is called, whose input are the inner activations."""


class Ia3:
    """A trainable factor for each key, value and inner activation; all begin at 1, and weight decay leaves them alone.

    Source: Liu et al. 2022, "Few-Shot Parameter-Efficient Fine-Tuning is Better and Cheaper than In-Context Learning".
    """

    def __init__(self, settings: Ia3Settings) -> None:
        self.settings = settings

    def apply(self, backbone: nn.Module) -> nn.Module:
        """Wrap the backbone; only the factors train.

        Raises:
            ModelError: the modules to scale are not known for this architecture, or one of the named is not there.
        """
        from peft import IA3Config

        inner = _second_layers(backbone)
        targets = [*_keys_and_values(backbone), *inner] if self.settings.targets == "default" else self._named(backbone)
        return wrapped(
            backbone, IA3Config(target_modules=targets, feedforward_modules=[each for each in targets if each in inner])
        )

    def merge(self, backbone: nn.Module) -> nn.Module:
        """The plain backbone, its weights multiplied by the factors."""
        merged: nn.Module = backbone.merge_and_unload()  # type: ignore[operator]
        return merged

    def parameter_rule(self, name: str) -> ParameterRule:  # noqa: ARG002 - all are factors
        """No weight decay: it would move the factors towards 0, not towards 1."""
        return ParameterRule(decays=False)

    def export(self, backbone: nn.Module, folder: Path, *, source: str) -> None:
        """Write a folder for ``PeftModel.from_pretrained``."""
        from peft import get_peft_model_state_dict

        config: Any = backbone.peft_config["default"]  # type: ignore[index]
        write_peft(folder, get_peft_model_state_dict(backbone), config, source=source)

    def _named(self, backbone: nn.Module) -> list[str]:
        """The linear layers whose names end with what the settings name."""
        found = []
        for wanted in self.settings.targets:
            layers = [name for name in _linear(backbone) if name == wanted or name.endswith(f".{wanted}")]
            if not layers:
                names = ", ".join(sorted({name.rpartition(".")[2] for name in _linear(backbone)}))
                raise ModelError(
                    f"adapter 'ia3': {type(backbone).__name__} has no linear module called {wanted}; it has {names}"
                )
            found += layers
        return found


def _keys_and_values(backbone: nn.Module) -> list[str]:
    kind = getattr(getattr(backbone, "config", None), "model_type", type(backbone).__name__)
    query, *value = ATTENTION.get(kind, ("",))
    names = {KEYS[query], *value} if query in KEYS else set()
    found = [name for name in _linear(backbone) if name.rpartition(".")[2] in names]
    if not found or not _second_layers(backbone):
        names = {name.rpartition(".")[2] for name in _linear(backbone)}
        raise ModelError(
            f"adapter 'ia3': the keys, values and feed-forward blocks of {kind!r} are not known; name what is to be "
            f"scaled in `targets` (linear modules: {', '.join(sorted(names))})"
        )
    return found


def _second_layers(backbone: nn.Module) -> list[str]:
    return [name for name in _linear(backbone) if name.endswith(SECOND) and "attention" not in name]


def _linear(backbone: nn.Module) -> list[str]:
    return [name for name, module in backbone.named_modules() if isinstance(module, nn.Linear)]
