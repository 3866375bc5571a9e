"""Answers with several places: the probabilities of all of them add up."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from qakit.api import Batch, HeadRuntime, LearnsAnyPlace
from qakit.data.batch import numbered
from qakit.registry import load_registry
from qakit.testing import made_up_batch
from qakit_heads.grouped import among_windows

RUNTIME = HeadRuntime(hidden_size=16, initializer_range=0.5, n_best=5, max_answer_length=10, no_answer=True, layers=2)
SOFT = {"soft_labels": "jaccard"}
HEADS: list[tuple[str, dict[str, Any], float]] = [  # the loss is this share of a negative log-probability
    ("linear_span", {}, 0.5),
    ("linear_span", SOFT, 0.5),
    ("joint_span", {}, 1.0),
    ("joint_span", {"interaction": 3, **SOFT}, 1.0),
    ("crf", {"mode": "bio"}, 1.0),
    ("crf", {"mode": "single_span"}, 1.0),
]
SPANS = st.tuples(st.integers(3, 12), st.integers(0, 4)).map(lambda span: (span[0], min(12, span[0] + span[1])))


def head(name: str, **more: Any) -> Any:
    torch.manual_seed(0)
    return load_registry().build("heads", name, more, RUNTIME)


def one_window(first: int, last: int, *others: tuple[int, int]) -> Batch:
    """A window whose context is at positions 3 to 12, with its answer at one place or several."""
    batch, size = made_up_batch(), len(made_up_batch())
    cut = {
        field.name: value[3:]
        for field in fields(batch)
        if isinstance(value := getattr(batch, field.name), (Tensor, np.ndarray)) and len(value) == size
    }
    pairs = torch.tensor(others, dtype=torch.int64).reshape(1, -1, 2)
    return replace(
        replace(batch, **(cut | numbered(np.array([2]), np.array([[3]])))),
        target_first=torch.tensor([first]),
        target_last=torch.tensor([last]),
        other_first=pairs[:, :, 0] if others else None,
        other_last=pairs[:, :, 1] if others else None,
    )


@settings(max_examples=15)
@given(places=st.lists(SPANS, min_size=2, max_size=4, unique=True), seed=st.integers(0, 99))
@pytest.mark.parametrize(("name", "more", "share"), HEADS)
def test_any_place_is_right(name: str, more: dict[str, Any], share: float, places: Any, seed: int) -> None:
    built = head(name, **more)
    hidden = torch.randn(1, 14, 16, generator=torch.Generator().manual_seed(seed))

    def loss(*listed: tuple[int, int]) -> Tensor:
        found: Tensor = built(hidden, one_window(*listed[0], *listed[1:])).loss
        return found

    single = torch.stack([loss(place) for place in places])
    torch.testing.assert_close(loss(*places), -share * (-single / share).logsumexp(0), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(loss(places[0], (0, 0)), single[0], rtol=1e-4, atol=1e-5)  # 0 and 0 are no place


@pytest.mark.parametrize("name", ["linear_span", "joint_span", "crf", "paragraph_scorer"])
def test_the_heads_say_that_they_know(name: str) -> None:
    assert isinstance(head(name), LearnsAnyPlace)


@pytest.mark.parametrize(
    ("name", "more"),
    [(name, {"label_smoothing": 0.1, **more}) for name, more, _ in HEADS if name != "crf"],
)
def test_label_smoothing_is_the_same_where_no_answer_has_a_second_place(name: str, more: dict[str, Any]) -> None:
    """A column without places, as a batch has it whose other windows hold some, changes nothing."""
    built = head(name, **more)
    hidden = torch.randn(1, 14, 16, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(
        built(hidden, one_window(5, 7, (0, 0))).loss, built(hidden, one_window(5, 7)).loss, rtol=1e-5, atol=1e-5
    )


def test_any_place_is_right_for_the_paragraph_scorer() -> None:
    """Starts and ends apart: the sum of the places' shares of each."""
    built, batch = head("paragraph_scorer", paragraph_weight=0.0), one_window(5, 6, (8, 8), (10, 12))
    output = built(torch.randn(1, 14, 16, generator=torch.Generator().manual_seed(1)), batch)
    losses = []
    for name, right in (("start", [5, 8, 10]), ("end", [6, 8, 12])):
        logits = output.scores[name][0]
        losses.append(logits[[0, *range(3, 13)]].logsumexp(0) - logits[right].logsumexp(0))
    torch.testing.assert_close(output.loss, torch.stack(losses).mean())


def test_answers_longer_than_decoding_gives_and_losses_beside_the_span_know_all_places() -> None:
    short = replace(RUNTIME, max_answer_length=2)
    both = one_window(3, 6, (8, 12))
    for name in ("joint_span", "linear_span", "crf"):
        more = {"in_answer_weight": 1.0, "answerability_weight": 1.0}
        more |= {} if name == "crf" else {"label_smoothing": 0.1}
        built: Any = load_registry().build("heads", name, more, short)
        found = built(torch.randn(1, 14, 16), both).loss
        found.backward()
        assert torch.isfinite(found)
        assert found > 0


def test_among_all_windows_of_an_example_places_add_up() -> None:
    scores = torch.randn(2, 5)
    possible = torch.ones(2, 5, dtype=torch.bool)
    targets = [torch.tensor([1, -1]), torch.tensor([3, 0])]
    found = among_windows(scores, possible, targets, replace(made_up_batch(), example=torch.tensor([0, 0]), examples=1))
    torch.testing.assert_close(found, -scores.flatten().softmax(0)[[1, 3]].sum().log())
