"""Which components are installed: look up, list, check settings, build.

The core never imports a plugin and holds no list of them; first-party plugins come in by the same entry points as
anyone else's. No torch, no numpy.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import EntryPoint
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from qakit import protocols
from qakit.attribution import Owner, attributed, calling
from qakit.components import KINDS, Component, Kind, Settings, singular
from qakit.discovery import BrokenPlugin, Discovery, LoadedPlugin, discover, installed_entry_points, suggestion
from qakit.entry_points import DISABLE_VARIABLE, GROUP, PluginOrigin, disabled_patterns, normalised
from qakit.errors import PluginConflictError, PluginError, PluginLoadError, UnknownPluginError
from qakit.plugin_code import PluginCode, found, is_file_plugin, load_code, named_files
from qakit.trust import agree

PROTOCOLS: Mapping[Kind, type[Any]] = MappingProxyType(
    {
        "readers": protocols.Reader,
        "preprocessors": protocols.Preprocessor,
        "backbones": protocols.Backbone,
        "adapters": protocols.Adapter,
        "heads": protocols.Head,
        "postprocessors": protocols.Postprocessor,
        "ensemblers": protocols.Ensembler,
        "writers": protocols.Writer,
        "metrics": protocols.Metric,
        "observers": protocols.Observer,
    }
)
"""What a built component of each kind can do."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One component that a recipe can name."""

    kind: Kind
    component: Component[Any, Any, Any]
    plugin: str
    """``distribution:entry_point``."""
    package: str
    """The distribution's name; of a plugin file see :attr:`qakit.plugin_code.PluginCode.package`."""
    version: str

    @property
    def name(self) -> str:
        return self.component.name

    @property
    def origin(self) -> str:
        """For messages: plugin, package and version."""
        return f"{self.plugin} ({self.package} {self.version})"

    @property
    def owner(self) -> Owner:
        """Whose what it builds is."""
        return Owner.of(self.kind, self.component, self.package, self.version)


@dataclass(frozen=True, slots=True)
class Conflict:
    """Several components of one kind with one name: none of them can be used."""

    kind: Kind
    name: str
    entries: tuple[Entry, ...]

    def __str__(self) -> str:
        origins = " and ".join(entry.origin for entry in self.entries)
        return f"more than one {singular(self.kind)} is called {self.name!r}: {origins}"

    @property
    def remedy(self) -> str:
        """What the user can do; plugins from elsewhere come before qakit's own."""
        plugins = sorted(self.entries, key=lambda each: each.package == GROUP)
        packages = dict.fromkeys(each.package for each in plugins)
        if len(packages) == len(plugins):
            return f"name the package, too: {' or '.join(f'{package}:{self.name}' for package in packages)}"
        way = f"{DISABLE_VARIABLE}={','.join(each.plugin for each in plugins[:-1])}"
        return f"switch all but one off, as in {way}; to offer both, rename yours"


class Registry:
    """The installed components. Immutable after construction."""

    def __init__(self, discovery: Discovery) -> None:
        self.plugins: tuple[LoadedPlugin, ...] = discovery.loaded
        self.broken: tuple[BrokenPlugin, ...] = discovery.broken
        self.disabled: tuple[PluginOrigin, ...] = discovery.disabled
        self.unmatched: tuple[str, ...] = discovery.unmatched
        """Entries of ``QAKIT_DISABLE_PLUGINS`` that match no installed plugin."""
        self._first: tuple[Entry, ...] = ()
        self._entries = tuple(
            sorted(_entries(discovery.loaded), key=lambda entry: (KINDS.index(entry.kind), entry.name, entry.plugin))
        )

    def with_code(self, packages: Sequence[str]) -> Registry:
        """The same with plugin files that this process has run, by their packages: names mean theirs first."""
        other = copy.copy(self)
        plugins = [loaded[1] for package in packages if (loaded := found(package)) is not None]
        other._first = tuple(_entries(plugins))
        return other

    @classmethod
    def from_entry_points(cls, entry_points: Iterable[EntryPoint], *, disabled: Sequence[str] = ()) -> Registry:
        """A registry of exactly these entry points, without those that ``disabled`` names."""
        return cls(discover(entry_points, disabled=disabled))

    def entries(self, kind: Kind | None = None) -> tuple[Entry, ...]:
        """All components (of one kind), by kind and name; of conflicting ones each."""
        return tuple(entry for entry in self._entries if kind in (None, entry.kind))

    def names(self, kind: Kind) -> tuple[str, ...]:
        """The names of one kind, sorted; those of a recipe's own plugin files first."""
        own = [entry.name for entry in self._first if entry.kind == kind]
        return tuple(dict.fromkeys([*own, *(entry.name for entry in self.entries(kind))]))

    @property
    def upgrades(self) -> bool:
        """Whether some component's settings have had other versions."""
        return any(entry.component.version > 1 for entry in self._entries)

    @property
    def conflicts(self) -> tuple[Conflict, ...]:
        """Names that more than one plugin gives to a component of the same kind."""
        named: dict[tuple[Kind, str], list[Entry]] = {}
        for entry in self._entries:
            named.setdefault((entry.kind, entry.name), []).append(entry)
        return tuple(Conflict(kind, name, tuple(found)) for (kind, name), found in named.items() if len(found) > 1)

    def get(self, kind: Kind, name: str) -> Entry:
        """The component of that kind and name; ``PACKAGE:NAME`` is the one of a package.

        Raises:
            UnknownPluginError: nobody offers it; the message lists who might have.
            PluginConflictError: more than one plugin offers it.
        """
        package, _, own = name.rpartition(":")
        named = normalised(package)
        if is_file_plugin(package):
            loaded = found(package)
            offered = () if loaded is None else tuple(_entries([loaded[1]]))
        else:
            first = () if package else self._first
            offered = tuple(each for each in first if (each.kind, each.name) == (kind, own)) or self._entries
        called = (each for each in offered if (each.kind, each.name) == (kind, own))
        chosen = [each for each in called if named in ("", normalised(each.package))]
        if not chosen:
            raise UnknownPluginError(self._unknown(kind, name))
        if len(chosen) > 1:
            conflict = Conflict(kind, name, tuple(chosen))
            raise PluginConflictError(f"{conflict}; {conflict.remedy}")
        return chosen[0]

    def check_settings(self, kind: Kind, name: str, settings: Mapping[str, Any]) -> Settings:
        """The settings as the component's own model.

        Raises:
            PluginError: they don't fit; also as :meth:`get`.
        """
        entry = self.get(kind, name)
        with calling(entry.owner, "settings"):
            try:
                checked: Settings = entry.component.settings.model_validate(dict(settings))
            except ValidationError as error:
                problems = "; ".join(_setting_problem(problem, entry) for problem in error.errors(include_url=False))
                raise PluginError(f"{singular(kind)} {name!r}: {problems}") from None
        return checked

    def build(self, kind: Kind, name: str, settings: Mapping[str, Any], runtime: Any) -> Any:
        """The component, built and checked against the protocol of its kind; what fails in it is attributed to it.

        Args:
            settings: as a recipe gives them, without ``name``.
            runtime: what the core tells this kind of component: see :mod:`qakit.protocols`.

        Raises:
            PluginLoadError: a package that it needs is missing, or it is not what its kind must be.
            PluginFaultError: its code fails.
            PluginError: the settings don't fit; also as :meth:`get`.
        """
        entry = self.get(kind, name)
        checked = self.check_settings(kind, name, settings)
        owner = entry.owner
        with calling(owner, "build"):
            try:
                built = entry.component.build(checked, runtime)
            except (ImportError, PluginLoadError) as error:
                raise PluginLoadError(f"the {owner} cannot be built: {error}") from error
            fault = built_fault(kind, built)
        if fault:
            raise PluginLoadError(f"the {owner} {fault}")
        return attributed(built, owner)

    def _unknown(self, kind: Kind, name: str) -> str:
        names = self.names(kind)
        lines = [
            f"no {singular(kind)} is called {name!r}{suggestion(name, names)}",
            f"available: {', '.join(names)}" if names else f"no installed plugin offers {kind}",
        ]
        if self.broken:
            broken = ", ".join(plugin.origin.name for plugin in self.broken)
            lines.append(f"broken plugins, which may offer it: {broken} (`qakit plugins` says why)")
        if self.disabled:
            lines.append(f"switched off by {DISABLE_VARIABLE}: {', '.join(origin.name for origin in self.disabled)}")
        return "\n  ".join(lines)


@cache
def load_registry() -> Registry:
    """The registry of this process: every installed plugin but those that ``QAKIT_DISABLE_PLUGINS`` switches off, and
    the files that ``QAKIT_PLUGINS`` names, whose code is run for it.

    Raises:
        PluginLoadError: such a file cannot be used.
    """
    installed = discover(installed_entry_points(), disabled=disabled_patterns())
    return Registry(replace(installed, loaded=(*installed.loaded, *_named_files())))


def _named_files() -> Iterator[LoadedPlugin]:
    """Whoever names a file has agreed to its code."""
    for path in dict.fromkeys(named_files()):
        code = PluginCode.read(path)
        agree(code)
        yield load_code(code, path=path)


def built_fault(kind: Kind, built: Any) -> str | None:
    """Why something cannot be of that kind, to be read after the component's name; None when it can."""
    if isinstance(built, type):
        return f"built the class {built.__name__}; call it"
    missing = missing_members(kind, built)
    if missing:
        parts = ", ".join(repr(member) for member in missing)
        return f"built {type(built).__name__}, which is no {singular(kind)}: it lacks {parts}"
    if kind == "heads":
        for name, known in (("reads", protocols.READS), ("gives", protocols.GIVES)):
            value = getattr(built, name, known[0])  # `gives` is optional
            if value not in known:
                *others, last = (repr(each) for each in known)
                return f"built {type(built).__name__}, whose `{name}` is {value!r}, not {', '.join(others)} or {last}"
    return None


def missing_members(kind: Kind, built: Any) -> tuple[str, ...]:
    """Attributes that an object of that kind must have and ``built`` lacks (or has, but cannot be called)."""
    protocol = PROTOCOLS[kind]
    members = {name: getattr(protocol, name, None) for name in (*vars(protocol), *protocol.__annotations__)}
    public = {name: member for name, member in members.items() if not name.startswith("_") or name == "__call__"}
    return tuple(
        name
        for name, member in public.items()
        if not hasattr(built, name) or (callable(member) and not callable(getattr(built, name)))
    )


def _entries(plugins: Iterable[LoadedPlugin]) -> Iterable[Entry]:
    for plugin in plugins:
        origin = plugin.origin
        for kind, component in plugin.components:
            yield Entry(kind, component, origin.name, origin.package, origin.version)


def _setting_problem(problem: Mapping[str, Any], entry: Entry) -> str:
    """One pydantic error as plain words."""
    place = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"there is no setting {place!r}{suggestion(place, entry.component.settings.model_fields)}"
    if problem["type"] == "missing":
        return f"the setting {place!r} is required"
    message = str(problem["msg"])
    return f"{place}: {message[:1].lower()}{message[1:]}" if place else message
