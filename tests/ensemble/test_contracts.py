"""The first-party ensemblers keep the contract that plugin authors check theirs against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from qakit import testing
from qakit.components import Component
from qakit_ensemble import CHAR_AVERAGE, MEAN, NBEST, VOTING

CLASSES, NUMBERS = ("x", "y", "x"), (1.5, 2.0)


@pytest.mark.parametrize(
    ("component", "labels"),
    [(VOTING, ()), (VOTING, CLASSES), (NBEST, ()), (CHAR_AVERAGE, ()), (MEAN, CLASSES), (MEAN, NUMBERS)],
)
def test_the_contract_holds(component: Component[Any, Any, Any], labels: Sequence[str | float]) -> None:
    testing.check_component("ensemblers", component)
    testing.check_ensembler(component, component.settings(), labels=labels)
