"""The registry: components looked up and built, each hook's kind, and the plugins that are installed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import Distribution, EntryPoint
from pathlib import Path
from typing import Any

import pytest
from plugin_packages import GOOD
from pydantic import Field

from qakit import hookspecs
from qakit.components import KINDS, Component, NoSettings, Settings
from qakit.errors import PluginError, PluginFaultError, PluginLoadError, UnknownPluginError
from qakit.registry import PROTOCOLS, Registry, load_registry, missing_members
from qakit.testing import check_component


def test_a_plugin_is_registered_under_its_package_and_entry_point(install: Any) -> None:
    registry = Registry.from_entry_points(install("toolbox", version="2.3", tools=GOOD))
    entry = registry.get("postprocessors", "trim")
    assert (entry.kind, entry.name, entry.plugin, entry.package, entry.version) == (
        "postprocessors", "trim", "toolbox:tools", "toolbox", "2.3",
    )  # fmt: skip
    assert registry.names("postprocessors") == ("trim",)
    assert registry.names("heads") == ()
    assert registry.broken == ()


def test_an_unknown_name_says_what_there_is_and_what_might_have_it(install: Any) -> None:
    entry_points = [*install("one", tools=GOOD), *install("bad", plugin="1 / 0"), *install("two", tools=GOOD)]
    registry = Registry.from_entry_points(entry_points, disabled=["two"])
    with pytest.raises(UnknownPluginError) as caught:
        registry.get("postprocessors", "trimm")
    assert str(caught.value) == (
        "no postprocessor is called 'trimm'; did you mean 'trim'?\n"
        "  available: trim\n"
        "  broken plugins, which may offer it: bad:plugin (`qakit plugins` says why)\n"
        "  switched off by QAKIT_DISABLE_PLUGINS: two:tools"
    )
    with pytest.raises(UnknownPluginError, match=r"^no head is called 'x'\n  no installed plugin offers heads\n"):
        registry.get("heads", "x")


# ------------------------------------------------------------------------------------------------------- build
class TrimSettings(Settings):
    characters: str = Field(default=" ")
    times: int = Field(ge=1)


def registry_of(kind: str, component: Component[Any, Any, Any]) -> Registry:
    """A registry with one component, without files."""

    class Plugin(EntryPoint):
        def load(self) -> Any:
            from qakit import hookimpl

            def hook() -> Any:
                return [component]

            hook.__name__ = f"qakit_register_{kind}"
            return type("plugin", (), {hook.__name__: staticmethod(hookimpl(hook))})

    return Registry.from_entry_points([Plugin("plugin", "module", "qakit")])


def trim(build: Callable[..., Any]) -> Registry:
    return registry_of("postprocessors", Component("trim", "Trims.", TrimSettings, build))


def test_build_gets_checked_settings_and_the_runtime() -> None:
    seen: list[Any] = []

    def build(settings: TrimSettings, runtime: Any) -> Any:
        seen.append((settings, runtime))
        return lambda prediction, example: prediction

    assert callable(trim(build).build("postprocessors", "trim", {"times": 2}, "the runtime"))
    assert seen == [(TrimSettings(times=2), "the runtime")]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "postprocessor 'trim': the setting 'times' is required"),
        ({"times": "x"}, "postprocessor 'trim': times: input should be a valid integer"),
        ({"times": 0}, "postprocessor 'trim': times: input should be greater than or equal to 1"),
        ({"times": 1, "characers": ""}, "there is no setting 'characers'; did you mean 'characters'?"),
        ({"characters": 1, "times": 0}, "characters: input should be a valid string; times: input should be"),
    ],
)
def test_settings_that_do_not_fit_are_told_in_plain_words(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(PluginError) as caught:
        trim(lambda settings, runtime: print).build("postprocessors", "trim", settings, None)
    assert message in str(caught.value)
    assert "pydantic" not in str(caught.value)


def at(target: str) -> Registry:
    return registry_of("postprocessors", Component("named", "Named.", NoSettings, target))


class Told:
    """Keeps what it was told."""

    def __init__(self, runtime: Any, settings: Any = None) -> None:
        self.told = settings, runtime

    def __call__(self, prediction: Any, example: Any) -> None: ...


class Untold:
    """Needs to be told nothing."""

    def __call__(self, prediction: Any, example: Any) -> None: ...


NO_CODE = 3


def wants_more(settings: Any, runtime: Any, width: int) -> None:
    """Has a parameter that nobody fills."""


def test_a_build_that_is_named_gets_what_its_parameters_name() -> None:
    built = at(f"{__name__}:Told").build("postprocessors", "named", {}, "the runtime")
    assert built.told == (NoSettings(), "the runtime")
    assert isinstance(at(f"{__name__}:Untold").build("postprocessors", "named", {}, "the runtime"), Untold)


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("no_such_package.heads:Mine", "No module named 'no_such_package'"),
        (f"{__name__}:Tolled", f"{__name__} has no class or function 'Tolled'"),
        (f"{__name__}:NO_CODE", f"{__name__} has no class or function 'NO_CODE'"),
        (f"{__name__}:wants_more", f"{__name__}:wants_more takes 'width'; it is given `settings` and `runtime`"),
    ],
)
def test_a_build_that_is_named_wrongly_is_one_line(target: str, reason: str) -> None:
    with pytest.raises(PluginLoadError) as caught:
        at(target).build("postprocessors", "named", {}, None)
    start = "the postprocessor 'named' of plugin unknown unknown cannot be built: "
    assert str(caught.value) == start + reason


def test_the_contract_imports_a_build_that_is_named() -> None:
    check_component("postprocessors", Component("named", "Named", NoSettings, f"{__name__}:Told"))
    with pytest.raises(AssertionError, match=r"importing .*:Tolled, the build of 'named', raises PluginLoadError"):
        check_component("postprocessors", Component("named", "Named", NoSettings, f"{__name__}:Tolled"))


def test_a_missing_dependency_names_the_plugin() -> None:
    def build(settings: Any, runtime: Any) -> Any:
        import no_such_module  # type: ignore[import-not-found]

        return no_such_module

    with pytest.raises(
        PluginLoadError, match=r"^the postprocessor 'trim' of plugin unknown unknown .* No module named"
    ):
        trim(build).build("postprocessors", "trim", {"times": 1}, None)


def test_a_bug_in_build_says_where() -> None:
    def build(settings: Any, runtime: Any) -> Any:
        raise KeyError("x")

    with pytest.raises(
        PluginFaultError, match=r"build fails: KeyError: 'x' \(tests/test_registry\.py:\d+\)$"
    ) as caught:
        trim(build).build("postprocessors", "trim", {"times": 1}, None)
    assert caught.value.whose == "postprocessor 'trim' of plugin unknown unknown"
    assert isinstance(caught.value.__cause__, KeyError)


def test_what_is_built_must_be_of_its_kind() -> None:
    class Half:
        reads = "tokens"
        decode = None

        def __call__(self) -> None: ...

    registry = registry_of("heads", Component("half", "Half a head.", NoSettings, lambda settings, runtime: Half()))
    with pytest.raises(PluginLoadError, match=r"built Half, which is no head: it lacks 'decode'$"):
        registry.build("heads", "half", {}, None)


@pytest.mark.parametrize(
    ("reads", "gives", "instance", "fault"),
    [
        ("token", "spans", True, r"built Whole, whose `reads` is 'token', not 'tokens', 'sequence' or 'group'$"),
        (None, "spans", True, r"built Whole, whose `reads` is None, not 'tokens', 'sequence' or 'group'$"),
        ("group", "context", True, r"whose `gives` is 'context', not 'spans', 'sets', 'labels' or 'contexts'$"),
        ("tokens", "spans", False, r"built the class Whole; call it$"),
    ],
)
def test_a_head_is_an_instance_that_reads_and_gives_what_there_is(
    reads: Any, gives: Any, instance: bool, fault: str
) -> None:
    class Whole:
        def __init__(self) -> None:
            self.reads, self.gives = reads, gives

        def __call__(self) -> None: ...
        def decode(self) -> None: ...

    build: Callable[..., Any] = lambda settings, runtime: Whole() if instance else Whole  # noqa: E731
    with pytest.raises(PluginLoadError, match=rf"^the head 'whole' of plugin unknown unknown .*{fault}"):
        registry_of("heads", Component("whole", "A head", NoSettings, build)).build("heads", "whole", {}, None)


def test_members_of_every_protocol_are_known() -> None:
    assert set(PROTOCOLS) == set(KINDS)
    assert {kind: set(missing_members(kind, object())) for kind in KINDS} == {
        "readers": {"read"},
        "preprocessors": {"windows", "redraws"},
        "backbones": {"__call__", "hidden_size"},
        "adapters": {"apply"},
        "heads": {"__call__", "decode", "reads"},
        "postprocessors": {"__call__"},
        "ensemblers": {"combine"},
        "writers": {"write", "check", "suffix"},
        "metrics": {"compute", "primary"},
        "observers": {"observe", "close"},
    }


# ------------------------------------------------------------------------------------------------------ the hooks
@pytest.mark.parametrize(
    ("hook", "kind"),
    [
        ("qakit_register_readers", "readers"),
        ("qakit_register_preprocessors", "preprocessors"),
        ("qakit_register_backbones", "backbones"),
        ("qakit_register_adapters", "adapters"),
        ("qakit_register_heads", "heads"),
        ("qakit_register_postprocessors", "postprocessors"),
        ("qakit_register_ensemblers", "ensemblers"),
        ("qakit_register_writers", "writers"),
        ("qakit_register_metrics", "metrics"),
        ("qakit_register_observers", "observers"),
    ],
)
@pytest.mark.parametrize(
    "body", ["return [component('mine')]", "yield component('mine')", "return {component('mine')}"]
)
def test_each_hook_offers_components_of_its_kind(install: Any, hook: str, kind: Any, body: str) -> None:
    registry = Registry.from_entry_points(install("toolbox", tools=f"@hookimpl\ndef {hook}():\n    {body}\n"))
    assert registry.names(kind) == ("mine",)
    assert len(registry.entries()) == 1


# -------------------------------------------------------------------------------------------- the installed ones
def test_every_kind_has_its_hook_and_every_hook_its_kind() -> None:
    hooks = {name for name in vars(hookspecs) if name.startswith("qakit_register_")}
    assert hooks == {f"qakit_register_{kind}" for kind in KINDS}


def test_first_party_plugins_come_in_by_entry_points_and_are_sound() -> None:
    registry = load_registry()
    ours = Distribution.from_name("qakit").entry_points.select(group="qakit")
    assert {f"qakit:{entry_point.name}" for entry_point in ours} == {
        plugin.origin.name for plugin in registry.plugins if plugin.origin.package == "qakit"
    }
    assert len(ours) == 11
    assert [broken.error for broken in registry.broken] == []
    assert registry.conflicts == ()


def test_first_party_plugins_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QAKIT_DISABLE_PLUGINS", " qakit:adapters , ,nothing*")
    load_registry.cache_clear()
    try:
        registry = load_registry()
    finally:
        monkeypatch.undo()
        load_registry.cache_clear()
    assert registry.names("adapters") == ()
    assert [origin.name for origin in registry.disabled] == ["qakit:adapters"]
    assert registry.unmatched == ("nothing*",)


def test_the_core_names_no_plugin_package() -> None:
    core = Path(hookspecs.__file__).parent
    packages = [folder.name for folder in (core.parent / "plugins").iterdir() if folder.name.startswith("qakit_")]
    assert len(packages) == 11
    sources = {path: path.read_text(encoding="utf-8") for path in core.rglob("*.py")}
    assert len(sources) > 30
    found = {(path.name, package) for path, text in sources.items() for package in packages if package in text}
    assert found == set()


def test_finding_plugins_imports_nothing_heavy() -> None:
    code = (
        "import sys; from qakit.registry import load_registry; load_registry();"
        "print(*sorted({'torch','numpy','transformers','pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
