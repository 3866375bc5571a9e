"""The contract check of backbones: each fault has its reason."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from contract_faults import SETTINGS, fails
from torch import Tensor, nn

from qakit import testing
from qakit.api import BackboneOutput, BackboneRuntime, Component, NoSettings, RecipePath, Settings

HIDDEN = 6


class Good(nn.Module):
    """Each token's embedding and the window's mean."""

    hidden_size = HIDDEN

    def __init__(self, settings: Any, runtime: BackboneRuntime) -> None:
        super().__init__()
        self.embeddings = nn.Embedding(runtime.vocabulary, HIDDEN)
        self.dropout = nn.Dropout(0.1)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Any:
        return BackboneOutput(self.hidden(self.embeddings(input_ids), attention_mask[:, :, None]))

    def hidden(self, embedded: Tensor, mask: Tensor) -> Tensor:
        return self.dropout(embedded + (embedded * mask).sum(1, keepdim=True) / mask.sum(1, keepdim=True))


class NoModule:
    hidden_size = HIDDEN

    def __init__(self, settings: Any, runtime: BackboneRuntime) -> None: ...

    def __call__(self, input_ids: Tensor, attention_mask: Tensor) -> Any: ...


class NoSize(Good):
    hidden_size = None  # type: ignore[assignment]


class WrongSize(Good):
    hidden_size = HIDDEN + 1


class ReadsPadding(Good):
    def hidden(self, embedded: Tensor, mask: Tensor) -> Tensor:
        return super().hidden(embedded, torch.ones_like(mask))


class CountsPadding(Good):
    def hidden(self, embedded: Tensor, mask: Tensor) -> Tensor:
        return super().hidden(embedded, mask) / embedded.shape[1]


class MixesWindows(Good):
    def hidden(self, embedded: Tensor, mask: Tensor) -> Tensor:
        return super().hidden(embedded, mask) + (embedded[:, :1] * mask[:, :1]).mean(0)


class Deaf(Good):
    def hidden(self, embedded: Tensor, mask: Tensor) -> Tensor:
        return super().hidden(embedded, mask) * 0


class Counts(Good):
    """What it gives depends on how often it was asked."""

    calls = 0

    def hidden(self, embedded: Tensor, mask: Tensor) -> Tensor:
        if self.training:
            self.calls += 1
        return super().hidden(embedded, mask) + self.calls


class DrawsItsOwn(Good):
    def __init__(self, settings: Any, runtime: BackboneRuntime) -> None:
        super().__init__(settings, runtime)
        generator = torch.Generator()
        generator.seed()
        nn.init.normal_(self.embeddings.weight, generator=generator)


class Unused(Good):
    def __init__(self, settings: Any, runtime: BackboneRuntime) -> None:
        super().__init__(settings, runtime)
        self.lost = nn.Linear(2, 2)


class KeepsNothing(Good):
    """Its vectors are of no weight."""

    def __init__(self, settings: Any, runtime: BackboneRuntime) -> None:
        super().__init__(settings, runtime)
        self.learnt = 1.0

    def hidden(self, embedded: Tensor, mask: Tensor) -> Tensor:
        if self.training:
            self.learnt = 2.0
        return super().hidden(embedded, mask) * (1.0 if self.training else self.learnt)


class Infinite(Good):
    def hidden(self, embedded: Tensor, mask: Tensor) -> Tensor:
        return super().hidden(embedded, mask) / 0


class TakesMore(Good):
    def forward(self, input_ids: Tensor, attention_mask: Tensor, positions: Tensor) -> Any:  # type: ignore[override]
        raise AssertionError


def of(backbone: Any, **more: Any) -> Component[Any, Any, Any]:
    return Component("mine", "Mine", NoSettings, lambda settings, runtime: backbone(settings, runtime), **more)


def test_a_sound_one_passes() -> None:
    testing.check_backbone(of(Good), SETTINGS)


@pytest.mark.parametrize(
    ("backbone", "reason"),
    [
        (NoModule, "not a module"),
        (NoSize, "hidden_size is None, no number of dimensions"),
        (WrongSize, r"of shape \(4, 9, 6\); it must be \(B, T, 7\)"),
        (ReadsPadding, "what stands in the padding matters: use attention_mask"),
        (CountsPadding, "more padding gives another output"),
        (MixesWindows, "other windows of the batch matter"),
        (Deaf, "another first token gives the same vector"),
        (Counts, "no training could be resumed"),
        (DrawsItsOwn, "fresh weights depend on something else than torch's random numbers"),
        (Unused, r"lost\.weight gets no gradient"),
        (KeepsNothing, "something that matters is in no weight"),
        (Infinite, "not finite"),
        (TakesMore, "forward fails: TypeError"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_fault_has_its_reason(backbone: Any, reason: str) -> None:
    with pytest.raises(AssertionError, match=reason):
        testing.check_backbone(of(backbone), SETTINGS)


class Vectors(Settings):
    """A path that a model folder does not keep."""

    file: RecipePath


def test_a_path_without_a_default_could_not_be_left_out() -> None:
    component: Component[Any, Any, Any] = Component("mine", "Mine", Vectors, lambda settings, runtime: Good(0, runtime))
    with pytest.raises(AssertionError, match="building it again from its settings without paths raises"):
        testing.check_backbone(component, Vectors(file="vectors.txt"))


@pytest.mark.parametrize(
    ("made", "reason"), [(object(), "is object, no PreTrained"), (None, "is None, no PreTrainedTokenizerFast")]
)
def test_a_tokenizer_that_is_none(made: object, reason: str) -> None:
    with pytest.raises(AssertionError, match=reason):
        testing.check_backbone(of(Good, tokenizer=lambda settings: made), SETTINGS)


def test_a_build_that_raises() -> None:
    said, cause = fails(testing.check_backbone, None)
    assert "built NoneType, which is no backbone" in said
    assert cause is None
