"""Members on disk -> their ensemble: its answers to the test file and what it is worth on validation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from qakit.data.predictions_file import first_ids
from qakit.ensembling.kept import (
    Kept,
    Source,
    check_same_contexts,
    check_same_files,
    find_kept,
    open_source,
    read_questions,
)
from qakit.ensembling.load import EnsemblePlan
from qakit.ensembling.method import Method
from qakit.ensembling.validation import Bench, Decision, Judged, Validation, final_answers, validate
from qakit.errors import DataError, UsageError
from qakit.inference.evaluation import Judge
from qakit.inference.nbest import collector_paused
from qakit.names import quoted
from qakit.protocols import EnsembleMember
from qakit.recipe.model import Recipe
from qakit.registry import Registry
from qakit.statistics import RESAMPLES, Sampling
from qakit.values import Example, Prediction, SpanPrediction

BLOCK = 500
"""Questions whose candidates are in memory at a time."""


class OtherOrderError(Exception):
    """The members have their questions in different orders, or not the same ones, or one twice."""


def blocks(kept: Sequence[Kept], *, characters: bool) -> Iterator[list[EnsembleMember]]:
    """Block by block of questions, all members; never more than a block of candidates in memory.

    Raises:
        OtherOrderError: at the block where the members' questions differ, or where an id comes again.
        DataError: a file cannot be read.
    """
    streams = [each.predictions() for each in kept]
    scores = [each.characters() if characters else None for each in kept]
    bare = [each.member() for each in kept]
    seen = set[str]()
    begin = 0
    while True:
        columns: list[list[Prediction]] = [list(islice(stream, BLOCK)) for stream in streams]
        ids = [each.id for each in columns[0]]
        if any([each.id for each in column] != ids for column in columns[1:]):
            raise OtherOrderError
        if not ids:
            return
        stop = begin + len(ids)
        seen.update(ids)
        if len(seen) != stop:
            raise OtherOrderError
        for own, score in zip(kept, scores, strict=True):
            if score is not None and list(score.ids[begin:stop]) != ids:
                raise DataError("its character scores are of other questions: predict the file again", path=own.path)
        yield [
            replace(member, predictions=column, characters=None if score is None else score.part(begin, stop))
            for member, column, score in zip(bare, columns, scores, strict=True)
        ]
        begin = stop


def whole(kept: Sequence[Kept], *, characters: bool) -> list[EnsembleMember]:
    """All questions at once, in the first member's order.

    Raises:
        DataError: a file cannot be read, or a member lacks questions, has others, has one twice, or (with
            ``characters``) has them in another order.
    """
    members = [replace(each.member(), predictions=list(each.predictions())) for each in kept]
    ids = [each.id for each in members[0].predictions]
    aligned = []
    for own, member in zip(kept, members, strict=True):
        by_id = {each.id: each for each in member.predictions}
        if len(by_id) != len(member.predictions):
            raise DataError("has an id more than once", path=own.path)
        _check_ids(ids, by_id, own, kept[0])
        scores = own.characters() if characters else None
        if scores is not None and list(scores.ids) != ids:
            raise DataError(
                f"its character scores have other questions, or another order, than {kept[0].path}: predict the file "
                "again",
                path=own.path,
            )
        aligned.append(replace(member, predictions=[by_id[id_] for id_ in ids], characters=scores))
    return aligned


def _check_ids(ids: Sequence[str], found: dict[str, Prediction], own: Kept, first: Kept) -> None:
    known = set(ids)
    missing = [id_ for id_ in ids if id_ not in found]
    unknown = [id_ for id_ in found if id_ not in known]
    parts = [
        *([f"{len(missing)} ids of {first.path} are missing here: {first_ids(missing)}"] if missing else []),
        *([f"{len(unknown)} ids are not in {first.path}: {first_ids(unknown)}"] if unknown else []),
    ]
    if parts:
        raise DataError("; ".join(parts), path=own.path)


Agreement = tuple[tuple[float, ...], ...]
"""Share (0 to 1) of equal answers for each pair of members."""


class Counter:
    """Counts equal answers, block by block."""

    def __init__(self, members: int) -> None:
        self._equal = [[0] * members for _ in range(members)]
        self._changed = [0] * members
        self._questions = 0

    def add(self, members: Sequence[EnsembleMember], combined: Sequence[Prediction]) -> None:
        """A block of questions, and the ensemble's answers to them."""
        answers = [[each.final for each in member.predictions] for member in members]
        result = [each.final for each in combined]
        self._questions += len(result)
        for one, row in zip(answers, self._equal, strict=True):
            for number, other in enumerate(answers):
                row[number] += sum(map(str.__eq__, one, other))
        for number, own in enumerate(answers):
            self._changed[number] += sum(map(str.__ne__, own, result))

    def shares(self) -> tuple[Agreement, tuple[int, ...]]:
        """The shares, and how many of each member's answers the ensemble changes."""
        count = max(1, self._questions)
        return tuple(tuple(equal / count for equal in row) for row in self._equal), tuple(self._changed)


Say = Callable[[str], None]
N_BEST = 20
"""Candidates kept where no member's recipe says how many."""


@dataclass(frozen=True, slots=True)
class Ensemble:
    plan: EnsemblePlan
    sources: tuple[Source, ...]
    decision: Decision
    test: tuple[Prediction, ...] | None
    """Answers to the test file; None where not all members have predicted one."""
    test_kept: tuple[Kept, ...]
    validation: Validation | None
    validation_kept: tuple[Kept, ...]
    agreement: Agreement
    """On the test file, or else on validation."""
    changed: tuple[int, ...]
    """For each member, how many of these answers the ensemble changes."""
    no_validation: str | None
    """Why there is no validation; None where there is one."""

    @property
    def recipe(self) -> Recipe | None:
        """The recipe of the first member that has one: it says how answers are cleaned up, judged and written."""
        return first_recipe(self.sources)


def combine(plan: EnsemblePlan, registry: Registry, *, want_test: bool, say: Say) -> Ensemble:
    """Read, learn, judge, and answer the test file.

    Args:
        want_test: whether members without predictions of a test file are an error.
        say: gets a line for each part that takes time.

    Raises:
        UsageError: the method cannot combine such members, or its weights cannot be had.
        DataError: a file is missing or damaged, or the members answered different questions.
        RunError: a run folder is damaged.
    """
    sources = tuple(open_source(path) for path in plan.members)
    method = Method.of(plan.method, plan.settings, plan.weights, len(sources), registry)
    if method.decodes and all(source.is_file for source in sources):
        raise UsageError(
            f"{plan.method} chooses among candidates, and files of answers hold none: give the runs in their place, or "
            "combine the files with `voting`"
        )
    recipe = first_recipe(sources)
    judge = None if recipe is None else Judge.of(recipe, registry)
    validation_kept, reason = _validation(sources, method)
    decision: Decision | None = None
    validation: Validation | None = None
    agreed: tuple[Agreement, tuple[int, ...]] | None = None
    opened = None
    if reason is None and judge is not None:
        say("reading the validation predictions")
        try:
            check_same_files(validation_kept)
            check_same_contexts(validation_kept, registry, predicted_only=False)
            opened = _bench(validation_kept, method, judge, plan, registry)
        except DataError as error:  # the test answers do not need it
            reason = str(error)
    if opened is not None:
        bench, members = opened
        say("learning weights" if method.weights is None else "combining")
        decision = bench.decide(bench.rows)
        say("judging the ensemble and what each member adds")
        validation = validate(bench, members, decision)
        count = Counter(len(sources))
        count.add(members, validation.predictions)
        agreed = count.shares()
        del opened, bench, members  # before the test predictions come
    elif method.weights is None:
        raise UsageError(f"weights cannot be learnt: {reason}")
    if decision is None:
        assert method.weights is not None
        decision = replace(Decision.plain(len(sources)), weights=method.weights)
    test: tuple[Prediction, ...] | None = None
    test_kept = _test(sources, method, want=want_test)
    if test_kept:
        check_same_contexts(test_kept, registry, predicted_only=True)
        say("combining the test predictions")
        answers, agreed = answer_kept(test_kept, method, decision, judge, registry)
        test = tuple(answers)
    if agreed is None:
        raise UsageError(f"nothing to combine: the members share no test predictions, and {reason}")
    return Ensemble(plan, sources, decision, test, test_kept, validation, validation_kept, agreed[0], agreed[1], reason)


def check_existing(members: Sequence[Path], method: Method, *, want_test: bool) -> None:
    """What members that are there must have for an ensemble, as :func:`combine` asks: before others are trained.

    Raises:
        UsageError: one has not what weights are learnt from, or no answers to a test file.
        DataError: a file is missing or damaged, or the members answered different questions.
        RunError: a run folder is damaged, or not finished.
    """
    sources = [open_source(path) for path in members]
    validation, reason = _validation(sources, method)
    if method.weights is None:
        if reason is not None:
            raise UsageError(f"weights cannot be learnt: {reason}")
        check_same_files(validation)
    test = _test(sources, method, want=want_test)
    for each in (*test, *(validation if method.weights is None else ())):
        if method.reads_characters:
            each.characters_file()


def first_recipe(sources: Sequence[Source]) -> Recipe | None:
    """The recipe of the first member that has one."""
    return next((source.recipe for source in sources if source.recipe is not None), None)


def _n_best(recipe: Recipe | None) -> int:
    return N_BEST if recipe is None else recipe.predict.n_best


def _validation(sources: Sequence[Source], method: Method) -> tuple[tuple[Kept, ...], str | None]:
    """The members' validation predictions, or why not all of them have some."""
    found: list[Kept] = []
    for source in sources:
        if source.recipe is None:
            return (), f"{source.path} is no run, so nothing is known of its answers to validation questions"
        kept = find_kept(source, "validation", characters=method.reads_characters)
        if kept is None or not kept.inputs:
            way = f"`qakit predict {quoted(source.path)} --split validation`"
            return (), f"{source.path} has no validation predictions ({way})"
        found.append(kept)
    return tuple(found), None


def _bench(
    kept: Sequence[Kept], method: Method, judge: Judge, plan: EnsemblePlan, registry: Registry
) -> tuple[Bench, list[EnsembleMember]]:
    with collector_paused():
        members = whole(kept, characters=method.reads_characters)
    if not members[0].predictions:
        raise DataError("holds no predictions", path=kept[0].path)
    examples = read_questions(kept, [each.id for each in members[0].predictions], registry, predicted_only=False)
    judged = Judged(examples, judge, Sampling(RESAMPLES, plan.seed))
    pool = method.pool(members, examples)
    # From here on a member's answers will do; a pool that needs more has kept it.
    answers = [replace(member, predictions=list(map(_bare, member.predictions)), characters=None) for member in members]
    return Bench(method, pool, judged, _n_best(judge.recipe)), answers


def _bare(prediction: Prediction) -> Prediction:
    return SpanPrediction(prediction.id, prediction.answer) if isinstance(prediction, SpanPrediction) else prediction


def _test(sources: Sequence[Source], method: Method, *, want: bool) -> tuple[Kept, ...]:
    """The members' predictions of the test file; empty where one has none and they are not wanted."""
    found: list[Kept] = []
    for source in sources:
        kept = find_kept(source, "test", characters=method.reads_characters)
        if kept is None and not want:
            return ()
        if kept is None:
            raise UsageError(
                f"{source.path} has no predictions of a test file; make them with `qakit predict {quoted(source.path)} "
                "--split test`"
            )
        found.append(kept)
    check_same_files(found)
    return tuple(found)


def answer_kept(
    kept: Sequence[Kept], method: Method, decision: Decision, judge: Judge | None, registry: Registry
) -> tuple[list[Prediction], tuple[Agreement, tuple[int, ...]]]:
    """The ensemble's answers to the questions that its members have answered, and how far members agree with each
    other and with it.

    Raises:
        DataError: a file is damaged or has changed, or the members answered different questions.
        UsageError: the method cannot combine such members.
    """
    reads = method.decodes and judge is not None and bool(judge.postprocessors)
    questions: dict[str, Example] | None = None
    if method.reads_characters or reads:
        ids = [each.id for each in kept[0].predictions()]
        questions = dict(zip(ids, read_questions(kept, ids, registry, predicted_only=True), strict=True))

    def finished(combined: Sequence[Prediction], examples: Sequence[Example] | None) -> list[Prediction]:
        return final_answers(combined, examples, judge, decision.null_threshold)

    n_best = _n_best(None if judge is None else judge.recipe)
    return combine_kept(kept, method, decision, n_best=n_best, questions=questions, finished=finished)


def combine_kept(
    kept: Sequence[Kept],
    method: Method,
    decision: Decision,
    *,
    n_best: int,
    questions: Mapping[str, Example] | None,
    finished: Callable[[Sequence[Prediction], Sequence[Example] | None], list[Prediction]],
) -> tuple[list[Prediction], tuple[Agreement, tuple[int, ...]]]:
    """As :func:`answer_kept`, of known questions.

    Args:
        kept: the members' predictions.
        method: how they are combined.
        decision: by which weights and temperatures.
        n_best: candidates kept for each question.
        questions: by their ids; None where nobody looks at them.
        finished: what is to be done with decoded predictions, which come with their questions.
    """

    def answered(members: Sequence[EnsembleMember]) -> list[Prediction]:
        examples = None if questions is None else [questions[each.id] for each in members[0].predictions]
        combined = method.pool(members, examples).combine(decision.weights, decision.temperatures, n_best=n_best)
        return finished(combined, examples) if method.decodes else combined

    # Candidates fill the memory, and classes do not: these come at once, because a class has a name only where somebody
    # predicts it, which must not depend on where a block ends.
    if method.by_question and isinstance(next(kept[0].predictions(), None), SpanPrediction):
        try:
            found, count = list[Prediction](), Counter(len(kept))
            with collector_paused():
                for members in blocks(kept, characters=method.reads_characters):
                    part = answered(members)
                    count.add(members, part)
                    found += part
            return found, count.shares()
        except OtherOrderError:
            pass  # then all at once, which puts them in order or says what is wrong
    everything, count = whole(kept, characters=method.reads_characters), Counter(len(kept))
    found = answered(everything)
    count.add(everything, found)
    return found, count.shares()
