"""What users call new files and folders: any name works everywhere, or is refused before the work."""

from __future__ import annotations

from pathlib import Path

import pytest

from qakit.errors import RunError, UsageError
from qakit.outputs import check_empty, check_name, check_output


@pytest.mark.parametrize(
    "name",
    ["my run", "_x", "模型", "$x$", "a~b", "a-b", "[x]", "*", "a::b", "x.old", "ä" * 127, ".hidden", "é", "a'b\"c"],
)
def test_odd_names_are_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    check_empty(Path(name))
    check_output(tmp_path / name)


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("~/runs/one", "the shell has left ~ as it is"),
        ("-x", "reads as an option"),
        ("runs/-x", "reads as an option"),
        ("runs/one ", "a blank at the end"),
        ("a\nb", "control characters"),
        ("\x1b[31mred", "control characters"),
        ("ä" * 128, "a name has more than 255 bytes"),
        ("a/" * 2000 + "b", "the whole path has more than 3,584 bytes"),
        ("bytes\udcff", "not valid UTF-8"),
        (".model.old", "those of unfinished files"),
        (".model.0123abcd-17-5.00c0ffee.tmp", "those of unfinished files"),
    ],
)
def test_names_that_would_not_work_later_are_refused(path: str, why: str) -> None:
    with pytest.raises(UsageError, match=why) as caught:
        check_name(Path(path))
    text = str(caught.value)
    assert text.isprintable()
    assert len(text.encode()) < 400


@pytest.mark.parametrize("path", [".", "..", "x/..", "/"])
def test_what_is_there_anyway_cannot_be_replaced(path: str) -> None:
    with pytest.raises(UsageError, match="cannot be replaced; name a new one in it"):
        check_output(Path(path))


def test_a_folder_that_holds_something_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".model.0123abcd-17-5.00c0ffee.tmp").mkdir()
    check_empty(tmp_path)
    (tmp_path / "notes.txt").touch()
    check_empty(tmp_path, beside=["notes.txt"])
    with pytest.raises(RunError, match="exists and is not empty: choose another --output"):
        check_empty(tmp_path)
    with pytest.raises(RunError, match=r"notes\.txt is a file, no folder: choose another --output"):
        check_empty(tmp_path / "notes.txt")
