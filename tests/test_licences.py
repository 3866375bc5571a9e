"""The list of licences is current, and every one of them may be shipped with."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

import pytest
from licences import ALLOWED, PAGE, names, page, pinned


def listed() -> dict[str, tuple[str, str]]:
    """Package -> version and licence, as the page has them."""
    rows = [line.strip("| ").split(" | ") for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| ")][1:]
    return {package: (number, licence) for package, number, licence in rows}


def test_the_page_lists_every_package_that_is_pinned() -> None:
    assert {package: number for package, (number, _) in listed().items()} == pinned()


def test_the_page_says_what_the_installed_packages_say() -> None:
    """A package in another version here (a newer Python's, say) may say something else."""
    current = dict(zip(pinned(), page().splitlines()[-len(pinned()) :], strict=True))
    written = PAGE.read_text("utf-8").splitlines()
    compared = 0
    for package, number in pinned().items():
        try:
            same = version(package).partition("+")[0] == number
        except PackageNotFoundError:
            continue
        if same:
            compared += 1
            assert current[package] in written, "run `python tests/licences.py --write`"
    assert compared > len(pinned()) / 2


def test_every_licence_is_allowed() -> None:
    refused = {package: licence for package, (_, licence) in listed().items() if not names(licence) <= ALLOWED}
    assert refused == {}


@pytest.mark.parametrize(
    ("expression", "needed"),
    [
        ("MIT", {"MIT"}),
        ("GPL-3.0-only", {"GPL-3.0-only"}),
        ("MIT OR GPL-3.0-only", {"MIT"}),
        ("MIT AND GPL-3.0-only", {"MIT", "GPL-3.0-only"}),
        ("(MIT OR GPL-2.0-only) AND Apache-2.0 WITH LLVM-exception", {"MIT", "Apache-2.0 WITH LLVM-exception"}),
    ],
)
def test_of_alternatives_an_allowed_one_is_enough(expression: str, needed: set[str]) -> None:
    assert names(expression) == needed
