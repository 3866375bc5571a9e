"""The backbone keeps qakit's contract."""

from __future__ import annotations

import pytest
from qakit_bilstm import BILSTM, BiLstmSettings

from qakit.testing import check_backbone, check_component


def test_the_component_is_declared_well() -> None:
    check_component("backbones", BILSTM)


@pytest.mark.parametrize("settings", [BiLstmSettings(), BiLstmSettings(embedding=5, width=3, layers=1, dropout=0.0)])
def test_the_encoder(settings: BiLstmSettings) -> None:
    check_backbone(BILSTM, settings)
