"""A run of any kind as a folder that a course's graders run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qakit.handin.write import Handin
    from qakit.training.events import Event, Listener


def hand_in(
    run: Path, folder: Path, *, course: str = "plain", questions: Path | None = None, listener: Listener
) -> Handin:
    """Write a stand-alone predictor with all that belongs to it; see :func:`qakit.handin.write.write_handin`.

    Args:
        run: a folder of a run, a pipeline, an ensemble, or folds.
        folder: where to; absent or empty.
        course: whose rules it is for, by name, or as a YAML file.
        questions: the file whose answers are compared with ``qakit predict``; by default the recipe's validation file.
        listener: hears how far qakit's own prediction is.

    Raises:
        UsageError: see there.
        RunError: see there.
    """
    from qakit.handin.course import read_course
    from qakit.handin.write import write_handin
    from qakit.registry import load_registry
    from qakit.runs import open_run
    from qakit.training.events import Predicting
    from qakit.workflows.predict import Targets, predict

    def progress(event: Event) -> None:  # what a sample submission says of validation answers is nobody's concern
        if isinstance(event, Predicting):
            listener(event)

    def answer(file: Path, output: Path) -> int:
        return len(predict(run, str(file), targets=Targets(output=output), listener=progress).predictions)

    return write_handin(open_run(run), folder, read_course(course), questions, load_registry(), answer)
