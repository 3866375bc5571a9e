"""What teachers add to the loss, against the same sum by hand, and how characters become the student's tokens."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_model import tiny_model, tiny_recipe

from qakit.data.batch import Batch
from qakit.errors import PluginError, UsageError
from qakit.modeling.model import ReadingModel
from qakit.protocols import HeadOutput
from qakit.recipe.staged import DistillSection
from qakit.testing.heads import made_up_batch
from qakit.training.distill import _at_temperature, _by_token, _in_order, distilled, teacher_of
from qakit.training.step import mean_loss
from qakit.values import LabelPrediction

SPANS = [("linear_span", {}), ("linear_span", {"answerability_weight": 0.5}), ("joint_span", {})]
SPANS += [("joint_span", {"interaction": 3}), ("crf", {"mode": "single_span"}), ("crf", {"mode": "bio"})]


def section(**settings: Any) -> DistillSection:
    return DistillSection(from_run="run", **settings)


def student_probabilities(model: ReadingModel, output: HeadOutput, batch: Batch, temperature: float) -> torch.Tensor:
    """(B, T, 2) by hand: the odds of each position of the context, and 1 for "no answer" at position 0."""
    odds = model.decoder.position_scores(output.scores, batch)  # type: ignore[attr-defined]
    found = torch.zeros(*batch.input_ids.shape, 2)
    for side, scores in enumerate((odds.start, odds.end)):
        for row in range(len(batch)):
            powers = torch.where(batch.context_mask[row], (scores[row].detach() / temperature).exp(), 0.0)
            powers[0] = 1.0
            found[row, :, side] = powers / powers.sum()
    return found


@pytest.mark.parametrize(("name", "settings"), SPANS)
def test_the_loss_is_that_of_the_labels_and_the_divergence_from_the_teacher(name: str, settings: Any) -> None:
    model, batch = tiny_model(name, **settings), made_up_batch()
    output = model(batch)
    student = student_probabilities(model, output, batch, 2.0)
    soft = torch.roll(student, 1, dims=0) * batch.attention_mask[..., None]
    soft[:, 1:][~batch.context_mask[:, 1:]] = 0.0
    soft[:, 0] += 1 - soft.sum(1)
    loss = distilled(
        section(weight=0.25, temperature=2), output.loss, output, replace(batch, soft_targets=soft), model.decoder
    )
    divergence = 0.0
    for row in range(len(batch)):
        for side in (0, 1):
            p, q = soft[row, :, side], student[row, :, side]
            divergence += float((p[p > 0] * (p[p > 0] / q[p > 0]).log()).sum()) / len(batch)
    assert loss.item() == pytest.approx(0.75 * output.loss.item() + 0.25 * 4 * divergence / 2, rel=1e-4)
    loss.backward()
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize(("name", "settings"), SPANS)
def test_a_student_that_agrees_with_its_teacher_has_nothing_to_learn(name: str, settings: Any) -> None:
    model, batch = tiny_model(name, **settings), made_up_batch()
    output = model(batch)
    soft = student_probabilities(model, output, batch, 1.0)
    loss = distilled(section(weight=1), output.loss, output, replace(batch, soft_targets=soft), model.decoder)
    assert loss.item() == pytest.approx(0, abs=1e-5)
    loss.backward()
    assert max(float(p.grad.abs().max()) for p in model.parameters() if p.grad is not None) < 1e-5


def test_classes_are_learnt_by_their_distribution() -> None:
    model, batch = tiny_model("classifier", labels=("a", "b", "c")), made_up_batch()
    output = model(batch)
    soft = torch.tensor([0.5, 0.3, 0.2]).expand(len(batch), 3)
    loss = distilled(
        section(weight=1, temperature=4), output.loss, output, replace(batch, soft_targets=soft), model.decoder
    )
    logs = (output.scores["logits"] / 4).log_softmax(1)
    expected = 16 * torch.nn.functional.kl_div(logs, soft, reduction="batchmean")
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_teacher_of_other_classes_is_refused_whatever_it_has_answered() -> None:
    """Who never says the third class might have another one there."""
    said, file = [LabelPrediction("q", "a", (0.6, 0.3, 0.1))], Path("nbest.jsonl")
    assert _in_order(said, "abc", file, told="cab").tolist() == pytest.approx(np.array([[0.3, 0.1, 0.6]], np.float32))
    with pytest.raises(UsageError, match=r"has the classes a, b, d, this recipe a, b, c"):
        _in_order(said, "abc", file, told="abd")
    assert _in_order(said, "abc", file, told=None).shape == (1, 3)
    with pytest.raises(UsageError, match="the class 'a' at another place"):
        _in_order(said, "bac", file, told=None)


def test_a_batch_without_soft_targets_has_the_heads_loss() -> None:
    model, batch = tiny_model(), made_up_batch()
    recipe = tiny_recipe().model_copy(update={"distill": section()})
    assert torch.equal(mean_loss(recipe, batch, 1, model=model, plain=model), model(batch).loss)


def test_a_head_that_stops_gradients_is_named() -> None:
    model, batch = tiny_model(), made_up_batch()
    output = model(batch)
    blind = HeadOutput(output.loss, {name: each.detach() for name, each in output.scores.items()})
    soft = torch.zeros(*batch.input_ids.shape, 2)
    with pytest.raises(PluginError, match="no gradients"):
        distilled(section(), output.loss, blind, replace(batch, soft_targets=soft), model.decoder)


@pytest.mark.parametrize(("name", "gives"), [("multiple_choice", "contexts"), ("classifier", "labels")])
def test_heads_that_cannot_learn_from_teachers_are_refused(name: str, gives: Any, monkeypatch: Any) -> None:
    """The classifier has no classes here: a regression."""
    monkeypatch.setattr("qakit.training.distill.open_run", lambda _: None)
    monkeypatch.setattr("qakit.training.distill.with_folds", lambda _: [])
    recipe = tiny_recipe().model_copy(update={"distill": section()})
    with pytest.raises(UsageError, match="cannot learn from teachers"):
        teacher_of(recipe, [], None, tiny_model(name).decoder, gives=gives, classes=())  # type: ignore[arg-type]


@st.composite
def texts(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of characters, and tokens that cover some of them, in order and apart."""
    cuts = draw(st.lists(st.integers(0, 30), min_size=2, max_size=12, unique=True).map(sorted))
    spans = [pair for pair in itertools.pairwise(cuts) if draw(st.booleans())]
    values = draw(st.lists(st.sampled_from([0.0, 0.0, 0.125, 0.25]), min_size=31, max_size=31))
    return np.array(values, np.float32), np.array(spans, np.int64).reshape(-1, 2)


@given(texts())
def test_each_character_goes_to_the_token_that_holds_it_or_to_its_neighbour(case: Any) -> None:
    values, offsets = case
    expected = np.zeros((len(offsets), 2))
    for at, value in enumerate(values):
        after = [token for token, (_, stop) in enumerate(offsets) if stop > at]
        before = [token for token, (start, _) in enumerate(offsets) if start <= at]
        if after:
            expected[after[0], 0] += value
        if before:
            expected[before[-1], 1] += value
    np.testing.assert_allclose(_by_token(values, values, offsets), expected, atol=1e-6)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=8).filter(lambda each: sum(each) > 0.1), st.floats(0.5, 5))
def test_a_temperature_keeps_the_order_and_the_sum(values: list[float], temperature: float) -> None:
    before = np.array([values], np.float32) / np.float32(sum(values))
    after = _at_temperature(before, temperature)
    assert float(after.sum()) == pytest.approx(1, abs=1e-5)
    assert (np.diff(after[0][np.argsort(before[0], kind="stable")]) >= -1e-6).all()
    np.testing.assert_allclose(_at_temperature(before, 1.0), before, atol=1e-6)
