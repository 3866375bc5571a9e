"""Fixtures for the whole suite."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint, distributions
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from plugin_packages import write_package

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The developers' folder of real data beside the checkout; tests that want it are skipped without it."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the developers' data folder is not here")
    return folder


SAMPLES = ROOT / "recipes" / "samples"


@pytest.fixture(scope="session")
def samples() -> Path:
    """The SQuAD sample that the project ships."""
    return SAMPLES


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple[EntryPoint, ...]]]:
    """Puts modules and a distribution that declares them on the path; returns the distribution's entry points."""
    modules: list[str] = []

    def put(package: str, *, version: str = "1.0", **sources: str) -> tuple[EntryPoint, ...]:
        folder = tmp_path / package
        modules.extend(write_package(folder, package, version=version, sources=sources))
        monkeypatch.syspath_prepend(folder)
        (distribution,) = distributions(path=[str(folder)])
        return tuple(distribution.entry_points)

    yield put
    for module in modules:
        sys.modules.pop(module, None)


@pytest.fixture(scope="session")
def tiny_backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of two layers with random weights and a WordPiece tokenizer trained on the sample, in a folder."""
    import json

    import torch
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny-bert")
    articles = json.loads((SAMPLES / "squad-dev.json").read_text("utf-8"))["data"]
    texts = [paragraph["context"] for article in articles for paragraph in article["paragraphs"]]
    backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    backend.train_from_iterator(
        texts, trainers.WordPieceTrainer(vocab_size=800, special_tokens=special, show_progress=False)
    )
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=160,
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder
