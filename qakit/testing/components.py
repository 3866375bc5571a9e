"""What holds for every component, and for what it builds."""

from __future__ import annotations

from typing import Any

from qakit.components import KINDS, Component, Kind, Settings
from qakit.discovery import component_problem
from qakit.registry import missing_members, singular


def check_component(kind: Kind, component: Component[Any, Any, Any]) -> None:
    """The declaration is sound: name, one-line summary, documented frozen settings, callable build.

    Raises:
        AssertionError: with the reason.
    """
    assert kind in KINDS, f"{kind!r} is no kind of component; kinds are {', '.join(KINDS)}"
    problem = component_problem(component)
    assert problem is None, problem
    model: type[Settings] = component.settings
    assert model.model_config.get("frozen"), f"{model.__name__} must stay frozen"
    assert model.model_config.get("extra") == "forbid", f"{model.__name__} must refuse unknown settings"
    undocumented = [name for name, field in model.model_fields.items() if not field.description]
    assert not undocumented, f"{model.__name__}: without a description: {', '.join(undocumented)}"


def build_checked(kind: Kind, component: Component[Any, Any, Any], settings: Settings, runtime: Any) -> Any:
    """What the component builds, after checking that it is of its kind."""
    assert isinstance(settings, component.settings), f"settings must be {component.settings.__name__}"
    built = component.build(settings, runtime)
    missing = missing_members(kind, built)
    assert not missing, f"{component.name!r} built no {singular(kind)}: it lacks {', '.join(missing)}"
    return built
