"""What a recipe may say about each metric."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from qakit.api import Settings


class SquadV1Settings(Settings):
    """SQuAD 1.1."""

    primary: Literal["exact_match", "f1"] = Field("f1", description="The figure that selects the weights.")


class SquadV2Settings(Settings):
    """SQuAD 2.0."""

    primary: Literal["exact", "f1"] = Field("f1", description="The figure that selects the weights.")
    no_answer_threshold: float = Field(
        1.0,
        description='Questions whose no-answer probability is above this count as answered with "", as with the '
        "official script's `--na-prob-thresh`. At 1 the answers are scored as they are.",
    )


class CmrcSettings(Settings):
    """CMRC 2018, DRCD."""

    primary: Literal["EM", "F1", "AVERAGE"] = Field("EM", description="The figure that selects the weights.")


class ExactMatchSettings(Settings):
    """Competitions that compare texts."""

    primary: Literal["exact_match", "f1"] = Field("exact_match", description="The figure that selects the weights.")
    remove_characters: str = Field(
        "", description='Characters taken out of gold and given answers; "," for NTU HW7, whose key lost its commas.'
    )
    strip: bool = Field(True, description="Remove white space around gold and given answers.")
