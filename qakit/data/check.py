"""The data doctor: everything that is wrong with, or worth knowing about, the files of a recipe, at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Protocol

from qakit.data.checks.findings import Finding, Lengths, ProblemCount
from qakit.data.checks.repeats import Keys, duplicates, overlap
from qakit.data.checks.texts import answer_findings, character_lengths, suspicious_characters
from qakit.data.checks.tokens import TokenReport, TokenSetup, check_tokens
from qakit.data.read import iter_file, problems_of, unlabelled
from qakit.errors import DataError
from qakit.problems import Policy, Problem, Problems
from qakit.protocols import Reader
from qakit.values import Example

UNREADABLE = 2
STOPS = 1
_FEWEST = 3
_NEARLY_ALL = 0.9
"""Of a file's answers, for it to be said that all offsets are shifted."""

Say = Callable[[str], None]
"""Called with what is being done."""


class Rules(Protocol):
    """What else is looked for in the splits of a recipe."""

    def __call__(
        self, splits: Mapping[str, Sequence[Example]], /, *, why: Mapping[str, str]
    ) -> Mapping[str, Sequence[Finding]]:
        """Examples -> findings, both by the split's name; of splits that could be read to their end.

        ``why``: a split's name -> why its examples have no labels, as the reader says it.
        """
        ...


@dataclass(frozen=True, slots=True)
class SplitReport:
    """What was found in one split."""

    name: str
    files: tuple[str, ...]
    counts: dict[str, int]
    """``examples``, distinct ``contexts``, ``answered``, ``unanswerable``, ``unlabelled``, ``answers``, ``placed``."""
    labels: dict[str, int]
    """Examples per class; empty for spans and regression."""
    problems: tuple[ProblemCount, ...]
    unreadable: tuple[str, ...]
    """Messages of files that could not be read to their end."""
    findings: tuple[Finding, ...]
    characters: dict[str, Lengths]
    tokens: TokenReport | None


@dataclass(frozen=True, slots=True)
class Overlap:
    """What two splits share."""

    first: str
    second: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class DataReport:
    """What was found in all splits and between them."""

    splits: tuple[SplitReport, ...]
    overlaps: tuple[Overlap, ...]

    @property
    def exit_code(self) -> int:
        """2 if a file could not be read, 1 if training would stop at a problem, else 0."""
        if any(split.unreadable for split in self.splits):
            return UNREADABLE
        problems = any(problem.outcome == "stops" for split in self.splits for problem in split.problems)
        findings = any(finding.level == "stops" for split in self.splits for finding in split.findings)
        return STOPS if problems or findings else 0

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values; the ceilings' percentages are added to their counts."""
        value = asdict(self)
        for split, data in zip(self.splits, value["splits"], strict=True):
            if split.tokens is not None and split.tokens.ceiling is not None:
                top = split.tokens.ceiling
                data["tokens"]["ceiling"] |= {
                    "of_answers": top.of_answers,
                    "of_answerable": top.of_answerable,
                    "of_questions": top.of_questions,
                }
        return value | {"exit_code": self.exit_code}


def check_data(
    reader: Reader,
    splits: Mapping[str, Sequence[Path]],
    *,
    policies: Mapping[str, Policy] | None = None,
    tokens: TokenSetup | None = None,
    rules: Rules | None = None,
    say: Say = lambda _: None,
) -> DataReport:
    """Read every split to its end, whatever is wrong, and look at it.

    Args:
        reader: the file format.
        splits: files by split name.
        policies: the recipe's; they decide what counts as ``stops``.
        tokens: tokenizer and windows, for what depends on them.
        rules: what else is looked for in the splits of a recipe, whose ``test`` is only predicted; None where the
            splits are no recipe's.
        say: called at each slow part.

    Raises:
        UsageError: a policy is not possible, or windows of this size are not.
    """
    read: dict[str, list[Example]] = {}
    problems: dict[str, Sequence[Problems]] = {}
    unreadable: dict[str, list[str]] = {}
    for name, files in splits.items():
        say(f"reading {name}")
        predicted_only = rules is not None and name == "test"
        problems[name] = problems_of(files, policies or {}, collect=True, predicted_only=predicted_only)
        read[name], unreadable[name] = _read(reader, problems[name])
    whole = {name: read[name] for name in splits if not unreadable[name]}
    why = {name: said for name in whole if (said := unlabelled(problems[name]))}
    findings = {} if rules is None else rules(whole, why=why)
    reports: list[SplitReport] = []
    keys = Keys()
    for name in splits:
        found = [*findings.get(name, ())]
        found += [shifted for file in problems[name] for shifted in shift_findings(file.shifts)]
        reports.append(_check_split(name, read[name], problems[name], unreadable[name], found, tokens, keys, say))
    say("comparing splits")
    pairs = ((one, other, overlap(read[one], read[other], keys)) for one, other in combinations(read, 2))
    return DataReport(
        tuple(reports), tuple(Overlap(one, other, tuple(shared)) for one, other, shared in pairs if shared)
    )


def _read(reader: Reader, problems: Sequence[Problems]) -> tuple[list[Example], list[str]]:
    """All that can be read, and a message for each file that cannot."""
    examples: list[Example] = []
    unreadable: list[str] = []
    taken: set[str] = set()
    for file in problems:
        try:
            examples.extend(iter_file(reader, file, taken))
        except DataError as error:
            unreadable.append(str(error))
    return examples, unreadable


def _check_split(
    name: str,
    examples: list[Example],
    problems: Sequence[Problems],
    unreadable: list[str],
    found: list[Finding],
    tokens: TokenSetup | None,
    keys: Keys,
    say: Say,
) -> SplitReport:
    say(f"looking at {name}")
    findings = [*found, *answer_findings(examples), *duplicates(examples, keys), *suspicious_characters(examples)]
    report = None
    if tokens is not None and examples:
        say(f"tokenising {name}")
        report = check_tokens(examples, tokens)
    return SplitReport(
        name=name,
        files=tuple(str(file.path) for file in problems),
        counts=_counts(examples),
        labels=dict(Counter(example.label for example in examples if isinstance(example.label, str)).most_common()),
        problems=tuple(line for file in problems for line in _problem_counts(file)),
        unreadable=tuple(unreadable),
        findings=tuple(findings),
        characters=character_lengths(examples),
        tokens=report,
    )


def _counts(examples: Sequence[Example]) -> dict[str, int]:
    answers = [answer for example in examples for answer in example.answers or ()]
    return {
        "examples": len(examples),
        "contexts": len({context for example in examples for context in example.contexts}),
        "answered": sum(1 for example in examples if example.answers),
        "unanswerable": sum(1 for example in examples if example.answers == ()),
        "unlabelled": sum(not example.labelled for example in examples),
        "answers": len(answers),
        "placed": sum(1 for answer in answers if answer.places),
    }


def _problem_counts(file: Problems) -> list[ProblemCount]:
    return [
        ProblemCount(
            str(file.path),
            kind,
            outcome,
            count,
            tuple(_named(p) for p in file.examples[kind] if p.outcome == outcome),
        )
        for (kind, outcome), count in sorted(file.counts.items())
    ]


def _named(problem: Problem) -> str:
    """Record, field and message, as an error would say it."""
    place = f"{problem.row}, field {problem.field!r}" if problem.field else problem.row
    return f"{place}: {problem.message}"


def shift_findings(shifts: Mapping[int, int]) -> list[Finding]:
    """Say so when (nearly) all answers of a file would fit after the same shift.

    Args:
        shifts: answers by how many characters after its offset each one's text is; see ``Problems.shifts``.
    """
    total = sum(shifts.values())
    shift, count = max(shifts.items(), key=lambda item: item[1], default=(0, 0))
    if shift == 0 or count < _FEWEST or count < _NEARLY_ALL * total:
        return []
    distance = "one character" if abs(shift) == 1 else f"{abs(shift)} characters"
    where = "earlier" if shift < 0 else "later"
    why = "does the file count from 1?" if shift == -1 else "does the file count other characters than these?"
    return [Finding("shifted_offsets", "warning", count, f"of {total:,} answers would fit {distance} {where}: {why}")]
