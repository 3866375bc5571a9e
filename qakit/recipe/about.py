"""What a recipe says it is for: what `qakit recipes list` is filtered by."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from qakit.recipe.section import Section
from qakit.values import Device, Task


class AboutSection(Section):
    """What a recipe is for. It belongs to its file, is not inherited, and changes nothing."""

    task: Task | None = None
    """What is learnt: answers within a context (`span`), also which of several contexts has them (`paragraphs`), which
    context alone (`multiple_choice`), a class or a number for each text."""
    language: Annotated[str, Field(pattern=r"^([a-z]{2,3}|multi)$")] | None = None
    """Of the texts, by its ISO 639 code (`en`, `zh`); `multi` for several."""
    device: Device | None = None
    """What it is meant for: `cpu`, or one `gpu`."""
    hours: Annotated[float, Field(gt=0)] | None = None
    """About how long all of it takes on such a device: two CPU cores, or one GPU of today."""

    def fits(self, *, task: str | None, language: str | None, device: str | None, hours: float | None) -> bool:
        """Whether it says all that is asked for; what is None is not."""
        spelt = None if language is None else language.lower()
        wanted = ((task, self.task), (spelt, self.language), (device, self.device))
        return all(value in (None, own) for value, own in wanted) and (
            hours is None or (self.hours is not None and self.hours <= hours)
        )

    def __str__(self) -> str:
        """In a few words, for lists."""
        hours = "" if self.hours is None else f"{self.hours:g} h"
        return ", ".join(filter(None, (self.task, self.language, self.device, hours)))
