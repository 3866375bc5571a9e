"""An ensemble, or the models of all folds, ready to answer as one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

from qakit.distributed import ALONE, Workers
from qakit.ensembling.combine import combine_kept
from qakit.ensembling.folder import StoredEnsemble
from qakit.ensembling.kept import NBEST, Kept, Source
from qakit.ensembling.validation import Decision, decided
from qakit.errors import UsageError
from qakit.inference.answering import Answering, Examined, Inferred
from qakit.inference.characters import CHARACTERS_FILE
from qakit.inference.evaluation import Evaluation, Judge, finish
from qakit.inference.nbest_file import write_nbest
from qakit.inference.out_of_fold import averaged
from qakit.inference.scoring import CountProgress
from qakit.inference.trained import best_of
from qakit.modeling.device import free_memory
from qakit.recipe.model import Recipe
from qakit.recipe.prediction import given_threshold, prediction_recipe
from qakit.registry import Registry
from qakit.runs import Run
from qakit.values import Example, Prediction, SpanPrediction

OpenMember = Callable[[Path], Answering]
Say = Callable[[str], None]
HANDED = ("windows", "preprocess", "predict")
"""Blocks of the recipe that members answer by: what is changed in them is changed for the members."""
_OWN = "predict.null_threshold"
"""Of the whole alone: members have thresholds on scales of their own."""


@dataclass(frozen=True, slots=True)
class TrainedEnsemble:
    """Several models that answer as one; each may itself be a pipeline, folds, or an ensemble.

    They answer one after the other, and one at a time is in memory, unless ``loaded`` holds them. What they say is
    combined from files, as ``qakit ensemble`` and ``qakit train`` do it, with the weights, temperatures and no-answer
    threshold that are stored; folds count the same.
    """

    stored: StoredEnsemble
    recipe: Recipe
    """Says how questions are read and answers cleaned up, judged and written."""
    registry: Registry
    judge: Judge
    decision: Decision
    base: Recipe
    """The recipe when it was loaded: what differs from it is handed to the members."""
    open_member: OpenMember
    say: Say
    """Told which member is at work."""
    workers: Workers = ALONE
    """The processes that share the scoring; each combines all of it."""
    loaded: Mapping[Path, Answering] | None = None
    """All members, where they are to stay in memory."""

    @classmethod
    def of(
        cls,
        stored: StoredEnsemble,
        registry: Registry,
        open_member: OpenMember,
        *,
        overrides: Sequence[str] = (),
        keep: bool = False,
        say: Say = lambda _: None,
        workers: Workers = ALONE,
    ) -> Self:
        """Make sure that the members can answer, as far as that is seen without their weights.

        Args:
            open_member: loads a member, under ``overrides`` other than of the no-answer threshold.
            overrides: ``a.b=value`` texts for what prediction looks at.
            keep: load all members now and keep them.

        Raises:
            RunError: a member cannot answer.
            RecipeError: an override that does not fit.
            UsageError: an override that takes another training.
        """
        recipe = prediction_recipe(stored.recipe, overrides, registry)
        loaded = None
        if keep:
            loaded = {path: open_member(path) for path in stored.members}
        else:
            for path in stored.members:
                if Run(path).has_members:
                    open_member(path)  # whose own members are looked at
        judge = Judge.of(recipe, registry)
        found = cls(stored, recipe, registry, judge, stored.decision, recipe, open_member, say, workers, loaded)
        threshold = given_threshold(stored.recipe, recipe)
        return found if threshold is None else found.with_threshold(threshold)

    @property
    def run(self) -> Run:
        """The folder of the whole."""
        return self.stored.run

    @property
    def null_threshold(self) -> float:
        """In combined scores; without a meaning where finished answers are combined."""
        return self.decision.null_threshold

    def with_recipe(self, recipe: Recipe) -> Self:
        """The same with another recipe's data, clean-up and metric; what it changes in windows,
        ``preprocess.predict`` and ``predict`` is changed for each member.

        Raises:
            UsageError: it asks an ensemble for character scores; folds have the mean of theirs.
        """
        if recipe.predict.character_scores and not self.run.is_folds:
            raise UsageError(
                f"{self.run.folder} is an ensemble, which has no character scores of its own; its members have, such "
                f"as {self.stored.members[0]}"
            )
        return replace(self, recipe=recipe, judge=self.judge.with_recipe(recipe, self.registry))

    def with_threshold(self, null_threshold: float) -> Self:
        """The same with another no-answer threshold, in combined scores.

        Raises:
            UsageError: finished answers are combined, so there is none.
        """
        if not self.stored.method.decodes:
            raise UsageError(
                f"{self.run.folder} combines its members' finished answers ({self.stored.method.name}): it has no "
                "no-answer threshold of its own"
            )
        return replace(self, decision=replace(self.decision, null_threshold=null_threshold))

    def alone(self) -> Self:
        """The same for work of which the other processes do not know."""
        return replace(self, workers=ALONE)

    def infer(
        self, examples: Sequence[Example], *, cache: Path | None = None, progress: CountProgress | None = None
    ) -> Inferred:
        """One finished prediction per example, in their order; of folds with the mean of their character scores.

        Raises:
            UsageError: a member cannot give what the method needs.
        """
        with TemporaryDirectory(prefix="qakit-", ignore_cleanup_errors=True) as place:
            kept = self._asked(examples, Path(place), cache=cache, progress=progress)
            characters = None
            if self.recipe.predict.character_scores:
                characters = averaged([each.path.parent for each in kept])
            return Inferred(self._cleaned(self._raw(kept, examples), examples), characters)

    def evaluate(
        self, examples: Sequence[Example], *, cache: Path | None = None, progress: CountProgress | None = None
    ) -> Evaluation:
        """Figures on labelled examples with the stored weights and threshold: nothing is learnt or tuned on them."""
        with TemporaryDirectory(prefix="qakit-", ignore_cleanup_errors=True) as place:
            raw = self._raw(self._asked(examples, Path(place), cache=cache, progress=progress), examples)
        final = self._cleaned(raw, examples)
        spans = tuple(each for each in raw if self.stored.method.decodes and isinstance(each, SpanPrediction))
        return Evaluation(dict(self.judge.metric.compute(examples, final)), tuple(final), spans, self.null_threshold)

    def examine(self, *_: object, **__: object) -> Examined:
        """Not of several models at once: each has windows and tokens of its own, by which errors are explained.

        Raises:
            UsageError: always.
        """
        raise UsageError(
            f"{self.run.folder} has several models, and errors are explained by the windows and tokens of one: ask a "
            f"member, such as {self.stored.members[0]}"
        )

    def answer(
        self, examples: Sequence[Example], *, top_k: int, progress: CountProgress | None = None
    ) -> list[SpanPrediction]:
        """The best ``top_k`` candidates for each question, over all of its contexts, as far as the method has so many:
        where finished answers are combined, those of the member whose answer was taken. The answer is that of
        :meth:`infer`, however many are wanted.

        Raises:
            UsageError: the members do not answer with spans.
        """
        answers = self.infer(examples, progress=progress).predictions
        if not all(isinstance(each, SpanPrediction) for each in answers):
            raise UsageError(f"the members of {self.run.folder} do not answer with spans")
        found = [best_of(each, top_k) for each in answers]
        if top_k <= self.recipe.predict.n_best or all(len(each.candidates) == top_k for each in found):
            return found
        predict = self.recipe.predict.model_copy(update={"n_best": top_k})
        wide = self.with_recipe(self.recipe.model_copy(update={"predict": predict})).infer(examples)
        return [
            best_of(more, top_k).with_answer(each.answer) for each, more in zip(found, wide.predictions, strict=True)
        ]

    def _asked(
        self, examples: Sequence[Example], place: Path, *, cache: Path | None, progress: CountProgress | None
    ) -> list[Kept]:
        """What each member says, in files: memory is for one model, and for one member's predictions."""
        count = len(self.stored.members)
        kept = []
        for number, path in enumerate(self.stored.members):

            def share(done: int, total: int, before: int = number) -> None:
                if progress is not None:
                    progress(before * total + done, count * total)

            self.say(f"member {number + 1} of {count}: {path}")
            folder = Run(place / str(number + 1)).predictions
            kept.append(self._ask(path, examples, folder, cache=cache, progress=share))
            if self.loaded is None:
                free_memory()
        return kept

    def _ask(
        self, path: Path, examples: Sequence[Example], folder: Path, *, cache: Path | None, progress: CountProgress
    ) -> Kept:
        if self.loaded is not None:
            member = self.loaded[path]
        else:
            with self.workers.fail_together():
                member = self.open_member(path)
        if self.workers.size == 1:
            member = member.alone()
        inferred = member.with_recipe(self._handed(member.recipe)).infer(examples, cache=cache, progress=progress)
        with self.workers.fail_together():
            folder.mkdir(parents=True)
            write_nbest(folder / NBEST, inferred.predictions)
            if inferred.characters is not None:
                inferred.characters.write(folder / CHARACTERS_FILE)
        return Kept(Source(path, member.run, member.recipe), folder)

    def _handed(self, member: Recipe) -> Recipe:
        """A member's recipe with what was changed for the whole."""
        sections = {}
        for name in HANDED:
            before, after = getattr(self.base, name), getattr(self.recipe, name)
            fields = [field for field in type(after).model_fields if getattr(after, field) != getattr(before, field)]
            changes = {field: getattr(after, field) for field in fields if f"{name}.{field}" != _OWN}
            if name == "predict":
                changes["character_scores"] = self.stored.method.reads_characters or after.character_scores
            sections[name] = getattr(member, name).model_copy(update=changes)
        return member.model_copy(update=sections)

    def _raw(self, kept: Sequence[Kept], examples: Sequence[Example]) -> list[Prediction]:
        """The combined answers before clean-up."""
        predictions, _ = combine_kept(
            kept,
            self.stored.method,
            self.decision,
            n_best=self.recipe.predict.n_best,
            questions={each.id: each for each in examples},
            finished=lambda combined, _: decided(combined, self.null_threshold),
        )
        return predictions

    def _cleaned(self, raw: Sequence[Prediction], examples: Sequence[Example]) -> list[Prediction]:
        return finish(raw, examples, self.judge) if self.stored.method.decodes else list(raw)
