"""The adapter keeps qakit's contract."""

from __future__ import annotations

import pytest
from qakit_scales import SCALES, ScalesSettings
from qakit_scales.adapter import Scales
from torch import nn

from qakit.api import ModelError, ParameterRule
from qakit.testing import check_adapter, check_component


def test_the_component_is_declared_well() -> None:
    check_component("adapters", SCALES)


def test_the_adapter() -> None:
    check_adapter(SCALES, ScalesSettings())
    check_adapter(SCALES, ScalesSettings(targets=("query", "dense"), rate=1.0))


def test_factors_do_not_decay_and_a_backbone_without_the_layers_is_refused() -> None:
    scales = Scales(ScalesSettings(rate=5.0))
    assert scales.parameter_rule("key.factor") == ParameterRule(decays=False, rate=5.0)
    with pytest.raises(ModelError, match="no linear layer is called key or value; known: dense"):
        scales.apply(nn.ModuleDict({"dense": nn.Linear(2, 2)}))
