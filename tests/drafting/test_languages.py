"""Languages that choose a backbone."""

from __future__ import annotations

import pytest

from qakit.drafting.languages import CHINESE, ENGLISH, MULTILINGUAL, language_of


@pytest.mark.parametrize(
    ("texts", "name", "backbone"),
    [
        (["The cat is on the mat and it was happy.", "What is the name of the lake?"], "English", ENGLISH),
        (["Der Hund liegt auf dem Sofa, weil er schläft."], "Latin letters, not English", MULTILINGUAL),
        (["這是一個關於歷史的問題。", "北京在哪里？"], "Chinese", CHINESE),
        (["これは日本の歴史についての問題です。"], "Japanese", MULTILINGUAL),
        (["भारत की राजधानी क्या है?", "இந்தியாவின் தலைநகரம் என்ன?"], "Devanagari and Tamil", MULTILINGUAL),
        (["123 ...", ""], "Latin letters, not English", MULTILINGUAL),
    ],
)
def test_language(texts: list[str], name: str, backbone: str) -> None:
    found = language_of(texts)
    assert (found.name, found.backbone) == (name, backbone)
    assert "%" in found.reason or "no letters" in found.reason


def test_texts_that_take_turns_are_all_looked_at() -> None:
    found = language_of(["positive", "It is the end of the day, and I am on my way to the lake."] * 5_000)
    assert found.name == "English"
