"""``qakit recipes show --memory``: what a training will need on its device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from qakit.cli.terminal.console import out, plain, print_json


def show_memory(path: Path, overrides: Sequence[str], *, device_gb: float | None, as_json: bool) -> None:
    """Print the memory that training by a recipe needs, and how many windows at a time a device has room for.

    Args:
        device_gb: of a GPU, in 10^9 bytes; None for this machine's device.

    Raises:
        RecipeError: something is wrong with the recipe.
        ModelError: its backbone's configuration is not found, or its memory cannot be told beforehand.
    """
    import torch

    from qakit.cli.terminal.tables import print_table
    from qakit.cli.terminal.tables import size as said
    from qakit.modeling.device import pick_device
    from qakit.recipe.load import load_recipe
    from qakit.registry import load_registry
    from qakit.training.memory_needs import LEFT_FREE, memory_needs

    registry = load_registry()
    recipe = load_recipe(path, overrides, registry=registry).recipe
    device = pick_device() if device_gb is None else torch.device("cuda")
    room = None if device_gb is None else int(device_gb * 1e9)
    if device_gb is None and device.type == "cuda":
        room = torch.cuda.get_device_properties(device).total_memory
    needs = memory_needs(recipe, registry, device)
    windows = None if room is None else needs.windows_in(room)
    parts = -(-recipe.train.batch_size // windows) if windows else None
    if as_json:
        about = {"device": device.type, "device_bytes": room, "windows": windows, "accumulation": parts}
        print_json({"path": str(path), "memory": {**asdict(needs), **about}})
        return
    rows = [
        ("weights", said(needs.weights)),
        ("their gradients", said(needs.gradients)),
        ("moments of the optimiser", said(needs.moments)),
        ("what each pass makes besides", said(needs.copies)),
        (f"each window of {needs.tokens} tokens", said(needs.window)),
        (f"in all with {recipe.train.batch_size} windows at a time", said(needs.total(recipe.train.batch_size))),
    ]
    print_table(
        f"Memory in training ({needs.precision}, {needs.attention} attention)", ("for", "size"), rows, numbers=("size",)
    )
    if room is None:
        out.print(plain("with --device-gb N: how many windows at a time a GPU of N GB has room for"))
    elif not windows:
        out.print(
            plain(
                f"a device of {said(room)} has no room for a single window ({said(needs.total(1))} needed, "
                f"{LEFT_FREE:.0%} left free): try train.gradient_checkpointing=true, adapter=lora or a smaller "
                "windows.max_length"
            )
        )
    else:
        cut = (
            f"; train.accumulation={parts} cuts a step of {recipe.train.batch_size} into so many" if parts != 1 else ""
        )
        out.print(
            plain(
                f"a device of {said(room)} has room for {windows:,} windows at a time ({LEFT_FREE:.0%} left free){cut}"
            )
        )
