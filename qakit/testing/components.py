"""What holds for every component, and for what it builds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from qakit.attribution import Owner, attributed
from qakit.components import KINDS, Component, ImportedBuild, ImportedFunction, Kind, Settings, singular
from qakit.discovery import component_problem
from qakit.entry_points import describe
from qakit.errors import PluginFaultError
from qakit.registry import built_fault
from qakit.returned import named


@contextmanager
def running(what: str, *, passing: type[Exception] | None = None) -> Iterator[None]:
    """Turn an exception of the component's code into an ``AssertionError``; what :mod:`qakit.attribution` tells of its
    methods keeps its words, and for all others ``what`` is the call.

    Args:
        passing: an exception that the contract allows.
    """
    try:
        yield
    except AssertionError:
        raise
    except PluginFaultError as fault:
        raise AssertionError(fault.what) from fault.__cause__
    except Exception as error:
        if passing is not None and isinstance(error, passing):
            raise
        raise AssertionError(f"{what} raises {describe(error)}") from error


def check_component(kind: Kind, component: Component[Any, Any, Any]) -> None:
    """The declaration is sound: name, one-line summary, documented frozen settings, callable build.

    Raises:
        AssertionError: with the reason.
    """
    assert kind in KINDS, f"{kind!r} is no kind of component; kinds are {', '.join(KINDS)}"
    problem = component_problem(component)
    assert problem is None, problem
    if isinstance(component.build, ImportedBuild):
        with running(f"importing {component.build.target}, the build of {component.name!r},"):
            component.build.load()
    for what, function in (("guess", component.guess), ("tokenizer", component.tokenizer)):
        if isinstance(function, ImportedFunction):
            with running(f"importing {function.target}, the {what} of {component.name!r},"):
                function.load()
    model: type[Settings] = component.settings
    assert model.model_config.get("frozen"), f"{model.__name__} must stay frozen"
    assert model.model_config.get("extra") == "forbid", f"{model.__name__} must refuse unknown settings"
    undocumented = [name for name, field in model.model_fields.items() if not field.description]
    assert not undocumented, f"{model.__name__}: without a description: {', '.join(undocumented)}"
    tries: object = component.tries
    assert isinstance(tries, tuple), f"tries is {named(tries)}, not a tuple of settings: ({{...}}, {{...}})"
    for settings in tries:
        assert isinstance(settings, Mapping), (
            f"tries holds {settings!r}, which is {named(settings)}, not settings by name"
        )
        with running(f"{model.__name__} of the tries {dict(settings)!r}"):
            model.model_validate(dict(settings))


def build_checked(kind: Kind, component: Component[Any, Any, Any], settings: Settings, runtime: Any) -> Any:
    """What the component builds, after checking that it is of its kind; each call's result is checked as in use."""
    assert isinstance(settings, component.settings), f"settings must be {component.settings.__name__}"
    with running(f"build of {component.name!r}"):
        built = component.build(settings, runtime)
    fault = built_fault(kind, built)
    assert fault is None, f"the {singular(kind)} {component.name!r} {fault}"
    return attributed(built, Owner.of(kind, component, "", ""))
