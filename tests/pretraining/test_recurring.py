"""Recurring spans: found as by trying everything, and hidden everywhere but once."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from qakit.data.batch import Batch
from qakit.pretraining.recurring import Recurring, recurring_spans
from qakit.pretraining.span_selection import HideSpans, SpanSelectionHead

QUESTION, PAD = 4, 0


def by_trying_everything(
    ids: list[int], begins: list[bool], content: list[bool], shortest: int, longest: int
) -> list[tuple[int, tuple[int, ...]]]:
    """For each length from the longest, each first place in order: all later places of the same tokens."""
    n, used, found = len(ids), set[int](), []
    for length, first in product(range(longest, shortest - 1, -1), range(n)):
        places: list[int] = []
        for start in range(first, n - length + 1):
            cells = set(range(start, start + length))
            edges = (start == 0 or begins[start]) and (start + length == n or begins[start + length])
            same = ids[start : start + length] == ids[first : first + length]
            apart = not places or start >= places[-1] + length
            if edges and same and apart and not cells & used and any(content[i] for i in cells):
                places.append(start)
        if len(places) > 1 and places[0] == first:
            found.append((length, tuple(places)))
            used |= {i for start in places for i in range(start, start + length)}
    return found


@given(data=st.data(), shortest=st.integers(1, 3), more=st.integers(0, 4))
def test_spans_are_those_of_a_brute_force_search(data: Any, shortest: int, more: int) -> None:
    ids = data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=24))
    flags = st.lists(st.booleans(), min_size=len(ids), max_size=len(ids))
    begins, content = data.draw(flags), data.draw(flags)
    found = recurring_spans(ids, begins, content, shortest=shortest, longest=shortest + more)
    expected = by_trying_everything(ids, begins, content, shortest, shortest + more)
    assert [(span.length, span.starts) for span in found] == expected


def test_the_longest_span_counts_and_its_parts_do_not() -> None:
    ids = [1, 2, 3, 9, 1, 2, 3, 8, 2, 7, 2]
    every = [True] * len(ids)
    found = recurring_spans(ids, every, every, shortest=1, longest=10)
    assert found == [Recurring(3, (0, 4)), Recurring(1, (8, 10))]
    assert recurring_spans(ids, every, [i not in (1, 2, 3) for i in ids], shortest=1, longest=10) == []


def hide(ids: list[int], spans: list[Recurring], rate: float, *, key: int = 5, epoch: int = 0) -> Any:
    line = np.array([[2, *ids, 3, PAD, PAD]])
    token = np.full(line.shape, -1)
    token[0, 1 : len(ids) + 1] = np.arange(len(ids))
    held: dict[str, Any] = dict.fromkeys(Batch.__slots__)
    held |= {"input_ids": torch.from_numpy(line), "token": token, "window": np.array([0])}
    held |= {"attention_mask": torch.from_numpy((np.arange(line.shape[1]) < len(ids) + 2).astype(np.int64)[None])}
    return HideSpans([spans], rate, QUESTION, PAD, 1)(Batch(**held), np.array([key]), epoch=epoch)


@given(data=st.data(), rate=st.floats(0.01, 0.9), epoch=st.integers(0, 3))
def test_what_is_hidden_can_be_read_off_where_it_stayed(data: Any, rate: float, epoch: int) -> None:
    ids = data.draw(st.lists(st.integers(10, 14), min_size=4, max_size=30))
    every = [True] * len(ids)
    spans = recurring_spans(ids, every, every, shortest=1, longest=5)
    if not spans:
        return
    batch = hide(ids, spans, rate, epoch=epoch)
    length = int(batch.attention_mask.sum())
    line = batch.input_ids[0].tolist()
    assert line[0] == 2
    assert line[length - 1] == 3
    assert set(line[length:]) <= {PAD}
    questions = batch.questions.tolist()
    assert line.count(QUESTION) == len(questions) > 0
    answers = {position: line[first : last + 1] for _, position, first, last in questions}
    assert all(QUESTION not in answer for answer in answers.values())
    back: list[int] = []
    for position in range(1, length - 1):
        back += answers.get(position, [line[position]])
    assert back == ids
    removed = sum(len(answer) for answer in answers.values())
    asked = {(first, last) for _, _, first, last in questions}
    assert removed <= max(1, round(rate * len(ids))) or len(asked) == 1


def test_each_epoch_hides_other_spans_or_keeps_another_place() -> None:
    ids = [10, 11, 12, 10, 13, 11, 14, 10, 12, 11]
    every = [True] * len(ids)
    spans = recurring_spans(ids, every, every, shortest=1, longest=3)
    lines = {tuple(hide(ids, spans, 0.2, epoch=epoch).input_ids[0].tolist()) for epoch in range(12)}
    assert len(lines) > 2
    assert hide(ids, spans, 0.2).input_ids.tolist() == hide(ids, spans, 0.2).input_ids.tolist()


def test_scores_are_those_of_splinters_own_head() -> None:
    from transformers import SplinterConfig
    from transformers.models.splinter.modeling_splinter import QuestionAwareSpanSelectionHead

    torch.manual_seed(0)
    ours = SpanSelectionHead(8, initializer_range=0.5, epsilon=1e-5)
    theirs = QuestionAwareSpanSelectionHead(SplinterConfig(hidden_size=8))
    pairs = {"query_start": "ask_start", "query_end": "ask_end", "start": "start", "end": "end"}
    with torch.no_grad():
        for name, own in pairs.items():
            block, mine = getattr(theirs, f"{name}_transform"), getattr(ours, own)
            block.dense.load_state_dict(mine[0].state_dict())
            block.LayerNorm.load_state_dict(mine[2].state_dict())
        theirs.start_classifier.load_state_dict(ours.match_start.state_dict())
        theirs.end_classifier.load_state_dict(ours.match_end.state_dict())
        hidden, positions = torch.randn(2, 6, 8), torch.tensor([[1, 3], [2, 5]])
        row = torch.tensor([0, 0, 1, 1])
        for own, other in zip(ours.scores(hidden, row, positions.flatten()), theirs(hidden, positions), strict=True):
            torch.testing.assert_close(own, other.reshape(4, 6))
