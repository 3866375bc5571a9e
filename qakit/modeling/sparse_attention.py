"""BigBird's attention, which is sparse for long texts and full for short ones.

transformers changes it to full attention for good at the first short batch, so what a model says of a long text would
depend on what it was given before. Here each batch decides for itself, as it does for a model that was just loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn
from transformers import PretrainedConfig

SPARSE, FULL = "block_sparse", "original_full"


def is_sparse(config: PretrainedConfig) -> bool:
    """Whether the configuration wants sparse attention for long texts."""
    return getattr(config, "attention_type", None) == SPARSE


def decide_by_batch(model: nn.Module) -> None:
    """Let every batch of a model with sparse attention choose its attention by its own length."""
    part: Any
    for part in model.modules():
        if hasattr(part, "_pad_to_block_size") and is_sparse(part.config):
            part.register_forward_pre_hook(_choose, with_kwargs=True)


def _choose(model: Any, positional: tuple[Any, ...], named: Mapping[str, Any]) -> None:
    given = (*positional[:1], named.get("input_ids"), named.get("inputs_embeds"))
    length = next(each.shape[1] for each in given if each is not None)
    shortest = (5 + 2 * model.config.num_random_blocks) * model.config.block_size  # as transformers has it
    model.set_attention_type(SPARSE if length > shortest else FULL)
