"""How a recipe names a plugin's component."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator


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
