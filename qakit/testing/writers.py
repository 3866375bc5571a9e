"""The contract of writers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qakit.components import Component, Settings
from qakit.protocols import NoRuntime
from qakit.returned import named
from qakit.testing.answers import label_predictions, made_up_answers
from qakit.testing.components import build_checked, running
from qakit.values import Prediction, Targets


def check_writer(
    component: Component[Any, Any, Any],
    settings: Settings,
    folder: Path,
    *,
    labels: Sequence[str | float | Targets] = (),
) -> Path:
    """The file is written whole, the same each time, leaves nothing beside it, and passes its own check.

    Args:
        folder: an empty folder to write into.
        labels: classes, numbers or several numbers each, for a writer of those; ids are then numbers from 0.

    Returns:
        The written file, for checks of your own.

    Raises:
        AssertionError: with the reason.
    """
    writer = build_checked("writers", component, settings, NoRuntime())
    assert isinstance(writer.suffix, str), f"suffix is {named(writer.suffix)}, not str"
    assert writer.suffix.startswith("."), f"suffix is {writer.suffix!r}; it must start with a dot"
    path = folder / f"predictions{writer.suffix}"
    predictions: Sequence[Prediction] = label_predictions(labels) if labels else made_up_answers()
    with running("write"):
        writer.write(predictions, path)
    written = path.read_bytes()
    assert written, "the file is empty"
    with running("writing the file again"):
        writer.write(predictions, path)
    assert path.read_bytes() == written, "the same predictions give another file"
    assert [each.name for each in folder.iterdir()] == [path.name], "other files are left in the folder"
    with running("check"):
        problems = writer.check(path, path)
    assert not problems, f"a file does not pass the check against itself: {problems}"
    return path
