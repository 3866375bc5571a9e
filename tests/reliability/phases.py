"""Where a training is: which part of the work runs, and which line of qakit's code in it.

It works from outside, by the interpreter's trace function; the product knows nothing of it.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import qakit

ROOTS = tuple(
    str(folder) + "/" for folder in (Path(qakit.__file__).parent, Path(qakit.__file__).parents[1] / "plugins")
)

CACHE = "tokenising and building the token cache"
STARTING = "reading the data and building the model"
CREATING = "making the run folder"
RESUMING = "reading a checkpoint"
STEP = "in a step"
CHECKPOINT = "writing a checkpoint"
SCORING = "evaluation: scoring and judging"
KEEPING = "evaluation: replacing the model folder"
WRITING = "writing predictions"
PREDICTING = "final prediction"
SUBMISSION = "writing the submission"
METRICS = "writing metrics.json"
CURVES = "drawing the curves"
PRETRAINED = "pretraining: writing the backbone"
ENDED = "right after the command has ended"
"""No phase of the work: nothing of it may be lost any more."""

PHASES = {
    ("data/store.py", "build_store"): CACHE,
    ("training/prepare.py", "prepare_training"): STARTING,
    ("runs/making.py", "create_run"): CREATING,
    ("training/checkpoints.py", "latest_checkpoint"): RESUMING,
    ("training/checkpoints.py", "load_checkpoint"): RESUMING,
    ("training/loop.py", "train"): STEP,
    ("training/checkpoints.py", "save_checkpoint"): CHECKPOINT,
    ("training/checkpoints.py", "update_progress"): CHECKPOINT,
    ("training/keeper.py", "RunKeeper.evaluate"): SCORING,
    ("modeling/folder.py", "save_model"): KEEPING,
    ("inference/output.py", "save_predictions"): WRITING,
    ("training/finish.py", "_predict_test"): PREDICTING,
    ("inference/output.py", "write_submission"): SUBMISSION,
    ("training/finish.py", "finish_run"): METRICS,
    ("report/curves.py", "draw_curves"): CURVES,
    ("pretraining/output.py", "save_backbone"): PRETRAINED,
}
"""(file in qakit, function) -> the phase that lasts while the function runs; the innermost one counts."""
INNER = {CACHE: {STARTING}, WRITING: {SCORING, PREDICTING}}
"""Phases that only count within certain others: predictions are tokenised too, in their own phase, and the preflight
writes some into a temporary folder."""


class Watcher:
    """Counts the lines that run in each phase, and acts at one of them.

    Args:
        at: (phase, number of the line within it, from 1); None only counts.
        act: what to do there, before the line runs.
    """

    def __init__(self, at: tuple[str, int] | None = None, act: Callable[[], None] = lambda: None) -> None:
        self.lines: Counter[str] = Counter()
        self.phases = [""]
        self.at, self.act = at, act
        self.known: dict[str, dict[str, str]] = {}
        for (file, function), phase in PHASES.items():
            self.known.setdefault(ROOTS[0] + file, {})[function] = phase

    def start(self) -> None:
        """From now on."""
        sys.settrace(self._call)

    def _call(self, frame: FrameType, event: str, _: Any) -> Any:
        code = frame.f_code
        if not code.co_filename.startswith(ROOTS):
            return None
        phase = self.known.get(code.co_filename, {}).get(code.co_qualname)
        if phase is None or self.phases[-1] not in INNER.get(phase, {self.phases[-1]}):
            return self._line
        self.phases.append(phase)
        return self._line_of_phase

    def _line(self, frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            phase = self.phases[-1]
            self.lines[phase] += 1
            if self.at is not None and self.at == (phase, self.lines[phase]):
                self.at = None
                self.act()
        return self._line

    def _line_of_phase(self, frame: FrameType, event: str, argument: Any) -> Any:
        self._line(frame, event, argument)
        if event == "return":  # also when an exception leaves the function
            self.phases.pop()
        return self._line_of_phase
