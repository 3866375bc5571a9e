"""A saved classifier in transformers' own classes, with equal outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertModel,
    RobertaConfig,
    RobertaModel,
)

from qakit.inference.scoring import prepare, score
from qakit.modeling.assemble import assemble
from qakit.modeling.folder import load_model, save_model
from qakit.recipe.model import Recipe
from qakit.registry import load_registry
from qakit.values import Example

CPU = torch.device("cpu")
SIZE: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 160,
}
EXAMPLES = [
    Example("0", "the people of the south"),
    Example("1", "the people", ("a great war in the city began " * 3,)),
    Example("2", "a king " * 40, ("a great war " * 40,)),
    Example("3", ""),
    Example("4", "", ("a king",)),
    Example("5", "a king " * 80),
]


def recipe(backbone: Path, **head: Any) -> Recipe:
    return Recipe.model_validate(
        {
            "data": {"reader": "squad"},
            "backbone": {"source": str(backbone)},
            "windows": {"max_length": 64},
            "preprocess": {"train": "truncate", "predict": "truncate"},
            "head": {"name": "classifier"} | head,
        }
    )


@pytest.fixture(params=["bert", "roberta"])
def backbone(request: pytest.FixtureRequest, tiny_backbone: Path, tmp_path: Path) -> Path:
    tokenizer = AutoTokenizer.from_pretrained(tiny_backbone)
    folder = tmp_path / request.param
    torch.manual_seed(0)
    if request.param == "bert":
        model = BertModel(BertConfig(vocab_size=len(tokenizer), **SIZE), add_pooling_layer=False)
    else:
        padding = tokenizer.pad_token_id
        config = RobertaConfig(vocab_size=len(tokenizer), pad_token_id=padding, type_vocab_size=2, **SIZE)
        model = RobertaModel(config, add_pooling_layer=False)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("classes", [("no", "yes"), ("a", "b", "c"), ()])
def test_transformers_loads_it_and_computes_the_same(backbone: Path, classes: tuple[str, ...], tmp_path: Path) -> None:
    registry, wanted = load_registry(), recipe(backbone)
    assembled = assemble(wanted, registry, device=CPU, classes=classes)
    torch.nn.init.normal_(assembled.model.head.features.linear.weight)  # type: ignore[union-attr, arg-type]
    save_model(assembled, tmp_path / "model", decision={})

    loaded = load_model(tmp_path / "model", wanted, registry, device=CPU)
    assert loaded.classes == classes
    prepared = prepare(EXAMPLES, loaded, wanted, registry)
    ours = torch.from_numpy(score(prepared, loaded, device=CPU, precision="fp32").scores)  # type: ignore[union-attr]

    theirs, report = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model", output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    assert theirs.config.num_labels == max(1, len(classes))
    if classes:
        assert [theirs.config.id2label[place] for place in range(len(classes))] == list(classes)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    for row, example in enumerate(EXAMPLES):
        inputs = tokenizer(
            example.question, *example.contexts, truncation="longest_first", max_length=64, return_tensors="pt"
        )
        with torch.inference_mode():
            logits = theirs.eval()(**inputs).logits[0]
        torch.testing.assert_close(ours[row], logits, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("head", [{"pooling": "mean"}, {"dense": False}, {"layer_pooling": 2}])
def test_what_transformers_cannot_compute_keeps_its_own_names(
    head: dict[str, Any], tiny_backbone: Path, tmp_path: Path
) -> None:
    registry, wanted = load_registry(), recipe(tiny_backbone, **head)
    assembled = assemble(wanted, registry, device=CPU, classes=("no", "yes"))
    save_model(assembled, tmp_path / "model", decision={})
    loaded = load_model(tmp_path / "model", wanted, registry, device=CPU)
    assert loaded.config.architectures is None
    for name, value in assembled.model.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[name], value), name
