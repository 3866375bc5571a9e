"""A small registry of its own, and recipes written on the spot: nothing here depends on the installed plugins."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import ConfigDict, Field, PositiveInt, model_validator

from qakit.api import Component, NoSettings, RecipePath, Settings
from qakit.components import Kind
from qakit.discovery import BrokenPlugin, Discovery, LoadedPlugin
from qakit.entry_points import PluginOrigin
from qakit.errors import RecipeError
from qakit.problems import ProblemKind
from qakit.recipe.load import load_recipe
from qakit.registry import Registry

ORIGIN = PluginOrigin("qakit:fakes", "qakit", "1.0")


class StrideSettings(Settings):
    model_config = ConfigDict(use_attribute_docstrings=True)

    step: PositiveInt | None = None
    """Tokens from one window to the next."""
    mode: Literal["all", "none"] = "all"
    """Which windows."""


class CrfSettings(Settings):
    """With a validator before the fields, behind which pydantic's strict mode takes no list for a tuple."""

    smoothing: float = Field(default=0.0, ge=0, le=1, description="How much.")
    layers: tuple[int, ...] = Field(default=(1, 2), description="Which layers.")

    @model_validator(mode="before")
    @classmethod
    def _as_given(cls, value: Any) -> Any:
        return value


class TableSettings(Settings):
    question: str | None = None
    text: str | None = None
    extra: RecipePath | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> TableSettings:
        if (self.question is None) == (self.text is None):
            raise ValueError("give `question` or `text`, one of the two")
        return self


class GlueSettings(Settings):
    task: str


SETTINGS: dict[tuple[Kind, str], type[Settings]] = {
    ("readers", "squad"): NoSettings,
    ("readers", "table"): TableSettings,
    ("readers", "glue"): GlueSettings,
    ("preprocessors", "stride"): StrideSettings,
    ("preprocessors", "centred"): NoSettings,
    ("adapters", "full"): NoSettings,
    ("heads", "linear_span"): NoSettings,
    ("heads", "crf"): CrfSettings,
    ("postprocessors", "strip"): StrideSettings,
    ("writers", "csv"): NoSettings,
    ("metrics", "squad_v1"): NoSettings,
}
OWN = {"table": (ProblemKind("bad_row", "a row of another width"),)}
"""The readers' own kinds of problem."""


def make_registry(
    settings: dict[tuple[Kind, str], type[Settings]] = SETTINGS, *, broken: bool = False, disabled: tuple[str, ...] = ()
) -> Registry:
    components = tuple(
        (kind, Component(name, f"The {name}.", model, lambda settings, runtime: None, problems=OWN.get(name, ())))
        for (kind, name), model in settings.items()
    )
    loaded = LoadedPlugin(ORIGIN, components)
    failed = (BrokenPlugin(PluginOrigin("other:x", "other", "2"), "no module", ""),) if broken else ()
    off = tuple(PluginOrigin(name, name.partition(":")[0], "1") for name in disabled)
    return Registry(Discovery((loaded,), failed, off, ()))


@pytest.fixture(scope="session")
def registry() -> Registry:
    return make_registry()


@pytest.fixture(scope="session")
def registry_without_heads() -> Registry:
    """No head, and one plugin that could not be loaded."""
    settings = {key: model for key, model in SETTINGS.items() if key[0] != "heads"}
    return make_registry(settings, broken=True)


@pytest.fixture(scope="session")
def registry_with_plugins_off() -> Registry:
    """Two plugins are switched off; without heads of the second."""
    return make_registry(broken=True, disabled=("qakit:heads", "other:y"))


@pytest.fixture(scope="session")
def registry_with_a_conflict() -> Registry:
    """Two plugins have a head called ``crf``."""
    sound = make_registry()
    (plugin,) = sound.plugins
    crf = sound.entries("heads")[0].component
    other = LoadedPlugin(PluginOrigin("other:x", "other", "2"), (("heads", crf),))
    return Registry(Discovery((plugin, other), (), (), ()))


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """``write(text, name="r.yaml")``: a recipe in the current folder; returns its relative path."""
    monkeypatch.chdir(tmp_path)

    def write_recipe(text: str, name: str = "r.yaml") -> Path:
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write_recipe


@pytest.fixture
def message(registry: Registry) -> Callable[..., str]:
    """``message(path, *overrides)``: the whole text of the error that loading the recipe raises."""

    def load_and_fail(path: Path, *overrides: str, registry: Registry = registry) -> str:
        with pytest.raises(RecipeError) as caught:
            load_recipe(path, overrides, registry=registry)
        return str(caught.value)

    return load_and_fail
