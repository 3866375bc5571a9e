"""What a contract check says of something that breaks the contract."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from qakit.api import Component, NoSettings

SETTINGS = NoSettings()


def component(built: Any) -> Component[Any, Any, Any]:
    return Component("mine", "Mine", NoSettings, lambda settings, runtime: built)


def fails(check: Callable[..., Any], built: Any, *arguments: Any) -> tuple[str, BaseException | None]:
    with pytest.raises(AssertionError) as caught:
        check(component(built), SETTINGS, *arguments)
    return str(caught.value), caught.value.__cause__
