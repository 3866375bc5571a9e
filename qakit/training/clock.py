"""The time that a training may take: measured on the way, so that its predictions lie there when it is over.

The recipe's schedule is changed at a few looks only, each half as far from the end as the one before, and what a look
decides is in the checkpoint that follows it at once. So a training that is resumed takes the same steps, as long
as they still fit.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from qakit.data.splits import read_split
from qakit.distributed import Workers
from qakit.inference.scoring import prepare, score
from qakit.modeling.device import wait_for_gpu
from qakit.names import duration
from qakit.recipe.model import Recipe, TrainSection
from qakit.runs import CLOCK, Run
from qakit.training.checkpoints import Progress
from qakit.training.journal import Journal
from qakit.training.plan import Costs, Forecast, Pace, Plan

if TYPE_CHECKING:
    from qakit.registry import Registry
    from qakit.training.feed import Epoch
    from qakit.training.loop import Keeper
    from qakit.training.prepare import Prepared

WARM = 2
"""First steps of a process, which say nothing of the others."""
MEASURED = 10
"""Steps after them that are measured before the first look, if that takes no more than :data:`EARLY`."""
FEW, SAMPLE = 16, 192
"""Windows that are scored to know how long one takes; the latter where that is a small part of the time."""
EARLY = 0.1
"""Share of the time for steps after which there is a first look in any case."""
TOLERANCE = 0.01
"""Share of all the time by which a forecast may be wrong before anything is changed."""
CLOSING = 8.0
"""Seconds, at least, for what is done once at the end: the model is read, pictures are drawn, files written."""
AS_PREPARED = 0.3
"""Share of the preparation's seconds that this takes, at least."""
MARGIN = 1.05
"""By how much the end is taken to be longer than measured."""

now = time.monotonic


@dataclass(slots=True)
class Clock:
    """What the training has, and what its parts take. Of several processes the first one's counts."""

    hours: float
    """Of all the time."""
    end: float
    """When it is over, by :data:`now`."""
    since: float
    """When it began, by :data:`now`, were it without breaks."""
    workers: Workers
    prepared: float = 0.0
    """Seconds until everything was ready for the first step: what reading files and building models takes here."""
    scoring: float = 0.0
    """Seconds to score a window, as it is measured before the first step."""
    validation_windows: int = 0
    test_windows: int = 0
    soup: int = 0
    """Weights that are evaluated once more at the end."""
    step: float = 0.0
    """Seconds of a step, from the last look on if there were some."""
    evaluations: list[float] = field(default_factory=list)
    """Seconds of each evaluation."""
    checkpoint: float = 0.0
    """Seconds of the last one."""
    _steps: int = 0
    _lap: float = 0.0
    _lap_steps: int = 0
    _next: float = math.inf
    """When the next look is,"""
    _half: float = math.inf
    """or after how many steps, if they come sooner."""

    @staticmethod
    def of(recipe: Recipe, run: Run | None, workers: Workers, *, began: float, deadline: float | None) -> Clock | None:
        """The time that a recipe or a command gives a training, whichever ends first; None if neither gives any.

        ``train.max_hours`` counts the training's parts before it was broken off, and not the breaks between.

        Args:
            run: the one that is resumed.
            began: when this part began, by :data:`now`.
            deadline: the command's, likewise.
        """
        hours, prepared = recipe.train.max_hours, now() - began
        own = None
        if hours is not None:
            since = began - (0.0 if run is None else spent_in(run))
            own = Clock(hours, since + 3600 * hours, since, workers, prepared)
        if deadline is None or (own is not None and own.end <= deadline):
            return own
        return Clock((deadline - began) / 3600, deadline, began if own is None else own.since, workers, prepared)

    def elapsed(self) -> float:
        """Seconds since the beginning, breaks aside."""
        return now() - self.since

    @property
    def left(self) -> float:
        """Seconds."""
        return self.end - now()

    @property
    def evaluation(self) -> float:
        """Seconds of an evaluation: the longer one of the last two, or what is to be expected."""
        return max(self.evaluations[-2:]) if self.evaluations else 1 + 1.1 * self.validation_windows * self.scoring

    @property
    def ending(self) -> float:
        """Seconds that all after the last step takes: its evaluation, the test file's prediction, the writing."""
        evaluating = (1 + self.soup) * self.evaluation
        predicting = self.test_windows * self.scoring
        return MARGIN * (evaluating + predicting + 3 * self.checkpoint) + max(CLOSING, AS_PREPARED * self.prepared)

    def measure(self, prepared: Prepared, registry: Registry, *, device: torch.device, cache: Path) -> Iterator[str]:
        """How many windows are to be scored and what one takes, tried with a few; what the user should know of it.

        For the first process.
        """
        recipe, assembled, validation = prepared.recipe, prepared.assembled, prepared.validation
        split = read_split(recipe, registry, "test")
        test = None if split is None else prepare(split.examples, assembled, recipe, registry, cache=cache)
        judged = 0 if validation is None else len(validation.windows)
        self.validation_windows = judged + len(prepared.validation_windows or ())
        self.test_windows = 0 if test is None else len(test.windows)
        if recipe.train.soup is not None:
            self.soup = recipe.train.soup.candidates - 1
        whole = validation or test
        if whole is not None:
            for windows in (FEW, SAMPLE):
                if windows == FEW or self.scoring * SAMPLE < TOLERANCE * 3600 * self.hours:
                    each = max(1, len(whole.windows) // windows)
                    few = prepare(whole.examples[::each], assembled, recipe, registry)
                    began = now()
                    score(few, assembled, device=device, precision=prepared.precision)
                    self.scoring = (now() - began) / len(few.windows) / self.workers.size
        if self.left < self.ending:
            yield (
                f"{duration(max(0.0, self.left))} left, and the evaluation and prediction at the end need about "
                f"{duration(self.ending)}: one step is trained, and they are made all the same; give more time "
                "(train.max_hours, --max-hours) or a smaller model"
            )

    def begin(self) -> None:
        """The first step of this process comes next."""
        self._lap = now()
        self._next = self._lap + EARLY * max(0.0, self.left - self.ending)

    def stepped(self) -> None:
        """A step is done."""
        self._steps += 1
        self._lap_steps += 1
        if self._steps == WARM:
            self.step = (now() - self._lap) / self._lap_steps
            self._lap, self._lap_steps = now(), 0
        elif self._steps == WARM + MEASURED:
            self._next = min(self._next, now())

    def look(self, step: int, pace: Pace, plan: Plan, section: TrainSection, *, waits: bool) -> Pace:
        """The pace after ``step`` steps: the same one, unless it is time for a look, and what was planned does not fit,
        or more would.

        Several processes do this together, where they wait for each other anyway.
        """
        if not waits and self.workers.size > 1:
            return pace
        due = self.workers.first and step < pace.steps and (now() >= self._next or step >= self._half)
        decided = self._look(step, pace, plan, section) if due else pace
        if due:
            self._half = step + math.ceil((decided.steps - step) / 2)
        return Pace(*self.workers.from_first(decided))

    def _look(self, step: int, pace: Pace, plan: Plan, section: TrainSection) -> Pace:
        wait_for_gpu()
        if self._lap_steps:
            self.step = (now() - self._lap) / self._lap_steps
            self._lap, self._lap_steps = now(), 0
        costs = Costs(self.step, self.evaluation, self.checkpoint)
        forecast = Forecast(plan, section, costs, step)
        left, tolerance = self.left - self.ending, TOLERANCE * 3600 * self.hours
        beyond = forecast.seconds(pace.steps, pace.every) - left
        self._next = now() + (left / 2 if left / 2 > max(tolerance, 2 * self.step) else max(0.0, left) + tolerance)
        steps, every = forecast.fitting(left)
        is_whole = (steps, every) == (pace.steps, pace.every) == (plan.steps, 1)
        if is_whole or -tolerance <= beyond <= tolerance / 2:
            return pace
        return pace.changed(step, plan, steps=steps, every=every)

    def described(self) -> str:
        """What there is, in one line."""
        left, taken = duration(max(0.0, self.left)), duration(self.elapsed())
        return f"this training has {left} left; so far it took {taken}, breaks aside"

    def told(self, pace: Pace, plan: Plan) -> str:
        """A change in one line."""
        cut = f"{pace.steps:,} of {plan.steps:,} steps" if pace.steps < plan.steps else f"all {plan.steps:,} steps"
        fit = f"{cut} fit into the time that is left ({self.step:.3g} s each)"
        rest = "" if pace.is_own(plan) else ": the schedule ends with the last of them"
        left_out = f"; of the evaluations one in {pace.every} is made, and the last" if pace.every > 1 else ""
        return f"{fit}{rest}{left_out}"

    @contextmanager
    def aside(self) -> Iterator[list[float]]:
        """Meanwhile no step is done; the list gets the seconds."""
        began, taken = now(), list[float]()
        yield taken
        taken.append(now() - began)
        self._lap += taken[0]


@dataclass(frozen=True, slots=True)
class TimedKeeper:
    """A keeper, and what its work takes."""

    keeper: Keeper
    clock: Clock
    journal: Journal

    def checkpoint(self, progress: Progress) -> None:
        """The keeper's."""
        with self.clock.aside() as taken:
            self.keeper.checkpoint(progress)
        self.clock.checkpoint = taken[0]
        self.journal.timing(type="checkpoint", step=progress.step, seconds=taken[0])

    def evaluate(self, progress: Progress) -> Progress:
        """The keeper's."""
        with self.clock.aside() as taken:
            judged = self.keeper.evaluate(progress)
        self.clock.evaluations += taken
        return judged

    def combine_kept(self, progress: Progress) -> None:
        """The keeper's."""
        self.keeper.combine_kept(progress)

    def complete_checkpoint(self, progress: Progress) -> None:
        """The keeper's."""
        with self.clock.aside():
            self.keeper.complete_checkpoint(progress)

    def save_batch(self, epoch: Epoch, rows: Any, progress: Progress) -> None:
        """The keeper's."""
        self.keeper.save_batch(epoch, rows, progress)


def account(clock: Clock | None, progress: Progress, plan: Plan) -> dict[str, Any]:
    """For metrics.json: the time that there was, and how many of the recipe's steps fitted into it; also of a training
    that an earlier command has shortened. Empty where nobody has limited the time."""
    if clock is None and not Pace.of(plan, progress.pace).leaves_out(plan):
        return {}
    hours = None if clock is None else clock.hours
    return {CLOCK: {"hours": hours, "steps": progress.step, "of_steps": plan.steps}}


def spent_in(run: Run) -> float:
    """Seconds that a training has taken up to its last sign of life, breaks aside; its clock times tell."""
    noted = (line.get("elapsed") for line in run.timings())
    return max((seconds for seconds in noted if isinstance(seconds, int | float)), default=0.0)
