"""What a plugin hands to qakit: a named, described, buildable thing with typed settings."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, cast, get_args

from pydantic import BaseModel, ConfigDict

from qakit.errors import PluginLoadError
from qakit.problems import ProblemKind

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Kind = Literal[
    "readers",
    "preprocessors",
    "backbones",
    "adapters",
    "heads",
    "postprocessors",
    "ensemblers",
    "writers",
    "metrics",
    "observers",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""The kinds of component, each with its hook ``qakit_register_<kind>``."""


def singular(kind: str) -> str:
    """``"heads"`` -> ``"head"``."""
    return kind.removesuffix("s")


class Settings(BaseModel):
    """Base of every settings model: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class NoSettings(Settings):
    """For components without settings."""


SettingsT = TypeVar("SettingsT", bound=Settings)
RuntimeT = TypeVar("RuntimeT")
BuiltT = TypeVar("BuiltT", covariant=True)


@dataclass(frozen=True, slots=True)
class ImportedBuild:
    """A class or function that is imported on the first call: ``package.module:Name``."""

    target: str

    def __call__(self, settings: Any, runtime: Any) -> Any:
        """Call it with those of ``settings`` and ``runtime`` that its parameters name, as hooks are called.

        Raises:
            ImportError: its module, or something that the module needs, is missing.
            PluginLoadError: the module has no such name, or it is nothing to be called with these two.
        """
        build = self.load()
        given = {"settings": settings, "runtime": runtime}
        parameters = inspect.signature(build).parameters.values()
        named = {each.name for each in parameters}
        for each in parameters:
            if each.name not in given and each.default is each.empty and each.kind not in (2, 4):  # *args, **kwargs
                raise PluginLoadError(f"{self.target} takes {each.name!r}; it is given `settings` and `runtime`")
        return build(**{name: value for name, value in given.items() if name in named})

    def load(self) -> Callable[..., Any]:
        """The class or function itself; raises as the call."""
        module_name, _, name = self.target.partition(":")
        module = importlib.import_module(module_name)
        found: Any = getattr(module, name, None)
        if not callable(found):
            raise PluginLoadError(f"{module_name} has no class or function {name!r}")
        return cast(Callable[..., Any], found)

    @property
    def is_complete(self) -> bool:
        """Whether it names a module and something in it."""
        return re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", self.target) is not None


@dataclass(frozen=True, slots=True)
class ImportedFunction:
    """As :class:`ImportedBuild`, for a component's other functions, which get one argument."""

    target: str

    def __call__(self, given: Any) -> Any:
        """What the function makes of it.

        Raises:
            ImportError: its module, or something that the module needs, is missing.
            PluginLoadError: the module has no such name.
        """
        return self.load()(given)

    def load(self) -> Callable[[Any], Any]:
        """The function itself; raises as the call."""
        return ImportedBuild(self.target).load()


@dataclass(frozen=True, slots=True)
class Guess:
    """A way in which a reader may understand a file that nobody has described, for ``qakit init``."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    """The reader's settings, as a recipe would give them."""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    """Blocks of a recipe that go with the format, by their key (``metric``, ``writer``), as a recipe gives them."""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """Why, by the name of the setting or the key of the block: short lines, with the figures behind them."""
    notes: tuple[str, ...] = ()
    """What else people should know, such as columns that are of no use."""


Guesses = Callable[[Path], Iterable[Guess]]
"""A file -> how it may be read, the best guess first; nothing, or a ``DataError`` that says why, where it cannot be."""

Upgrade = Callable[[Mapping[str, Any], int], Mapping[str, Any]]
"""(settings by name, their version) -> the settings that the present version has in their place."""


@dataclass(frozen=True, slots=True, init=False)
class Component(Generic[SettingsT, RuntimeT, BuiltT]):
    """One reader, head, adapter ... that recipes can name.

    Declare it as a module constant::

        MINE: Component[MySettings, HeadRuntime, Head] = Component(
            name="mine", summary="...", settings=MySettings, build="my_package.head:MyHead")

    ``build`` is called with the validated settings and what the core knows at that point (the *runtime*: see
    :mod:`qakit.protocols`). As ``"package.module:Name"`` it is imported when it is needed, so that heavy packages can
    stand at the top of that module; a function is called as it is, and mypy sees when it and ``settings`` disagree.
    """

    name: str
    summary: str
    """One line without a full stop, shown by ``qakit plugins``."""
    settings: type[SettingsT]
    build: Callable[[SettingsT, RuntimeT], BuiltT]
    tries: tuple[Mapping[str, Any], ...] = field(default=(), hash=False)
    """Settings that a search tries, one after the other (``qakit tune-postprocess``); without any, the defaults."""
    guess: Guesses | None = field(default=None, compare=False)
    """Of a reader: with which settings it may read a file (``qakit init``); without it the defaults are tried."""
    tokenizer: Callable[[SettingsT], PreTrainedTokenizerFast] | None = field(default=None, compare=False)
    """Of a backbone: its tokenizer, made of the settings; without it a recipe names one (``backbone.source``)."""
    version: int = 1
    """Of the settings: a larger one where older settings no longer fit, or mean something else."""
    upgrade: Upgrade | None = field(default=None, compare=False)
    """Makes settings of this version of those that a run has from an older one."""
    problems: tuple[ProblemKind, ...] = ()
    """Of a reader: the kinds of problem that it reports beside those that any reader may (``PROBLEM_KINDS``)."""

    def __init__(
        self,
        name: str,
        summary: str,
        settings: type[SettingsT],
        build: Callable[[SettingsT, RuntimeT], BuiltT] | str,
        tries: tuple[Mapping[str, Any], ...] = (),
        guess: Guesses | str | None = None,
        tokenizer: Callable[[SettingsT], PreTrainedTokenizerFast] | str | None = None,
        version: int = 1,
        upgrade: Upgrade | None = None,
        problems: tuple[ProblemKind, ...] = (),
    ) -> None:
        given = {"name": name, "summary": summary, "settings": settings, "tries": tries}
        given["build"] = ImportedBuild(build) if isinstance(build, str) else build
        given["guess"] = ImportedFunction(guess) if isinstance(guess, str) else guess
        given["tokenizer"] = ImportedFunction(tokenizer) if isinstance(tokenizer, str) else tokenizer
        given |= {"version": version, "upgrade": upgrade, "problems": problems}
        for key, value in given.items():
            object.__setattr__(self, key, value)
