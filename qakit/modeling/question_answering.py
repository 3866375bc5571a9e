"""A published checkpoint with a question-answering head, as a model that reads batches.

Transformers' own class reads the tokens, so whatever stands between an encoder and its start and end scores (a dense
layer in ModernBERT and BigBird, attention to the question in Longformer) is as its authors made it.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForQuestionAnswering, PretrainedConfig, PreTrainedTokenizerFast

from qakit.errors import ModelError, UsageError
from qakit.modeling.assemble import Assembled, build, build_head, length_limit, template_for
from qakit.modeling.attention import attention_for
from qakit.modeling.backbones import from_checkpoint, tokenizer_of
from qakit.modeling.configs import load_config
from qakit.modeling.device import Precision
from qakit.modeling.model import ReadingModel
from qakit.modeling.smoke_test import try_encoder
from qakit.modeling.sources import BackboneSource
from qakit.names import few, one_line
from qakit.protocols import NoRuntime, TransformersNames
from qakit.recipe.model import Recipe
from qakit.registry import Registry
from qakit.runs import LAYOUT

DEFAULT_LENGTH = 384
"""Tokens of a window where neither the model nor the user wants others."""


class SpanLogits(nn.Module):
    """Transformers' model, seen as an encoder that has two numbers for each token: its start and its end score."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, **inputs: Tensor) -> SimpleNamespace:
        """``last_hidden_state`` (B, T, 2) float32."""
        inputs.pop("global_attention_mask", None)  # these classes find the question themselves
        output = self.model(**inputs)
        start, end = output.start_logits, output.end_logits
        return SimpleNamespace(last_hidden_state=torch.stack([start, end], dim=-1).float())


@dataclass(frozen=True, slots=True)
class Published:
    """A model of one of transformers' question-answering classes, and what its texts are read with."""

    name: str
    """For messages."""
    model: nn.Module
    tokenizer: PreTrainedTokenizerFast

    @property
    def architecture(self) -> str:
        """As transformers calls it: ``bert``."""
        config: Any = self.model.config
        return str(config.model_type)


def read_published(source: BackboneSource, recipe: Recipe, *, device: torch.device) -> Published:
    """A checkpoint of one of the encoders of ``AutoModelForQuestionAnswering``, none of its weights random.

    Raises:
        ModelError: transformers has no such model, the checkpoint has no head for it; anything about its tokenizer.
    """
    config = load_config(recipe.backbone, source)
    found = AutoModelForQuestionAnswering._model_mapping.get(type(config), None)
    if found is None:
        raise ModelError(
            f"model {source.name!r} is a {config.model_type}, for which transformers has no question-answering model; "
            "train one of qakit's heads on it with `qakit train`"
        )
    config._attn_implementation = attention_for(recipe.train.attention, device, config)
    model, report = from_checkpoint(found[0] if isinstance(found, tuple) else found, source, config)
    if missing := sorted(report["missing_keys"]):
        way = "name a model that is trained to answer, or train this one with `qakit train`"
        if (source.folder / LAYOUT).is_file():
            way = "its head is one of qakit's own: name its run"
        raise ModelError(
            f"model {source.name!r} has no question-answering head of transformers' ({few(missing, 3)} would be "
            f"random): {way}"
        )
    return Published(source.name, model, tokenizer_of(recipe.backbone))


def assemble_published(
    published: Published, recipe: Recipe, registry: Registry, *, device: torch.device, precision: Precision
) -> Assembled:
    """The model as one of ours that predicts.

    Its head is the recipe's, which reads the two numbers as they are: with the identity as its linear layer.

    Raises:
        ModelError: it does not read texts, or its tokenizer has no character offsets.
        UsageError: the recipe's head is none that could read two numbers.
    """
    module = SpanLogits(published.model).to(device).eval()
    config: Any = published.model.config
    template = template_for(published.tokenizer, config)
    try:
        try_encoder(module, template, device=device, precision=precision)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # whatever its forward function wants beside texts, or gives beside two scores a token
        raise ModelError(f"model {published.name!r} ({config.model_type}) cannot answer: {one_line(error)}") from error
    seen = PretrainedConfig.from_dict({"hidden_size": 2})  # the head's backbone: two numbers for each token
    head = build_head(recipe, seen, registry, tokenizer=published.tokenizer)
    identity = {"qa_outputs.weight": torch.eye(2), "qa_outputs.bias": torch.zeros(2)}
    names = head.transformers_names if isinstance(head, TransformersNames) else {}
    if set(names) != set(head.state_dict()) or set(names.values()) != set(identity):
        raise UsageError(f"head {recipe.head.name}: a model without a run answers with its own start and end scores")
    head.load_state_dict({own: identity[name] for own, name in names.items()})
    model = ReadingModel(module, head).to(device).eval()
    adapter = build(registry, "adapters", recipe.adapter, NoRuntime())
    return Assembled(model, published.tokenizer, template, seen, adapter)


def default_length(assembled: Assembled) -> int:
    """Tokens of a window where nobody says: what model and tokenizer read, at most :data:`DEFAULT_LENGTH`."""
    limits = (DEFAULT_LENGTH, assembled.tokenizer.model_max_length, length_limit(assembled.model.backbone))
    return int(min(limit for limit in limits if limit is not None))
