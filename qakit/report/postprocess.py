"""Which clean-up helps: a search over postprocessors on a run's kept validation predictions, and what it found.

The search is greedy and forward. A step is taken only where a paired sign-flip test says that it helps, after Holm's
correction for all that was tried in the same round. A round is only reached when the one before found something, so
that the chance to take any step where none helps stays below :data:`ALPHA`. Candidates that give the very same answers
count as one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from qakit.data.splits import read_split
from qakit.errors import DataError, UsageError
from qakit.inference.evaluation import Judge
from qakit.protocols import PerExampleMetric
from qakit.randomness import permutation
from qakit.registry import Registry
from qakit.report.compare_runs import Answered
from qakit.report.postprocess_steps import Faults, Step, StepFaultError, known_steps, own_steps
from qakit.statistics import Difference, Sampling, holm, interval, paired, sign_flips
from qakit.values import Example, SpanPrediction


@dataclass(frozen=True, slots=True)
class Figure:
    """A mean over questions with its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Judgement:
    """What clean-up is worth on some questions."""

    questions: int
    raw: Figure
    """Without any clean-up."""
    own: Figure
    """With the recipe's own steps."""
    found: Figure
    """With the steps that were found."""
    over_raw: Difference
    over_own: Difference


@dataclass(frozen=True, slots=True)
class Questions:
    """Questions with their answers before clean-up."""

    examples: Sequence[Example]
    raw: Sequence[SpanPrediction]
    judge: Judge
    sampling: Sampling

    def after(self, chain: Sequence[Step], predictions: Sequence[SpanPrediction] | None = None) -> list[SpanPrediction]:
        """The answers after some steps."""
        found = list(self.raw if predictions is None else predictions)
        for step in chain:
            found = step.apply(found, self.examples, self.judge)
        return found

    def figures(self, predictions: Sequence[SpanPrediction]) -> list[float]:
        """Each question's own figure."""
        metric = self.judge.metric
        assert isinstance(metric, PerExampleMetric)
        return list(metric.per_example(self.examples, [each.answer for each in predictions])[metric.primary])

    def minus(self, first: Sequence[float], second: Sequence[float]) -> Difference:
        """How much better the first are."""
        return paired(first, second, seed=self.sampling.seed, resamples=self.sampling.resamples)

    def chance(self, first: Sequence[float], second: Sequence[float]) -> float:
        """The two-sided p-value that the first are no better or worse."""
        return sign_flips(first, second, seed=self.sampling.seed, draws=self.sampling.resamples)

    def judged(self, chain: Sequence[Step], own: Sequence[Step]) -> Judgement:
        """Nothing, the recipe's own steps and the found ones on these questions."""
        raw, theirs, found = (self.figures(self.after(steps)) for steps in ((), own, chain))
        return Judgement(
            questions=len(raw),
            raw=self._mean(raw),
            own=self._mean(theirs),
            found=self._mean(found),
            over_raw=self.minus(found, raw),
            over_own=self.minus(found, theirs),
        )

    def _mean(self, values: Sequence[float]) -> Figure:
        ends = interval(values, seed=self.sampling.seed, resamples=self.sampling.resamples)
        return Figure(sum(values) / len(values), *ends)


def without_clean_up(prediction: Any, judge: Judge) -> SpanPrediction:
    """The prediction as it was before its run's own clean-up, which leaves candidates alone.

    Raises:
        UsageError: it is a class, a number or a context.
    """
    if not isinstance(prediction, SpanPrediction):
        raise UsageError("this run predicts classes or contexts; clean-up is for answers")
    refused = judge.recipe.predict.no_answer and not prediction.answer
    if refused or prediction.best is None or not judge.recipe.postprocess:
        return prediction
    return prediction.with_answer(prediction.best.text)


ALPHA = 0.05
CHANGES_KEPT = 6
"""Changed answers of a candidate that are kept to be shown: half of them better, half worse, where there are enough."""


@dataclass(frozen=True, slots=True)
class Change:
    """An answer that a step changed."""

    id: str
    before: str
    after: str
    gold: tuple[str, ...]
    gain: float
    """In points of this question's figure."""


@dataclass(frozen=True, slots=True)
class Tried:
    """A candidate in one round."""

    round: int
    """From 1."""
    step: Step
    chain: tuple[Step, ...]
    """With this step in its place."""
    gain: Difference
    """Over the chain as it was."""
    changed: int
    better: int
    worse: int
    p: float
    """Of a two-sided sign-flip test, after Holm's correction; 1 where nothing changes."""
    changes: tuple[Change, ...]
    taken: bool = False


def search(questions: Questions, steps: Sequence[Step], faults: Faults) -> Iterator[Tried]:
    """Round by round all candidates, best gain first; the last round takes none. What raises is left out.

    Raises:
        StepFaultError: one that is wanted by name raises.
    """
    chain: tuple[Step, ...] = ()
    current, number = list(questions.raw), 0
    while rest := [step for step in steps if step.name not in {*faults.found, *(taken.name for taken in chain)}]:
        number += 1
        tried = _corrected(_round(questions, number, chain, current, rest, faults))
        if not tried:
            return
        best = max(tried, key=lambda each: (each.gain.mean, -each.p))
        taken = best.gain.low > 0 and best.p < ALPHA
        yield from (replace(each, taken=taken and each is best) for each in sorted(tried, key=lambda t: -t.gain.mean))
        if not taken:
            return
        chain = best.chain
        current = questions.after(chain)


def _round(
    questions: Questions,
    number: int,
    chain: tuple[Step, ...],
    current: Sequence[SpanPrediction],
    rest: Sequence[Step],
    faults: Faults,
) -> list[tuple[Tried, tuple[str, ...]]]:
    """Every step after the chain and, where that gives other answers, before it; each with all its answers."""
    found: list[tuple[Tried, tuple[str, ...]]] = []
    before = questions.figures(current)

    def tried(step: Step, whole: tuple[Step, ...], predictions: Sequence[SpanPrediction]) -> Tried:
        after = questions.figures(predictions)
        rows = zip(questions.examples, current, predictions, before, after, strict=True)
        changes = [
            Change(example.id, old.answer, new.answer, _gold(example), now - then)
            for example, old, new, then, now in rows
            if old.answer != new.answer
        ]
        return Tried(
            round=number,
            step=step,
            chain=whole,
            gain=questions.minus(after, before),
            changed=len(changes),
            better=sum(each.gain > 0 for each in changes),
            worse=sum(each.gain < 0 for each in changes),
            p=questions.chance(after, before),
            changes=_telling(changes),
        )

    for step in rest:
        last, seen = (*chain, step), tuple[str, ...]()
        for whole in dict.fromkeys((last, (step, *chain))):
            try:
                predictions = questions.after((step,), current) if whole is last else questions.after(whole)
            except StepFaultError as error:
                if error.name == step.name:  # else one of the chain does not bear this order
                    faults.add(error)
                continue
            answers = tuple(each.answer for each in predictions)
            if answers != seen:
                found.append((tried(step, whole, predictions), answers))
            seen = answers
    return [pair for pair in found if pair[0].step.name not in faults.found]


def _corrected(found: Sequence[tuple[Tried, tuple[str, ...]]]) -> list[Tried]:
    """With Holm's p-values; what changes nothing is no test, and the same answers are one."""
    corrected = holm({answers: each.p for each, answers in found if each.changed})
    return [replace(each, p=corrected.get(answers, 1.0)) for each, answers in found]


def _telling(changes: Sequence[Change]) -> tuple[Change, ...]:
    """Some of each kind: better, worse, and neither where room is left."""
    half = CHANGES_KEPT // 2
    better = [each for each in changes if each.gain > 0][:half]
    worse = [each for each in changes if each.gain < 0][:half]
    same = [each for each in changes if not each.gain]
    return (*better, *worse, *same[: CHANGES_KEPT - len(better) - len(worse)])


def _gold(example: Example) -> tuple[str, ...]:
    return tuple(dict.fromkeys(answer.text for answer in example.answers or ()))


@dataclass(frozen=True, slots=True)
class Tuning:
    """What came of a search."""

    figure: str
    chain: tuple[Step, ...]
    own: tuple[Step, ...]
    tried: tuple[Tried, ...]
    learnt_from: str
    """Whose gold answers taught settings: ``train`` or ``validation``."""
    on_search: Judgement
    """On the questions that the search saw: optimistic."""
    on_holdout: Judgement | None
    """On those that it did not see."""
    left_out: Mapping[str, str]
    """Postprocessors that cannot be used, and why: to be read after the name."""


def tune(
    answered: Answered,
    registry: Registry,
    *,
    names: Sequence[str] | None,
    holdout: float,
    sampling: Sampling,
) -> Tuning:
    """Search on the run's validation questions, or on what ``holdout`` (0 to 1, a share) leaves of them.

    Args:
        names: postprocessors, which must be usable; None: all that are installed and usable.

    Raises:
        UsageError: the run answers no questions, its metric has no figures for single ones, or too few are left.
        PluginError: a postprocessor is not what it should be; also as :meth:`Registry.get`.
    """
    judge = Judge.of(answered.recipe, registry)
    examples = list(answered.examples.values())
    raw = [without_clean_up(answered.predictions[each.id], judge) for each in examples]
    if not isinstance(judge.metric, PerExampleMetric):
        raise UsageError(
            f"the metric {answered.recipe.metric.name!r} gives no figure for single questions, so nothing can be tuned"
        )
    order = permutation(len(examples), sampling.seed, 0, stream="postprocess holdout").tolist()
    kept = round(holdout * len(examples))
    parts = (sorted(order[kept:]), sorted(order[:kept]))
    if len(parts[0]) < 2 or len(parts[1]) == 1:
        raise UsageError(f"{len(examples)} questions are too few to search on and to hold out {holdout:g} of them")
    seen, unseen = (Questions([examples[i] for i in part], [raw[i] for i in part], judge, sampling) for part in parts)
    teachers, learnt_from = _teachers(answered, registry, seen.examples)
    faults, all_names = Faults(strict=names is not None), registry.names("postprocessors")
    tried = tuple(search(seen, known_steps(all_names if names is None else names, registry, teachers, faults), faults))
    chain = next((each.chain for each in reversed(tried) if each.taken), ())
    own = own_steps(judge)
    return Tuning(
        figure=judge.metric.primary,
        chain=chain,
        own=own,
        tried=tried,
        learnt_from=learnt_from,
        on_search=seen.judged(chain, own),
        on_holdout=unseen.judged(chain, own) if unseen.examples else None,
        left_out=faults.found,
    )


def _teachers(answered: Answered, registry: Registry, fallback: Sequence[Example]) -> tuple[Sequence[Example], str]:
    """The training questions where they can be read: they say more, and do not flatter. The validation questions of all
    folds together are those very questions, also the ones held out here; then they are not asked."""
    recipe = answered.recipe
    if recipe.folds is not None and recipe.folds.fold is None:
        return fallback, "validation"
    try:
        split = read_split(recipe, registry, "train")
    except DataError:  # moved since, or from another machine
        split = None
    return (fallback, "validation") if split is None else (split.examples, "train")
