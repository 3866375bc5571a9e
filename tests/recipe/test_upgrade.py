"""A plugin of today reads the settings that a run has from an older version of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from qakit.errors import PluginError, PluginFaultError, RecipeError
from qakit.recipe.load import recipe_of
from qakit.registry import Registry, load_registry
from qakit.runs import Run
from qakit.runs.plugins import settings_versions

PLUGIN = """
class New(Settings):
    least: int = 0
    most_words: int = 3

def upgrade(settings, version):
    if "boom" in settings:
        raise KeyError("boom")
    if "nothing" in settings:
        return None
    assert version == 1
    return {"most_words": settings["most"]}

def of(settings, **more):
    return component("words", settings=settings, **more)

@hookimpl
def qakit_register_postprocessors():
    return [VERSION]
"""
NEW = "of(New, version=2, upgrade=upgrade)"
RECIPE = """\
data: {{reader: squad, train: a.json}}
backbone: {{source: bert}}
postprocess: [special_chars, {{name: words, {settings}}}]
"""


@pytest.fixture
def offered(install: Callable[..., tuple[EntryPoint, ...]]) -> Iterator[Callable[[str], Registry]]:
    """The installed plugins, with ours as some version declares it."""

    def offer(declared: str) -> Registry:
        install("acme", words=PLUGIN.replace("VERSION", declared))
        load_registry.cache_clear()
        return load_registry()

    yield offer
    load_registry.cache_clear()


def a_run(folder: Path, given: str, **meta: Any) -> Run:
    run = Run(folder / "run")
    run.folder.mkdir()
    run.recipe_file.write_text(RECIPE.format(settings=given))
    if meta:
        run.meta_file.write_text(json.dumps({"plugins": {}} | meta))
    return run


def test_settings_of_an_older_version_are_upgraded(offered: Callable[[str], Registry], tmp_path: Path) -> None:
    offered(NEW)
    run = a_run(tmp_path, "most: 7", seed=0)
    assert run.recipe().postprocess[1].settings == {"least": 0, "most_words": 7}
    assert run.recipe().postprocess[0].name == "special_chars"


@pytest.mark.parametrize("meta", [{}, {"settings": {"postprocess.1": 2}}])
def test_those_of_the_same_version_are_not(
    offered: Callable[[str], Registry], tmp_path: Path, meta: dict[str, Any]
) -> None:
    offered(NEW)
    run = a_run(tmp_path, "most_words: 5", **meta)  # without a meta.json: an export, or not yet trained
    assert run.recipe().postprocess[1].settings == {"least": 0, "most_words": 5}


def test_a_run_says_of_which_version_its_settings_are(offered: Callable[[str], Registry]) -> None:
    registry = offered(NEW)
    values = {"data": {"reader": "squad"}, "backbone": {"source": "bert"}, "postprocess": ["special_chars", "words"]}
    assert settings_versions(recipe_of(values, registry=registry), registry) == {"postprocess.1": 2}


def test_settings_of_a_later_version_say_what_to_install(offered: Callable[[str], Registry], tmp_path: Path) -> None:
    offered(NEW)
    run = a_run(tmp_path, "most_words: 5", settings={"postprocess.1": 3})
    with pytest.raises(PluginError) as caught:
        run.recipe()
    assert str(caught.value) == (
        "postprocess.1: the run has settings of version 3, and the postprocessor 'words' of plugin acme 1.0 knows "
        "those up to 2: install a later acme"
    )


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("boom: 1", r"in postprocessor 'words' of plugin acme 1.0: upgrade fails: KeyError: 'boom' (acme_words.py:"),
        ("nothing: 1", "in postprocessor 'words' of plugin acme 1.0: upgrade returned None; it must return values"),
    ],
)
def test_an_upgrade_that_fails_is_the_plugins(
    offered: Callable[[str], Registry], tmp_path: Path, settings: str, said: str
) -> None:
    offered(NEW)
    with pytest.raises(PluginFaultError, match=f"^{re.escape(said)}"):
        a_run(tmp_path, settings, seed=0).recipe()


def test_what_an_upgrade_makes_is_checked_as_any_settings(offered: Callable[[str], Registry], tmp_path: Path) -> None:
    offered("of(New, version=2, upgrade=lambda settings, version: {'mst_words': 3})")
    with pytest.raises(RecipeError, match="did you mean 'most_words'"):
        a_run(tmp_path, "most: 7", seed=0).recipe()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ("version=0", "its version is no whole number from 1 up"),
        ("upgrade=3", "its upgrade is not callable"),
        ("problems=['odd']", "its problems are no tuple of ProblemKind"),
    ],
)
def test_a_declaration_that_is_none(install: Callable[..., tuple[EntryPoint, ...]], changes: str, said: str) -> None:
    registry = Registry.from_entry_points(install("acme", words=PLUGIN.replace("VERSION", f"of(New, {changes})")))
    assert said in registry.broken[0].error
