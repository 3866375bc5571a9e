"""From installed entry points to plugins: each loaded, checked and called by itself, so that none can stop another."""

from __future__ import annotations

import contextlib
import inspect
import re
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, NoReturn

import pluggy

from qakit import hookspecs
from qakit.components import KINDS, Component, ImportedBuild, Kind, Settings
from qakit.entry_points import GROUP, PluginOrigin, describe, guarded, is_disabled, matches, origin_of
from qakit.problems import ProblemKind

NAME_PATTERN = re.compile(r"[a-z][a-z0-9_]*")
"""What a component may be called."""
_HOOK_PREFIX = "qakit_register_"


class _FaultError(Exception):
    """What is wrong with a plugin, as one line for its user."""


@dataclass(frozen=True, slots=True)
class LoadedPlugin:
    """A plugin that passed every check."""

    origin: PluginOrigin
    components: tuple[tuple[Kind, Component[Any, Any, Any]], ...]


@dataclass(frozen=True, slots=True)
class BrokenPlugin:
    """A plugin that cannot be used. Nothing of it is offered; an error only when a recipe needs it."""

    origin: PluginOrigin
    error: str
    """One line."""
    traceback: str
    """Empty when no exception was involved."""


@dataclass(frozen=True, slots=True)
class Discovery:
    """All plugins found, by what became of them, each in the order of their names."""

    loaded: tuple[LoadedPlugin, ...]
    broken: tuple[BrokenPlugin, ...]
    disabled: tuple[PluginOrigin, ...]
    unmatched: tuple[str, ...]
    """Patterns that were to switch something off and match no installed plugin."""


def installed_entry_points() -> tuple[EntryPoint, ...]:
    """Every installed entry point of the group."""
    return tuple(entry_points(group=GROUP))


def discover(candidates: Iterable[EntryPoint], *, disabled: Sequence[str] = ()) -> Discovery:
    """Load the plugins behind ``candidates``.

    Args:
        candidates: entry points, whatever their order.
        disabled: plugins to leave alone, as ``distribution:entry_point``, ``distribution`` or a pattern with ``*``.
    """
    found = sorted(((origin_of(candidate), candidate) for candidate in candidates), key=lambda pair: pair[0].name)
    loaded: list[LoadedPlugin] = []
    broken: list[BrokenPlugin] = []
    off: list[PluginOrigin] = []
    seen: set[str] = set()
    for origin, candidate in found:
        if is_disabled(origin, disabled):
            off.append(origin)
            continue
        plugin = load_plugin(origin, candidate.load if origin.name not in seen else _declared_twice)
        seen.add(origin.name)
        if isinstance(plugin, LoadedPlugin):
            loaded.append(plugin)
        else:
            broken.append(plugin)
    unmatched = tuple(pattern for pattern in disabled if not any(matches(pattern, origin) for origin, _ in found))
    return Discovery(tuple(loaded), tuple(broken), tuple(off), unmatched)


def suggestion(name: str, known: Iterable[str]) -> str:
    """``"; did you mean 'x'?"`` or nothing."""
    import difflib  # only messages need it

    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _declared_twice() -> NoReturn:
    raise _FaultError("the package declares this entry point twice")


def load_plugin(origin: PluginOrigin, load: Callable[[], Any]) -> LoadedPlugin | BrokenPlugin:
    """What ``load`` returns, a module or another object with hooks, as a plugin."""
    try:
        with _explain("cannot be imported"), guarded():
            plugin = load()
        with _explain("cannot be inspected"), guarded():
            manager = _manager_of(plugin, origin)
        components = tuple(_components(manager.hook))
    except _FaultError as fault:
        cause = fault.__cause__
        return BrokenPlugin(origin, str(fault), "".join(traceback.format_exception(cause)) if cause else "")
    return LoadedPlugin(origin, components)


@contextlib.contextmanager
def _explain(what: str) -> Iterator[None]:
    """Turn anything that a plugin's code raises (``SystemExit`` too) into a fault; Ctrl-C stays Ctrl-C."""
    try:
        yield
    except (_FaultError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise _FaultError(f"{what}: {describe(error)}") from error


def _manager_of(plugin: Any, origin: PluginOrigin) -> pluggy.PluginManager:
    """A plugin manager that holds this plugin only.

    One manager per plugin: a call reaches that plugin alone, and nothing of a refused plugin stays behind.
    """
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    known = sorted(name for name in vars(hookspecs) if name.startswith(_HOOK_PREFIX))
    for name in dir(plugin):
        options = manager.parse_hookimpl_opts(plugin, name)
        if options is None:
            _refuse_unmarked(plugin, name)
            continue
        hook = options.get("specname") or name
        if hook not in known:
            raise _FaultError(f"implements a hook that does not exist, {hook!r}{suggestion(hook, known)}")
        if options.get("wrapper") or options.get("hookwrapper"):
            raise _FaultError(
                f"{name} is a hook wrapper; qakit calls every plugin by itself, so there is nothing to wrap"
            )
    try:
        manager.register(plugin, name=origin.name)
    except pluggy.PluginValidationError as error:
        raise _FaultError(_argument_problem(plugin, manager, error)) from error
    if not any(manager.get_hookcallers(plugin) or ()):
        raise _FaultError("implements no hook; mark its functions with @hookimpl from qakit.api")
    return manager


def _argument_problem(plugin: Any, manager: pluggy.PluginManager, error: pluggy.PluginValidationError) -> str:
    """Which hook wants what it never gets."""
    for name in dir(plugin):
        options = manager.parse_hookimpl_opts(plugin, name)
        if options is None:
            continue
        hook = options.get("specname") or name
        extra = [
            repr(parameter.name)
            for parameter in inspect.signature(getattr(plugin, name)).parameters.values()
            if parameter.default is parameter.empty and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        ]
        if extra:
            return f"`{hook}` takes no arguments, not {', '.join(extra)}"
    # pluggy's text spans several lines and repeats the plugin; its last line is the reason.
    return f"has a hook with wrong arguments: {str(error).splitlines()[-1]}"


def _refuse_unmarked(plugin: Any, name: str) -> None:
    if not name.startswith(_HOOK_PREFIX):
        return
    function = getattr(plugin, name)
    # An imported specification is not an attempt at an implementation.
    if callable(function) and not hasattr(function, f"{GROUP}_spec"):
        raise _FaultError(f"{name} is not marked with @hookimpl, so it would never be called")


def _components(hooks: pluggy.HookRelay) -> Iterator[tuple[Kind, Component[Any, Any, Any]]]:
    for kind in KINDS:
        hook_name = f"{_HOOK_PREFIX}{kind}"
        with _explain(f"{hook_name} failed"), guarded():
            caller: pluggy.HookCaller = getattr(hooks, hook_name)
            results: list[Any] = caller()
        if len(results) < len(caller.get_hookimpls()):  # pluggy leaves out what is None
            raise _FaultError(f"{hook_name} returned None: return a list of components (is `return` missing?)")
        names: set[str] = set()
        for result in results:
            for item in _items(result, hook_name):
                problem = component_problem(item)
                if problem:
                    raise _FaultError(f"{hook_name}: {problem}")
                if item.name in names:
                    raise _FaultError(f"{hook_name}: two components are called {item.name!r}")
                names.add(item.name)
                yield kind, item


def _items(result: Any, hook_name: str) -> tuple[Any, ...]:
    if isinstance(result, Component):
        raise _FaultError(f"{hook_name} returned a single Component: return a list, also for one component")
    if isinstance(result, str | bytes) or not isinstance(result, Iterable):
        raise _FaultError(f"{hook_name} must return an iterable of Component, not {_type_name(result)}")
    with _explain(f"{hook_name} failed"), guarded():
        return tuple(result)


def component_problem(item: Any) -> str | None:
    """What is wrong with something that should be a :class:`~qakit.components.Component`, or None."""
    if not isinstance(item, Component):
        return f"an item is {_type_name(item)}, not a Component"
    if not isinstance(item.name, str) or not NAME_PATTERN.fullmatch(item.name):
        return f"{item.name!r} is no name: lower-case letters, digits and underscores, starting with a letter"
    checks: tuple[tuple[Callable[[], bool], str], ...] = (
        (lambda: isinstance(item.summary, str) and bool(item.summary.strip()), "its summary is empty"),
        (lambda: "\n" not in item.summary, "its summary is longer than one line"),
        (
            lambda: isinstance(item.settings, type) and issubclass(item.settings, Settings),
            "its settings are not a subclass of Settings",
        ),
        (
            lambda: "name" not in item.settings.model_fields,
            "a setting called 'name' cannot be set: in a recipe that key holds the component's name",
        ),
        (lambda: callable(item.build), "its build is not callable"),
        (lambda: item.guess is None or callable(item.guess), "its guess is not callable"),
        (lambda: item.tokenizer is None or callable(item.tokenizer), "its tokenizer is not callable"),
        (lambda: isinstance(item.version, int) and item.version >= 1, "its version is no whole number from 1 up"),
        (lambda: item.upgrade is None or callable(item.upgrade), "its upgrade is not callable"),
        (
            lambda: isinstance(item.problems, tuple) and all(isinstance(each, ProblemKind) for each in item.problems),
            "its problems are no tuple of ProblemKind",
        ),
        (
            lambda: not isinstance(item.build, ImportedBuild) or item.build.is_complete,
            f"its build {getattr(item.build, 'target', '')!r} is not of the form 'package.module:Name'",
        ),
    )
    return next((f"component {item.name!r}: {problem}" for check, problem in checks if not check()), None)


def _type_name(value: Any) -> str:
    return "None" if value is None else f"{type(value).__name__} {value!r:.60}"
