"""R-Drop, against the same loss put together by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_model import gradients, gradients_of, tiny_head, tiny_model, tiny_plan, tiny_recipe

from qakit.api import Distributions
from qakit.data.batch import Batch
from qakit.errors import PluginError, UsageError
from qakit.modeling.model import ReadingModel
from qakit.randomness import derive_seed
from qakit.testing.heads import made_up_batch
from qakit.training.r_drop import divergence, has_dropout
from qakit.training.tricks import check_tricks

HEADS = [
    ("linear_span", {}),
    ("linear_span", {"dropout": 0.3, "multi_sample_dropout": 2, "answerability_weight": 0.5}),
    ("joint_span", {}),
    ("joint_span", {"interaction": 3}),
    ("crf", {"mode": "single_span"}),
    ("crf", {"mode": "bio"}),
    ("classifier", {"labels": ("a", "b", "c")}),
    ("multiple_choice", {}),
    ("paragraph_scorer", {"paragraph_weight": 0.3}),
]
REGRESSION = ("classifier", {})


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000), st.integers(1, 5), st.integers(2, 9), st.floats(0.1, 3))
def test_it_is_the_symmetric_kullback_leibler_divergence(seed: int, rows: int, choices: int, weight: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    possible = torch.rand(rows, choices, generator=generator) < 0.6
    possible[:, 0] = True
    scores = [3 * torch.randn(rows, choices, generator=generator) for _ in range(2)]
    logs = [each.masked_fill(~possible, -1e30).log_softmax(1) for each in scores]
    found = divergence(*([Distributions(each, possible, rows, weight)] for each in logs))

    expected = 0.0
    for row in range(rows):
        p, q = (each[row][possible[row]].log_softmax(0) for each in scores)
        forth = F.kl_div(q, p, reduction="sum", log_target=True)  # torch's order: the second one is the truth
        back = F.kl_div(p, q, reduction="sum", log_target=True)
        expected += weight * float(forth + back) / 2 / rows
    assert float(found) == pytest.approx(expected, rel=1e-3, abs=1e-5)
    assert float(found) >= -1e-6


@pytest.mark.parametrize(("first", "second"), [(0, 0), (0, 1), (2, 1)])
def test_readings_of_different_kinds_are_not_compared(first: int, second: int) -> None:
    one = Distributions(torch.zeros(1, 1), torch.ones(1, 1, dtype=torch.bool), 1)
    with pytest.raises(PluginError, match=f"at least one: there are {first} and {second}"):
        divergence([one] * first, [one] * second)


@pytest.mark.parametrize(("name", "settings"), HEADS)
def test_the_loss_is_the_mean_of_both_readings_and_the_weighted_divergence(name: str, settings: Any) -> None:
    model, batch = tiny_model(name, backbone_dropout=0.4, **settings), made_up_batch()
    assert has_dropout(model)
    outputs = []
    for again in ((), ("again",)):
        torch.manual_seed(derive_seed(0, "dropout", 3, 0, *again))
        outputs.append(model(batch))
    kl = divergence(*(model.head.distributions(each.scores, batch) for each in outputs))
    assert kl.item() > 1e-6
    expected = (outputs[0].loss + outputs[1].loss) / 2 + 0.7 * kl
    model.zero_grad()
    expected.backward()
    wanted = gradients_of(model)
    assert gradients(model, r_drop={"weight": 0.7}) == pytest.approx(expected.item(), rel=1e-5)
    for name_, value in gradients_of(model).items():
        torch.testing.assert_close(value, wanted[name_], msg=name_)


@pytest.mark.parametrize(("name", "settings"), HEADS)
def test_each_heads_distributions_sum_up_to_their_number(name: str, settings: Any) -> None:
    head, batch = tiny_head(name, **settings), made_up_batch()
    found = head.distributions(head(torch.randn(4, 14, 16), batch).scores, batch)
    for each in found:
        total = each.log_probability[each.possible].exp().sum()
        assert float(total.detach()) == pytest.approx(each.count, rel=1e-4)
        assert each.log_probability.dtype == torch.float32
    assert {each.count for each in found} == {3 if head.reads == "group" else 4}


def negative_log_likelihood(name: str, found: list[Distributions], batch: Batch) -> float:
    """What the head's loss should be, from its distributions."""
    first, last, segment = batch.target_first, batch.target_last, batch.target_segment
    assert first is not None
    assert last is not None
    assert segment is not None
    if name == "linear_span":
        picked = [each.log_probability.gather(1, at[:, None]) for each, at in zip(found, (first, last), strict=True)]
        return -sum(each.weight * float(own.mean()) for each, own in zip(found, picked, strict=True))
    if name == "classifier":
        assert batch.target_label is not None
        return -float(found[0].log_probability.gather(1, batch.target_label.long()[:, None]).mean())
    if name == "multiple_choice":  # contexts 0, 2 and 3 are right
        return -float(found[0].log_probability[[0, 2, 3]].mean())
    width = (found[0].log_probability.shape[1] - 1) // 14  # spans by first position and length, "no answer" first
    place = torch.where(first > 0, 1 + first * width + last - first, 0)
    return -found[0].log_probability.gather(1, place[:, None]).mean().item()


@pytest.mark.parametrize(("name", "settings"), [HEADS[0], HEADS[2], HEADS[3], HEADS[4], HEADS[6], HEADS[7]])
def test_the_distributions_are_those_of_the_loss(name: str, settings: Any) -> None:
    head, batch = tiny_head(name, **settings).train(), made_up_batch()
    if name == "classifier":
        settings, head = {**settings, "dropout": 0.0}, tiny_head(name, dropout=0.0, **settings)
    output = head(torch.randn(4, 14, 16, generator=torch.Generator().manual_seed(1)), batch)
    found = head.distributions(output.scores, batch)
    assert output.loss.item() == pytest.approx(negative_log_likelihood(name, found, batch), rel=1e-4)


def test_the_paragraph_scorers_distributions_count_as_in_its_loss() -> None:
    """Half for the start, half for the end, and the weight of the paragraphs."""
    head, batch = tiny_head("paragraph_scorer", paragraph_weight=0.3), made_up_batch()
    found = head.distributions(head(torch.randn(4, 14, 16), batch).scores, batch)
    assert [each.weight for each in found] == [0.5, 0.5, 0.3]


def test_without_dropout_nothing_changes_and_the_user_is_told() -> None:
    model = tiny_model()
    plain = gradients(model)
    wanted = gradients_of(model)
    assert gradients(model, r_drop={"weight": 5.0}) == pytest.approx(plain, rel=1e-6)
    for name, value in gradients_of(model).items():
        torch.testing.assert_close(value, wanted[name], atol=1e-6, rtol=1e-4)
    assert not has_dropout(model)
    assert ["has no dropout" in line for line in remarks(model, "linear_span")] == [True]
    assert remarks(tiny_model(backbone_dropout=0.1), "linear_span") == []


def test_attention_that_is_given_a_rate_counts_as_dropout() -> None:
    model = tiny_model()
    for rate in (0.0, 0.1):
        model.backbone.attention_dropout = rate  # type: ignore[assignment]
        assert has_dropout(model) == (rate > 0)


def remarks(model: ReadingModel, head: str) -> list[str]:
    recipe = tiny_recipe(r_drop={}).model_copy(update={"head": tiny_recipe().head.model_copy(update={"name": head})})
    return list(check_tricks(recipe, model, tiny_plan(5, 10), validated=False))


def test_heads_whose_readings_cannot_be_compared_are_refused() -> None:
    with pytest.raises(UsageError, match="gives no probabilities here"):
        remarks(tiny_model("classifier", backbone_dropout=0.1), "classifier")
    model = tiny_model(backbone_dropout=0.1)
    model.head = torch.nn.Linear(2, 2)
    with pytest.raises(UsageError, match="the head 'mine' does not give the distributions"):
        remarks(model, "mine")


def test_readings_of_different_kinds_are_a_fault_of_the_head() -> None:
    one = Distributions(torch.zeros(1, 1), torch.ones(1, 1, dtype=torch.bool), 1)
    with pytest.raises(PluginError, match="at least one: there are 0 and 1"):
        divergence([], [one])


@pytest.mark.parametrize("parts", [2, 3])
@pytest.mark.parametrize("name", ["linear_span", "multiple_choice"])
def test_unequal_parts_count_by_their_share(name: str, parts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The divergence of a whole step, where both readings differ by something that no seed moves."""
    calls = iter(np.tile([1.0, 1.4], 20))
    forward = ReadingModel._hidden

    def differs(self: ReadingModel, inputs: Any) -> torch.Tensor:
        return forward(self, inputs) * float(next(calls))

    monkeypatch.setattr(ReadingModel, "_hidden", differs)
    whole, cut = tiny_model(name), tiny_model(name)
    assert gradients(whole, r_drop={}) == pytest.approx(gradients(cut, parts=parts, r_drop={}), rel=1e-5)
    for key, value in gradients_of(whole).items():
        torch.testing.assert_close(gradients_of(cut)[key], value, atol=1e-6, rtol=1e-4)
