"""From a recipe to a model that can train, and from a model folder to one that can predict."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedTokenizerFast

from qakit.components import Kind
from qakit.data.collate import Padding
from qakit.data.template import PairTemplate
from qakit.errors import ModelError, PluginError
from qakit.modeling.architectures import is_offered
from qakit.modeling.backbones import from_config, load_backbone, tokenizer_of, vocabulary_of
from qakit.modeling.layers import backbone_parts, layer_count
from qakit.modeling.model import ReadingModel
from qakit.protocols import Adapter, HeadRuntime, NoRuntime
from qakit.randomness import derive_seed
from qakit.recipe.model import PluginRef, Recipe
from qakit.registry import Registry, load_registry
from qakit.values import TargetNames

WIDTHS = {"cuda": 8}
"""Of what batches' widths are multiples, by type of device. Tensor cores multiply half-precision matrices fastest whose
sides are multiples of 8, and attention's have the width as a side; its fused kernel copies a mask of another one."""
POSITION_TABLES = ("position_embeddings", "embed_positions", "wpe")
"""What architectures call their embeddings of positions."""


@dataclass(frozen=True, slots=True)
class Assembled:
    """Everything that turns batches into scores."""

    model: ReadingModel
    tokenizer: PreTrainedTokenizerFast
    template: PairTemplate
    config: PretrainedConfig
    adapter: Adapter
    classes: tuple[str, ...] = ()
    """What the head chooses among, if it classifies; ``TargetNames`` where it gives several numbers."""
    unexpected: tuple[str, ...] = ()
    """Weights of the backbone's file that were not used."""
    fresh: tuple[str, ...] = ()
    """Weights of the backbone that were made anew (``backbone.reinit_layers``)."""


def assemble(recipe: Recipe, registry: Registry, *, device: torch.device, classes: tuple[str, ...] = ()) -> Assembled:
    """Backbone -> adapter -> head as the recipe says, on ``device``, float32.

    Fresh weights depend on the recipe's seed alone. ``classes`` are the labels, for heads that classify, or the names
    of several numbers.

    Raises:
        ModelError: anything about the backbone, its tokenizer or its length.
        PluginError: the adapter's or the head's.
    """
    section = recipe.backbone
    tokenizer = tokenizer_of(section, registry)
    torch.manual_seed(derive_seed(recipe.seed, "initial weights"))
    backbone = load_backbone(
        section,
        attention=recipe.train.attention,
        device=device,
        vocabulary=vocabulary_of(tokenizer),
        padding=tokenizer.pad_token_id,
        registry=registry,
    )
    fresh = {}
    if section.reinit_layers:
        fresh = reinitialise_top(
            backbone.module,
            backbone.config,
            section.reinit_layers,
            seed=recipe.seed,
            trust_remote_code=section.trust_remote_code,
            registry=registry,
        )
    adapter: Adapter = build(registry, "adapters", recipe.adapter, NoRuntime())
    head = build_head(recipe, backbone.config, registry, classes=classes, tokenizer=tokenizer)
    adapted = adapter.apply(backbone.module)
    check_length(adapted, recipe.windows.max_length)
    check_trained(fresh, adapter=recipe.adapter.name)
    model = ReadingModel(adapted, head).to(device)
    template = template_for(tokenizer, backbone.config)
    return Assembled(model, tokenizer, template, backbone.config, adapter, classes, backbone.unexpected, tuple(fresh))


def use_gradient_checkpointing(backbone: nn.Module, model_type: str) -> None:
    """Let the encoder's layers keep only their inputs in training; the dropout of the second pass is that of the first.

    Raises:
        ModelError: the architecture cannot.
    """
    if not getattr(backbone, "supports_gradient_checkpointing", False):
        raise ModelError(f"train.gradient_checkpointing: the encoder {model_type} does not support it; leave it out")
    if getattr(backbone.config, "use_cache", False):
        backbone.config.use_cache = False  # type: ignore[union-attr]  # of no use to an encoder, and warned of
    how = {"use_reentrant": False}
    enable = getattr(backbone, "activation_checkpointing_enable", None)  # what newer versions of transformers call it
    if callable(enable):
        enable(activation_checkpointing_kwargs=how)
    else:
        backbone.gradient_checkpointing_enable(gradient_checkpointing_kwargs=how)  # type: ignore[operator]


def template_for(tokenizer: PreTrainedTokenizerFast, config: PretrainedConfig) -> PairTemplate:
    """The tokenizer's template, without type ids where the encoder has no table for them.

    A plugin's encoder is told that 0 is the question and 1 a context, so it gets none where they are something else.
    """
    template = PairTemplate.of(tokenizer)
    types = getattr(config, "type_vocab_size", None)
    highest = max(template.context_type, template.question_type, *template.suffix_types)
    sides = {template.question_type, *template.prefix_types}, {template.context_type, *template.suffix_types}
    if (isinstance(types, int) and types <= highest) or (is_offered(config) and sides != ({0}, {1})):
        return replace(template, has_types=False)
    return template


def build(registry: Registry, kind: Kind, ref: PluginRef, runtime: object) -> Any:
    """Build the component that a recipe block names."""
    return registry.build(kind, ref.name, ref.settings, runtime)


def build_head(
    recipe: Recipe,
    config: PretrainedConfig,
    registry: Registry,
    *,
    classes: tuple[str, ...] = (),
    tokenizer: PreTrainedTokenizerFast | None = None,
) -> nn.Module:
    """The recipe's head for a backbone of this configuration."""
    several = isinstance(classes, TargetNames)
    runtime = HeadRuntime(
        hidden_size=config.hidden_size,
        initializer_range=float(getattr(config, "initializer_range", 0.02)),
        n_best=recipe.predict.n_best,
        max_answer_length=recipe.predict.max_answer_length,
        no_answer=recipe.predict.no_answer,
        labels=() if several else classes,
        numbers=classes if several else (),
        layers=int(getattr(config, "num_hidden_layers", 0)),
        architecture=str(config.model_type),
        tokenizer=tokenizer,
    )
    head = build(registry, "heads", recipe.head, runtime)
    if not isinstance(head, nn.Module):
        raise ModelError(
            f"head {recipe.head.name!r} is not a torch.nn.Module, so its weights cannot be trained or saved"
        )
    return head


def check_length(backbone: nn.Module, max_length: int, *, setting: str = "windows.max_length") -> None:
    """A window longer than the position table would fail in the middle of training.

    Raises:
        ModelError: it is longer; ``setting`` is what the user calls it.
    """
    limit = length_limit(backbone)
    if limit is not None and max_length > limit:
        raise ModelError(f"{setting} is {max_length} but the backbone reads at most {limit} tokens")


def length_limit(backbone: nn.Module) -> int | None:
    """Tokens that the position table has room for; None without such a table. An encoder may say it itself."""
    if hasattr(backbone, "length_limit"):
        return backbone.length_limit  # type: ignore[return-value]
    limits = [
        module.num_embeddings - (0 if module.padding_idx is None else module.padding_idx + 1)
        for name, module in backbone.named_modules()
        if name.endswith(POSITION_TABLES) and isinstance(module, nn.Embedding)
    ]
    return min(limits, default=None)


def padding_for(device: torch.device, backbone: nn.Module, *, max_length: int) -> Padding:
    """How wide batches are there: on some devices rounded up, but never to more than the backbone reads.

    Args:
        device: where the backbone computes.
        max_length: the recipe's ``windows.max_length``: what any backbone reads, also one without a position table.
    """
    limit = length_limit(backbone)
    return Padding(WIDTHS.get(device.type, 1), max_length if limit is None else limit)


def retold(assembled: Assembled, recipe: Recipe, registry: Registry) -> Assembled:
    """The same weights with a head that was told of another recipe's ``predict`` block when it was built.

    Raises:
        PluginError: the head's weights depend on what it is told there.
    """
    head = build_head(recipe, assembled.config, registry, classes=assembled.classes, tokenizer=assembled.tokenizer)
    try:
        head.load_state_dict(assembled.model.head.state_dict())
    except RuntimeError as error:
        raise PluginError(
            f"the head {recipe.head.name!r} has other weights where n_best, max_answer_length or no_answer is another: "
            "this is a mistake in its plugin"
        ) from error
    device = next(assembled.model.parameters()).device
    return replace(assembled, model=ReadingModel(assembled.model.backbone, head.to(device)).eval())


def reinitialise_top(
    backbone: nn.Module,
    config: PretrainedConfig,
    layers: int,
    *,
    seed: int,
    trust_remote_code: bool = False,
    registry: Registry | None = None,
) -> dict[str, nn.Parameter]:
    """Give the top encoder layers the weights that a fresh model of this configuration has there.

    The model's own initialiser makes them, from an address of the seed: a layer gets the same weights however many
    layers are made anew, and nothing else is drawn differently. Pretraining has made the top layers good at another
    task; few examples are not enough to undo that.

    Args:
        backbone: as its adapter has not yet seen it; changed in place.
        config: its configuration.
        layers: how many, counted from the top.
        seed: the recipe's.
        trust_remote_code: whether the architecture's code may come from the hub.
        registry: the installed plugins; by default those of this process.

    Returns:
        The parameters with fresh weights, by name.

    Raises:
        ModelError: the backbone has fewer layers, or they cannot be told apart.

    Source: Zhang et al. 2021, "Revisiting Few-sample BERT Fine-tuning".
    """
    parts = backbone_parts(backbone)
    held = layer_count(parts)
    if held == 0:
        raise ModelError(f"backbone.reinit_layers: cannot find the encoder layers of {type(backbone).__name__}")
    if layers > held:
        raise ModelError(
            f"backbone.reinit_layers is {layers}, but {type(backbone).__name__} has {held} layers of its own"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "fresh layers"))
        anew = from_config(copy.deepcopy(config), registry or load_registry(), trust_remote_code=trust_remote_code)
    fresh = dict(anew.named_parameters())
    chosen = {
        name: parameter
        for name, parameter in backbone.named_parameters()
        if isinstance(part := parts[name], int) and part >= held - layers
    }
    with torch.no_grad():
        for name, parameter in chosen.items():
            parameter.copy_(fresh[name])
    return chosen


def check_trained(fresh: dict[str, nn.Parameter], *, adapter: str) -> None:
    """Refuse an adapter that would leave fresh weights as they are: random for ever.

    Raises:
        ModelError: names one of the frozen weights.
    """
    frozen = [name for name, parameter in fresh.items() if not parameter.requires_grad]
    if frozen:
        raise ModelError(
            f"the adapter {adapter!r} freezes weights that backbone.reinit_layers has made random ({frozen[0]}); "
            "use the adapter full, or freeze fewer layers, or leave reinit_layers out"
        )
