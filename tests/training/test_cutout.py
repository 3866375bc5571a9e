"""Token cutout: what is hidden, what never is, and what decides it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qakit.data.batch import Batch
from qakit.data.encode import EncodedExamples, encode
from qakit.data.template import PairTemplate
from qakit.data.windows import Windows
from qakit.errors import ModelError
from qakit.modeling.backbones import load_tokenizer
from qakit.protocols import WindowRuntime
from qakit.recipe.by_epoch import TokenCutoutSection
from qakit.recipe.model import TrainSection
from qakit.registry import load_registry
from qakit.training.cutout import TokenCutout, token_cutout
from qakit.training.feed import Epoch, Feed, window_keys
from qakit.values import Answer, Example

TEXT = "the quick brown fox jumps over a lazy dog while seven old wizards watch from their tower in the north"
WORDS = TEXT.split()


def example(number: int) -> Example:
    words = WORDS[number % 5 :] + WORDS * 2
    context = " ".join(words)
    start = context.index("wizards")
    return Example(f"q{number}", "who watches the fox", (context,), (Answer("wizards watch", start, 0),))


class Setting:
    """Examples, tokenised, and what cuts and masks their windows."""

    def __init__(self, backbone: Path) -> None:
        self.tokenizer = load_tokenizer(str(backbone))
        self.template = PairTemplate.of(self.tokenizer)
        self.mask = int(self.tokenizer.mask_token_id)

    def epoch(self, number: int, examples: list[Example], section: TokenCutoutSection | None, **more: Any) -> Epoch:
        runtime = WindowRuntime(48, 16, self.template.special_tokens, training=True, seed=3)
        stride = load_registry().build("preprocessors", "stride", {"overlap": 20, "negatives": "all"}, runtime)
        return Feed(
            encode(examples, self.tokenizer),
            self.template,
            [stride],
            TrainSection(batch_size=3, **more),
            3,
            alteration=token_cutout(section, self.tokenizer, seed=3),
        ).epoch(number)

    def batch(self, number: int, section: TokenCutoutSection | None, rows: Any = None, examples: int = 4) -> Batch:
        epoch = self.epoch(number, [example(i) for i in range(examples)], section)
        return epoch.batch(np.arange(len(epoch.windows)) if rows is None else np.asarray(rows))


@pytest.fixture(scope="module")
def setting(tiny_backbone: Path) -> Setting:
    return Setting(tiny_backbone)


def test_only_tokens_of_texts_are_hidden_and_nothing_but_the_input_changes(setting: Setting) -> None:
    plain = setting.batch(0, None)
    cut = setting.batch(0, TokenCutoutSection(rate=0.5))
    differ = (plain.input_ids != cut.input_ids).numpy()
    assert (cut.input_ids.numpy()[differ] == setting.mask).all()
    assert (plain.token[differ] >= 0).all()
    real = int((plain.token >= 0).sum())
    assert 0.35 * real < differ.sum() < 0.55 * real  # some tokens are the answer's
    assert np.array_equal(plain.token, cut.token)
    for name in ("attention_mask", "token_type_ids", "context_mask", "target_first", "target_last"):
        assert torch.equal(getattr(plain, name), getattr(cut, name)), name


@given(rate=st.floats(0.01, 0.99), seed=st.integers(0, 5), epoch=st.integers(0, 3))
def test_the_answer_and_special_tokens_are_never_hidden(rate: float, seed: int, epoch: int) -> None:
    ids = torch.full((3, 12), 9)
    batch = Batch(
        **dict.fromkeys(Batch.__slots__, None)  # type: ignore[arg-type]
        | {"input_ids": ids, "token": np.tile([-1, 3, 4, -1, 5, 6, 7, 8, 9, 10, -1, -1], (3, 1))}
        | {"target_first": torch.tensor([5, 0, 4]), "target_last": torch.tensor([7, 0, 9]), "window": np.arange(3)}
    )
    cut = TokenCutout(TokenCutoutSection(rate=rate), 1, seed)(batch, np.array([4, 5, 6]), epoch=epoch)
    hidden = cut.input_ids.numpy() == 1
    assert not hidden[:, [0, 3, 10, 11]].any()
    assert not hidden[0, 5:8].any()
    assert not hidden[2, 4:10].any()


def test_the_answer_may_be_hidden_where_the_recipe_says_so(setting: Setting) -> None:
    def hidden_in_answers(section: TokenCutoutSection) -> int:
        batch = setting.batch(0, section)
        assert batch.target_first is not None
        assert batch.target_last is not None
        return sum(
            int((ids[first : last + 1] == setting.mask).sum())
            for ids, first, last in zip(batch.input_ids, batch.target_first, batch.target_last, strict=True)
            if first
        )

    assert hidden_in_answers(TokenCutoutSection(rate=0.9)) == 0
    assert hidden_in_answers(TokenCutoutSection(rate=0.9, keep_answer=False)) > 0


def test_a_window_is_cut_alike_in_any_batch_and_any_file_and_anew_in_each_epoch(setting: Setting) -> None:
    section = TokenCutoutSection(rate=0.3)
    whole = setting.batch(1, section)
    alone = setting.batch(1, section, rows=[2])
    width = alone.input_ids.shape[1]
    assert torch.equal(alone.input_ids[0], whole.input_ids[2, :width])
    more = setting.batch(1, section, examples=5)
    assert torch.equal(more.input_ids[: len(whole)], whole.input_ids)
    assert not torch.equal(setting.batch(2, section).input_ids, whole.input_ids)


def test_windows_of_an_example_have_addresses_of_their_own_in_any_order(setting: Setting) -> None:
    encoded: EncodedExamples = encode([example(0), example(1)], setting.tokenizer)
    blank = np.zeros(5, np.int32)
    of = np.array([1, 0, 1, 1, 0], np.int32)
    windows = Windows(of, blank, np.arange(6), blank, blank, blank, blank, blank)
    keys = window_keys(windows, encoded)
    assert len(set(keys.tolist())) == 5
    order = np.argsort(of, kind="stable")
    shuffled = replace(windows, example=of[order])
    assert window_keys(shuffled, encoded).tolist() == keys[order].tolist()


def test_a_tokenizer_without_a_mask_token_is_refused(setting: Setting, tiny_backbone: Path) -> None:
    tokenizer = load_tokenizer(str(tiny_backbone))
    tokenizer.mask_token = None
    with pytest.raises(ModelError, match=r"train\.token_cutout .* tokenizer has none"):
        token_cutout(TokenCutoutSection(), tokenizer, seed=0)
    assert token_cutout(None, tokenizer, seed=0) is None
