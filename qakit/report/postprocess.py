"""Which clean-up helps: a search over postprocessors on a run's kept validation predictions, and what it found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qakit.data.splits import read_split
from qakit.errors import DataError, UsageError
from qakit.inference.evaluation import Judge
from qakit.protocols import PerExampleMetric
from qakit.randomness import permutation
from qakit.registry import Registry
from qakit.report.compare_runs import Answered
from qakit.report.postprocess_search import Judgement, Questions, Tried, search, without_clean_up
from qakit.report.postprocess_steps import Faults, Step, known_steps, own_steps
from qakit.statistics import Sampling
from qakit.values import Example


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
