"""``drqa``, the backbone that trains without pretrained weights; tests/test_contracts.py has its contract."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from transformers import PreTrainedTokenizerFast

from qakit.api import BackboneRuntime, UsageError
from qakit.modeling.architectures import make
from qakit.modeling.assemble import template_for
from qakit.recipe.model import PluginRef
from qakit.registry import load_registry
from qakit_backbones import DrqaSettings
from qakit_backbones.drqa import BiLstm, Drqa, backwards, match_lengths

SMALL = DrqaSettings(embedding=5, width=3, layers=1, longest_match=1, dropout=0.0)


def test_a_tokenizer_that_does_not_tell_question_and_context_apart_is_refused() -> None:
    ids = torch.ones(1, 4, dtype=torch.int64)
    with pytest.raises(UsageError, match=r"token_type_ids.*backbone\.tokenizer"):
        Drqa(SMALL, BackboneRuntime(10, 0))(ids, torch.ones_like(ids))


def test_a_layer_is_torchs_own_over_packed_windows() -> None:
    torch.manual_seed(0)
    layer = BiLstm(5, 3)
    torch.manual_seed(0)
    peer = nn.LSTM(5, 3, batch_first=True, bidirectional=True)
    lengths = torch.tensor([4, 7, 1])
    hidden, mask = torch.randn(3, 7, 5), (torch.arange(7) < lengths[:, None]).long()
    packed = pack_padded_sequence(hidden, lengths, batch_first=True, enforce_sorted=False)
    wanted = pad_packed_sequence(peer(packed)[0], batch_first=True)[0]
    torch.testing.assert_close(layer(hidden, backwards(mask)) * mask[..., None], wanted)


@pytest.mark.parametrize(
    ("pair", "given"),
    [
        ("[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1", True),
        ("[CLS] $A [SEP] $B [SEP]", False),
        ("[CLS]:2 $A:0 [SEP]:0 $B:1 [SEP]:1", False),
    ],
)
def test_token_types_are_given_where_they_mean_what_a_plugin_is_told(pair: str, given: bool) -> None:
    words = Tokenizer(models.WordLevel({"[CLS]": 0, "[SEP]": 1, "[PAD]": 2, "a": 3}, unk_token="[PAD]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(pair=pair, special_tokens=[("[CLS]", 0), ("[SEP]", 1)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="[PAD]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )
    _, config = make(PluginRef(name="drqa"), load_registry(), vocabulary=4, padding=2, on_meta=True)
    assert template_for(tokenizer, config).has_types is given


def longest_common_run(context: list[int], at: int, question: list[int]) -> int:
    """Of the runs of ``context`` that hold ``at``, the length of the longest that stands in ``question``."""
    places = range(len(question))
    return max(
        (
            stop - start
            for start in range(at + 1)
            for stop in range(at + 1, len(context) + 1)
            if any(question[place : place + stop - start] == context[start:stop] for place in places)
        ),
        default=0,
    )


tokens = st.lists(st.integers(1, 3), min_size=1, max_size=8)


@given(tokens, tokens, st.integers(1, 5))
def test_a_match_is_as_long_as_the_longest_run_that_the_question_has_too(
    question: list[int], context: list[int], longest: int
) -> None:
    ids, asks = torch.tensor([[*question, 9, *context]]), torch.ones(1, len(question), dtype=torch.bool)
    found = match_lengths(ids, asks, longest)[0, len(question) + 1 :]
    assert found.tolist() == [min(longest, longest_common_run(context, at, question)) for at in range(len(context))]


def test_the_padding_of_a_shorter_question_matches_nothing() -> None:
    ids = torch.tensor([[1, 2, 3, 4], [1, 2, 2, 1]])
    asks = torch.tensor([[True, True, False], [True, False, False]])
    assert match_lengths(ids, asks, 4).tolist() == [[2, 2, 0, 0], [1, 0, 0, 1]]
