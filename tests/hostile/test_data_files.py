"""Damaged and strange data files: read as what they are, or refused in one line that says what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from data_files import ALL, BY_NAME, Case
from formats import FORMATS, read

POLICIES = ("skip", "keep", "repair", "error")


@pytest.mark.parametrize("case", ALL, ids=lambda case: f"{case.form.name}-{case.name}")
def test_each_file_is_read_or_refused_with_a_reason(tmp_path: Path, case: Case) -> None:
    path = case.form.write(tmp_path, case.content)
    outcome, message = read(case.form, path)
    assert (outcome, case.says if case.says in message else message) == (case.outcome, case.says)
    for policy in POLICIES:
        read(case.form, path, {"default": policy})


def test_the_list_covers_every_format() -> None:
    assert len(ALL) > 150
    assert len(BY_NAME["Git LFS pointer"]) == len(BY_NAME["web page"]) == len(FORMATS)
