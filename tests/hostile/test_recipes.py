"""Recipes made to do harm, and recipes with a wrong value anywhere: checked, or refused with file and line."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import mutants
from recipe_files import BOMBS, HUGE_SCALARS, VALID, Bomb, refusal

from qakit.errors import RecipeError
from qakit.recipe.load import load_recipe
from qakit.recipe.nodes import Findings, Source
from qakit.recipe.syntax import MAX_NODES, parse

FAST = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def memory(field: str) -> int:
    """Of this process, in bytes: ``VmRSS`` now, ``VmHWM`` at its peak."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) << 10


@pytest.mark.parametrize("bomb", BOMBS, ids=lambda bomb: bomb.name)
def test_no_recipe_builds_objects_or_fills_the_memory(tmp_path: Path, bomb: Bomb) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(bomb.text, "utf-8")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = memory("VmRSS")
    message = refusal(path)
    assert message is not None and bomb.says in message
    assert memory("VmHWM") - before < 300 << 20


def test_the_parser_stops_at_the_limit_and_reads_no_further() -> None:
    """The rest of the text is not even valid YAML."""
    text = "[" + "1," * (MAX_NODES + 10) + "%%%"
    with pytest.raises(RecipeError, match="more than 10,000 values"):
        parse(text, Source("r.yaml", Path()), Findings())
    with pytest.raises(RecipeError, match="nested more than 40 levels"):
        parse("[" * 50 + "\n" + "a\n" * 5_000 + "%%%", Source("r.yaml", Path()), Findings())


@pytest.mark.parametrize(
    "name", ["plain", *(pytest.param(name, marks=pytest.mark.slow) for name in ("quoted", "block"))]
)
def test_a_huge_text_is_a_text(tmp_path: Path, name: str) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(f"data: {{reader: squad}}\nbackbone: {{source: some/model}}\n{HUGE_SCALARS[name]}\n", "utf-8")
    assert len(load_recipe(path).recipe.description) > 500_000


def test_every_thirteenth_value_in_every_place(tmp_path: Path) -> None:
    """All of them: a line of the table in docs/dev/reliability.md."""
    path = tmp_path / "r.yaml"
    path.write_text(json.dumps(VALID), "utf-8")
    assert refusal(path) is None
    refused = 0
    for _, _, document in itertools.islice(mutants(VALID), 0, None, 13):
        path.write_text(json.dumps(document), "utf-8")
        refused += refusal(path) is not None
    assert refused > 600 // 13


@FAST
@given(data=st.data())
def test_text_changed_anywhere(tmp_path: Path, data: st.DataObject) -> None:
    text = list(json.dumps(VALID, indent=2))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at : at + data.draw(st.integers(0, 3))] = data.draw(
            st.text(max_size=3) | st.sampled_from("&*!|>%@`{}[]-?:#")
        )
    path = tmp_path / "r.yaml"
    path.write_bytes("".join(text).encode("utf-8", "surrogatepass"))
    refusal(path)


@pytest.mark.parametrize(
    "name", ["../../evil", "/etc/evil", "..", ".hidden", "a/b", "a\\b", "a b", "", "x\x1b[31m", "é"]
)
def test_a_run_cannot_be_named_out_of_its_folder(tmp_path: Path, name: str) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(json.dumps(VALID | {"name": name}), "utf-8")
    message = refusal(path)
    assert message is not None and "name" in message
