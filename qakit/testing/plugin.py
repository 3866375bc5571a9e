"""The contract checks of a component that somebody else has written, with as little said about it as possible."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import ValidationError

from qakit.components import Component, Kind, Settings
from qakit.testing.adapters import check_adapter
from qakit.testing.backbones import check_backbone
from qakit.testing.components import check_component
from qakit.testing.ensemblers import check_ensembler
from qakit.testing.heads import check_head
from qakit.testing.metrics import check_metric
from qakit.testing.observers import check_observer
from qakit.testing.postprocessors import check_postprocessor
from qakit.testing.preprocessors import check_preprocessor
from qakit.testing.readers import check_reader
from qakit.testing.writers import check_writer


@dataclass(frozen=True, slots=True)
class Given:
    """What is said of a component.

    Attributes:
        settings: those that the checks use, beside the defaults.
        labels: classes, where it is for classes.
        texts: whether a preprocessor is for classification.
        file: one that a reader reads.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    texts: bool = False
    file: Path | None = None


_OF_CLASSES: dict[Kind, Callable[..., Any]] = {
    "heads": check_head,
    "ensemblers": check_ensembler,
    "metrics": check_metric,
}
_PLAIN: dict[Kind, Callable[..., Any]] = {
    "backbones": check_backbone,
    "adapters": check_adapter,
    "postprocessors": check_postprocessor,
}


def check_any(kind: Kind, component: Component[Any, Any, Any], given: Given) -> str:
    """The checks of its kind.

    Returns:
        What could not be looked at, and how it can; empty when everything was.

    Raises:
        AssertionError: it does not keep the contract; with the reason.
    """
    check_component(kind, component)
    try:
        settings: Settings = component.settings.model_validate(dict(given.settings))
    except ValidationError as error:
        places = ", ".join(".".join(map(str, each["loc"])) for each in error.errors())
        return f"declared well; the rest needs settings that fit ({places}): --settings"
    labels = {"labels": given.labels} if given.labels else {}
    if kind in _OF_CLASSES:
        _OF_CLASSES[kind](component, settings, **labels)
    elif kind in _PLAIN:
        _PLAIN[kind](component, settings)
    elif kind == "preprocessors":
        check_preprocessor(component, settings, texts=given.texts)
    elif kind == "readers":
        if given.file is None:
            return "declared well; what it reads needs a file: --input"
        check_reader(component, settings, given.file)
    else:
        with TemporaryDirectory(prefix="qakit-") as folder:
            if kind == "writers":
                check_writer(component, settings, Path(folder), **labels)
            else:
                check_observer(component, settings, Path(folder))
    return ""
