"""Windows that grow by epoch: which length when, how many steps that makes, and what is refused."""

from __future__ import annotations

import math
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qakit.data.encode import encode
from qakit.data.template import PairTemplate
from qakit.modeling.backbones import load_tokenizer
from qakit.protocols import WindowRuntime
from qakit.recipe.by_epoch import ProgressiveSection
from qakit.recipe.model import Recipe
from qakit.registry import load_registry
from qakit.training.feed import Feed
from qakit.training.plan import Plan
from qakit.values import Answer, Example


def recipe(progressive: dict[str, Any] | None, *, epochs: float = 4, longest: int = 96, batch_size: int = 4) -> Recipe:
    return Recipe.model_validate(
        {
            "data": {"reader": "squad"},
            "backbone": {"source": "x"},
            "windows": {"max_length": longest, "max_question_length": 8},
            "train": {"epochs": epochs, "batch_size": batch_size, "progressive": progressive},
        }
    )


def feed_of(made: Recipe, backbone: Path, preprocessor: str = "stride") -> Feed:
    tokenizer = load_tokenizer(str(backbone))
    template = PairTemplate.of(tokenizer)
    context = "The Normans were the people who in the tenth century gave their name to Normandy in France. " * 12
    examples = [
        Example(f"q{n}", "who gave it", (context[n:],), (Answer("France", context.index("France") - n, 0),))
        for n in range(3)
    ]
    progressive = made.train.progressive
    lengths = [made.windows.max_length] if progressive is None else progressive.lengths
    return Feed(
        encode(examples, tokenizer),
        template,
        [
            load_registry().build(
                "preprocessors",
                preprocessor,
                {"negatives": "all"} if preprocessor == "stride" else {},
                WindowRuntime(length, 8, template.special_tokens, training=True, seed=0),
            )
            for length in lengths
        ],
        made.train,
        made.seed,
    )


@pytest.mark.parametrize("preprocessor", ["random_window", "centred"])
def test_each_epoch_has_windows_of_its_length(tiny_backbone: Path, preprocessor: str) -> None:
    made = recipe({"lengths": [32, 48, 96], "epochs": [1, 2]}, epochs=5)
    feed = feed_of(made, tiny_backbone, preprocessor)
    longest, previous = [], None
    for number in range(5):
        previous = feed.epoch(number, previous=previous)
        longest.append(int(previous.collator.lengths.max()))
    assert longest == [32, 48, 48, 96, 96]


def test_windows_that_are_not_redrawn_serve_again_within_a_length_only(tiny_backbone: Path) -> None:
    feed = feed_of(recipe({"lengths": [32, 96], "epochs": [2]}), tiny_backbone, "centred")
    first = feed.epoch(0)
    second = feed.epoch(1, previous=first)
    third = feed.epoch(2, previous=second)
    assert second.windows is first.windows
    assert third.windows is not first.windows
    resumed = feed.epoch(2, previous=first)  # a resumed run comes from epoch 0 at once
    assert np.array_equal(resumed.windows.stop, third.windows.stop)


@given(
    epochs=st.floats(2.01, 6), batch_size=st.integers(1, 7), counts=st.lists(st.integers(1, 2), min_size=1, max_size=2)
)
def test_the_plan_counts_the_steps_that_the_epochs_have(
    tiny_backbone: Path, epochs: float, batch_size: int, counts: list[int]
) -> None:
    lengths = [32, 64, 96][: len(counts) + 1]
    if sum(counts) >= epochs:
        counts = [1] * len(counts)
    made = recipe({"lengths": lengths, "epochs": counts}, epochs=epochs, batch_size=batch_size)
    feed = feed_of(made, tiny_backbone)
    whole, rest = int(epochs), epochs - int(epochs)
    batches = [len(feed.epoch(number).batches) for number in range(whole + 1)]
    assert len(set(batches)) > 1 or batch_size > 5  # shorter windows are more
    plan = Plan.of(made, feed)
    assert plan.steps == math.ceil(sum(batches[:whole]) + rest * batches[whole] - 1e-9)
    assert plan.ends == tuple(accumulate(batches[: math.ceil(epochs)]))


def test_max_steps_ends_the_plan(tiny_backbone: Path) -> None:
    made = recipe({"lengths": [32, 96]}, epochs=1000)
    feed = feed_of(made, tiny_backbone)
    first, later = (len(feed.epoch(number).batches) for number in (0, 1))
    train = made.train.model_copy(update={"max_steps": first + later + 1})
    plan = Plan.of(made.model_copy(update={"train": train}), feed)
    assert plan.steps == first + later + 1
    assert plan.ends == (first, first + later, first + 2 * later)
    assert plan.epochs == 2 + 1 / later
    short = made.train.model_copy(update={"max_steps": first - 1})
    assert Plan.of(made.model_copy(update={"train": short}), feed).ends == (first,)


def test_without_it_nothing_changes(tiny_backbone: Path) -> None:
    made = recipe(None, epochs=1.5)
    feed = feed_of(made, tiny_backbone)
    assert Plan.of(made, feed).steps == math.ceil(1.5 * len(feed.epoch(0).batches))


def test_stages_begin_where_the_one_before_ends() -> None:
    section = ProgressiveSection(lengths=[10, 20, 30], epochs=[2, 1, 7])
    assert section.begins == [0, 2, 3]
    assert [section.stage(epoch) for epoch in range(6)] == [0, 0, 1, 2, 2, 2]
    assert [ProgressiveSection(lengths=[10, 20]).stage(epoch) for epoch in range(3)] == [0, 1, 1]


@pytest.mark.parametrize(
    ("progressive", "epochs", "problem"),
    [
        ({"lengths": [64, 128]}, 4, "reaches 128 tokens, but windows.max_length is 96"),
        ({"lengths": [64, 64]}, 4, "lengths must grow"),
        ({"lengths": [32, 64, 96]}, 2, "reaches its last length after 2 epochs, but train.epochs is 2"),
        ({"lengths": [32, 64, 96], "epochs": [1]}, 4, "3 lengths need 2 epochs, not 1"),
        ({"lengths": []}, 4, "at least 1 item"),
    ],
)
def test_what_cannot_be_is_refused(progressive: dict[str, Any], epochs: float, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        recipe(progressive, epochs=epochs)
