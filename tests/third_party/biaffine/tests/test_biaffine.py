"""The head keeps qakit's contract."""

from __future__ import annotations

import pytest
from qakit_biaffine import BIAFFINE_SPAN, BiaffineSettings

from qakit.testing import check_component, check_head


def test_the_component_is_declared_well() -> None:
    check_component("heads", BIAFFINE_SPAN)


@pytest.mark.parametrize("settings", [BiaffineSettings(), BiaffineSettings(width=3, dropout=0.0)])
def test_the_head(settings: BiaffineSettings) -> None:
    check_head(BIAFFINE_SPAN, settings)
