"""A command asks only for the plugins that it uses, and names those that a run needs."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from command_line import Invoke

import qakit

CONTEXT = "The harbour of Port Aster has two tides a day."
NEEDED_FOR = {"reader": "data.reader", "adapter": "adapter", "metric": "metric", "writer": "writer"}


@pytest.fixture
def without(small_run: Path, tmp_path: Path):
    """A copy of a run some of whose blocks name plugins that are gone."""

    def take(*blocks: str) -> Path:
        folder = tmp_path / "run"
        shutil.copytree(small_run, folder)
        recipe = (folder / "recipe.yaml").read_text("utf-8")
        meta = json.loads((folder / "meta.json").read_text("utf-8"))
        for block in blocks:
            recipe, count = re.subn(rf"^( *{block}:\n +name: )\w+$", rf"\1gone_{block}", recipe, flags=re.MULTILINE)
            assert count == 1, block
            meta["plugins"][NEEDED_FOR.get(block, block)] = f"gone_{block} of acme:all 0.3.0"
        (folder / "recipe.yaml").write_text(recipe, "utf-8")
        (folder / "meta.json").write_text(json.dumps(meta), "utf-8")
        return folder

    return take


def test_a_question_needs_neither_reader_nor_metric_nor_adapter(without, small_run: Path, invoke: Invoke) -> None:
    run = without("reader", "adapter", "metric", "writer")
    question = ("ask", "How many tides?", "--context", CONTEXT, "--json")
    told, plain = (invoke(question[0], folder, *question[1:]) for folder in (run, small_run))
    assert told.exit_code == 0, told.output
    assert json.loads(told.stdout) == json.loads(plain.stdout)
    assert qakit.load(run).answer([{"question": "How many?", "context": CONTEXT}])


@pytest.mark.parametrize(
    ("command", "block"), [(("evaluate",), "metric"), (("ask", "Who?", "--context", CONTEXT), "head")]
)
def test_what_is_used_is_asked_for(without, command: tuple[str, ...], block: str, invoke: Invoke) -> None:
    run = without(block)
    result = invoke(command[0], run, *command[1:])
    assert result.exit_code == 2
    said = f"{run} needs acme 0.3.0 (the {block} 'gone_{block}'): install it, or switch it on again"
    assert str(result.exception) == said
