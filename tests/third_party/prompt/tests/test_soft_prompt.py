"""The adapter keeps qakit's contract."""

from __future__ import annotations

from qakit_soft_prompt import SOFT_PROMPT, SoftPromptSettings

from qakit.testing import check_adapter, check_component


def test_the_component_is_declared_well() -> None:
    check_component("adapters", SOFT_PROMPT)


def test_the_adapter() -> None:
    check_adapter(SOFT_PROMPT, SoftPromptSettings(vectors=4))
