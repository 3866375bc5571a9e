"""The chain with any number of answers: its loss, and the set that it decodes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from qakit.api import HeadRuntime
from qakit.testing import check_head, made_up_batch
from qakit_heads import CRF, CrfSettings
from qakit_heads.chain import BEGIN, INSIDE, OUTSIDE, log_partition, path_score
from qakit_heads.chain_spans import spans_of_path

RUNTIME = HeadRuntime(hidden_size=16, initializer_range=0.5, n_best=5, max_answer_length=4, no_answer=True, layers=3)


def head(**options: Any) -> Any:
    torch.manual_seed(0)
    return CRF.build(CrfSettings(spans="many", **options), RUNTIME)


@pytest.mark.parametrize("options", [{}, {"in_answer_weight": 0.5, "dropout": 0.1, "multi_sample_dropout": 2}])
def test_many_spans_keep_the_contract(options: Any) -> None:
    assert head(**options).gives == "sets"
    check_head(CRF, CrfSettings(spans="many", **options))


@pytest.mark.parametrize("other", [{"mode": "single_span"}, {"yes_no_weight": 1.0}, {"answerability_weight": 1.0}])
def test_what_goes_not_with_many_spans_is_refused(other: Any) -> None:
    with pytest.raises(ValidationError, match="spans: many needs mode: bio, and neither"):
        CrfSettings(spans="many", **other)


def test_the_target_is_the_path_with_all_answers() -> None:
    built = head().eval()
    hidden = torch.randn(4, 14, 16, generator=torch.Generator().manual_seed(2))
    others = {"other_first": torch.tensor([[0], [0], [0], [5]]), "other_last": torch.tensor([[0], [0], [0], [6]])}
    batch = replace(made_up_batch(), **others)
    tags = torch.zeros(4, 14, dtype=torch.int64)
    tags[0, 5], tags[0, 6:8], tags[2, 5], tags[3, 12] = BEGIN, INSIDE, BEGIN, BEGIN
    tags[3, 5], tags[3, 6] = BEGIN, INSIDE
    output = built(hidden, batch)
    given_all = output.scores["emissions"], built._transitions(), batch.context_mask
    torch.testing.assert_close(output.loss, (log_partition(*given_all) - path_score(*given_all, tags)).mean())


def test_broken_emissions_are_noticed_where_no_span_is_found() -> None:
    built, batch = head().eval(), made_up_batch(targets=False)
    emissions = torch.zeros(4, 14, 3)
    emissions[2, 5] = torch.nan
    found = built.decode({"emissions": emissions}, batch)
    assert torch.isnan(found.null).tolist() == [False, False, True, False]


def test_the_places_of_spans_that_a_window_has_not_are_0() -> None:
    built, batch = head().eval(), made_up_batch(targets=False)
    emissions = torch.zeros(4, 14, 3)
    emissions[..., OUTSIDE] = 9.0
    emissions[2, 5, BEGIN] = 30.0
    found = built.decode({"emissions": emissions}, batch)
    first, last = torch.zeros(4, 5, dtype=torch.int64), torch.zeros(4, 5, dtype=torch.int64)
    first[2, 0] = last[2, 0] = 5
    assert torch.equal(found.first, first) and torch.equal(found.last, last)
    assert torch.isfinite(found.score).sum() == 1


@settings(deadline=None)
@given(st.lists(st.sampled_from("OBI-"), min_size=1, max_size=12), st.integers(1, 4), st.randoms())
def test_spans_of_a_path_are_those_of_its_letters(letters: list[str], limit: int, draw: Any) -> None:
    text = "".join(letters)
    for bad, good in (("OI", "OB"), ("-I", "-B")):
        while bad in f"-{text}":
            text = f"-{text}".replace(bad, good)[1:]
    path = torch.tensor([["-OBI".index(letter) - 1 for letter in text]])
    mask = torch.tensor([[draw.random() < 0.7 for _ in text]])
    wanted = {}
    for at, letter in enumerate(text):
        if letter == "B":
            last = at + len(text[at + 1 :]) - len(text[at + 1 :].lstrip("I"))
            if mask[0, at] and last - at < limit:
                wanted[at] = last
    begins, lasts = spans_of_path(path, mask, limit=limit)
    assert {int(at): int(lasts[0, at]) for at in begins[0].nonzero()} == wanted
