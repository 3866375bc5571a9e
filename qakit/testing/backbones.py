"""The contract of backbones."""

from __future__ import annotations

import copy
import inspect
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from qakit.components import Component, Settings
from qakit.data.template import PairTemplate
from qakit.protocols import BackboneRuntime
from qakit.recipe.section import is_path_field
from qakit.returned import named
from qakit.testing.components import build_checked, running

VOCABULARY = 50
LENGTHS = (9, 4, 1, 7)
"""Tokens of the windows that are read; the rest of each is padding."""


def check_backbone(component: Component[Any, Any, Any], settings: Settings) -> None:
    """A vector for each token, whatever else is in the batch and in the padding; fresh weights and dropout that follow
    from torch's seed, so that a training can be repeated and resumed; gradients for every parameter; the same output
    under autocast as far as it goes, of a copy, and of an encoder that is built anew and filled from a file, without
    the settings that are paths. A tokenizer, if the component has one, tells where its tokens lie in the text.

    Raises:
        AssertionError: with the reason.
    """
    runtime = BackboneRuntime(VOCABULARY, 0)
    if component.tokenizer is not None:
        runtime = _check_tokenizer(component, settings)
    backbone = _built(component, settings, runtime)
    again = _built(component, settings, runtime).state_dict()
    same = all(torch.equal(value, again[name]) for name, value in backbone.state_dict().items())
    assert same, "its fresh weights depend on something else than torch's random numbers"
    backbone.eval()
    ids, mask = _windows(runtime)
    output = _output(backbone, ids, mask)
    _check_rows(backbone, ids, mask, output)
    _check_training(backbone, ids, mask)
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        for rows in (slice(None), slice(1)):  # windows of several lengths, and without padding
            found = _output(backbone, ids[rows], mask[rows])
            assert torch.isfinite(found).all(), "under autocast the output is not finite"
    with running("copy.deepcopy"):
        copied = copy.deepcopy(backbone)
    assert torch.equal(_output(copied, ids, mask), _output(backbone, ids, mask)), "a copy gives another output"
    _check_kept(backbone, component, settings, runtime)


def _check_rows(backbone: nn.Module, ids: Tensor, mask: Tensor, output: Tensor) -> None:
    """What a window's vectors depend on: on its own tokens."""
    assert torch.equal(_output(backbone, ids, mask), output), "a second pass over the same windows gives another output"
    real = mask.bool()
    other = torch.where(real, ids, ids.flip(0).flip(1))
    assert torch.allclose(_output(backbone, other, mask)[real], output[real], atol=1e-5), (
        "what stands in the padding matters: use attention_mask"
    )
    wide = torch.cat([ids, ids[:, :3]], dim=1), torch.cat([mask, torch.zeros_like(mask[:, :3])], dim=1)
    assert torch.allclose(_output(backbone, *wide)[:, : ids.shape[1]][real], output[real], atol=1e-5), (
        "more padding gives another output: use attention_mask"
    )
    for row, length in enumerate(LENGTHS):
        alone = _output(backbone, ids[row : row + 1, :length], mask[row : row + 1, :length])[0]
        assert torch.allclose(alone, output[row, :length], atol=1e-5), "other windows of the batch matter"
    changed = ids.clone()
    changed[:, 0] = changed[:, 0] % (int(ids.max()) - 1) + 1
    moved = (_output(backbone, changed, mask)[:, 0] != output[:, 0]).any(dim=-1)
    assert moved.all(), "another first token gives the same vector"


def _check_training(backbone: nn.Module, ids: Tensor, mask: Tensor) -> None:
    backbone.train()
    passes = []
    for _ in range(2):
        torch.manual_seed(1)
        passes.append(_output(backbone, ids, mask))
    assert torch.equal(*passes), (
        "in training its output depends on more than the batch and torch's random numbers: no training could be resumed"
    )
    torch.autograd.backward((passes[0] * torch.linspace(-1, 1, passes[0].shape[-1]) * mask[:, :, None]).sum())
    for name, parameter in backbone.named_parameters():
        assert not parameter.requires_grad or parameter.grad is not None, f"{name} gets no gradient"
        assert parameter.grad is None or torch.isfinite(parameter.grad).all(), f"the gradient of {name} is not finite"
    backbone.eval()


def _check_kept(
    backbone: nn.Module, component: Component[Any, Any, Any], settings: Settings, runtime: BackboneRuntime
) -> None:
    """As a run keeps it: the settings as JSON, without paths, and the weights as safetensors."""
    model = component.settings
    paths = {name for name, field in model.model_fields.items() if is_path_field(field)}
    with running("building it again from its settings without paths"):
        kept = model.model_validate(settings.model_dump(mode="json", by_alias=True, exclude=paths))
    again = _built(component, kept, runtime).eval()
    with TemporaryDirectory() as folder, running("keeping its weights"):
        file = Path(folder) / "model.safetensors"
        save_file(backbone.state_dict(), file)
        again.load_state_dict(load_file(file))
    ids, mask = _windows(runtime)
    assert torch.equal(_output(again, ids, mask), _output(backbone, ids, mask)), (
        "built again and filled with its weights it gives another output: something that matters is in no weight"
    )


def _check_tokenizer(component: Component[Any, Any, Any], settings: Settings) -> BackboneRuntime:
    assert component.tokenizer is not None
    with running("tokenizer"):
        tokenizer = component.tokenizer(settings)
    assert getattr(tokenizer, "is_fast", False), f"its tokenizer is {named(tokenizer)}, no PreTrainedTokenizerFast"
    assert tokenizer.pad_token_id is not None, "its tokenizer has no padding token"
    with running("the tokenizer's template for a question and a context"):
        PairTemplate.of(tokenizer)
    with running("the tokenizer"):
        offsets = tokenizer("a b", add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    assert all(0 <= start <= stop <= 3 for start, stop in offsets), f"the offsets in 'a b' are {offsets}"
    return BackboneRuntime(len(tokenizer), tokenizer.pad_token_id)


def _built(component: Component[Any, Any, Any], settings: Settings, runtime: BackboneRuntime) -> nn.Module:
    torch.manual_seed(0)
    backbone = build_checked("backbones", component, settings, runtime)
    assert isinstance(backbone, nn.Module), f"build returns {named(backbone)}, not a module"
    size: object = backbone.hidden_size
    assert type(size) is int and size > 0, f"hidden_size is {size!r}, no number of dimensions"
    return backbone


def _windows(runtime: BackboneRuntime) -> tuple[Tensor, Tensor]:
    """``input_ids`` and ``attention_mask`` (4, 9) int64."""
    generator = torch.Generator().manual_seed(0)
    longest = max(LENGTHS)
    mask = (torch.arange(longest) < torch.tensor(LENGTHS)[:, None]).long()
    ids = torch.randint(1, runtime.vocabulary, mask.shape, generator=generator)
    return torch.where(mask.bool(), ids, runtime.padding), mask


def _output(backbone: Any, ids: Tensor, mask: Tensor) -> Tensor:
    """(B, T, H)."""
    inputs = {"input_ids": ids, "attention_mask": mask}
    if "token_type_ids" in inspect.signature(backbone.forward).parameters:
        inputs["token_type_ids"] = torch.zeros_like(ids)
    with running("forward"):
        hidden: Tensor = backbone(**inputs).last_hidden_state
    wanted = (*ids.shape, backbone.hidden_size)
    assert hidden.shape == wanted, f"last_hidden_state is of shape {tuple(hidden.shape)}, not {wanted} (B, T, H)"
    assert hidden.is_floating_point() and torch.isfinite(hidden).all(), "last_hidden_state is not finite"
    return hidden
