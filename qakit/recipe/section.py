"""What all sections of a recipe are, and values that several of them hold."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator
from pydantic.fields import FieldInfo

from qakit.values import Device, Task

Every = Literal["epoch"] | PositiveInt
"""At the end of each epoch, or after every so many optimiser steps."""

FOLDER_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
"""What names a folder: neither a path nor ``..``."""


def check_folder_names(names: Iterable[str]) -> None:
    """Make sure that names may be those of folders.

    Raises:
        ValueError: one may not.
    """
    for name in names:
        if re.fullmatch(FOLDER_NAME, name) is None:
            raise ValueError(
                f"the name {name!r} may have letters, digits and . _ - only, a letter or digit first: it names folders"
            )


class Section(BaseModel):
    """Base of every recipe section: frozen, unknown keys are errors. The string below a field documents it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)


@dataclass(frozen=True, slots=True)
class IsPath:
    """Marks a string field as a path: relative to the recipe file that wrote it, with ``${NAME:-default}`` expanded."""

    or_name: bool = False
    """Whether it may also be a name (a package, a model on the hub). It is a path when it starts with ``.``, ``~`` or
    ``/``, or when something of that name lies beside the recipe."""
    or_hub: bool = False
    """Whether it may also be a file on the hub, ``hf://...``."""


RecipePath = Annotated[str, IsPath()]
"""A path in a recipe. Environment variables are expanded in these fields and nowhere else."""
RecipeSource = Annotated[str, IsPath(or_name=True)]
"""A path, or the name of something that is looked up elsewhere."""


class HeldCode(BaseModel):
    """A plugin file as a resolved recipe holds it, so that a run has the code it was made with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    """Its name."""
    sha256: str
    """Of the text."""
    code: str
    """The whole text."""

    @property
    def package(self) -> str:
        """As :attr:`qakit.plugin_code.PluginCode.package`."""
        return f"{self.file}@{self.sha256[:12]}"


def is_path_field(field: FieldInfo) -> bool:
    """Whether a setting is a path, a list of paths, or a path among other things."""
    return any(isinstance(mark, IsPath) for mark in field.metadata) or "IsPath" in repr(field.annotation)


class PluginRef(BaseModel):
    """A component by name with its settings: ``linear_span`` or ``{name: stride, stride: 128}``."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @property
    def settings(self) -> dict[str, Any]:
        """The block without its name."""
        return dict(self.__pydantic_extra__ or {})


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
