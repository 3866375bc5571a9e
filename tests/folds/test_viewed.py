"""`qakit view` on folds, and on one of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

Invoke = Any


def test_the_command_writes_a_page_for_a_run(folded: Path, invoke: Invoke, tmp_path: Path) -> None:
    result = invoke("view", folded, "-o", tmp_path / "folds.html", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["page"] == str(tmp_path / "folds.html")
    assert "validation questions" in (tmp_path / "folds.html").read_text("utf-8")
    result = invoke("view", folded / "fold-1")
    assert result.exit_code == 0 and (folded / "fold-1" / "view.html").is_file()
    (folded / "fold-1" / "view.html").unlink()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--members",), "is no ensemble"),
        (("-o", "page.txt"), "should be a page"),
        (("{run}",), "is given twice"),
    ],
)
def test_what_cannot_be_shown_is_one_line(folded: Path, invoke: Invoke, options: Any, said: str) -> None:
    result = invoke("view", folded, *(folded if each == "{run}" else each for each in options))
    assert result.exit_code == 2
    assert said in str(result.exception)
