"""Plugins that are one file of Python, known by their content.

A file that a command names (``qakit --plugin FILE``) is run because it is named. A recipe that lists one holds its text
once it is resolved, so every run, wherever it goes, has the code that it was made with; whether that is run is asked of
:mod:`qakit.trust`.
"""

from __future__ import annotations

import hashlib
import linecache
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from qakit.discovery import BrokenPlugin, LoadedPlugin, load_plugin
from qakit.entry_points import PluginOrigin
from qakit.errors import PluginLoadError, UsageError

FILES_VARIABLE = "QAKIT_PLUGINS"
"""Environment variable: plugin files beside the installed packages, separated as in ``PATH``."""
LARGEST = 256 * 1024
"""Bytes of a file; what is larger should be a package."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\.py")


@dataclass(frozen=True, slots=True)
class PluginCode:
    """The text of a plugin file."""

    file: str
    """Its name, without a folder."""
    code: str

    @classmethod
    def read(cls, path: Path) -> PluginCode:
        """A file's text.

        Raises:
            PluginLoadError: it cannot be read, or is none of Python.
        """
        try:
            size = path.stat().st_size
            content = path.read_bytes() if path.is_file() and size <= LARGEST else None
        except OSError as error:
            raise PluginLoadError(f"the plugin {path} cannot be read: {error.strerror}") from None
        if content is None:
            what = f"has {size:,} bytes" if path.is_file() else "is no file"
            raise PluginLoadError(f"the plugin {path} {what}: name one file of Python, or install a package")
        try:
            return cls(path.name, content.decode("utf-8")).checked()
        except UnicodeDecodeError as error:
            raise PluginLoadError(f"the plugin {path} is no UTF-8 text, from byte {error.start} on") from None

    def checked(self) -> PluginCode:
        """Itself.

        Raises:
            PluginLoadError: the name is none of a module.
        """
        if _NAME.fullmatch(self.file) is None:
            raise PluginLoadError(f"the plugin file {self.file!r} must be named like a module: my_head.py")
        return self

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.code.encode("utf-8")).hexdigest()

    @property
    def package(self) -> str:
        """What stands for a package's name: ``my_head.py@3f2a9c1b7d10``."""
        return f"{self.file}@{self.sha256[:12]}"


_loaded: dict[str, tuple[PluginCode, LoadedPlugin]] = {}
"""As ``sys.modules``: what this process has run, by its package."""


def is_file_plugin(package: str) -> bool:
    """Whether a package's name is that of a file."""
    return ".py@" in package


def refuse_file(package: str) -> None:
    """For what is to run elsewhere, where nobody has agreed to the code.

    Raises:
        UsageError: the package is a plugin file.
    """
    if is_file_plugin(package):
        raise UsageError(
            f"the plugin {package} is one file, whose code runs on no machine unasked: make a package of it "
            "(`qakit plugins new`), which can go along"
        )


def found(package: str) -> tuple[PluginCode, LoadedPlugin] | None:
    """What this process has run of that name."""
    return _loaded.get(package)


def load_code(code: PluginCode, *, path: Path | None = None) -> LoadedPlugin:
    """Run the code, once in a process, and check what it offers.

    Whoever calls this has made sure that the user wants it to run.

    Args:
        code: the text.
        path: the file that it was read from, for messages.

    Raises:
        PluginLoadError: it fails, or offers nothing; with the line.
    """
    if code.package not in _loaded:
        place = str(path or f"<{code.package}>")
        origin = PluginOrigin(f"{code.package}:{code.file.removesuffix('.py')}", code.package, "file")
        plugin = load_plugin(origin, lambda: _module(code, place))
        if isinstance(plugin, BrokenPlugin):
            lines = re.findall(rf'File "{re.escape(place)}", line (\d+)', plugin.traceback)
            where = f"{path or code.file}{f', line {lines[-1]}' if lines else ''}"
            raise PluginLoadError(f"{where}: {plugin.error}")
        _loaded[code.package] = code, plugin
    return _loaded[code.package][1]


def _module(code: PluginCode, place: str) -> ModuleType:
    name = f"qakit_plugin_file_{code.file.removesuffix('.py')}_{code.sha256[:12]}"
    module: Any = ModuleType(name)
    module.__file__ = place
    # For tracebacks and inspect, also of code that is in no file.
    linecache.cache[place] = len(code.code), None, code.code.splitlines(keepends=True), place
    sys.modules[name] = module
    try:
        exec(compile(code.code, place, "exec"), module.__dict__)
    except BaseException:
        del sys.modules[name]
        raise
    return module  # type: ignore[no-any-return]


def named_files() -> tuple[Path, ...]:
    """The files that ``QAKIT_PLUGINS`` names."""
    return tuple(Path(name) for name in os.environ.get(FILES_VARIABLE, "").split(os.pathsep) if name)
