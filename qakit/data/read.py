"""Files -> examples, through a reader, with every problem judged and counted and every id once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path

from qakit.errors import DataError, PluginError
from qakit.files import refuse_special
from qakit.problems import Policy, Problems
from qakit.protocols import Reader
from qakit.values import Example


@dataclass(frozen=True, slots=True)
class ReadResult:
    """All examples of some files, in order, and what was wrong with each file."""

    examples: tuple[Example, ...]
    problems: tuple[Problems, ...]
    """One per file."""


def read_examples(
    reader: Reader,
    paths: Path | Sequence[Path],
    *,
    policies: Mapping[str, Policy] | None = None,
    predicted_only: bool = False,
) -> ReadResult:
    """Read files as one list of examples.

    Ids are unique in the result and every placed answer satisfies ``context[start:end] == text``.

    Args:
        reader: the file format.
        paths: one file or several.
        policies: what to do about each kind of problem, by name, as a checked recipe has it; ``default`` for the rest.
        predicted_only: as in :class:`~qakit.problems.Problems`; all examples are unlabelled then.

    Raises:
        DataError: a file cannot be read, or a problem's policy is ``error``.
    """
    problems = problems_of(paths, policies or {}, predicted_only=predicted_only)
    return ReadResult(tuple(iter_examples(reader, problems)), problems)


def problems_of(
    paths: Path | Sequence[Path],
    policies: Mapping[str, Policy],
    *,
    collect: bool = False,
    predicted_only: bool = False,
) -> tuple[Problems, ...]:
    """An empty list of problems for each file, for :func:`iter_examples`.

    Raises:
        DataError: a file is none that could be read to its end.
    """
    files = [paths] if isinstance(paths, Path) else paths
    for path in files:
        refuse_special(path, DataError)  # a recipe may be somebody else's, and /dev/zero has no end
    return tuple(Problems(path, policies, collect=collect, predicted_only=predicted_only) for path in files)


def unlabelled(problems: Sequence[Problems]) -> str:
    """Why some files have no label at all, as their reader says it; empty where it says nothing."""
    return next((file.unlabelled for file in problems if file.unlabelled), "")


def iter_examples(reader: Reader, problems: Sequence[Problems]) -> Iterator[Example]:
    """Stream the examples of the files that ``problems`` name, one list of problems per file.

    Raises:
        DataError: as :func:`read_examples`.
    """
    taken: set[str] = set()
    for file in problems:
        yield from iter_file(reader, file, taken)


def iter_file(reader: Reader, problems: Problems, taken: set[str]) -> Iterator[Example]:
    """Stream one file's examples under ids that are not in ``taken``, and add them to it.

    Raises:
        DataError: as :func:`read_examples`.
        PluginError: the reader places an answer where its text is not.
    """
    return checked(enumerate(reader.read(problems.path, problems), start=1), problems, taken)


def checked(numbered: Iterable[tuple[int, Example]], problems: Problems, taken: set[str]) -> Iterator[Example]:
    """The examples of a file or of a part of it, by their number in the file, under ids that are not in ``taken``.

    Raises:
        DataError: as :func:`read_examples`.
        PluginError: the reader places an answer where its text is not.
    """
    here: set[str] = set()
    for number, example in numbered:
        if problems.predicted_only:
            example = replace(example, answers=None, label=None, relevant=None)
        _check_answers(example, problems.path)
        identifier = example.id
        if identifier in here or identifier in taken:
            repaired = _judge_id(identifier, problems, number, taken, in_this_file=identifier in here)
            here.add(identifier)
            if repaired is None:
                continue
            taken.add(repaired)
            yield replace(example, id=repaired)
        else:
            here.add(identifier)
            taken.add(identifier)
            yield example


def _judge_id(identifier: str, problems: Problems, number: int, taken: set[str], *, in_this_file: bool) -> str | None:
    """Another id for an example whose own is taken; None to leave it out."""
    kind = "duplicate_id" if in_this_file else "shared_id"
    where = "in this file" if in_this_file else "in an earlier file of the list"
    message = f"the id of example {number} was there before, {where}"
    if problems.judge(kind, row=f"id {identifier}", field="id", message=message, repairable=True) != "repair":
        return None
    wanted = identifier if in_this_file else f"{problems.path.name}:{identifier}"
    fresh, count = wanted, 1
    while fresh in taken:
        count += 1
        fresh = f"{wanted}#{count}"
    return fresh


def _check_answers(example: Example, path: Path) -> None:
    for answer in example.answers or ():
        if answer.start is not None and not (
            0 <= answer.context < len(example.contexts)
            and answer.start >= 0
            and example.contexts[answer.context].startswith(answer.text, answer.start)
        ):
            raise PluginError(
                f"{path}, id {example.id}: the reader places the answer {answer.text!r} where the context has "
                "other text; this is a mistake in the reader's plugin"
            )
        for first, end in answer.others:
            if not (
                0 <= answer.context < len(example.contexts)
                and 0 <= first < end <= len(example.contexts[answer.context])
            ):
                raise PluginError(
                    f"{path}, id {example.id}: the reader places the answer {answer.text!r} at characters {first} to "
                    f"{end}, outside its context; this is a mistake in the reader's plugin"
                )


def iter_blocks(reader: Reader, problems: Problems, *, size: int) -> Iterator[list[Example]]:
    """Stream one file's examples, ``size`` at a time; a block is shorter where records were left out.

    Everything is checked as :func:`iter_file` does, but an id is only known within its block: the ids
    of a whole file would be the one thing that grows with it.

    Raises:
        DataError: as :func:`iter_file`.
    """
    numbered = enumerate(reader.read(problems.path, problems), start=1)
    while (first := next(numbered, None)) is not None:
        block = list(checked(chain([first], islice(numbered, size - 1)), problems, set()))
        if block:
            yield block
