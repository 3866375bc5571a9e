"""A competition's name on Kaggle, from however people write it."""

from __future__ import annotations

import re

_SLUG = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_ADDRESS = re.compile(
    r"(?:https?://)?(?:www\.)?kaggle\.com/(?:competitions|c)/(?P<slug>[^/?#\s]+)(?:[/?#]\S*)?", re.IGNORECASE
)
_INVITATION = re.compile(r"(?:https?://)?(?:www\.)?kaggle\.com/t/\S*", re.IGNORECASE)


def competition_slug(text: str) -> str:
    """The slug of a competition from the slug itself or its address in a browser (any page of it).

    Raises:
        ValueError: it is neither; says what was expected.
    """
    given = text.strip()
    if _INVITATION.fullmatch(given):
        raise ValueError(
            f"{given!r} is an invitation: open it in a browser, join, and give the address of the competition itself"
        )
    address = _ADDRESS.fullmatch(given)
    slug = (address["slug"] if address else given).lower()
    if not _SLUG.fullmatch(slug):
        raise ValueError(
            f"{text!r} is no competition: give the last part of its address, as `titanic` in"
            " https://www.kaggle.com/competitions/titanic"
        )
    return slug
