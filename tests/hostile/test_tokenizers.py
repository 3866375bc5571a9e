"""Tokenizers that somebody else has written: they may not keep a command busy for ever, or fill the memory."""

from __future__ import annotations

import base64
import json
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from qakit.errors import ModelError
from qakit.modeling.backbones import load_tokenizer
from qakit.modeling.tokenizers import _growth

VOCABULARY = {name: place for place, name in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "##a"])}
SPECIAL = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
Change = Callable[[dict[str, Any]], object]


def replace(found: str, content: str, *, kind: str = "String") -> dict[str, Any]:
    return {"type": "Replace", "pattern": {kind: found}, "content": content}


def table(*texts: str) -> str:
    """A compiled table of characters: an empty trie, and the texts that it would lead to."""
    return base64.b64encode((0).to_bytes(4, "little") + b"\0".join(text.encode() for text in texts)).decode()


def nested(kind: str, key: str, depth: int) -> dict[str, Any]:
    inner: dict[str, Any] = {"type": "Lowercase"}
    for _ in range(depth):
        inner = {"type": kind, key: [inner]}
    return inner


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """``write(change, **settings)``: a folder with a small WordPiece tokenizer, changed."""

    def put(change: Change | str = lambda document: None, **settings: Any) -> str:
        tokenizer = Tokenizer(models.WordPiece(VOCABULARY, unk_token="[UNK]"))
        tokenizer.normalizer = normalizers.BertNormalizer()
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        document = json.loads(tokenizer.to_str())
        if not isinstance(change, str):
            change(document)
        text = change if isinstance(change, str) else json.dumps(document)
        (tmp_path / "tokenizer.json").write_text(text, "utf-8")
        known = {"tokenizer_class": "PreTrainedTokenizerFast", **SPECIAL, **settings}
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(known), "utf-8")
        return str(tmp_path)

    return put


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    """Of time and memory: what comes out is known in a moment, whatever the file asks for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    began = monotonic()
    resource.setrlimit(resource.RLIMIT_AS, (64 << 30, hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    assert monotonic() - began < 20


@pytest.mark.parametrize(
    ("normalizer", "told"),
    [
        (replace("a", "b " * 5000), "up to 10,000 characters of one"),
        (replace("a", "b" * 500, kind="Regex"), "up to 500 characters of one"),
        (replace("", "b" * 500), "up to 501 characters of one"),
        ({"type": "Sequence", "normalizers": [replace("a", "aa")] * 24}, "up to 16,777,216 characters of one"),
        ({"type": "Sequence", "normalizers": [replace("a", "aa")] * 2000}, "up to 1,000,000,000,000 characters of one"),
        ({"type": "Prepend", "prepend": "b " * 10_000}, "up to 20,001 characters of one"),
        ({"type": "Precompiled", "precompiled_charsmap": table("fi", "x" * 3000)}, "up to 3,000 characters of one"),
        ({"type": "Replace"}, "has a normalizer that cannot be read: 'pattern'"),
        ([1], "has a normalizer that cannot be read"),
    ],
    ids=str,
)
def test_rules_that_make_much_of_little_are_refused_before_they_run(
    write: Callable[..., str], normalizer: Any, told: str
) -> None:
    def change(document: dict[str, Any]) -> None:
        document["normalizer"] = normalizer
        entry = {"id": 5, "content": "a", "normalized": True, "special": False}
        document["added_tokens"] = [entry | dict.fromkeys(("single_word", "lstrip", "rstrip"), False)]

    with pytest.raises(ModelError) as caught:
        load_tokenizer(write(change))
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda document: document["model"]["vocab"].update(b=4_000_000_000), "gives 'b' the id 4,000,000,000"),
        (lambda document: document["model"].update(max_input_chars_per_word=10**12), "max_input_chars_per_word"),
        (lambda document: document["model"].update(continuing_subword_prefix="#" * 10**6), "before every piece"),
        (lambda document: document.update(normalizer=nested("Sequence", "normalizers", 100)), "cannot be loaded"),
        (lambda document: document.update(pre_tokenizer=nested("Sequence", "pretokenizers", 300)), "cannot be loaded"),
        ('{"a":' * 200_000 + "1" + "}" * 200_000, "cannot be loaded"),
        ("[" * 3_000_000, "cannot be loaded"),
        ("", "cannot be loaded"),
        ("null", "cannot be loaded"),
    ],
    ids=range(9),
)
def test_a_damaged_tokenizer_is_one_line(write: Callable[..., str], change: Change | str, told: str) -> None:
    with pytest.raises(ModelError) as caught:
        load_tokenizer(write(change))
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("length", [0, -5, float("nan"), "512", True, [512]], ids=str)
def test_a_length_that_is_none_is_refused(write: Callable[..., str], length: object) -> None:
    with pytest.raises(ModelError, match="has the model_max_length"):
        load_tokenizer(write(model_max_length=length))


@pytest.mark.parametrize("length", [512, 1e30, 1000000000000000019884624838656, 10**400, float("inf")])
def test_a_length_without_end_is_none_at_all(write: Callable[..., str], length: object) -> None:
    assert load_tokenizer(write(model_max_length=length)).tokenize("a") == ["a"]


def test_what_published_tokenizers_do_is_little() -> None:
    steps = [replace("``", '"'), replace("…", "..."), replace(" {2,}", "▁", kind="Regex"), {"type": "NFKC"}]
    assert _growth({"type": "Sequence", "normalizers": steps}) == 3.0
    assert _growth(None) == 1.0
