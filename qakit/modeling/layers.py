"""The parts of a backbone, told from its parameters' names: embeddings, numbered layers, the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from torch import nn

Part = int | Literal["embeddings", "other"]
"""An encoder layer, counted from the input and from 0; the embeddings; or what is neither (a last norm, a pooler)."""


def backbone_parts(backbone: nn.Module) -> dict[str, Part]:
    """The part that each parameter belongs to, by the parameter's name; also where an adapter has wrapped the backbone.

    The layers are the longest list of modules that lies in no other list (a layer's experts do); architectures that
    keep parts of their layers in several lists (XLM) have several of that length. Embeddings are the input's table and
    all else outside the layers that is called so, relative positions included: they feed every layer. Where there is no
    list, there are no layers.
    """
    tables = _input_tables(backbone)
    lists = _layer_lists(backbone)
    return {name: _part(name, lists, tables) for name, _ in backbone.named_parameters()}


def layer_count(parts: Mapping[str, Part]) -> int:
    """How many layers there are."""
    return 1 + max((part for part in parts.values() if isinstance(part, int)), default=-1)


def _part(name: str, lists: list[str], tables: list[str]) -> Part:
    for prefix in lists:
        if name.startswith(prefix):
            return int(name.removeprefix(prefix).partition(".")[0])
    if _embeds(name) or any(name.startswith(table) for table in tables):
        return "embeddings"
    return "other"


def _layer_lists(backbone: nn.Module) -> list[str]:
    """The names of the lists of layers, each with its dot."""
    found = {f"{name}.": len(each) for name, each in backbone.named_modules() if isinstance(each, nn.ModuleList)}
    outer = {
        name: length
        for name, length in found.items()
        if not _embeds(name) and not any(name != other and name.startswith(other) for other in found)
    }
    longest = max(outer.values(), default=0)
    return [name for name, length in outer.items() if length == longest and length > 0]


def _input_tables(backbone: nn.Module) -> list[str]:
    """The name of the input embedding table, with its dot; empty if the backbone does not say which it is."""
    try:
        table: object = backbone.get_input_embeddings()  # type: ignore[operator]
    except (AttributeError, NotImplementedError):
        return []
    return [f"{name}." for name, module in backbone.named_modules() if module is table and name]


def _embeds(name: str) -> bool:
    return any("emb" in part or part.startswith("relative_") for part in name.lower().split("."))
