"""Which modules of a backbone get a low-rank update."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from torch import nn

from qakit.api import ModelError

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
