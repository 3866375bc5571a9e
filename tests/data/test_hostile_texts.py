"""Texts of any Unicode through every style of tokenizer, from characters to answers and back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from qakit.data.collate import Collator, owned_tokens
from qakit.data.encode import encode
from qakit.data.template import PairTemplate
from qakit.data.windows import Windows
from qakit.inference.nbest import SpanTable, span_predictions
from qakit.inference.spans import best_spans
from qakit.protocols import Preprocessor, SpanCandidates, WindowRuntime
from qakit.registry import load_registry
from qakit.values import Answer, Example

ODD = [
    "\U0001f600", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U00020bb7",  # astral, joined, a rare character
    "e\u0301", "\u0301", "a\u0323\u0307", "a\u0307\u0323", "ạ̈",  # combining marks, in either order
    "ﬁ", "Ⅷ", "㎏", "ｶﾞ", "Å", "ẞ", "İ", "ß", "ﷺ",  # normalisers and lower case change their number of characters
    "שלום", "مرحبا", "\u202eabc\u202c", "\u200f",  # right to left, and marks of direction
    "\u200b", "\u200d", "\ufeff", "\u2060", "\xad",  # nothing to see
    "\x00", "\x1b", "\x7f", "\x85", "\r\n", "\r", "\n", "\t", "\u2028", "\u2029", "\x0b", "\x1c",
    "\u3000", "\xa0", "\u2003", " ", "  ",  # blanks
    "\ud800", "\udfff", "\ud83d\ude00",  # halves of characters, and the two halves of one
    "[SEP]", "[CLS]", "<s>", "</s>", "<pad>", "[UNK]", "##a", "▁", "Ġ",  # what tokenizers use themselves
    "台北", "the", "Norman", "ünïcödé", "1066", "-", ".", "x" * 120,
]  # fmt: skip
pieces = st.lists(st.sampled_from(ODD) | st.characters() | st.characters(categories=["Cs"]), max_size=14).map("".join)
texts = pieces | st.text(max_size=12)
# Joined texts may hold the two halves of a character side by side, as JSON's escapes can; Python keeps them apart.


@st.composite
def examples(draw: st.DrawFn) -> list[Example]:
    made = []
    for row in range(draw(st.integers(1, 3))):
        contexts = tuple(draw(st.lists(texts, min_size=1, max_size=3)))
        which = draw(st.integers(0, len(contexts) - 1))
        start = draw(st.integers(0, len(contexts[which])))
        end = draw(st.integers(start, len(contexts[which])))
        answers = (Answer(contexts[which][start:end], start, which),) if end > start else ()
        made.append(Example(f"q{row}", draw(texts), contexts, answers))
    return made


def preprocessor(name: str, template: PairTemplate, max_length: int) -> Preprocessor:
    runtime = WindowRuntime(max_length, 4, template.special_tokens, False, 0, separator_tokens=len(template.middle))
    settings = {"overlap": 2} if name == "stride" else {}
    built: Preprocessor = load_registry().build("preprocessors", name, settings, runtime)
    return built


def check_windows(windows: Windows, collator: Collator, max_length: int, counts: np.ndarray) -> None:
    """No window is too long, and every token of every context is in one."""
    assert (collator.lengths <= max_length).all()
    seen = [np.zeros(count, bool) for count in counts]
    for pair, first, stop in zip(windows.pair, windows.first, windows.stop, strict=True):
        assert 0 <= first <= stop <= counts[pair]
        seen[pair][first:stop] = True
    assert all(each.all() for each in seen)


SETTINGS = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("layout", ["stride", "concatenate"])
@SETTINGS
@given(made=examples(), seed=st.integers(0, 99), max_length=st.integers(12, 40), no_answer=st.booleans())
@example([Example("q", "", ("",), ())], 0, 12, False)
@example([Example("q", "\ud800", ("\ud83d\ude00\x00\u2028",), (Answer("\x00", 2),))], 0, 12, True)
def test_every_candidate_is_a_piece_of_its_context(
    tokenizer: PreTrainedTokenizerFast, layout: str, made: list[Example], seed: int, max_length: int, no_answer: bool
) -> None:
    template = PairTemplate.of(tokenizer)
    encoded = encode(made, tokenizer)
    windows = preprocessor(layout, template, max_length).windows(encoded, epoch=0)
    collator = Collator(encoded, windows, template, ownership=owned_tokens(windows))
    check_windows(windows, collator, max_length, encoded.context_lengths)

    table = SpanTable(len(windows), 5, encoded)
    generator = torch.Generator().manual_seed(seed)
    for rows in np.array_split(np.arange(len(windows)), 2):
        if not len(rows):
            continue
        batch = collator.collate(rows, targets=False)
        assert batch.input_ids.shape[1] <= max_length
        scores = torch.randn((2, *batch.input_ids.shape), generator=generator)
        first, last, score = best_spans(
            scores[0], scores[1], start_mask=batch.start_mask, end_mask=batch.context_mask, k=5, max_length=6
        )
        table.add(batch, SpanCandidates(first, last, score, scores[0, :, 0]))
    found = span_predictions(table, windows, encoded, made, n_best=5, no_answer=no_answer)
    assert [prediction.id for prediction in found] == [one.id for one in made]
    for one, prediction in zip(made, found, strict=True):
        for each in prediction.candidates:
            assert each.start is not None and each.end is not None
            assert one.contexts[each.context][each.start : each.end] == each.text
            assert each.text.strip() == each.text != ""
        assert prediction.answer in ("", *(each.text for each in prediction.candidates))
