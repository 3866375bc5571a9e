"""From data files to a commented recipe."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qakit.data.checks.repeats import Keys, overlap
from qakit.drafting.choose import TASKS, Choice, Seen, choose, held_out, metric, task_of
from qakit.drafting.languages import language_of
from qakit.drafting.lengths import check_backbone, local_tokenizer, measure
from qakit.drafting.understand import Policies, Understood, read_whole, settled, understand
from qakit.errors import DataError
from qakit.problems import Policy
from qakit.recipe.dump import yaml_lines
from qakit.recipe.load import recipe_of
from qakit.registry import Registry
from qakit.values import Example


@dataclass(frozen=True, slots=True)
class Files:
    train: Path
    validation: Path | None = None
    test: Path | None = None
    sample_submission: Path | None = None
    contexts: Path | None = None
    """The texts of the contexts, for formats that have them in a file of their own."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A recipe that trains, value by value."""

    choices: tuple[Choice, ...]
    heading: str
    """What was looked at and what is learnt."""
    notes: tuple[str, ...]
    """What people should know beside it."""

    @property
    def values(self) -> dict[str, Any]:
        """The recipe as plain values."""
        tree: dict[str, Any] = {}
        for choice in self.choices:
            if choice.value is None:
                continue
            here = tree
            for part in choice.at[:-1]:
                here = here.setdefault(part, {})
            here[choice.at[-1]] = choice.value
        return tree

    @property
    def reasons(self) -> dict[str, str]:
        """Why, by dotted key."""
        return {".".join(choice.at): choice.why for choice in self.choices if choice.why}

    def text(self) -> str:
        """The recipe as YAML, each value with its reason behind it."""
        lines = [f"# {_one_line(line)}" for line in (self.heading, *self.notes)]
        section = None
        for at, line in yaml_lines(self.values):
            if at[0] != section:
                section = at[0]
                lines.append("")
            why = self.reasons.get(".".join(at))
            lines.append(f"{line} # {_one_line(why)}" if why else line)
        return "\n".join(lines) + "\n"


def draft(files: Files, registry: Registry, *, recipe: Path, backbone: str | None = None) -> Draft:
    """A recipe for data files, from what they show.

    Args:
        files: on this machine.
        recipe: where the recipe will lie: its paths are relative to that folder.
        backbone: in place of the one that the language suggests.

    Raises:
        DataError: a file that no installed reader understands, or that holds nothing to learn from.
        ModelError: the backbone names a folder that holds none.
    """
    if backbone is not None:
        check_backbone(backbone)
    understood = understand(files.train, registry, contexts=files.contexts)
    policies: dict[str, Policy] = {}
    train, problems = read_whole(understood, files.train, policies)
    read = [problems]
    splits: dict[str, Sequence[Example]] = {}
    for name, path in (("validation", files.validation), ("test", files.test)):
        if path is not None:
            splits[name], problems = read_whole(understood, path, policies, predicted_only=name == "test")
            read.append(problems)
    validation = splits.get("validation", ())
    if files.validation is not None and not any(example.labelled for example in validation):
        message = (
            "no record has an answer or a label: leave --validation out, and a part of the training file is held out"
        )
        raise DataError(message, path=files.validation)
    policies_of = settled(policies, read)
    if policies_of.of != policies:  # as they place the answers that the recipe is measured by
        train, _ = read_whole(understood, files.train, dict(policies_of.of))
    task = task_of(train)
    language = language_of(text for example in train for text in (example.question, *example.contexts))
    source = backbone or language.backbone
    empty = any(example.answers == () for example in (*train, *validation))
    seen = Seen(task, train, language, measure(train, source, language), no_answer=empty and task == "span")
    why = "as it was named" if backbone else f"a base model for {language.name}: {language.reason}"
    notes = [*understood.guess.notes, *_shared(train, validation)]
    if local_tokenizer(source) is None:
        notes.append(f"{source} is not on this machine: a training fetches it from the hub (--backbone names another)")
    kept = [] if files.validation else held_out(seen)
    if not files.validation and not kept:
        notes.append("there is no validation file, and the training file is too small to divide: nothing is evaluated")
    choices = (
        Choice(("description",), f"{files.train.name}: {TASKS[task]} ({understood.name}, {language.name})."),
        Choice(("about", "task"), task),
        Choice(("about", "language"), language.code),
        *_data(files, understood, policies_of, recipe.parent),
        Choice(("backbone", "source"), source, why),
        *choose(seen),
        _from_format(understood, "metric") or metric(seen),
        *_writer(files, understood, task),
        *kept,
    )
    heading = f"Drafted by `qakit init` from {files.train.name}: {len(train):,} examples, {TASKS[task]}."
    found = Draft(choices, heading, tuple(notes))
    recipe_of(_absolute(found.values, recipe.parent), registry=registry)
    return found


def _data(files: Files, understood: Understood, policies: Policies, folder: Path) -> Iterator[Choice]:
    at = ("data", "reader")
    reasons = understood.guess.reasons
    if understood.settings:
        yield Choice((*at, "name"), understood.name)
        for name, value in understood.settings.items():
            yield Choice((*at, name), value, reasons.get(name, ""))
    else:
        yield Choice(at, understood.name, "the format says itself what is what")
    for name in ("train", "validation", "test", "sample_submission"):
        if (path := getattr(files, name)) is not None:
            yield Choice(("data", name), _as_in_recipe(path, folder))
    for kind, policy in policies.of.items():
        yield Choice(("data", "problems", kind), policy, policies.reasons.get(kind, ""))


def _from_format(understood: Understood, key: str) -> Choice | None:
    value = understood.guess.recipe.get(key)
    return None if value is None else Choice((key,), value, understood.guess.reasons.get(key, ""))


def _writer(files: Files, understood: Understood, task: str) -> Iterator[Choice]:
    """The submission's format: the sample's columns, else the format's own, else the data's."""
    known = _from_format(understood, "writer")
    is_csv = known is not None and isinstance(known.value, Mapping) and known.value.get("name") == "csv"
    header = () if files.sample_submission is None else _header(files.sample_submission)
    if known is not None and (not header or not (is_csv or known.value == "squad_json")):
        yield known
        return
    settings = understood.settings
    several = settings.get("label") if isinstance(settings.get("label"), list) else None
    answer = (
        settings.get("answer_text")
        or settings.get("label")
        or ("label" if task in ("classification", "regression") else "answer")
    )
    columns, why = (
        (settings.get("id", "id"), answer),
        "the columns of the data; a sample submission would say (--sample-submission)",
    )
    if header:
        columns, why = (header[0], header[1] if len(header) > 1 else answer), "the sample submission's columns"
        if len(header) != 2 and several is None:
            why = f"the sample submission has {len(header)} columns, this writer 2: see `qakit plugins --kind writers`"
    more = (
        {key: value for key, value in known.value.items() if key not in ("name", "id_column", "answer_column")}
        if is_csv and known
        else {}
    )
    if several is None:
        more = {"answer_column": columns[1], **more}
    for key, value in {"name": "csv", "id_column": columns[0], **more}.items():
        yield Choice(("writer", key), value, why if key == "id_column" else "")


def _header(path: Path) -> tuple[str, ...]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return tuple(next(csv.reader(file), ()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"the sample submission cannot be read: {error}", path=path) from None


def _shared(train: Sequence[Example], validation: Sequence[Example]) -> Iterator[str]:
    found = {finding.name: finding for finding in overlap(train, validation, Keys())} if validation else {}
    for name in ("shared_record", "shared_text"):
        if name in found:
            count = f"{found[name].count:,} of {len(validation):,}"
            yield f"{count} validation examples are training examples, too: figures will be too good"


def _relative(path: Path, folder: Path) -> str:
    """The path as a recipe in this folder names it; absolute where they have nothing in common."""
    full, base = os.path.abspath(path), os.path.abspath(folder)  # noqa: PTH100 - keeps symbolic links
    if os.path.commonpath([full, base]) == os.sep:
        return full
    relative = os.path.relpath(full, base)
    return f"./{relative}" if relative.startswith("~") else relative


def _as_in_recipe(path: Path, folder: Path) -> str:
    """The path of a data file for a recipe in this folder.

    Raises:
        DataError: a recipe would take a part of it for an environment variable, and read another file.
    """
    text = _relative(path, folder)
    if "${" in text:
        raise DataError("a recipe takes ${ in a path for an environment variable: rename the file or folder", path=path)
    return text


def _absolute(values: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The values with the paths of their data as they are from anywhere."""
    paths = ("train", "validation", "test", "sample_submission")
    data = {key: os.path.abspath(folder / value) if key in paths else value for key, value in values["data"].items()}  # noqa: PTH100
    return {**values, "data": data}


def _one_line(text: str) -> str:
    """What may stand in a comment."""
    return "".join(character if character.isprintable() else " " for character in text)
