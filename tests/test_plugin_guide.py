"""The plugin guide: every hook and every name of the API is in it, and its example is the real package."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from qakit import api, hookspecs, testing
from qakit.components import Component
from qakit.registry import PROTOCOLS

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ROOT / "tests" / "third_party"
PAGES = (ROOT / "docs" / "plugins.md", *sorted((ROOT / "docs" / "plugins").glob("*.md")))
QUOTED = re.compile(r'^--8<-- "(.+)"$', re.MULTILINE)
LANGUAGES = {".py": " { .python }", ".toml": "toml", ".yaml": "yaml"}
"""How the pages begin a block; ruff takes one that begins with ```python for code."""


def text_of(page: Path) -> str:
    """A page with the files that it quotes."""
    return QUOTED.sub(lambda found: (PACKAGES / found[1]).read_text("utf-8"), page.read_text("utf-8"))


GUIDE = "\n".join(map(text_of, PAGES))


def test_the_pages_quote_what_does_the_work_in_each_package() -> None:
    pages = "\n".join(page.read_text("utf-8") for page in PAGES)
    quoted = QUOTED.findall(pages)
    for file in quoted:
        assert f'```{LANGUAGES[Path(file).suffix]}\n--8<-- "{file}"\n```\n' in pages
    for package in PACKAGES.glob("*/"):
        files = [file.relative_to(PACKAGES).as_posix() for file in package.glob("src/*/*.py")]
        works = [file for file in files if not file.endswith("__init__.py")] or files
        if files:
            assert set(works) - set(quoted) == set(), f"docs/plugins/ does not show {package.name}"


def test_the_short_example_works() -> None:
    (source,) = re.findall(r"```python\n(from qakit.api[^`]*SHOUT[^`]*)```", GUIDE)
    plugin: dict[str, Any] = {"__name__": "qakit_shout"}
    exec(source, plugin)
    (component,) = plugin["qakit_register_postprocessors"]()
    testing.check_component("postprocessors", component)
    testing.check_postprocessor(component, api.NoSettings())
    assert not component.summary.endswith(".")


def page_of(protocol: str) -> str:
    """What the guide says of a protocol."""
    return text_of(ROOT / "docs" / "plugins" / f"{protocol.lower()}.md")


def of_section(protocol: str, kind: str, name: str | None = None) -> Component[Any, Any, Any]:
    """The first component of the page's own example, or one of them."""
    section = page_of(protocol)
    blocks = re.findall(r"^```python\n(.*?)^```", section, flags=re.DOTALL | re.MULTILINE)
    (source,) = (block for block in blocks if "qakit_register_" in block)
    plugin: dict[str, Any] = {"__name__": f"guide_{kind}"}
    exec(source, plugin)
    components: list[Component[Any, Any, Any]] = plugin[f"qakit_register_{kind}"]()
    for component in components:
        testing.check_component(kind, component)
    return components[0] if name is None else next(each for each in components if each.name == name)


def test_the_reader_of_the_guide_works(tmp_path: Path) -> None:
    component = of_section("Reader", "readers")
    path = tmp_path / "cards.txt"
    path.write_text("when?\tIt comes twice a day.\ttwice\nwhere?\tHere.\tthere\n", "utf-8")
    examples = testing.check_reader(component, api.NoSettings(), path)
    assert [example.answers for example in examples] == [(api.Answer("twice", 9),), (api.Answer("there", None),)]
    path.write_text("what\tA tide.\ttide\nwho?\n", "utf-8")
    with pytest.raises(
        api.DataError, match=r"no question mark \(to continue, set data\.problems\.no_mark to skip or repair or keep\)"
    ):
        testing.check_reader(component, api.NoSettings(), path)
    policies = {"no_mark": "repair", "bad_row": "skip"}
    (mended,) = testing.check_reader(component, api.NoSettings(), path, policies=policies)
    assert mended.question == "what?"
    path.write_text("what\tA tide.\ttide\n", "utf-8")
    with pytest.raises(AssertionError, match="read fails: LookupError: a problem of the kind 'no_mark', which is not"):
        testing.check_reader(replace(component, problems=()), api.NoSettings(), path)
    path.write_bytes(b"\xff")
    with pytest.raises(api.DataError, match=r"cards\.txt: cannot be read"):
        testing.check_reader(component, api.NoSettings(), path)


def test_the_writer_of_the_guide_works(tmp_path: Path) -> None:
    component = of_section("Writer", "writers")
    path = testing.check_writer(component, api.NoSettings(), tmp_path)
    writer = component.build(api.NoSettings(), api.NoRuntime())
    writer.write([api.LabelPrediction("q0", "entailment")], tmp_path / "labels.txt")
    assert (tmp_path / "labels.txt").read_text("utf-8") == 'q0\t"entailment"\n'
    assert "id q1 is missing" in writer.check(tmp_path / "labels.txt", path)


def test_the_head_of_the_guide_works() -> None:
    component = of_section("Head", "heads")
    testing.check_head(component, api.NoSettings())
    head, batch = component.build(api.NoSettings(), api.HeadRuntime(2, 0.02, 1, 1, False)), testing.made_up_batch()
    with torch.no_grad():
        head.linear.weight[:] = torch.tensor([1.0, 0.0])
        head.linear.bias.zero_()
        hidden = torch.zeros(4, 14, 2)
        hidden[:, 0, 0] = torch.tensor([2.0, 1.0, 5.0, 7.0])  # only the first example has two contexts to choose from
        loss = head(hidden, batch).loss
        assert loss == pytest.approx(math.log(1 + math.exp(1.0 - 2.0)) / 3)
        batch = replace(batch, target_segment=torch.full((4,), -1))
        assert head(hidden, batch).loss == 0, "nothing is right, nothing to learn"


def test_the_ensembler_of_the_guide_works() -> None:
    component = of_section("Ensembler", "ensemblers")
    testing.check_ensembler(component, api.NoSettings())
    said = [
        [api.SpanPrediction("q", text, (api.Candidate(text, None, None, 0, 0.0, 0.6),), api.NoAnswer(-1.0, 0.4))]
        for text in ("one", "two", "two")
    ]
    (found,) = component.build(api.NoSettings(), api.NoRuntime()).combine(said)
    assert [(each.text, each.probability) for each in found.candidates] == [
        ("two", pytest.approx(0.4)),
        ("one", pytest.approx(0.2)),
    ]
    assert found.null is not None
    assert found.null.probability == pytest.approx(0.4)


def test_members_count_by_their_figures_in_the_guides_second_ensembler() -> None:
    component = of_section("Ensembler", "ensemblers", "by_figure")
    settings = component.settings(figure="f1", power=2)
    testing.check_ensembler(component, settings, figures=["f1", "exact_match"])
    pools = component.build(settings, api.NoRuntime())
    members = [
        api.EnsembleMember(text, [api.SpanPrediction("q", text)], figures={"f1": figure})
        for text, figure in (("one", 60.0), ("two", 20.0), ("two", 20.0))
    ]
    (found,) = pools.pool(members, None).combine([1 / 3] * 3, [1.0] * 3, n_best=5)
    assert [each.text for each in found.candidates] == ["one", "two"]
    assert found.candidates[0].probability == pytest.approx(3600 / 4400)
    with pytest.raises(api.UsageError, match="two has no validation figure 'f1'; it has none"):
        pools.pool([members[0], replace(members[1], figures={})], None)


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
    section = page_of(protocol.__name__)
    members = [name for name in (*vars(protocol), *protocol.__annotations__) if name[0] != "_" or name == "__call__"]
    assert members
    assert [name for name in members if name not in section] == []


def test_the_api_lists_its_names_in_order_and_each_exists() -> None:
    assert list(api.__all__) == sorted(api.__all__, key=lambda name: (not name.isupper(), name))  # constants first
    for name in api.__all__:
        assert getattr(api, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        api.nothing  # noqa: B018
