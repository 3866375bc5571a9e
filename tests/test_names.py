"""A name out of a document that somebody else wrote never leads out of its folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qakit.names import below, plain_name


@pytest.mark.parametrize(
    "name", ["a.csv", "答案.csv", "a b", ".hidden", "..a", "20261130-qa-cup-0123456789", "x" * 255]
)
def test_plain_names(name: str) -> None:
    assert plain_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../victim",
        "/etc/passwd",
        "a/b",
        "a\\b",
        "C:x",
        "a\0b",
        "a\nb",
        "x" * 256,
        "答" * 86,
        None,
        1,
        ["a"],
    ],
)
def test_what_is_none(name: object) -> None:
    with pytest.raises(ValueError, match="file name"):
        plain_name(name)


def test_a_path_below_a_folder() -> None:
    assert below(Path("data"), "train/a.csv") == Path("data/train/a.csv")
    for path in ("../a", "a/../../b", "/a", "a//b", "", None):
        with pytest.raises(ValueError, match="file name"):
            below(Path("data"), path)


@given(st.text(max_size=12) | st.text(st.sampled_from("./\\:a"), max_size=8))
def test_nothing_leads_out(name: str) -> None:
    try:
        found = below(Path("/folder"), name)
    except ValueError:
        return
    assert found.resolve().is_relative_to("/folder") and found != Path("/folder")
