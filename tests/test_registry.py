"""The registry: plugins found, checked one by one, looked up; every way in which one can be broken."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from importlib.metadata import Distribution, EntryPoint, distributions
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from qakit import hookspecs
from qakit.components import KINDS, Component, NoSettings, Settings
from qakit.errors import PluginConflictError, PluginError, PluginLoadError, UnknownPluginError
from qakit.registry import PROTOCOLS, Registry, load_registry, missing_members

PREAMBLE = """
from qakit.api import Component, NoSettings, Settings, hookimpl

def build(settings, runtime):
    return lambda prediction, example: prediction

def component(name, **changes):
    return Component(**({"name": name, "summary": "s", "settings": NoSettings, "build": build} | changes))
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple[EntryPoint, ...]]]:
    """Puts modules and a distribution that declares them on the path; returns the distribution's entry points."""
    modules: list[str] = []

    def put(package: str, *, version: str = "1.0", **sources: str) -> tuple[EntryPoint, ...]:
        folder = tmp_path / package
        metadata = folder / f"{package.replace('-', '_')}-{version}.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
        lines = ["[qakit]"]
        for name, source in sources.items():
            module = f"{package.replace('-', '_')}_{name}"
            (folder / f"{module}.py").write_text(PREAMBLE + textwrap.dedent(source))
            modules.append(module)
            lines.append(f"{name} = {module}")
        (metadata / "entry_points.txt").write_text("\n".join(lines) + "\n")
        monkeypatch.syspath_prepend(folder)
        (distribution,) = distributions(path=[str(folder)])
        return tuple(distribution.entry_points)

    yield put
    for module in modules:
        sys.modules.pop(module, None)


GOOD = """
@hookimpl
def qakit_register_postprocessors():
    return [component("trim")]
"""


def test_a_plugin_is_registered_under_its_package_and_entry_point(install: Any) -> None:
    registry = Registry.from_entry_points(install("toolbox", version="2.3", tools=GOOD))
    entry = registry.get("postprocessors", "trim")
    assert (entry.kind, entry.name, entry.plugin, entry.package, entry.version) == (
        "postprocessors", "trim", "toolbox:tools", "toolbox", "2.3",
    )  # fmt: skip
    assert registry.names("postprocessors") == ("trim",)
    assert registry.names("heads") == ()
    assert registry.broken == ()


def test_two_packages_with_one_entry_point_name_are_two_plugins(install: Any) -> None:
    first = install("one", heads=GOOD)
    second = install("two", heads=GOOD.replace("trim", "cut"))
    registry = Registry.from_entry_points([*first, *second])
    assert registry.names("postprocessors") == ("cut", "trim")


BROKEN = {
    "import raises": ("import no_such_module", "cannot be imported: ModuleNotFoundError: No module named 'no_such"),
    "import exits": ("raise SystemExit(3)", "cannot be imported: SystemExit: 3"),
    "import raises something odd": ("class Odd(BaseException): pass\nraise Odd('x\\ny')", "imported: Odd: x y"),
    "no hook": ("", "implements no hook; mark its functions with @hookimpl from qakit.api"),
    "unmarked hook": ("def qakit_register_heads(): return ()", "qakit_register_heads is not marked with @hookimpl"),
    "misspelt hook": (
        "@hookimpl\ndef qakit_register_haeds(): return ()",
        "implements a hook that does not exist, 'qakit_register_haeds'; did you mean 'qakit_register_heads'?",
    ),
    "marked, another name": (
        "@hookimpl\ndef setup(): return ()",
        "implements a hook that does not exist, 'setup'",
    ),
    "wrong argument": (
        "@hookimpl\ndef qakit_register_heads(config): return ()",
        "`qakit_register_heads` takes no arguments, not 'config'",
    ),
    "wrong argument beside the right one": (
        "@hookimpl\ndef qakit_register_commands(app, config): pass",
        "`qakit_register_commands` takes 'app', not 'config'",
    ),
    "wrong argument under another name": (
        "@hookimpl(specname='qakit_register_heads')\ndef mine(config, path): return ()",
        "`qakit_register_heads` takes no arguments, not 'config', 'path'",
    ),
    "forgotten return": (
        "@hookimpl\ndef qakit_register_heads(): [component('a')]",
        "qakit_register_heads returned None: return a list of components (is `return` missing?)",
    ),
    "one of two forgets it": (
        GOOD + "@hookimpl\ndef qakit_register_heads(): pass",
        "qakit_register_heads returned None",
    ),
    "wrapper": (
        "@hookimpl(wrapper=True)\ndef qakit_register_heads():\n    return (yield)",
        "qakit_register_heads is a hook wrapper",
    ),
    "hook raises": (
        "@hookimpl\ndef qakit_register_heads(): return 1 / 0",
        "qakit_register_heads failed: ZeroDivisionError: division by zero",
    ),
    "hook exits": ("@hookimpl\ndef qakit_register_heads(): exit()", "qakit_register_heads failed: SystemExit"),
    "generator raises midway": (
        "@hookimpl\ndef qakit_register_heads():\n    yield component('a')\n    raise ValueError('later')",
        "qakit_register_heads failed: ValueError: later",
    ),
    "a number": (
        "@hookimpl\ndef qakit_register_heads(): return 7",
        "qakit_register_heads must return an iterable of Component, not int 7",
    ),
    "a bare component": (
        "@hookimpl\ndef qakit_register_heads(): return component('a')",
        "qakit_register_heads returned a single Component: return a list, also for one component",
    ),
    "a string": (
        "@hookimpl\ndef qakit_register_heads(): return 'linear'",
        "qakit_register_heads must return an iterable of Component, not str 'linear'",
    ),
    "items of another type": (
        "@hookimpl\ndef qakit_register_heads(): return ['linear']",
        "qakit_register_heads: an item is str 'linear', not a Component",
    ),
    "bad name": (
        "@hookimpl\ndef qakit_register_heads(): return [component('Linear Span')]",
        "qakit_register_heads: 'Linear Span' is no name",
    ),
    "name twice": (
        "@hookimpl\ndef qakit_register_heads(): return [component('a'), component('a')]",
        "qakit_register_heads: two components are called 'a'",
    ),
    "no summary": (
        "@hookimpl\ndef qakit_register_heads(): return [component('a', summary=' ')]",
        "component 'a': its summary is empty",
    ),
    "long summary": (
        "@hookimpl\ndef qakit_register_heads(): return [component('a', summary='x\\ny')]",
        "component 'a': its summary is longer than one line",
    ),
    "settings of another type": (
        "@hookimpl\ndef qakit_register_heads(): return [component('a', settings=dict)]",
        "component 'a': its settings are not a subclass of Settings",
    ),
    "a setting called name": (
        "class S(Settings):\n    name: str\n@hookimpl\ndef qakit_register_heads(): return [component('a', settings=S)]",
        "component 'a': a setting called 'name' cannot be set",
    ),
    "build not callable": (
        "@hookimpl\ndef qakit_register_heads(): return [component('a', build=None)]",
        "component 'a': its build is not callable",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_plugin_is_kept_with_its_reason_and_stops_no_other(install: Any, case: str) -> None:
    source, reason = BROKEN[case]
    registry = Registry.from_entry_points([*install("bad", plugin=source), *install("good", plugin=GOOD)])
    (broken,) = registry.broken
    assert (broken.origin.name, broken.origin.package, broken.origin.version) == ("bad:plugin", "bad", "1.0")
    assert reason in broken.error
    assert "\n" not in broken.error
    assert registry.names("postprocessors") == ("trim",)
    assert registry.names("heads") == ()


def test_the_traceback_of_a_broken_plugin_is_kept(install: Any) -> None:
    registry = Registry.from_entry_points(install("bad", plugin="1 / 0"))
    assert "bad_plugin.py" in registry.broken[0].traceback
    assert registry.broken[0].traceback.endswith("ZeroDivisionError: division by zero\n")


def test_ctrl_c_during_an_import_is_not_swallowed(install: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        Registry.from_entry_points(install("bad", plugin="raise KeyboardInterrupt"))


def test_a_plugin_that_prints_does_not_disturb_stdout(install: Any, capsys: pytest.CaptureFixture[str]) -> None:
    Registry.from_entry_points(install("noisy", plugin="print('hello')" + GOOD))
    assert capsys.readouterr() == ("", "hello\n")


def test_an_entry_point_without_a_distribution_is_accepted(install: Any) -> None:
    install("toolbox", tools=GOOD)
    registry = Registry.from_entry_points([EntryPoint("tools", "toolbox_tools", "qakit")])
    assert registry.get("postprocessors", "trim").plugin == "unknown:tools"


def test_an_entry_point_declared_twice_is_loaded_once(install: Any) -> None:
    entry_points = install("toolbox", tools=GOOD)
    registry = Registry.from_entry_points([*entry_points, *entry_points])
    assert len(registry.entries()) == 1
    assert registry.broken[0].error == "the package declares this entry point twice"


def test_one_name_in_two_packages_is_a_conflict_that_names_both(install: Any) -> None:
    entry_points = [
        *install("one", tools=GOOD),
        *install("two", tools=GOOD),
        *install("more", tools=GOOD.replace("trim", "cut")),
    ]
    registry = Registry.from_entry_points(entry_points)
    with pytest.raises(PluginConflictError) as caught:
        registry.get("postprocessors", "trim")
    assert str(caught.value) == (
        "more than one postprocessor is called 'trim': one:tools (one 1.0) and two:tools (two 1.0); "
        "switch one off, QAKIT_DISABLE_PLUGINS=one:tools or QAKIT_DISABLE_PLUGINS=two:tools; "
        "to offer both, rename yours"
    )
    assert [(conflict.kind, conflict.name) for conflict in registry.conflicts] == [("postprocessors", "trim")]
    assert registry.get("postprocessors", "cut").package == "more"
    assert (
        Registry.from_entry_points(entry_points, disabled=["two:tools"]).get("postprocessors", "trim").package == "one"
    )


def test_of_plugins_in_conflict_the_one_from_elsewhere_is_to_go_first(install: Any) -> None:
    registry = Registry.from_entry_points([*install("qakit", tools=GOOD), *install("two", tools=GOOD)])
    (conflict,) = registry.conflicts
    assert conflict.remedy.startswith(
        "switch one off, QAKIT_DISABLE_PLUGINS=two:tools or QAKIT_DISABLE_PLUGINS=qakit:tools;"
    )
    registry = Registry.from_entry_points(
        [*install("qakit-more", tools=GOOD), *install("a", tools=GOOD), *install("z", tools=GOOD)]
    )
    (conflict,) = registry.conflicts
    assert conflict.remedy.startswith("switch all but one off, as in QAKIT_DISABLE_PLUGINS=a:tools,qakit-more:tools;")


def test_one_name_for_two_kinds_is_no_conflict(install: Any) -> None:
    source = GOOD + "@hookimpl\ndef qakit_register_heads():\n    return [component('trim')]\n"
    registry = Registry.from_entry_points(install("one", tools=source))
    assert registry.conflicts == ()
    assert registry.get("heads", "trim").kind == "heads"


@pytest.mark.parametrize(
    ("pattern", "left"),
    [
        ("one:tools", {"two:more", "two:tools"}),
        ("two", {"one:tools"}),
        ("TWO", {"one:tools"}),
        ("*:tools", {"two:more"}),
        ("t*", {"one:tools"}),
        ("tools", {"one:tools", "two:more", "two:tools"}),
    ],
)
def test_plugins_are_switched_off_by_package_name_or_pattern(install: Any, pattern: str, left: set[str]) -> None:
    entry_points = [*install("one", tools=GOOD), *install("two", tools=GOOD, more=GOOD)]
    registry = Registry.from_entry_points(entry_points, disabled=[pattern])
    assert {plugin.origin.name for plugin in registry.plugins} == left
    assert {origin.name for origin in registry.disabled} == {"one:tools", "two:more", "two:tools"} - left
    assert registry.unmatched == (() if len(left) < 3 else (pattern,))


def test_dashes_and_underscores_in_package_names_are_the_same(install: Any) -> None:
    registry = Registry.from_entry_points(install("my-tools", tools=GOOD), disabled=["my_tools"])
    assert registry.plugins == ()


def test_a_switched_off_plugin_is_not_imported(install: Any) -> None:
    registry = Registry.from_entry_points(install("bad", plugin="raise SystemExit"), disabled=["bad"])
    assert registry.broken == ()
    assert "bad_plugin" not in sys.modules


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


def test_a_missing_dependency_names_the_plugin() -> None:
    def build(settings: Any, runtime: Any) -> Any:
        import no_such_module  # type: ignore[import-not-found]

        return no_such_module

    with pytest.raises(PluginLoadError, match=r"^the postprocessor 'trim' of plugin unknown:plugin .* No module named"):
        trim(build).build("postprocessors", "trim", {"times": 1}, None)


def test_a_bug_in_build_keeps_its_type_and_says_where() -> None:
    def build(settings: Any, runtime: Any) -> Any:
        raise KeyError("x")

    with pytest.raises(KeyError) as caught:
        trim(build).build("postprocessors", "trim", {"times": 1}, None)
    assert caught.value.__notes__ == [
        "while building the postprocessor 'trim' of plugin unknown:plugin (unknown unknown)"
    ]


def test_what_is_built_must_be_of_its_kind() -> None:
    class Half:
        reads = "tokens"
        decode = None

        def __call__(self) -> None: ...

    registry = registry_of("heads", Component("half", "Half a head.", NoSettings, lambda settings, runtime: Half()))
    with pytest.raises(PluginLoadError, match=r"built Half, which is no head: it lacks 'decode'$"):
        registry.build("heads", "half", {}, None)


@pytest.mark.parametrize(
    ("reads", "instance", "fault"),
    [
        ("token", True, r"built Whole, whose `reads` is 'token', not 'tokens', 'sequence' or 'group'$"),
        (None, True, r"built Whole, whose `reads` is None, not 'tokens', 'sequence' or 'group'$"),
        ("tokens", False, r"built the class Whole; call it$"),
    ],
)
def test_a_head_is_an_instance_that_reads_what_there_is(reads: Any, instance: bool, fault: str) -> None:
    class Whole:
        def __init__(self) -> None:
            self.reads = reads

        def __call__(self) -> None: ...
        def decode(self) -> None: ...

    build: Callable[..., Any] = lambda settings, runtime: Whole() if instance else Whole  # noqa: E731
    with pytest.raises(PluginLoadError, match=rf"^the head 'whole' of plugin unknown:plugin .* {fault}"):
        registry_of("heads", Component("whole", "A head", NoSettings, build)).build("heads", "whole", {}, None)


def test_members_of_every_protocol_are_known() -> None:
    assert set(PROTOCOLS) == set(KINDS)
    assert {kind: set(missing_members(kind, object())) for kind in KINDS} == {
        "readers": {"read"},
        "preprocessors": {"windows", "redraws"},
        "adapters": {"apply", "merge"},
        "heads": {"__call__", "decode", "reads"},
        "postprocessors": {"__call__"},
        "ensemblers": {"combine"},
        "writers": {"write", "check", "suffix"},
        "metrics": {"compute", "primary"},
    }


# ------------------------------------------------------------------------------------------------------ the hooks
@pytest.mark.parametrize(
    ("hook", "kind"),
    [
        ("qakit_register_readers", "readers"),
        ("qakit_register_preprocessors", "preprocessors"),
        ("qakit_register_adapters", "adapters"),
        ("qakit_register_heads", "heads"),
        ("qakit_register_postprocessors", "postprocessors"),
        ("qakit_register_ensemblers", "ensemblers"),
        ("qakit_register_writers", "writers"),
        ("qakit_register_metrics", "metrics"),
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
    assert hooks == {f"qakit_register_{kind}" for kind in KINDS} | {"qakit_register_commands"}


def test_first_party_plugins_come_in_by_entry_points_and_are_sound() -> None:
    registry = load_registry()
    ours = Distribution.from_name("qakit").entry_points.select(group="qakit")
    assert {f"qakit:{entry_point.name}" for entry_point in ours} == {
        plugin.origin.name for plugin in registry.plugins if plugin.origin.package == "qakit"
    }
    assert len(ours) == 8
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
    assert len(packages) == 8
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
