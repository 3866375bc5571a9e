"""LoRA: low-rank updates beside frozen weights, by PEFT, and in its file format, whatever they began with."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from qakit.api import ModelError
from qakit_adapters import LoraSettings

_BERT = ("query", "value")
_LLAMA = ("q_proj", "v_proj")

ATTENTION: Mapping[str, tuple[str, ...]] = {
    "albert": _BERT,
    "bert": _BERT,
    "big_bird": _BERT,
    "camembert": _BERT,
    "convbert": _BERT,
    "data2vec-text": _BERT,
    "deberta": ("in_proj",),
    "deberta-v2": ("query_proj", "value_proj"),
    "distilbert": ("q_lin", "v_lin"),
    "electra": _BERT,
    "ernie": _BERT,
    "eurobert": _LLAMA,
    "jina_embeddings_v3": _LLAMA,
    "longformer": _BERT,
    "megatron-bert": _BERT,
    "mobilebert": _BERT,
    "modernbert": ("Wqkv",),
    "mpnet": ("q", "v"),
    "nomic_bert": _LLAMA,
    "nystromformer": _BERT,
    "rembert": _BERT,
    "roberta": _BERT,
    "roberta-prelayernorm": _BERT,
    "roformer": _BERT,
    "splinter": _BERT,
    "xlm-roberta": _BERT,
    "xlm-roberta-xl": _BERT,
}
"""By ``model_type``: the query and value projections, which is where the paper puts its updates. PEFT's own table lacks
most of these."""


def targets_of(backbone: nn.Module, wanted: Literal["attention", "linear"] | list[str]) -> list[str]:
    """The last parts of the names of the modules to update.

    Raises:
        ModelError: there is no linear layer, the attention projections of this architecture are not known, or a wanted
            module is not there.
    """
    linear = sorted(
        {name.rpartition(".")[2] for name, module in backbone.named_modules() if isinstance(module, nn.Linear)}
    )
    if not linear:
        raise ModelError(
            f"adapter 'lora': {type(backbone).__name__} has no linear layer to update; choose another adapter"
        )
    if wanted == "linear":
        return linear
    if wanted == "attention":
        kind = getattr(getattr(backbone, "config", None), "model_type", type(backbone).__name__)
        if kind not in ATTENTION:
            raise ModelError(
                f"adapter 'lora': the attention projections of {kind!r} are not known; name them in `targets`, "
                f"for example `targets: [{', '.join(linear[:2])}]` (linear modules: {', '.join(linear)}), "
                "or set `targets: linear`"
            )
        return list(ATTENTION[kind])
    missing = [name for name in wanted if name not in linear]
    if missing:
        raise ModelError(
            f"adapter 'lora': {type(backbone).__name__} has no linear module called {', '.join(missing)}; "
            f"it has {', '.join(linear)}"
        )
    return list(wanted)


FACTORS = ("lora_A", "lora_B")
MOVES_WEIGHTS = ("pissa", "olora")
"""Initialisations that begin with the weights' own directions and take them out of the frozen weights."""


def factors(backbone: nn.Module) -> dict[str, Tensor]:
    """A copy of both factors of every update, under the names of PEFT's files."""
    from peft import get_peft_model_state_dict

    state = get_peft_model_state_dict(backbone)
    return {name: tensor.detach().cpu().clone() for name, tensor in state.items() if _factor(name)}


def converted(state: Mapping[str, Tensor], config: Any, initial: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Any]:
    """The same model as an update of the *original* weights.

    The frozen weights are ``W - s B0 A0`` where the initialisation took ``s B0 A0`` out of them, so with
    ``B' = [B, -B0]`` and ``A' = [A; A0]`` the model ``W - s B0 A0 + s B A`` is ``W + s B' A'``. Without ``initial``
    state and configuration stay as they are.

    Source: the conversion of Meng et al. 2024, "PiSSA", appendix.
    """
    config = copy.deepcopy(config)
    if not initial:
        return dict(state), config
    joined = dict(state)
    for name, first in initial.items():
        own = state[name].detach().cpu()
        joined[name] = torch.cat([own, first], dim=0) if _factor(name) == "lora_A" else torch.cat([own, -first], dim=1)
    config.init_lora_weights = True
    config.r *= 2
    config.lora_alpha *= math.sqrt(2) if config.use_rslora else 2  # alpha / sqrt(r), or alpha / r, stays
    return joined, config


def _factor(name: str) -> str | None:
    return next((factor for factor in FACTORS if f".{factor}." in name), None)


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
        from peft import LoraConfig

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
        adapted = wrapped(backbone, config)
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

        state: dict[str, Tensor] = get_peft_model_state_dict(backbone)
        config: Any = backbone.peft_config["default"]  # type: ignore[index]
        state, config = converted(state, config, self._initial)
        write_peft(folder, state, config, source=source)


def write_peft(folder: Path, state: Mapping[str, Tensor], config: Any, *, source: str) -> None:
    """A folder for ``PeftModel.from_pretrained`` over the backbone called ``source``."""
    from safetensors.torch import save_file

    config.base_model_name_or_path = source
    config.inference_mode = True
    config.save_pretrained(str(folder))
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})


def wrapped(backbone: nn.Module, config: Any) -> nn.Module:
    """The backbone with PEFT's modules in it; only those train."""
    from peft import get_peft_model

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about saving a PeftModel by its own means
        adapted: nn.Module = get_peft_model(backbone, config)
    return adapted
