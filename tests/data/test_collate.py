"""Windows -> tensors. Equality with transformers for single contexts is in test_equals_transformers.py."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from qakit.data.collate import Collator, Padding, owned_tokens
from qakit.data.encode import EncodedExamples, Places
from qakit.data.store import TokenStore
from qakit.data.template import PairTemplate
from qakit.data.windows import Windows
from qakit.values import Extra

CLS, SEP, END, PAD = 1, 2, 3, 9
TEMPLATE = PairTemplate(
    prefix=(CLS,),
    middle=(SEP, SEP),
    suffix=(END,),
    prefix_types=(0,),
    middle_types=(0, 1),
    suffix_types=(1,),
    question_type=0,
    context_type=1,
    has_types=True,
    pad=PAD,
    pad_type=5,
)
# Row 0: the question, tokens 10, 11; row 1: 20 to 29; row 2: 30 to 34; row 3: nothing.
STORE = TokenStore(
    ids=np.array([10, 11, *range(20, 30), *range(30, 35)], np.int32),
    offsets=np.zeros((17, 2), np.int32),
    pointers=np.array([0, 2, 12, 17, 17], np.int64),
)
ENCODED = EncodedExamples(
    store=STORE,
    query=np.array([0, 3], np.int32),
    pointers=np.array([0, 2, 3], np.int64),
    context=np.array([1, 2, 3], np.int32),
    answer_first=np.array([4, -1, -1], np.int32),
    answer_stop=np.array([6, -1, -1], np.int32),
    answerable=np.array([1, 0], np.int8),
    label=np.array([1, np.nan], np.float32),
    relevant=np.array([0, -1], np.int32),
    key=np.array([0, 1], np.int64),
)


def windows(*rows: tuple[int, int, list[tuple[int, int, int, int, int]]]) -> Windows:
    """Windows from (example, question tokens, [(pair, first, stop, answer first, answer stop), ...])."""
    segments = np.array([segment for _, _, listed in rows for segment in listed], np.int32).reshape(-1, 5)
    return Windows(
        np.array([row[0] for row in rows], np.int32),
        np.array([row[1] for row in rows], np.int32),
        np.cumsum([0, *(len(row[2]) for row in rows)]).astype(np.int64),
        *segments.T,
    )


WINDOWS = windows(
    (0, 2, [(0, 0, 4, -1, -1)]),
    (0, 2, [(0, 2, 8, 4, 6)]),
    (0, 1, [(0, 3, 6, 4, 6), (1, 1, 3, -1, -1), (1, 0, 0, -1, -1)]),
    (1, 0, [(2, 0, 0, -1, -1)]),
)
ALL = np.arange(4)


def test_ids_types_and_mask() -> None:
    batch = Collator(ENCODED, WINDOWS, TEMPLATE).collate(ALL, targets=False)
    assert batch.input_ids.tolist() == [
        [CLS, 10, 11, SEP, SEP, 20, 21, 22, 23, END, PAD, PAD, PAD, PAD],
        [CLS, 10, 11, SEP, SEP, 22, 23, 24, 25, 26, 27, END, PAD, PAD],
        [CLS, 10, SEP, SEP, 23, 24, 25, SEP, SEP, 31, 32, SEP, SEP, END],
        [CLS, SEP, SEP, END, *[PAD] * 10],
    ]
    assert batch.token_type_ids is not None
    assert batch.token_type_ids[0].tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 5, 5, 5, 5]
    assert batch.token_type_ids[2].tolist() == [0, 0, 0, 1, 1, 1, 1, 0, 1, 1, 1, 0, 1, 1]
    assert batch.attention_mask.sum(1).tolist() == [10, 12, 14, 4]
    assert len(batch) == 4


def test_lengths_are_those_of_the_rows() -> None:
    collator = Collator(ENCODED, WINDOWS, TEMPLATE)
    assert collator.lengths.tolist() == collator.collate(ALL, targets=False).attention_mask.sum(1).tolist()


def test_where_the_tokens_come_from() -> None:
    batch = Collator(ENCODED, WINDOWS, TEMPLATE).collate(ALL, targets=False)
    real = batch.token >= 0
    assert (STORE.ids[batch.token[real]] == batch.input_ids.numpy()[real]).all()
    assert batch.segment[2].tolist() == [-1, -1, -1, -1, 2, 2, 2, -1, -1, 3, 3, -1, -1, -1]
    assert (batch.context_mask.numpy() == (batch.segment >= 0)).all()
    assert torch.equal(batch.start_mask, batch.context_mask)
    assert batch.example.tolist() == [0, 0, 0, 1]


def test_targets_are_input_positions_and_zero_without_answer() -> None:
    batch = Collator(ENCODED, WINDOWS, TEMPLATE).collate(ALL, targets=True)
    assert batch.target_first is not None and batch.target_last is not None
    assert batch.target_first.tolist() == [0, 7, 5, 0]
    assert batch.target_last.tolist() == [0, 8, 6, 0]
    assert batch.input_ids[1, 7:9].tolist() == batch.input_ids[2, 5:7].tolist() == [24, 25]
    assert Collator(ENCODED, WINDOWS, TEMPLATE).collate(ALL, targets=False).target_first is None


def test_of_two_answers_in_one_window_the_first_counts() -> None:
    twice = windows((0, 2, [(0, 4, 6, 4, 6), (0, 3, 6, 4, 6)]))
    batch = Collator(ENCODED, twice, TEMPLATE).collate(np.array([0]), targets=True)
    assert batch.target_first.tolist() == [5]


def test_further_places_of_the_answer_are_targets_of_the_windows_that_hold_them() -> None:
    places = Places(np.array([0, 0, 0]), np.array([0, 2, 6], np.int32), np.array([2, 3, 9], np.int32))
    batch = Collator(replace(ENCODED, others=places), WINDOWS, TEMPLATE).collate(ALL, targets=True)
    assert batch.target_first is not None and batch.other_first is not None
    assert batch.target_first.tolist() == [5, 7, 5, 0]  # window 0 lacks the first place, and has two others
    assert batch.target_last.tolist() == [6, 8, 6, 0]
    assert batch.other_first.tolist() == [[7], [5], [0], [0]]
    assert batch.other_last.tolist() == [[7], [5], [0], [0]]
    assert Collator(replace(ENCODED, others=places), WINDOWS, TEMPLATE).collate(ALL, targets=False).other_first is None
    assert Collator(ENCODED, WINDOWS, TEMPLATE).collate(ALL, targets=True).other_first is None


def test_which_context_holds_the_answer_and_which_label_the_example_has() -> None:
    batch = Collator(ENCODED, WINDOWS, TEMPLATE).collate(ALL, targets=True)
    assert batch.contexts.tolist() == [[0, -1, -1], [0, -1, -1], [0, 1, 1], [2, -1, -1]]
    assert batch.segment_number[2].tolist() == [-1, -1, -1, -1, 0, 0, 0, -1, -1, 1, 1, -1, -1, -1]
    assert batch.target_segment is not None and batch.target_label is not None
    assert batch.target_segment.tolist() == [0, 0, 0, -1]  # also where the window does not hold the answer itself
    assert batch.target_label[:3].tolist() == [1.0, 1.0, 1.0]
    assert batch.target_label[3].isnan()
    second = windows((0, 1, [(1, 0, 0, -1, -1), (0, 0, 2, -1, -1)]))  # an empty segment counts
    batch = Collator(ENCODED, second, TEMPLATE).collate(np.array([0]), targets=True)
    assert batch.target_segment.tolist() == [1]
    assert batch.segment_number.max() == 1
    assert Collator(ENCODED, WINDOWS, TEMPLATE).collate(ALL, targets=False).target_segment is None


def test_examples_and_contexts_are_numbered_within_the_batch() -> None:
    batch = Collator(ENCODED, WINDOWS, TEMPLATE).collate(np.array([3, 2, 1]), targets=True)
    assert batch.example.tolist() == [0, 1, 1]  # in the order in which they come
    assert batch.examples == 2
    assert batch.contexts.tolist() == [[2, -1, -1], [0, 1, 1], [0, -1, -1]]
    assert batch.context_example.tolist() == [1, 1, 0]


def test_yes_and_no_are_targets_of_the_windows_with_the_evidence() -> None:
    held = windows((0, 2, [(0, 0, 5, -1, -1)]), (0, 2, [(1, 0, 5, -1, -1), (0, 5, 9, -1, -1)]), (1, 0, []))
    rows = np.array([0, 1, 2])
    assert Collator(ENCODED, held, TEMPLATE).collate(rows, targets=True).target_yes_no is None
    encoded = replace(ENCODED, yes_no=np.array([0, 2, 1], np.int8))
    batch = Collator(encoded, held, TEMPLATE).collate(rows, targets=True)
    assert batch.target_yes_no is not None
    assert batch.target_yes_no.tolist() == [0, 2, 0]


def test_a_window_of_the_question_alone() -> None:
    batch = Collator(ENCODED, windows((0, 2, []), (1, 0, [(2, 0, 0, -1, -1)])), TEMPLATE).collate(
        np.arange(2), targets=True
    )
    assert batch.input_ids.tolist() == [[CLS, 10, 11, END], [CLS, SEP, SEP, END]]
    assert batch.target_segment.tolist() == [-1, -1]
    assert batch.target_label[0] == 1.0


def test_rows_in_any_order_and_repeated() -> None:
    collator = Collator(ENCODED, WINDOWS, TEMPLATE)
    together = collator.collate(np.array([3, 1, 1]), targets=True)
    alone = collator.collate(np.array([1]), targets=True)
    assert together.window.tolist() == [3, 1, 1]
    for row in (1, 2):
        assert together.input_ids[row].tolist() == alone.input_ids[0].tolist()
        assert together.segment[row].tolist() == alone.segment[0].tolist()
        assert together.target_first[row] == alone.target_first[0]


def test_starts_are_kept_to_the_tokens_that_a_window_owns() -> None:
    two = windows((0, 2, [(0, 0, 6, -1, -1)]), (0, 2, [(0, 4, 10, -1, -1)]))
    batch = Collator(ENCODED, two, TEMPLATE, ownership=owned_tokens(two)).collate(np.arange(2), targets=False)
    owned = [batch.input_ids[row][batch.start_mask[row]].tolist() for row in range(2)]
    assert owned == [[20, 21, 22, 23, 24], [25, 26, 27, 28, 29]]
    assert batch.context_mask.sum(1).tolist() == [6, 6]


def test_padding_to_a_multiple() -> None:
    batch = Collator(ENCODED, WINDOWS, TEMPLATE, padding=Padding(8)).collate(ALL[:1], targets=False)
    assert batch.input_ids.shape == (1, 16)
    assert batch.attention_mask.sum() == 10


def test_dtypes() -> None:
    batch = Collator(ENCODED, WINDOWS, TEMPLATE).collate(ALL, targets=True)
    for name in ("input_ids", "attention_mask", "token_type_ids", "target_first", "target_last", "example"):
        assert getattr(batch, name).dtype == torch.int64, name
    assert batch.context_mask.dtype == batch.start_mask.dtype == torch.bool
    assert (batch.token.dtype, batch.segment.dtype, batch.window.dtype) == (np.int64, np.int32, np.int64)


def test_no_type_ids_where_the_backbone_has_none() -> None:
    from dataclasses import replace

    batch = Collator(ENCODED, WINDOWS, replace(TEMPLATE, has_types=False)).collate(ALL, targets=False)
    assert batch.token_type_ids is None


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_to_moves_the_tensors_alone(device: str) -> None:
    batch = Collator(ENCODED, WINDOWS, TEMPLATE).collate(ALL, targets=True).to(torch.device(device))
    for name in (
        "input_ids",
        "attention_mask",
        "token_type_ids",
        "context_mask",
        "start_mask",
        "target_first",
        "context_example",
        "example",
    ):
        assert getattr(batch, name).device.type == device, name
    assert isinstance(batch.token, np.ndarray)


def test_a_question_without_contexts_ends_in_the_suffix_as_its_own() -> None:
    alone = windows((0, 2, []), (0, 2, [(0, 0, 2, -1, -1)]), (1, 0, []))
    collator = Collator(ENCODED, alone, TEMPLATE)
    batch = collator.collate(np.arange(3), targets=True)
    assert batch.input_ids.tolist() == [
        [CLS, 10, 11, END, PAD, PAD, PAD, PAD],
        [CLS, 10, 11, SEP, SEP, 20, 21, END],
        [CLS, END, PAD, PAD, PAD, PAD, PAD, PAD],
    ]
    assert batch.token_type_ids is not None
    assert batch.token_type_ids.tolist() == [
        [0, 0, 0, 0, 5, 5, 5, 5],
        [0, 0, 0, 0, 1, 1, 1, 1],
        [0, 0, 5, 5, 5, 5, 5, 5],
    ]
    assert collator.lengths.tolist() == batch.attention_mask.sum(1).tolist() == [4, 8, 2]
    assert batch.context_mask.sum(1).tolist() == [0, 2, 0]
    only = collator.collate(np.array([0]), targets=True)
    assert only.input_ids.tolist() == [[CLS, 10, 11, END]]
    assert only.target_label is not None
    assert only.target_label.tolist() == [1.0]


def test_a_window_has_what_the_reader_put_on_its_example():
    both = windows((1, 0, [(2, 0, 0, -1, -1)]), (0, 2, [(0, 0, 3, -1, -1)]), (0, 2, [(0, 3, 9, -1, -1)]))
    rows = np.array([2, 0, 1])
    assert Collator(ENCODED, both, TEMPLATE).collate(rows, targets=False).extras is None
    easy, hard = Extra({"level": "easy"}), Extra({"level": "hard"})
    known = Collator(replace(ENCODED, extras=(easy, hard)), both, TEMPLATE).collate(rows, targets=False)
    assert known.extras == (easy, hard, easy)
    assert known.to(torch.device("cpu")).extras == known.extras
