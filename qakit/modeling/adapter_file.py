"""What an adapter trained, without the rest of the backbone: ``adapter.safetensors``, and what it belongs to.

The file holds the backbone's trainable weights under ``backbone.`` as the adapter named them, and the head's under
``head.``. All else is made anew from the backbone's source, so the file is of use with that very source only: its
hashes are kept beside.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from qakit.errors import ModelError, RunError
from qakit.files import check_readable
from qakit.modeling.checkpoints import published_files, weights_sha256
from qakit.modeling.model import ReadingModel
from qakit.recipe.model import BackboneSection

ADAPTER = "adapter.safetensors"


def write_adapter(model: ReadingModel, file: Path) -> None:
    """Write what was trained."""
    held = {f"head.{name}": tensor for name, tensor in model.head.state_dict().items()}
    held |= {f"backbone.{name}": p for name, p in model.backbone.named_parameters() if p.requires_grad}
    tensors = {name: tensor.detach().to("cpu").contiguous() for name, tensor in held.items()}
    save_file(tensors, file, metadata={"format": "pt"})


def read_adapter(model: ReadingModel, weights: Mapping[str, Tensor], folder: Path) -> None:
    """Put what was trained into a model that the same recipe has just made.

    Raises:
        RunError: it is of other parameters.
    """
    targets: dict[str, Tensor] = {f"head.{name}": tensor for name, tensor in model.head.state_dict().items()}
    targets |= {f"backbone.{name}": p for name, p in model.backbone.named_parameters() if p.requires_grad}
    shapes = {name: tuple(tensor.shape) for name, tensor in targets.items()}
    if shapes != {name: tuple(tensor.shape) for name, tensor in weights.items()}:
        raise RunError(f"the trained weights in {folder} do not fit the recipe's adapter and head")
    with torch.no_grad():
        for name, tensor in targets.items():
            tensor.copy_(weights[name])


def read_weights(file: Path) -> dict[str, Tensor]:
    """A safetensors file.

    Raises:
        RunError: it is not there, may not be read, or is damaged.
    """
    check_readable(file)
    try:
        return load_file(file)
    except FileNotFoundError:
        raise RunError(f"{file.parent} has no {file.name}: files were removed") from None
    except (OSError, SafetensorError) as error:
        raise RunError(f"{file.parent} is damaged: {file.name}: {error}") from error


def origin_of(section: BackboneSection, folder: Path) -> dict[str, Any] | None:
    """The source of a backbone with the hashes of its weight files in ``folder``; None for one from scratch."""
    if section.init == "scratch":
        return None
    hashes = {file.name: weights_sha256(file) for file in published_files(folder)}
    return {"source": section.source, "revision": section.revision, "sha256": hashes}


def check_origin(origin: Mapping[str, Any], section: BackboneSection, folder: Path) -> None:
    """Make sure that ``folder`` holds the weights that an adapter was trained on.

    Raises:
        ModelError: it holds others.
    """
    found = origin_of(section, folder)
    if found is None or found["sha256"] != origin["sha256"]:
        raise ModelError(
            f"the weights of backbone {section.source!r} in {folder} are not those that the adapter was trained on "
            f"(sha256 {', '.join(origin['sha256'].values())})"
        )
