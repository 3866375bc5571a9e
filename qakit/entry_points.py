"""Entry points of installed plugins before any of them is loaded: whose they are, and which are switched off.

The standard library alone: ``qakit --help`` reads this and nothing of a plugin's.
"""

from __future__ import annotations

import contextlib
import fnmatch
import os
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import Distribution, EntryPoint

GROUP = "qakit"
"""The entry point group of plugins: ``[project.entry-points.qakit]`` in a plugin's ``pyproject.toml``."""
COMMANDS_GROUP = "qakit.commands"
"""The one of their commands: ``[project.entry-points."qakit.commands"]``."""
DISABLE_VARIABLE = "QAKIT_DISABLE_PLUGINS"
"""Environment variable: plugins to switch off, comma-separated: ``dist:name``, ``dist`` or patterns with ``*``."""


@dataclass(frozen=True, slots=True)
class PluginOrigin:
    name: str
    """``distribution:entry_point``."""
    package: str
    """The distribution's name."""
    version: str

    def __str__(self) -> str:
        return f"{self.name} ({self.package} {self.version})"


def origin_of(candidate: EntryPoint) -> PluginOrigin:
    """Whose entry point it is."""
    if candidate.dist is None:  # made by hand, in a test
        return PluginOrigin(f"unknown:{candidate.name}", "unknown", "unknown")
    package, version = _identity(candidate.dist)
    return PluginOrigin(f"{package}:{candidate.name}", package, version)


@cache
def _identity(distribution: Distribution) -> tuple[str, str]:
    """Name and version; cached because each access parses the whole metadata file, README included."""
    metadata = distribution.metadata
    return metadata["Name"], metadata["Version"]


def disabled_patterns() -> tuple[str, ...]:
    """What ``QAKIT_DISABLE_PLUGINS`` holds."""
    return tuple(name.strip() for name in os.environ.get(DISABLE_VARIABLE, "").split(",") if name.strip())


def is_disabled(origin: PluginOrigin, patterns: Iterable[str]) -> bool:
    """Whether one of the patterns switches this plugin off."""
    return any(matches(pattern, origin) for pattern in patterns)


def matches(pattern: str, origin: PluginOrigin) -> bool:
    """Whether ``dist:name``, ``dist`` or a pattern with ``*`` means this plugin."""
    wanted = normalised(pattern)
    return any(fnmatch.fnmatchcase(normalised(text), wanted) for text in (origin.name, origin.package))


def normalised(name: str) -> str:
    """A distribution's name as installers compare it: case, ``-``, ``_`` and ``.`` make no difference."""
    return re.sub(r"[-_.]+", "-", name).lower()


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Run a plugin's code: what it prints goes to stderr, since stdout belongs to the command's answer."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


def describe(error: BaseException) -> str:
    """An exception in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
