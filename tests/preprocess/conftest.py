"""Examples whose tokens are their letters, and preprocessors for small windows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from qakit.api import EncodedExamples, Example, Preprocessor, WindowRuntime
from qakit_preprocess import CENTRED, RANDOM_WINDOW, STRIDE

SPECIAL = 3
COMPONENTS = {component.name: component for component in (STRIDE, CENTRED, RANDOM_WINDOW)}


@pytest.fixture(scope="session")
def by_letters() -> Callable[[Sequence[Example]], EncodedExamples]:
    """Encode examples with a tokenizer that makes each letter a token; blanks and zero-width characters are none."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    from qakit.data.encode import encode

    letters = "abcdefghijklmnopqrstuvwxyz?"
    backend = Tokenizer(models.WordLevel({"[UNK]": 0} | {letter: n for n, letter in enumerate(letters, 1)}, "[UNK]"))
    backend.normalizer = normalizers.Replace(Regex("[ \u200b]"), "")
    backend.pre_tokenizer = pre_tokenizers.Split(Regex("."), behavior="isolated")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]")

    def encoded(examples: Sequence[Example]) -> EncodedExamples:
        return encode(examples, tokenizer)

    return encoded


@pytest.fixture(scope="session")
def build() -> Callable[..., Preprocessor]:
    """A preprocessor by name for windows with place for ``room`` context tokens beside a question of one token."""

    def built(name: str, *, room: int = 10, training: bool = True, seed: int = 0, **settings: Any) -> Preprocessor:
        component = COMPONENTS[name]
        runtime = WindowRuntime(room + 1 + SPECIAL, 1, SPECIAL, training, seed)
        return component.build(component.settings(**settings), runtime)  # type: ignore[arg-type]

    return built
