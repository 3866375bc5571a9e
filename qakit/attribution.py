"""Whose code it is: what fails in a plugin, or comes back from it as it must not, is one line that says where.

Every call into what a component has built goes through one wrapper. The object stays what it is, and becomes an
instance of a subclass of its own class whose methods are wrapped: protocols, parameters and copies see no difference,
and no call site knows. Source of the idea: ``torch.nn.utils.parametrize`` changes a module's class likewise.
"""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, wraps
from pathlib import Path
from types import CodeType, FrameType, FunctionType, MappingProxyType
from typing import Any, Literal

from qakit import returned
from qakit.components import Component, ImportedBuild, Kind, singular
from qakit.entry_points import describe
from qakit.errors import PluginFaultError, QakitError
from qakit.problems import ProblemKind, Problems
from qakit.system import is_lost_connection, is_out_of_memory, refused_by_system
from qakit.values import Example

Check = Callable[[tuple[Any, ...], Any], str | None]
"""(what a method was called with, the object first; what it returned) -> what is wrong with that, or None."""

Called = Kind | Literal["commands", "pools", "adapted", "inserted"]
"""What the core calls: components, commands, and what two kinds of component give: an ensembler's pools, an adapter's
backbones and the modules that it puts into them."""

_BACKBONE: Mapping[str, Check] = {
    "forward": returned.vectors,
    "get_input_embeddings": returned.anything,
    "length_limit": returned.anything,
}
METHODS: Mapping[Called, Mapping[str, Check]] = MappingProxyType(
    {
        "readers": {"read": returned.examples},
        "preprocessors": {"windows": returned.windows},
        "adapters": {
            "apply": returned.module,
            "merge": returned.module,
            "export": returned.files,
            "parameter_rule": returned.rule,
        },
        "adapted": _BACKBONE,
        "inserted": {"forward": returned.anything},
        "backbones": _BACKBONE,
        "heads": {
            "forward": returned.head_output,
            "decode": returned.decoded,
            "pool": returned.hidden,
            "position_scores": returned.position_scores,
            "distributions": returned.distributions,
            "parameter_rule": returned.rule,
        },
        "postprocessors": {"__call__": returned.cleaned, "learn": returned.settings},
        "ensemblers": {"combine": returned.combined, "pool": returned.pool},
        "pools": {"combine": returned.pooled, "learn": returned.anything},
        "writers": {"write": returned.file, "check": returned.problems},
        "metrics": {
            "compute": returned.figures,
            "per_example": returned.figures_by_example,
            "of_draws": returned.figures_by_draw,
            "official_format": returned.settings,
        },
        "observers": {"observe": returned.anything, "close": returned.anything},
    }
)
"""The methods and properties of each kind that the core calls, with what may come back."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The component that an object is of, or the command."""

    kind: Kind | Literal["commands"]
    name: str
    package: str
    version: str
    module: str
    """The top package of its code."""
    problems: tuple[ProblemKind, ...] = ()
    """The kinds of problem that the component declares."""

    def __str__(self) -> str:
        return f"{singular(self.kind)} {self.name!r} of plugin {self.package} {self.version}"

    @staticmethod
    def of(kind: Kind, component: Component[Any, Any, Any], package: str, version: str) -> Owner:
        """The owner of what this component builds."""
        build = component.build
        module = build.target if isinstance(build, ImportedBuild) else getattr(build, "__module__", None)
        top = str(module or type(build).__module__).partition(":")[0].partition(".")[0]
        return Owner(kind, component.name, package, version, top, component.problems)


@contextmanager
def calling(
    owner: Owner, method: str, *, place: str = "", passing: tuple[type[BaseException], ...] = ()
) -> Iterator[None]:
    """What a plugin's code raises inside becomes one line.

    Errors that are for the user already, a lack of memory and what the system refuses pass as they are.

    Args:
        owner: whose code it is.
        method: what of it is called.
        place: where it stands, for an error that came through no line of the plugin.
        passing: errors that pass, too.

    Raises:
        PluginFaultError: in place of anything else, ``SystemExit`` too.
    """
    try:
        yield
    except (Exception, SystemExit) as error:
        if isinstance(error, passing) or _passes(error):
            raise
        raise _failed(error, owner, method, "", place) from error


def fault(thing: object, method: str, what: str) -> PluginFaultError:
    """The error for what a method of a component's object has given.

    Args:
        thing: as it was built.
        method: its name.
        what: what is wrong with it, without the method's name.
    """
    owner = getattr(type(thing), "_qakit_owner", None)
    whose = str(owner) if isinstance(owner, Owner) else type(thing).__name__
    return PluginFaultError(whose, f"{_shown(method)} {what} ({_defined(getattr(type(thing), method, None))})")


def attributed(built: Any, owner: Owner, kind: Called | None = None) -> Any:
    """The same object, whose calls are attributed to its owner; a plain function comes back as another one.

    Args:
        built: by a component, or given by what it has built.
        owner: the component.
        kind: what it is, where it is not what its owner builds.
    """
    kind = kind or owner.kind
    if isinstance(built, FunctionType):
        return _wrapped(built, "__call__", owner, METHODS[kind]["__call__"], of=built)
    base: Any = vars(type(built)).get("_qakit_plain", type(built))
    try:
        for name in METHODS[kind].keys() & getattr(built, "__dict__", {}).keys():  # functions of the object itself
            function = inspect.unwrap(vars(built)[name])
            object.__setattr__(built, name, _wrapped(function, name, owner, METHODS[kind][name], of=built))
        object.__setattr__(built, "__class__", _attributed_class(base, owner, kind))
    except Exception:
        pass
    return built


@cache
def _attributed_class(base: Any, owner: Owner, kind: Called) -> type:
    """A subclass of ``base`` whose instances look and compare like its own."""

    def reduced(self: Any, protocol: Any) -> Any:
        """For copies, also in other processes: made as those of the plain class."""
        made = super(derived, self).__reduce_ex__(protocol)
        if isinstance(made, str) or type(self) is not derived:
            return made
        function, arguments, *state = made
        return _again, (function, tuple(base if each is derived else each for each in arguments), owner, kind), *state

    body: dict[str, Any] = {
        "__slots__": (),
        "__module__": base.__module__,
        "__qualname__": base.__qualname__,
        "__doc__": base.__doc__,
        "__reduce_ex__": reduced,
        "_qakit_owner": owner,
        "_qakit_plain": base,
    }
    for name, check in METHODS[kind].items():
        own = inspect.getattr_static(base, name, None)
        if isinstance(own, property):
            body[name] = property(_wrapped(own.fget, name, owner, check))
        elif callable(own) or hasattr(own, "__get__"):  # no plain value
            body[name] = _wrapped(own, name, owner, check)
    derived = type(base)(base.__name__, (base,), body)
    return derived  # type: ignore[no-any-return]


def _again(function: Callable[..., Any], arguments: tuple[Any, ...], owner: Owner, kind: Called) -> Any:
    return attributed(function(*arguments), owner, kind)


def _wrapped(own: Any, name: str, owner: Owner, check: Check, *, of: Any = None) -> Any:
    """A method of a class, or with ``of`` a function that this object has for itself: the one wrapper of all calls."""
    function = own if isinstance(own, FunctionType) else _looked_up(own, name, owner)
    before = () if of is None else (of,)

    def call(*given: Any, **named: Any) -> Any:
        for problems in (*given, *named.values()) if name == "read" else ():
            if isinstance(problems, Problems):
                problems.declared = owner.problems
        try:
            found = function(*given, **named)
            wrong = check(before + given, found)
        except (Exception, SystemExit) as error:
            if _passes(error):
                raise
            raise _failed(error, owner, name, _about(given), _defined(own)) from error
        if wrong is not None:
            raise PluginFaultError(str(owner), f"{_shown(name)} {wrong}{_about(given)} ({_defined(own)})")
        if name == "read":
            return _examples(found, owner, own)
        if name == "apply":
            return _adapted(found, owner)
        return attributed(found, owner, "pools") if name == "pool" and owner.kind == "ensemblers" else found

    return wraps(function)(call)


def _looked_up(own: Any, name: str, owner: Owner) -> Callable[..., Any]:
    """For what a class has that is no plain function, such as a static method."""

    def method(self: Any, *given: Any, **named: Any) -> Any:
        function = own.__get__(self, type(self)) if hasattr(own, "__get__") else own
        return function(*given, **named)

    method.__name__, method.__qualname__, method.__module__ = name, name, owner.module
    return method


def _examples(found: Iterable[Any], owner: Owner, read: Any) -> Iterator[Any]:
    """What a reader yields, each looked at."""
    with calling(owner, "read"):
        for number, example in enumerate(found, start=1):
            if (wrong := returned.example_fault(example)) is not None:
                raise PluginFaultError(str(owner), f"read yields example {number}: {wrong} ({_defined(read)})")
            yield example


def _adapted(module: Any, owner: Owner) -> Any:
    """A backbone with an adapter in it: the modules of the adapter's own classes are attributed to it."""
    for each in module.modules():
        if type(each).__module__.partition(".")[0] == owner.module and not hasattr(type(each), "_qakit_owner"):
            attributed(each, owner, "adapted" if each is module else "inserted")
    return module


def _passes(error: BaseException) -> bool:
    if isinstance(error, QakitError) or is_out_of_memory(error) or is_lost_connection(error):
        return True
    return isinstance(error, Exception) and refused_by_system(error) is not None


def _failed(error: BaseException, owner: Owner, method: str, about: str, place: str) -> PluginFaultError:
    """``place``: what is told where the error came through no line of the plugin."""
    frames = list(traceback.walk_tb(error.__traceback__))
    own = [each for each in frames if _module(each[0]).partition(".")[0] == owner.module]
    if own or not place:
        frame, line = (own or frames)[-1]
        place = f"{_file(frame.f_code, _module(frame))}:{line}"
    return PluginFaultError(str(owner), f"{_shown(method)} fails{about}: {describe(error)} ({place})")


def _about(given: tuple[Any, ...]) -> str:
    """Which example a call was about, where it was about one."""
    last = given[-1] if given else None
    return f" for the example {last.id!r}" if isinstance(last, Example) else ""


def _shown(method: str) -> str:
    return "the call" if method == "__call__" else method


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__"))


def _defined(function: Any) -> str:
    function = inspect.unwrap(getattr(function, "__func__", function))
    code = getattr(function, "__code__", None)
    if code is None:
        return str(getattr(function, "__module__", None) or type(function).__module__)
    return f"{_file(code, str(function.__module__))}:{code.co_firstlineno}"


def _file(code: CodeType, module: str) -> str:
    """A file as its package has it: ``package/module.py``."""
    path = Path(code.co_filename)
    return "/".join(path.parts[-len(module.split(".")) - (path.stem == "__init__") :])
