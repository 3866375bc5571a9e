"""A competition's name, however people write it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qakit.recipe.model import competition_slug

SLUGS = st.from_regex(r"[a-z0-9]+(-[a-z0-9]+){0,4}", fullmatch=True)


@pytest.mark.parametrize(
    "written",
    [
        "titanic",
        " Titanic ",
        "https://www.kaggle.com/competitions/titanic",
        "https://www.kaggle.com/competitions/titanic/",
        "https://www.kaggle.com/competitions/titanic/overview/evaluation",
        "http://kaggle.com/c/titanic/leaderboard?tab=public#top",
        "www.kaggle.com/c/titanic",
        "kaggle.com/competitions/titanic/submissions",
    ],
)
def test_ways_to_write_one(written: str) -> None:
    assert competition_slug(written) == "titanic"


@pytest.mark.parametrize(
    "written",
    [
        "",
        " ",
        "two words",
        "-a",
        "a-",
        "a--b",
        "a_b",
        "../up",
        "a/b",
        "ünï",
        "a\nb",
        "https://www.kaggle.com/datasets/a/b",
        "https://www.kaggle.com/competitions/",
        "https://example.com/competitions/titanic",
    ],
)
def test_what_is_none(written: str) -> None:
    with pytest.raises(ValueError, match="last part of its address"):
        competition_slug(written)


def test_an_invitation_is_told_from_a_name() -> None:
    with pytest.raises(ValueError, match="is an invitation"):
        competition_slug("https://www.kaggle.com/t/0123456789abcdef")


@given(SLUGS, st.sampled_from(["competitions", "c"]), st.sampled_from(["", "/", "/rules", "/overview#x", "?a=b"]))
def test_every_page_of_a_competition_names_it(slug: str, section: str, rest: str) -> None:
    assert competition_slug(f"https://www.kaggle.com/{section}/{slug}{rest}") == slug


@given(SLUGS)
def test_a_name_stays_what_it_is(slug: str) -> None:
    assert competition_slug(competition_slug(slug)) == slug
