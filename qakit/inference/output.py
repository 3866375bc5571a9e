"""Predictions on disk: nbest.jsonl with its meta.json, and the submission file."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from qakit.data.csv_rows import formula_cells, formula_notice
from qakit.errors import DataError, PluginError, UsageError
from qakit.files import file_sha256, refuse_special, write_json, writing
from qakit.inference.characters import CHARACTERS_FILE, CharacterScores
from qakit.inference.inputs import Inputs
from qakit.inference.nbest_file import write_nbest
from qakit.protocols import NoRuntime, Writer
from qakit.recipe.load import recipe_hash
from qakit.recipe.model import Recipe
from qakit.registry import Registry
from qakit.values import ContextPrediction, LabelPrediction, Prediction, SpeltClass, Targets

LETTERS = tuple(ascii_uppercase)
"""Of choices: A is the first."""
SCHEMA = 1
"""Version of nbest.jsonl; in meta.json beside it."""


@dataclass(frozen=True, slots=True)
class Submission:
    """A written answer file and what the competition's sample says of it."""

    path: Path
    rows: int
    sha256: str
    problems: tuple[str, ...]
    checked_against: Path | None
    notice: str | None = None
    """What people should know before they open the file."""

    def told(self) -> Iterator[str]:
        """What is wrong with the file, and what else people should know, a line each."""
        against = f" against {self.checked_against}" if self.checked_against is not None else ""
        yield from (f"{self.path}{against}: {problem}" for problem in self.problems)
        if self.notice is not None:
            yield self.notice

    def as_json(self) -> dict[str, Any]:
        """What a run's metrics.json says of it."""
        return {"file": self.path.name, "rows": self.rows, "sha256": self.sha256, "problems": list(self.problems)}


def save_predictions(
    folder: Path,
    predictions: Sequence[Prediction],
    recipe: Recipe,
    *,
    run: str,
    inputs: Inputs,
    characters: CharacterScores | None = None,
) -> None:
    """Write ``nbest.jsonl``, ``meta.json`` and, if there are any, character scores into ``folder``.

    Character scores of an earlier prediction don't stay beside this one.
    """
    characters_file = folder / CHARACTERS_FILE
    with writing(characters_file):
        characters_file.unlink(missing_ok=True)
    write_nbest(folder / "nbest.jsonl", predictions)
    if characters is not None:
        characters.write(characters_file)
    write_json(
        folder / "meta.json",
        {
            "schema": SCHEMA,
            "run": run,
            "recipe_sha256": recipe_hash(recipe),
            **inputs.as_json("inputs"),
            "rows": len(predictions),
        },
    )


def build_writer(recipe: Recipe, registry: Registry, *, suffix: str | None = None) -> Writer:
    """The recipe's writer, or, for another file ending, the first installed writer that has it and needs no settings.

    Raises:
        UsageError: no writer has this ending.
    """
    writer: Writer = registry.build("writers", recipe.writer.name, settings_of_writer(recipe, registry), NoRuntime())
    if suffix is None or writer.suffix == suffix:
        return writer
    for name in registry.names("writers"):
        try:
            other: Writer = registry.build("writers", name, {}, NoRuntime())
        except PluginError:  # it needs settings, or its package is broken
            continue
        if other.suffix == suffix:
            return other
    raise UsageError(f"no writer makes {suffix!r} files; the recipe's own writer makes {writer.suffix!r}")


def write_submission(
    path: Path, predictions: Sequence[Prediction], recipe: Recipe, registry: Registry, *, suffix: str | None = None
) -> Submission:
    """Write the submission file, and check it against the recipe's sample submission where there is one.

    A ``path`` without an ending gets the writer's.
    """
    writer = build_writer(recipe, registry, suffix=suffix)
    return write_checked(path, predictions, writer, sample=sample_submission(recipe), choices=choice_names(recipe))


def write_checked(
    path: Path,
    predictions: Sequence[Prediction],
    writer: Writer,
    *,
    sample: str | None,
    choices: Sequence[str] = (),
) -> Submission:
    """As :func:`write_submission`, with the writer, the sample submission and the names of choices that are given."""
    path = path if path.suffix else path.with_suffix(writer.suffix)
    predictions = _as_chosen(sample, _in_order_of(sample, [_spelt(each) for each in predictions]), choices)
    writer.write(predictions, path)
    problems: tuple[str, ...] = ()
    checked = None
    if sample is not None and not Path(sample).is_file():
        problems = (f"ids and columns were not checked: the sample submission {sample} is not there",)
    elif sample is not None and writer.suffix == Path(sample).suffix:
        checked = Path(sample)
        refuse_special(checked, DataError)
        problems = (*writer.check(path, checked), *_other_choices(sample, predictions))
    cells = formula_cells((each.id, each.final) for each in predictions) if writer.suffix == ".csv" else 0
    return Submission(path, len(predictions), file_sha256(path), problems, checked, formula_notice(cells))


def _spelt(prediction: Prediction) -> Prediction:
    """A class as the training file has it."""
    if isinstance(prediction, LabelPrediction) and isinstance(prediction.label, SpeltClass):
        return replace(prediction, label=prediction.label.written)
    return prediction


def _in_order_of(sample: str | None, predictions: Sequence[Prediction]) -> Sequence[Prediction]:
    """Several numbers of each text in the order of the sample's columns, where it has just these."""
    label = predictions[0].label if predictions and isinstance(predictions[0], LabelPrediction) else None
    if sample is None or not isinstance(label, Targets) or Path(sample).suffix != ".csv" or not Path(sample).is_file():
        return predictions
    with suppress(OSError, UnicodeDecodeError, csv.Error), Path(sample).open(encoding="utf-8-sig", newline="") as file:
        names = [name for name in next(csv.reader(file), ()) if name in label.names]
        if sorted(names) == sorted(label.names):
            return [_with_order(each, names) for each in predictions]
    return predictions


def _with_order(prediction: Prediction, names: Sequence[str]) -> Prediction:
    if not isinstance(prediction, LabelPrediction) or not isinstance(prediction.label, Targets):
        return prediction
    held = prediction.label.by_name()
    if held.keys() != set(names):
        return prediction
    return replace(prediction, label=Targets([held[name] for name in names], names))


def _as_chosen(sample: str | None, predictions: Sequence[Prediction], choices: Sequence[str]) -> Sequence[Prediction]:
    """Chosen contexts as the sample spells them, see :func:`names_of_contexts`."""
    if not predictions or not isinstance(predictions[0], ContextPrediction):
        return predictions
    names = names_of_contexts(sample, choices)
    return [
        LabelPrediction(each.id, names[each.context], each.scores)
        if isinstance(each, ContextPrediction) and each.context < len(names)
        else each
        for each in predictions
    ]


def names_of_contexts(sample: str | None, choices: Sequence[str]) -> Sequence[str]:
    """What a sample calls chosen contexts: the names of ``choices``, or letters, where it has just these; nothing for
    numbers.

    Numbers come before names and names before letters, as readers of such labels have it.
    """
    answers = _answers_in(sample)
    for names in (choices, LETTERS):
        if answers and not _are_numbers(answers) and answers <= set(names):
            return names
    return ()


def _other_choices(sample: str, predictions: Sequence[Prediction]) -> Iterator[str]:
    """What is wrong where chosen contexts are numbers, and the sample has something else."""
    answers = _answers_in(sample) if predictions and isinstance(predictions[0], ContextPrediction) else set()
    if answers and not _are_numbers(answers):
        yield f"the answers are numbers of contexts, from 0, and those of the sample are others: {min(answers)[:60]!r}"


def _are_numbers(answers: Collection[str]) -> bool:
    return all(answer.isdecimal() for answer in answers)


def _answers_in(sample: str | None) -> set[str]:
    """The different answers of a sample in CSV, the last cell of each row; empty for another file, or none."""
    if sample is None or Path(sample).suffix != ".csv" or not Path(sample).is_file():
        return set()
    with suppress(OSError, UnicodeDecodeError, csv.Error), Path(sample).open(encoding="utf-8-sig", newline="") as file:
        return {row[-1].strip() for row in islice(csv.reader(file), 1, None) if row} - {""}
    return set()


def choice_names(recipe: Recipe) -> Sequence[str]:
    """What the recipe's reader calls the contexts that a question chooses among, in their order; maybe nothing."""
    choices = recipe.data.reader.settings.get("choices")
    return choices if isinstance(choices, list) else ()


def sample_submission(recipe: Recipe) -> str | None:
    """The competition's sample submission, wherever the recipe names it."""
    named = recipe.competition.sample_submission if recipe.competition is not None else None
    return named or recipe.data.sample_submission


def settings_of_writer(recipe: Recipe, registry: Registry) -> dict[str, Any]:
    """The writer's settings, with the columns of the recipe's competition where the writer has columns."""
    settings = recipe.writer.settings
    if recipe.competition is not None:
        columns = recipe.competition.model_dump(include={"id_column", "answer_column"}, exclude_none=True)
        known = registry.get("writers", recipe.writer.name).component.settings.model_fields
        settings |= {name: value for name, value in columns.items() if name in known}
    return settings
