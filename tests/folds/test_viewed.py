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
        (("-o", "page.txt"), "page.txt cannot be the page: give --output NAME.html"),
        (("{run}",), "is given twice"),
    ],
)
def test_what_cannot_be_shown_is_one_line(folded: Path, invoke: Invoke, options: Any, said: str) -> None:
    result = invoke("view", folded, *(folded if each == "{run}" else each for each in options))
    assert result.exit_code == 2
    assert said in str(result.exception)


def test_two_runs_seen_from_within_one_of_them_leave_its_own_page(
    folded: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folded / "fold-1")
    result = invoke("view", ".", "../fold-2")
    assert result.exit_code == 2 and "is, or lies in, a part of the run" in str(result.exception)
    assert not (folded / "fold-1" / "view.html").exists()


def test_a_folder_in_the_place_of_the_page_is_named(folded: Path, invoke: Invoke) -> None:
    page = folded / "fold-2" / "view.html"
    page.mkdir()
    result = invoke("view", folded / "fold-2")
    page.rmdir()
    assert result.exit_code == 2 and f"{page} cannot be the page" in str(result.exception)
