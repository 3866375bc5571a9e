"""Which installed reader understands a file, with which settings, and what it reads there."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from qakit.attribution import calling
from qakit.components import Component, Guess
from qakit.data.read import iter_examples, problems_of
from qakit.data.splits import CONTEXTS
from qakit.entry_points import describe, guarded
from qakit.errors import DataError, PluginError, PluginFaultError, UsageError
from qakit.problems import Policy, ProblemKind, Problems
from qakit.protocols import NoRuntime, Reader
from qakit.registry import Registry
from qakit.values import Example

TRIED = 500
"""Examples that decide which reader it is."""


@dataclass(frozen=True, slots=True)
class Understood:
    """How a file is read."""

    name: str
    """The reader's."""
    settings: Mapping[str, Any]
    guess: Guess
    reader: Reader


@dataclass(frozen=True, slots=True)
class Policies:
    """What a recipe says about problems in its files, and why, by their kinds."""

    of: Mapping[str, Policy]
    reasons: Mapping[str, str]


def understand(path: Path, registry: Registry, *, contexts: Path | None = None) -> Understood:
    """The reader that gives labelled examples of the file's beginning with the fewest settings.

    A format that says itself what is what needs no settings, so it comes before a table with a map of columns; whose
    plugin a reader is does not count.

    Args:
        contexts: the file of contexts, for readers that have a setting for one.

    Raises:
        DataError: no installed reader understands it, or it holds nothing to learn from.
        UsageError: contexts are given, and no reader that understands the file wants them.
    """
    refused: dict[str, list[str]] = {}
    found: list[tuple[tuple[bool, int], Understood]] = []
    for name in registry.names("readers"):
        try:
            for understood, examples in _tried(path, name, registry, contexts):
                key = not any(example.labelled for example in examples), len(understood.settings)
                found.append((key, understood))
        except PluginFaultError as error:
            refused.setdefault(error.what, []).append(name)
        except PluginError:  # settings that nobody can guess, or two readers of one name
            continue
        except DataError as error:
            refused.setdefault(error.problem, []).append(name)
        except OSError as error:
            refused.setdefault(describe(error), []).append(name)
    if not found:
        if len(refused) == 1:
            raise DataError(next(iter(refused)), path=path)
        alone = {problem: names for problem, names in refused.items() if len(names) == 1}  # they looked most closely
        reasons = "; ".join(f"{', '.join(names)}: {problem}" for problem, names in (alone or refused).items())
        raise DataError(f"no installed reader understands the file ({reasons})", path=path)
    (unlabelled, _), best = min(found, key=lambda each: each[0])
    if unlabelled:
        message = f"the reader {best.name!r} understands the file, but no record has an answer or a label to learn from"
        raise DataError(message, path=path)
    if contexts is not None and CONTEXTS not in best.settings:
        raise UsageError(f"--contexts: the reader {best.name!r}, which understands {path}, reads no such file")
    return best


def _tried(
    path: Path, name: str, registry: Registry, contexts: Path | None
) -> Iterator[tuple[Understood, Sequence[Example]]]:
    entry = registry.get("readers", name)
    component: Component[Any, Any, Any] = entry.component
    with guarded(), calling(entry.owner, "guess"):
        guesses = list(component.guess(path)) if component.guess is not None else [Guess()]
    for guess in guesses:
        settings = dict(guess.settings)
        if contexts is not None and CONTEXTS in component.settings.model_fields:
            settings[CONTEXTS] = os.path.relpath(contexts, path.parent)
        reader: Reader = registry.build("readers", name, settings, NoRuntime())
        problems = Problems(path, collect=True)
        with guarded():
            examples = list(islice(reader.read(path, problems), TRIED))
        if examples:
            yield Understood(name, settings, guess, reader), examples
        elif problems.examples:
            first = next(iter(problems.examples.values()))[0]
            raise DataError(f"{first.row}: {first.message}", path=path)


def read_whole(
    understood: Understood, path: Path, policies: dict[str, Policy], *, predicted_only: bool = False
) -> tuple[tuple[Example, ...], Problems]:
    """All examples of a file; ``policies`` gets one for each kind of problem that would stop a training.

    Args:
        predicted_only: it is answered: of its records none may be left out, nor get another id.

    Raises:
        DataError: the file cannot be read to its end, or holds a record that no policy lets pass.
    """
    for _ in range(3):  # a repair may turn out to be impossible
        (problems,) = problems_of(path, policies, collect=True, predicted_only=predicted_only)
        examples = tuple(iter_examples(understood.reader, [problems]))
        stopping = {kind for kind, outcome in problems.counts if outcome == "stops"}
        for kind in stopping if predicted_only else ():
            if "keep" not in problems.kind(kind).policies:
                first = next(each for each in problems.examples[kind] if each.outcome == "stops")
                message = (
                    f"{first.message} (mend it: each record of a file that is predicted needs an answer of its own)"
                )
                raise DataError(message, path=path, row=first.row, field=first.field or None)
        if not stopping:
            break
        policies |= {kind: _gentler(problems.kind(kind), policies.get(kind)) for kind in stopping}
    if not examples:
        raise DataError("no record can be used", path=path)
    return examples, problems


def _gentler(kind: ProblemKind, tried: Policy | None) -> Policy:
    """The next policy that loses as little as possible and does not stop."""
    order: tuple[Policy, ...] = ("repair", "keep", "skip")
    left = order[order.index(tried) + 1 :] if tried in order else order
    return next((policy for policy in left if policy in kind.policies), "skip")


def settled(policies: Mapping[str, Policy], read: Sequence[Problems]) -> Policies:
    """The policies that these files need, with how often; answers that occur several times are learnt at any place."""
    counts: dict[tuple[str, str], int] = {}
    for problems in read:
        for key, count in problems.counts.items():
            counts[key] = counts.get(key, 0) + count
    of, reasons = dict(policies), dict[str, str]()
    if several := counts.get(("answer_ambiguous", "kept")):
        of["answer_ambiguous"] = "all"
        reasons["answer_ambiguous"] = (
            f"{several:,} answers occur several times, no offset says where: any place is right"
        )
    if cased := counts.get(("answer_case", "kept")):
        of["answer_case"] = "repair"
        reasons["answer_case"] = f"{cased:,} answers are in the context in another case only: learn them there"
    for kind in policies:
        count = sum(found for (name, _), found in counts.items() if name == kind)
        reasons[kind] = f"{count:,} records: {read[0].kind(kind).meaning}"
    return Policies(of, reasons)
