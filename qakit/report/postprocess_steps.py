"""Clean-up steps that a search may take: every installed postprocessor with the settings worth trying."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from qakit.inference.evaluation import Judge, finish
from qakit.protocols import LearnsSettings, NoRuntime, Postprocessor
from qakit.recipe.dump import yaml_flow
from qakit.recipe.model import PluginRef
from qakit.registry import Registry
from qakit.values import Example, SpanPrediction


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """A postprocessor with its settings. Two are the same only if they are one."""

    name: str
    settings: Mapping[str, Any]
    """Those that differ from its defaults."""
    postprocessor: Postprocessor

    @property
    def label(self) -> str:
        """``special_chars {complete: drop}``; long values are cut."""
        if not self.settings:
            return self.name
        shown = (f"{key}: {_short(yaml_flow(value))}" for key, value in self.settings.items())
        return f"{self.name} {{{', '.join(shown)}}}"

    @property
    def block(self) -> dict[str, Any]:
        """As a recipe has it under ``postprocess``."""
        return {"name": self.name, **self.settings}

    def apply(
        self, predictions: Sequence[SpanPrediction], examples: Sequence[Example], judge: Judge
    ) -> list[SpanPrediction]:
        """The predictions after this step.

        Raises:
            PluginError: it returns something else than the prediction of the same question.
        """
        recipe = judge.recipe.model_copy(update={"postprocess": [PluginRef(name=self.name)]})
        finished = finish(predictions, examples, replace(judge, recipe=recipe, postprocessors=(self.postprocessor,)))
        return [each for each in finished if isinstance(each, SpanPrediction)]


def own_steps(judge: Judge) -> tuple[Step, ...]:
    """Those of the recipe itself."""
    steps = zip(judge.recipe.postprocess, judge.postprocessors, strict=True)
    return tuple(Step(ref.name, ref.settings, postprocessor) for ref, postprocessor in steps)


def known_steps(names: Sequence[str], registry: Registry, teachers: Sequence[Example]) -> tuple[Step, ...]:
    """The named postprocessors, each with all its ``tries``; what one learns, it learns from ``teachers``.

    Raises:
        UnknownPluginError: nobody offers one of them.
        PluginError: a component tries or learns settings that it does not take.
    """
    found: list[Step] = []
    for name in names:
        for given in registry.get("postprocessors", name).component.tries or ({},):
            step = _step(name, given, registry)
            if isinstance(step.postprocessor, LearnsSettings):
                step = _step(name, {**step.postprocessor.learn(teachers), **given}, registry)
            if all(step.settings != other.settings for other in found if other.name == name):
                found.append(step)
    return tuple(found)


def _step(name: str, settings: Mapping[str, Any], registry: Registry) -> Step:
    checked = registry.check_settings("postprocessors", name, settings)
    built: Postprocessor = registry.build("postprocessors", name, settings, NoRuntime())
    plain, defaults = checked.model_dump(mode="json"), type(checked)
    default = {key: field.get_default(call_default_factory=True) for key, field in defaults.model_fields.items()}
    changed = {key: value for key, value in plain.items() if key in settings and getattr(checked, key) != default[key]}
    return Step(name, changed, built)


def _short(text: str) -> str:
    return text if len(text) <= 24 else text[:21] + "..."
