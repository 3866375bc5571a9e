"""Finding plugins: entry points, every way in which a plugin can be broken, conflicts, switching off."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from typing import Any

import pytest
from plugin_packages import GOOD

from qakit.errors import PluginConflictError, UnknownPluginError
from qakit.registry import Registry


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
    "build named in another form": (
        "@hookimpl\ndef qakit_register_heads(): return [component('a', build='heads.mine.Mine')]",
        "component 'a': its build 'heads.mine.Mine' is not of the form 'package.module:Name'",
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
        "name the package, too: one:trim or two:trim"
    )
    assert [(conflict.kind, conflict.name) for conflict in registry.conflicts] == [("postprocessors", "trim")]
    assert registry.get("postprocessors", "cut").package == "more"
    for package in ("one", "two"):
        assert registry.get("postprocessors", f"{package}:trim").package == package
    with pytest.raises(UnknownPluginError, match="'more:trim'"):
        registry.get("postprocessors", "more:trim")
    assert (
        Registry.from_entry_points(entry_points, disabled=["two:tools"]).get("postprocessors", "trim").package == "one"
    )


def test_of_plugins_in_conflict_the_one_from_elsewhere_is_to_go_first(install: Any) -> None:
    registry = Registry.from_entry_points([*install("qakit", tools=GOOD), *install("two", tools=GOOD)])
    (conflict,) = registry.conflicts
    assert conflict.remedy.endswith("two:trim or qakit:trim")
    registry = Registry.from_entry_points([*install("a", tools=GOOD, more=GOOD), *install("qakit_more", tools=GOOD)])
    (conflict,) = registry.conflicts
    assert conflict.remedy.startswith("switch all but one off, as in QAKIT_DISABLE_PLUGINS=a:more,a:tools;")
    assert registry.get("postprocessors", "Qakit.More:trim").package == "qakit_more", "spelt as for an installer"


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
