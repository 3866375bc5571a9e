"""What a training is said to need, against what it takes on a CPU: the sum of PyTorch's own records of its allocations.

The tolerance is :data:`TOLERANCE`.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import Invoke
from torch.profiler import ProfilerActivity, profile
from transformers import AutoModel, BertConfig, DebertaV2Config, ModernBertConfig

from qakit.errors import ModelError
from qakit.modeling.assemble import assemble
from qakit.modeling.device import resolve_precision
from qakit.recipe.load import load_recipe
from qakit.recipe.model import Recipe
from qakit.registry import load_registry
from qakit.training.memory_needs import MemoryNeeds, _precision, full_windows, memory_needs
from qakit.training.optim import build_optimiser
from qakit.training.step import mean_loss

CPU, GPU = torch.device("cpu"), torch.device("cuda")
TOLERANCE = 0.1
SIZES: dict[str, Any] = {
    "hidden_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 256,
    "vocab_size": 2000,
    "max_position_embeddings": 160,
    "pad_token_id": 0,
}
RELATIVE: dict[str, Any] = {
    "relative_attention": True,
    "position_buckets": 32,
    "pos_att_type": ["p2c", "c2p"],
    "share_att_key": True,
    "position_biased_input": False,
    "norm_rel_ebd": "layer_norm",
}
BACKBONES = {
    "bert": BertConfig(**SIZES),
    "deberta": DebertaV2Config(**SIZES, **RELATIVE),
    "modernbert": ModernBertConfig(**SIZES, cls_token_id=2, sep_token_id=3, bos_token_id=2, eos_token_id=3),
}


@pytest.fixture(scope="module")
def recipe_file(tiny_backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its backbone is a configuration alone; the tokenizer is another's."""
    folder = tmp_path_factory.mktemp("memory")
    for name, config in BACKBONES.items():
        config.save_pretrained(folder / name)
    path = folder / "small.yaml"
    path.write_text(
        f"""\
data: {{reader: squad, train: train.json}}
backbone: {{source: {folder}/bert, tokenizer: {tiny_backbone}}}
windows: {{max_length: 128}}
train: {{batch_size: 16, precision: fp32}}
metric: squad_v1
""",
        "utf-8",
    )
    return path


@cache
def needs_of(file: Path, device: torch.device, *changes: str) -> MemoryNeeds:
    return memory_needs(recipe_with(file, *changes), load_registry(), device)


def recipe_with(file: Path, *changes: str) -> Recipe:
    return load_recipe(file, list(changes), registry=load_registry()).recipe


def taken(recipe: Recipe, windows: int) -> int:
    """Bytes: weights, gradients, moments, and the most that a forward and a backward pass hold at once beside these."""
    assembled = assemble(recipe, load_registry(), device=CPU)
    model = assembled.model.train()
    optimiser = build_optimiser(model, recipe.train, assembled.adapter)
    trained = [each for each in model.parameters() if each.requires_grad]
    for each in trained:
        each.grad = torch.zeros_like(each)
    optimiser.step()
    batch = full_windows(windows, recipe.windows.max_length)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        torch.autograd.backward(mean_loss(recipe, batch, "measured", model=model, plain=model))
    records = [each for each in profiler.profiler.kineto_results.events() if each.name() == "[memory]"]
    now = most = 0
    for each in sorted(records, key=lambda event: event.start_ns()):
        now += each.nbytes()
        most = max(most, now)
    kept = [value for state in optimiser.state.values() for value in state.values() if value.ndim]
    held = [*model.parameters(), *model.buffers(), *(each.grad for each in trained), *kept]
    return most + sum(each.numel() * each.element_size() for each in held if each is not None)


@pytest.mark.sweep(3)
@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "changes"),
    [
        ("bert", []),
        ("bert", ["train.attention=sdpa"]),
        ("bert", ["head=crf", "windows.max_length=64"]),
        ("bert", ["adapter={name: lora, rank: 4}"]),
        ("bert", ["train.r_drop={}"]),
        ("deberta", []),
        ("modernbert", ["train.attention=sdpa"]),
    ],
)
def test_it_is_what_pytorch_allocates(recipe_file: Path, backbone: str, changes: list[str]) -> None:
    source = f"backbone.source={recipe_file.parent / backbone}"
    if "train.attention=sdpa" in changes:  # with dropout a CPU has no fused kernel, as GPUs have
        names = ("attention_dropout",) if backbone == "modernbert" else ("attention_probs_dropout_prob",)
        changes = [*changes, *(f"backbone.overrides.{name}=0.0" for name in names)]
    recipe = recipe_with(recipe_file, source, "backbone.init=scratch", *changes)
    needs = memory_needs(recipe, load_registry(), CPU)
    for windows in (1, 12):
        assert needs.total(windows) == pytest.approx(taken(recipe, windows), rel=TOLERANCE)


def test_a_configuration_is_enough(recipe_file: Path) -> None:
    """There are no weights to be read; those of the recipe's encoder are counted."""
    plain = needs_of(recipe_file, GPU)
    with torch.device("meta"):
        encoder = AutoModel.from_config(BACKBONES["bert"], add_pooling_layer=False)
    head = 2 * SIZES["hidden_size"] + 2
    positions = 2 * 8 * SIZES["max_position_embeddings"]  # two buffers
    assert plain.weights == 4 * (sum(each.numel() for each in encoder.parameters()) + head) + positions
    assert (plain.gradients, plain.moments) == (plain.weights - positions, 2 * (plain.weights - positions))


@pytest.mark.parametrize(
    ("change", "smaller", "same"),
    [
        ("adapter={name: lora, rank: 4}", ("gradients", "moments"), ()),
        ("train.gradient_checkpointing=true", ("window",), ("weights", "gradients", "moments")),
        ("train.precision=fp16", ("window",), ("weights", "gradients", "moments")),
        ("windows.max_length=64", ("window",), ("weights", "gradients", "moments")),
    ],
)
def test_what_saves_memory_is_seen(
    recipe_file: Path, change: str, smaller: tuple[str, ...], same: tuple[str, ...]
) -> None:
    """On a GPU, which need not be here."""
    plain, changed = needs_of(recipe_file, GPU), needs_of(recipe_file, GPU, change)
    assert plain.attention == "sdpa"
    for name in smaller:
        assert getattr(changed, name) < getattr(plain, name), name
    for name in same:
        assert getattr(changed, name) == getattr(plain, name), name


def test_on_a_gpu_attention_keeps_no_scores(recipe_file: Path) -> None:
    """The fused kernel, as there: also with dropout, for which a CPU has none."""
    eager, fused = needs_of(recipe_file, GPU, "train.attention=eager"), needs_of(recipe_file, GPU)
    scores = SIZES["num_hidden_layers"] * SIZES["num_attention_heads"] * 128 * 128 * 4
    assert eager.window - fused.window > scores


def test_how_many_windows_a_device_has_room_for() -> None:
    needs = MemoryNeeds(100, 100, 200, window=10, copies=50, single=70, tokens=8, precision="fp32", attention="sdpa")
    assert (needs.total(1), needs.total(2), needs.total(3)) == (470, 470, 480)
    assert [needs.windows_in(size) for size in (522, 523, 533, 534)] == [0, 2, 2, 3]


def test_code_that_looks_at_numbers_is_told(recipe_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qakit.modeling.model.ReadingModel.forward", lambda _, batch: float(batch.input_ids.sum()))
    with pytest.raises(ModelError, match=r"cannot be told beforehand: .*`qakit train RECIPE --dry-run`"):
        memory_needs(recipe_with(recipe_file), load_registry(), CPU)


def test_the_command(recipe_file: Path, invoke: Invoke) -> None:
    result = invoke("recipes", "show", recipe_file, "--memory", "--device-gb", "0.02", "--json")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)["memory"]
    needs = needs_of(recipe_file, GPU)
    assert {name: said[name] for name in asdict(needs)} == asdict(needs)
    windows = needs.windows_in(20_000_000)
    assert 1 < windows < 16
    assert (said["device_bytes"], said["windows"], said["accumulation"]) == (20_000_000, windows, -(-16 // windows))
    text = invoke("recipes", "show", recipe_file, "--memory", "--device-gb", "0.02").stdout
    assert f"has room for {windows} windows at a time" in " ".join(text.split())
    assert (
        "no room for a single window"
        in invoke("recipes", "show", recipe_file, "--memory", "--device-gb", "0.001").stdout
    )


@pytest.mark.parametrize("options", [("--device-gb", "16"), ("--memory", "--device-gb", "0")])
def test_a_size_needs_the_question(recipe_file: Path, invoke: Invoke, options: tuple[str, ...]) -> None:
    result = invoke("recipes", "show", recipe_file, *options)
    assert result.exit_code == 2


def test_the_precision_is_that_of_the_device_that_is_meant() -> None:
    """A GPU that is not here has halves; a CPU is asked."""
    recipe = Recipe.model_validate({"data": {"reader": "squad"}, "backbone": {"source": "none"}})
    cpu = torch.device("cpu")
    assert _precision(recipe, cpu, "bert") == resolve_precision(recipe.train.precision, cpu, "bert")
    if not torch.cuda.is_available():
        assert _precision(recipe, torch.device("cuda"), "bert") == "fp16"
