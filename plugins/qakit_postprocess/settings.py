"""What a recipe may say about clean-up."""

from __future__ import annotations

import unicodedata
from typing import Literal

from pydantic import Field, field_validator

from qakit.api import Settings


class SpecialCharsSettings(Settings):
    """Settings of ``special_chars``: each rule can be switched off."""

    strip: bool = Field(
        True, description="Remove white space (also U+3000 and U+00A0) and zero-width characters around the answer."
    )
    complete: Literal["context", "always", "drop", "keep"] = Field(
        "context",
        description="What to do about an answer that holds one half of a pair alone, such as `「臺北`. `context`: take "
        "the other half in if the context has it right beside the answer, else remove the lone half from the answer's "
        "edge, so that the answer stays a piece of the context. `always`: as `context`, but write the other half where "
        "the context does not have it. `drop`: only remove lone halves from the edges. `keep`: leave them.",
    )
    pairs: str = Field(
        "《》〈〉「」『』（）()【】“”",
        description="Opening and closing halves in turn. Full-width and half-width forms close each other. Straight "
        "quotes and single quotes are not here: they do not tell which half they are.",
    )
    remove: str = Field(
        "", description='Characters taken out of the answer at the end; "," for NTU HW7, whose key lost its commas.'
    )

    @field_validator("pairs")
    @classmethod
    def _halves(cls, value: str) -> str:
        if len(value) % 2 or len(set(value)) != len(value):
            raise ValueError("pairs needs an opening and a closing character in turn, each character once")
        if odd := [character for character in value if unicodedata.category(character)[0] not in "PS"]:
            raise ValueError(f"pairs takes punctuation and symbols, not {odd[0]!r}")
        return value
