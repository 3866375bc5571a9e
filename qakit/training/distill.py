"""Distillation: a model learns what its teachers answered to the training questions, beside their labels.

Teachers answer out of fold: a model that was trained on a question would only repeat its label. What they said is kept
with their runs, by the character, so they may have other tokenizers, and nothing of them is loaded here.

Source: Hinton, Vinyals & Dean 2015, "Distilling the Knowledge in a Neural Network".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from qakit.data.arrays import Float32, Int64, pointers_of
from qakit.data.batch import Batch
from qakit.data.encode import EncodedExamples
from qakit.data.windows import Windows
from qakit.errors import DataError, PluginError, UsageError
from qakit.inference.characters import CHARACTERS_FILE, CharacterScores, context_hash
from qakit.inference.nbest_file import read_nbest
from qakit.names import quoted
from qakit.protocols import Gives, GivesDistributions, Head, HeadOutput, ScoresPositions
from qakit.recipe.model import Recipe
from qakit.recipe.staged import DistillSection
from qakit.runs import Run, classes_of, ensemble_members, open_run
from qakit.training.lineage import TEACHERS
from qakit.values import Example, LabelPrediction


class Teacher(Protocol):
    """What was answered to the training examples."""

    def targets(self, batch: Batch, windows: Windows) -> torch.Tensor:
        """``Batch.soft_targets`` for a batch of ``windows``."""
        ...


@dataclass(frozen=True, slots=True)
class SpanTeacher:
    """Where answers begin and end.

    Attributes:
        pointers: (P + 1,) int64; the tokens of pair p are [pointers[p], pointers[p + 1]), M in all.
        mass: (M, 2) float32, how likely each token is the answer's first one, and its last one; over the contexts of an
            example both sum to at most 1, and the rest is "no answer".
        origin: (P,) where each pair's tokens begin in the flat store.
    """

    pointers: Int64
    mass: Float32
    origin: Int64

    def targets(self, batch: Batch, windows: Windows) -> torch.Tensor:
        """(B, T, 2) float32. What lies outside a window is "no answer" in it."""
        held = batch.segment >= 0
        pair = windows.pair[batch.segment[held]]
        soft = np.zeros((*batch.segment.shape, 2), np.float32)
        soft[held] = self.mass[self.pointers[pair] + batch.token[held] - self.origin[pair]]
        soft[:, 0] = np.maximum(0.0, 1.0 - soft.sum(1))
        return torch.from_numpy(soft)


@dataclass(frozen=True, slots=True)
class LabelTeacher:
    """Which class an example is of: ``probability`` (N, C) float32."""

    probability: Float32

    def targets(self, batch: Batch, windows: Windows) -> torch.Tensor:
        """(B, C) float32."""
        return torch.from_numpy(self.probability[windows.example[batch.window]])


def teacher_of(
    recipe: Recipe,
    examples: Sequence[Example],
    encoded: EncodedExamples,
    head: Head,
    *,
    gives: Gives,
    classes: Sequence[str],
) -> Teacher | None:
    """What the recipe's teachers answered to ``examples``; None without ``distill``.

    Raises:
        UsageError: the run has no out-of-fold answers, or not those that this head could learn from.
        DataError: it has none to one of the examples, or its files are damaged.
        RunError: there is no such run.
    """
    section = recipe.distill
    if section is None:
        return None
    runs = list(with_folds(open_run(section.from_run)))
    if gives == "spans" and isinstance(head, ScoresPositions):
        return _span_teacher(section, [_characters(run) for run in runs], examples, encoded)
    if gives == "labels" and isinstance(head, GivesDistributions) and head.has_distributions:
        return LabelTeacher(_at_temperature(_class_probabilities(runs, examples, classes), section.temperature))
    raise UsageError(
        f"distill: the head {recipe.head.name!r} cannot learn from teachers: they teach spans to heads that score "
        "single positions (ScoresPositions in qakit.api), and classes to heads that give their distribution: choose "
        "another head, or leave distill out"
    )


def distilled(
    section: DistillSection, hard: torch.Tensor, output: HeadOutput, batch: Batch, head: Head
) -> torch.Tensor:
    """The loss of the labels and of the soft targets as one, () float32.

    ``(1 - weight) * hard + weight * temperature**2 * KL(teacher | student)``, both at the temperature; the mean over
    windows, and for spans over first and last token.
    """
    soft = batch.soft_targets
    assert soft is not None
    if isinstance(head, ScoresPositions):
        odds = head.position_scores(output.scores, batch)
        possible = batch.context_mask.clone()
        possible[:, 0] = True
        student = torch.stack([odds.start, odds.end], 2).index_fill(1, soft.new_zeros(1).long(), 0.0)
        student = (student / section.temperature).masked_fill(~possible[..., None], torch.finfo(torch.float32).min)
    else:
        assert isinstance(head, GivesDistributions)
        student = head.distributions(output.scores, batch)[0].log_probability / section.temperature
    if torch.is_grad_enabled() and not student.requires_grad:
        raise PluginError(
            "the head's scores carry no gradients, which distill needs: position_scores must not stop them"
        )
    log_student = student.log_softmax(1)
    divergence = (torch.xlogy(soft, soft) - soft * log_student).sum(1).mean()
    return (1 - section.weight) * hard + section.weight * section.temperature**2 * divergence


def with_folds(run: Run) -> Iterator[Run]:
    """The runs with folds that a teacher is made of: itself, or an ensemble's members."""
    if run.is_folds:
        if not run.finished:
            again = f"qakit train --resume --output {quoted(run.folder)}"
            raise UsageError(f"{TEACHERS}: not all folds of {run.folder} are trained: {again}")
        yield run
        return
    members = ensemble_members(run)
    if not members:
        raise UsageError(
            f"{TEACHERS}: {run.folder} has no out-of-fold answers, and a model would only repeat the labels of "
            "questions that it was trained on: name a run with `folds`, or an ensemble of such runs"
        )
    for path in members:
        yield from with_folds(open_run(path))


def _characters(run: Run) -> CharacterScores:
    file = run.validation_predictions / CHARACTERS_FILE
    if not file.is_file():
        raise UsageError(
            f"{TEACHERS}: {run.folder} keeps no character scores of its out-of-fold answers: train it with "
            "predict.character_scores: true"
        )
    return CharacterScores.read(file)


def _rows(ids: Iterable[str], examples: Sequence[Example], file: Path) -> list[int]:
    """Where a teacher's answer to each example stands."""
    place = {id_: row for row, id_ in enumerate(ids)}
    missing = [example for example in examples if example.id not in place]
    if missing:
        raise DataError(
            f"{TEACHERS}: has no answer to {len(missing):,} of the {len(examples):,} training examples: distil on the "
            "data that its folds were made of",
            path=file,
            row=f"id {missing[0].id}",
        )
    return [place[example.id] for example in examples]


def _span_teacher(
    section: DistillSection, teachers: Sequence[CharacterScores], examples: Sequence[Example], encoded: EncodedExamples
) -> SpanTeacher:
    """The mean of the teachers' probabilities, by the student's tokens."""
    file = Path(section.from_run)
    rows = [_rows(each.ids, examples, file) for each in teachers]
    origin = encoded.store.pointers[encoded.context]
    pointers = pointers_of(encoded.context_lengths)
    mass = np.zeros((int(pointers[-1]), 2), np.float32)
    for number, example in enumerate(examples):
        scores = [each.part(at[number], at[number] + 1) for each, at in zip(teachers, rows, strict=True)]
        if any([context_hash(text) for text in example.contexts] != each.contexts.tolist() for each in scores):
            raise DataError(f"{TEACHERS}: answered with other contexts", path=file, row=f"id {example.id}")
        start, end = (_mean(scores, side, section.temperature) for side in (0, 1))
        for context in range(len(example.contexts)):
            pair = int(encoded.pointers[number]) + context
            here = slice(int(scores[0].pointers[context]), int(scores[0].pointers[context + 1]))
            own = slice(int(pointers[pair]), int(pointers[pair + 1]))
            offsets = encoded.store.offsets[int(origin[pair]) : int(origin[pair]) + own.stop - own.start]
            mass[own] = _by_token(start[here], end[here], offsets)
    return SpanTeacher(pointers, mass, origin)


def _mean(scores: Sequence[CharacterScores], side: int, temperature: float) -> Float32:
    """(C,) probabilities of one example's characters as the answer's first (``side`` 0) or last one (1)."""
    logs = [np.append(each.end if side else each.start, each.no_answer[0, side]).astype(np.float32) for each in scores]
    return _at_temperature(np.mean([np.exp(each) for each in logs], axis=0)[None], temperature)[0, :-1]


def _at_temperature(probability: Float32, temperature: float) -> Float32:
    """Each row at a temperature, normalised."""
    powered = probability ** np.float32(1 / temperature)
    total: Float32 = powered / powered.sum(-1, keepdims=True)
    return total


def _by_token(start: Float32, end: Float32, offsets: np.ndarray) -> Float32:
    """(tokens, 2) the probabilities of characters (C,) added up over the tokens that hold them.

    A first character that no token holds goes to the next token, a last one to the token before it.
    """
    found = np.zeros((len(offsets), 2), np.float32)
    if not len(offsets):
        return found
    for side, values in enumerate((start, end)):
        at = np.flatnonzero(values)
        if side == 0:
            token = np.searchsorted(np.maximum.accumulate(offsets[:, 1]), at, side="right")
        else:
            token = np.searchsorted(offsets[:, 0], at, side="right") - 1
        inside = (token >= 0) & (token < len(offsets))
        np.add.at(found[:, side], token[inside], values[at[inside]])
    return found


def _class_probabilities(runs: Sequence[Run], examples: Sequence[Example], classes: Sequence[str]) -> Float32:
    """(N, C) the mean of the teachers' probabilities, the classes in the student's order."""
    total = np.zeros((len(examples), len(classes)), np.float32)
    for run in runs:
        file = run.validation_nbest
        predictions = read_nbest(file)
        answered = [predictions[row] for row in _rows((each.id for each in predictions), examples, file)]
        total += _in_order(answered, classes, file, told=classes_of(run))
    return total / np.float32(len(runs))


def _in_order(answered: Sequence[object], classes: Sequence[str], file: Path, *, told: Sequence[str] | None) -> Float32:
    """(N, C) one teacher's probabilities. Its classes are as it tells them, or else known by where the likeliest one of
    each answer stands."""
    place: dict[str, int] = {}
    rows: list[Sequence[float]] = []
    for each in answered:
        if not isinstance(each, LabelPrediction) or len(each.scores) != len(classes):
            raise UsageError(f"{TEACHERS}: {file} does not hold probabilities of {len(classes)} classes")
        place.setdefault(str(each.label), int(np.argmax(each.scores)))
        rows.append(each.scores)
    if told is not None:
        if sorted(told) != sorted(map(str, classes)):
            raise UsageError(f"{TEACHERS}: {file} has the classes {', '.join(told)}, this recipe {', '.join(classes)}")
        return np.array(rows, np.float32)[:, [told.index(str(name)) for name in classes]]
    known: Mapping[str, int] = {str(name): number for number, name in enumerate(classes)}
    other = sorted(name for name, at in place.items() if known.get(name) != at)
    if other:
        raise UsageError(
            f"{TEACHERS}: {file} has the class {other[0]!r} at another place than this recipe: the same classes in the "
            "same order are needed (data.labels)"
        )
    return np.array(rows, np.float32)
