"""The plugin guide: every hook and every name of the API is in it, and its example is the real package."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from qakit import api, hookspecs, testing
from qakit.registry import PROTOCOLS

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "tests" / "third_party"
GUIDE = (ROOT / "docs" / "plugins.md").read_text("utf-8")
EXAMPLE_FILES = [
    *sorted((PACKAGE / "src" / "qakit_example").glob("*.py")),
    PACKAGE / "tests" / "test_example.py",
    PACKAGE / "pyproject.toml",
    PACKAGE / "example" / "recipe.yaml",
]
LANGUAGES = {".py": "python", ".toml": "toml", ".yaml": "yaml"}


@pytest.mark.parametrize("path", EXAMPLE_FILES, ids=lambda path: path.name)
def test_the_example_is_shown_as_it_is(path: Path) -> None:
    block = f"```{LANGUAGES[path.suffix]}\n{path.read_text('utf-8')}```\n"
    assert block in GUIDE, f"docs/plugins.md does not show {path.relative_to(PACKAGE)} as it is"


def test_the_short_example_works() -> None:
    (source,) = re.findall(r"```python\n(from qakit.api[^`]*SHOUT[^`]*)```", GUIDE)
    plugin: dict[str, Any] = {"__name__": "qakit_shout"}
    exec(source, plugin)
    (component,) = plugin["qakit_register_postprocessors"]()
    testing.check_component("postprocessors", component)
    testing.check_postprocessor(component, api.NoSettings())


def test_the_example_has_all_its_files() -> None:
    assert len(EXAMPLE_FILES) == 8


@pytest.mark.parametrize("hook", sorted(name for name in vars(hookspecs) if name.startswith("qakit_register_")))
def test_every_hook_is_in_the_guide_and_in_a_test(hook: str) -> None:
    assert f"`{hook}" in GUIDE
    tests = [path for path in (ROOT / "tests").rglob("test_*.py") if path.name != Path(__file__).name]
    assert len(tests) > 10
    assert any(hook in path.read_text("utf-8") for path in tests)


@pytest.mark.parametrize("name", sorted(api.__all__))
def test_every_name_of_the_api_is_in_the_guide(name: str) -> None:
    assert re.search(rf"\b{name}\b", GUIDE), f"docs/plugins.md does not mention {name}"


@pytest.mark.parametrize("name", sorted(testing.__all__))
def test_every_check_is_in_the_guide(name: str) -> None:
    assert f"`{name}" in GUIDE


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=lambda protocol: protocol.__name__)
def test_every_protocol_is_in_the_guide_with_its_members(protocol: type) -> None:
    (section,) = re.findall(rf"\n### `{protocol.__name__}`.*?\n(?=##)", GUIDE, flags=re.DOTALL)
    members = [name for name in (*vars(protocol), *protocol.__annotations__) if name[0] != "_" or name == "__call__"]
    assert members
    assert [name for name in members if name not in section] == []


def test_the_api_lists_its_names_in_order_and_each_exists() -> None:
    assert list(api.__all__) == sorted(api.__all__)
    for name in api.__all__:
        assert getattr(api, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        api.nothing  # noqa: B018
