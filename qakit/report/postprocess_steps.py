"""Clean-up steps that a search may take: every installed postprocessor with the settings worth trying."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from qakit.errors import PluginError, PluginFaultError
from qakit.inference.evaluation import Judge, finish
from qakit.protocols import LearnsSettings, NoRuntime, Postprocessor
from qakit.recipe.dump import yaml_flow
from qakit.recipe.model import PluginRef
from qakit.registry import Registry
from qakit.values import Example, SpanPrediction


class StepFaultError(PluginError):
    """A postprocessor that cannot be used.

    Args:
        name: the postprocessor.
        fault: what is wrong, to be read after its name.
    """

    def __init__(self, name: str, fault: str) -> None:
        self.name, self.fault = name, fault
        super().__init__(f"the postprocessor {name!r} {fault}")


@dataclass(frozen=True, slots=True)
class Faults:
    """What becomes of postprocessors that cannot be used."""

    strict: bool
    """Whether they are wanted by name, and so an error."""
    found: dict[str, str] = field(default_factory=dict)
    """Those that are left out, and why: to be read after the name."""

    def add(self, error: StepFaultError) -> None:
        """Leave one out.

        Raises:
            StepFaultError: it is wanted by name.
        """
        if self.strict:
            raise error
        self.found.setdefault(error.name, error.fault)


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
            StepFaultError: it raises, or returns something else than an answer to the same question.
        """
        recipe = judge.recipe.model_copy(update={"postprocess": [PluginRef(name=self.name)]})
        try:
            finished = finish(
                predictions, examples, replace(judge, recipe=recipe, postprocessors=(self.postprocessor,))
            )
        except PluginFaultError as error:
            raise StepFaultError(self.name, f"cannot be used: {error.what}") from error
        answers = [each for each in finished if isinstance(each, SpanPrediction) and isinstance(each.answer, str)]
        if len(answers) != len(finished):
            raise StepFaultError(self.name, "turns an answer into something else")
        return answers


def own_steps(judge: Judge) -> tuple[Step, ...]:
    """Those of the recipe itself."""
    steps = zip(judge.recipe.postprocess, judge.postprocessors, strict=True)
    return tuple(Step(ref.name, ref.settings, postprocessor) for ref, postprocessor in steps)


def known_steps(
    names: Sequence[str], registry: Registry, teachers: Sequence[Example], faults: Faults
) -> tuple[Step, ...]:
    """The named postprocessors, each with all its ``tries``; what one learns, it learns from ``teachers``.

    Raises:
        UnknownPluginError: nobody offers one that is wanted by name.
        StepFaultError: one that is wanted by name cannot be built, or tries or learns settings that it does not take.
    """
    found: list[Step] = []
    for name in names:
        if faults.strict:
            registry.get("postprocessors", name)
        try:
            found += _steps_of(name, registry, teachers)
        except StepFaultError as error:
            faults.add(error)
        except PluginFaultError as error:
            faults.add(StepFaultError(name, f"cannot be used: {error.what}"))
        except PluginError as error:
            faults.add(StepFaultError(name, f"cannot be used: {error}"))
    return tuple(found)


def _steps_of(name: str, registry: Registry, teachers: Sequence[Example]) -> list[Step]:
    found: list[Step] = []
    for given in registry.get("postprocessors", name).component.tries or ({},):
        if not isinstance(given, Mapping):
            raise StepFaultError(name, f"tries {given!r}, which is not settings by name")
        step = _step(name, given, registry)
        if isinstance(step.postprocessor, LearnsSettings):
            step = _step(name, {**step.postprocessor.learn(teachers), **given}, registry)
        if all(step.settings != other.settings for other in found):
            found.append(step)
    return found


def _step(name: str, settings: Mapping[str, Any], registry: Registry) -> Step:
    try:
        checked = registry.check_settings("postprocessors", name, settings)
    except PluginError as error:
        problem = str(error).removeprefix(f"postprocessor {name!r}: ")
        raise StepFaultError(name, f"tries or learns settings that do not fit, {dict(settings)}: {problem}") from None
    built: Postprocessor = registry.build("postprocessors", name, settings, NoRuntime())
    plain, defaults = checked.model_dump(mode="json"), type(checked)
    default = {key: field.get_default(call_default_factory=True) for key, field in defaults.model_fields.items()}
    changed = {key: value for key, value in plain.items() if key in settings and getattr(checked, key) != default[key]}
    return Step(name, changed, built)


def _short(text: str) -> str:
    return text if len(text) <= 24 else text[:21] + "..."
