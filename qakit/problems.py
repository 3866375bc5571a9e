"""What is wrong with input records, and what is done about each kind of problem.

Readers name what they find by a kind and ask :meth:`Problems.judge` what to do: one of :data:`PROBLEM_KINDS`, or one
that their component declares (``Component.problems``). The names are public: a recipe's ``data.problems`` sets a policy
for each.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Literal, get_args

from qakit.errors import DataError, UsageError

Policy = Literal["error", "skip", "repair", "keep", "first", "all"]
"""``error``: stop. ``skip``: leave the record out, counted. ``repair``: mend it where the repair is certain, else the
kind's fallback. ``keep``: use what is sound (an answer's text without its place), counted. ``first`` and ``all``: of
several places that an answer may have, learn the first one, or any of them."""
POLICIES: tuple[Policy, ...] = get_args(Policy)
DEFAULT = "default"
"""In ``data.problems``: the policy of the kinds that are not named."""
_NAME = re.compile("[a-z][a-z0-9_]*(:[a-z][a-z0-9_]*)?")

EXAMPLES_KEPT = 5
"""How many occurrences of each kind and outcome are remembered for the report."""


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """A kind of problem, and the policies that make sense for it.

    Raises:
        ValueError: the parts do not agree.
    """

    name: str
    """Lower-case letters, digits and underscores; perhaps a prefix with a colon (``cards:no_mark``)."""
    meaning: str
    """One line without a full stop."""
    default: Policy = "error"
    """The policy when the recipe says nothing."""
    policies: tuple[Policy, ...] = ("error", "skip")
    """What a recipe may ask for."""
    fallback: Policy = "error"
    """What ``repair`` means where no repair is certain."""
    repair: str = ""
    """What ``repair`` does; empty where that is no policy of this kind."""

    def __post_init__(self) -> None:
        """Refuse what no recipe could use."""
        wrong = {
            "name is no name": not _NAME.fullmatch(self.name) or self.name == DEFAULT,
            "meaning is not one line": not self.meaning.strip() or "\n" in self.meaning,
            "policies are not among those of qakit, with 'error'": not {"error"} <= {*self.policies} <= {*POLICIES},
            "default is none of its policies": self.default not in self.policies,
            "fallback is none of its policies": self.fallback not in self.policies or self.fallback == "repair",
            "policies have 'repair', but it does not say what that does": "repair" in self.policies and not self.repair,
        }
        if fault := next((what for what, holds in wrong.items() if holds), None):
            raise ValueError(f"problem kind {self.name!r}: its {fault}")


_KINDS = (
    ProblemKind(
        "answer_offset",
        "the context has the answer's text once, but not at the given offset, or none is given",
        "repair",
        ("error", "skip", "repair", "keep"),
        "keep",
        "the offset becomes that of the only occurrence in the context",
    ),
    ProblemKind(
        "answer_ambiguous",
        "the context has the answer's text several times, and no right offset tells which is meant",
        "keep",
        ("error", "skip", "keep", "first", "all"),
    ),
    ProblemKind(
        "answer_spacing",
        "the context has the answer's text only with other blanks or zero-width characters",
        "repair",
        ("error", "skip", "repair", "keep"),
        "keep",
        "the answer is learnt at that place, and judged by its own text",
    ),
    ProblemKind(
        "answer_case",
        "the context has the answer's text only in another case (and with other blanks)",
        "keep",
        ("error", "skip", "repair", "keep"),
        "keep",
        "the answer is learnt at that place, and judged by its own text",
    ),
    ProblemKind(
        "answer_start",
        "an answer's offset is no whole number; when kept, it is as if there were none",
        "error",
        ("error", "skip", "keep"),
    ),
    ProblemKind(
        "answer_missing",
        "the answer's text is nowhere in the context (often with `answer_start: -1`)",
        "keep",
        ("error", "skip", "keep"),
    ),
    ProblemKind("empty_answer", "an answer without text", "keep", ("error", "skip", "keep")),
    ProblemKind("empty_question", "a question (first text) without text", "keep", ("error", "skip", "keep")),
    ProblemKind("empty_context", "a context (second text) without text", "keep", ("error", "skip", "keep")),
    ProblemKind(
        "lone_surrogate",
        "text with half of a surrogate pair, which no file can hold and no tokenizer takes",
        "repair",
        ("error", "skip", "repair"),
        repair="U+FFFD takes its place; offsets stay right",
    ),
    ProblemKind(
        "duplicate_id",
        "the same id twice in one file",
        "error",
        ("error", "skip", "repair"),
        repair="the later record's id gets the ending #2, #3 ...",
    ),
    ProblemKind(
        "shared_id",
        "an id that an earlier file of the same list has, too",
        "repair",
        ("error", "skip", "repair"),
        repair="the later record's id gets the file's name in front",
    ),
    ProblemKind(
        "repeated_key", "a JSON object has a key twice; the last one counts", "keep", ("error", "skip", "keep")
    ),
    ProblemKind("missing_field", "a record lacks a field, or its id is empty"),
    ProblemKind("wrong_type", "a field holds a value of the wrong type"),
    ProblemKind("contradiction", "a record contradicts itself about having an answer"),
)
PROBLEM_KINDS: Mapping[str, ProblemKind] = MappingProxyType({kind.name: kind for kind in _KINDS})
"""By name: what any reader may report, since the core and the parts of :mod:`qakit.reading` do."""

Outcome = Literal["skipped", "repaired", "kept", "at the first place", "at all places", "stops"]
"""What became of a record; ``stops`` only while problems are collected (see :class:`Problems`)."""
_OUTCOMES: dict[Policy, Outcome] = {
    "skip": "skipped",
    "repair": "repaired",
    "keep": "kept",
    "first": "at the first place",
    "all": "at all places",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem in one record."""

    kind: str
    row: str
    field: str
    message: str
    outcome: str
    """An ``Outcome``."""


@dataclass(slots=True)
class Problems:
    """Collects the problems of one file while it is read. One per file and reading.

    Raises from :meth:`judge`:
        DataError: the policy for this kind is ``error``, or ``repair`` where no repair is certain and the kind falls
            back to ``error``.
    """

    path: Path
    policies: Mapping[str, Policy] = field(default_factory=dict)
    """Policy per kind of problem; ``default`` for the others that allow it."""
    collect: bool = False
    """Where the policy would stop, count the problem as ``stops`` and continue (`qakit data check`)."""
    predicted_only: bool = False
    """The file is answered, neither trained on nor scored: readers leave its labels alone, and no record is left out,
    since each needs an answer. ``skip`` then means ``keep`` or ``repair`` where that is possible, else ``error``."""
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Records by (kind, outcome)."""
    examples: dict[str, list[Problem]] = field(default_factory=dict)
    """The first few of each kind and outcome."""
    unlabelled: str = ""
    """Why no record of the file has a label, where the reader can say so: told where labels are needed."""
    beside: list[Path] = field(default_factory=list)
    """Further files that were read for this one: see :meth:`opened`."""
    shifts: Counter[int] = field(default_factory=Counter)
    """Answers with an offset, by how far from it (in characters) their text is, at the nearest place. Readers may count
    here; one shift that (nearly) all share tells that the file counts differently (`qakit data check`)."""
    declared: tuple[ProblemKind, ...] = ()
    """The reader's own kinds. A reader that a component has built gets here what the component declares."""

    def opened(self, path: Path) -> None:
        """Note that the reader reads a further file for this one. A change in it is told as one in the file itself:
        when a run is resumed, compared or made an ensemble of, and when a prediction of many files continues."""
        if path not in self.beside:
            self.beside.append(path)

    def kind(self, name: str) -> ProblemKind:
        """The kind of this name, the reader's own before qakit's.

        Raises:
            LookupError: nobody has declared it: no recipe could set a policy for it.
        """
        kinds = {**PROBLEM_KINDS, **{each.name: each for each in self.declared}}
        if name in kinds:
            return kinds[name]
        close = get_close_matches(name, kinds, n=1)
        hint = f"did you mean {close[0]!r}?" if close else "declare it in the component's `problems`"
        raise LookupError(f"a problem of the kind {name!r}, which is not declared; {hint}")

    def _policy(self, kind: ProblemKind) -> Policy:
        """What the recipe says about this kind; else its ``default`` where the kind allows that; else the kind's."""
        default = self.policies.get(DEFAULT, kind.default)
        return self.policies.get(kind.name, default if default in kind.policies else kind.default)

    def judge(
        self, kind: str, *, row: str, field: str, message: str, repairable: bool = False, records: int = 1
    ) -> Policy:
        """Say what to do with a problem, and count it: never ``error``, and ``repair`` only if it is repairable.

        Args:
            kind: one of :data:`PROBLEM_KINDS`, or one that the reader's component declares.
            row: the record as a person would find it: ``"record 17"``, ``"line 4"``, ``"id 3f2a"``.
            field: the field within the record, or empty.
            message: what is wrong, one sentence without the place.
            repairable: whether the caller has a repair that is certain.
            records: how many records are concerned (all questions of a paragraph, say).

        Raises:
            DataError: see the class.
            LookupError: nobody has declared the kind.
        """
        known = self.kind(kind)
        policy = self._policy(known)
        if self.predicted_only and policy == "skip":
            policy = _without_skip(known, repairable=repairable)
        if policy == "repair" and not repairable:
            policy = known.fallback
        outcome: Outcome
        if policy != "error":
            outcome = _OUTCOMES[policy]
        elif self.collect:
            outcome = "stops"
            policy = "keep" if "keep" in known.policies else "skip"
        else:
            advice = _advice(known, skippable=not self.predicted_only)
            raise DataError(f"{message}{advice}", path=self.path, row=row, field=field or None)
        self.counts[kind, outcome] += records
        seen = self.examples.setdefault(kind, [])
        if sum(problem.outcome == outcome for problem in seen) < EXAMPLES_KEPT:
            seen.append(Problem(kind, row, field, message, outcome))
        return policy

    @property
    def skipped(self) -> int:
        """Records left out."""
        return sum(count for (_, outcome), count in self.counts.items() if outcome == "skipped")

    def describe(self) -> list[str]:
        """One line for each kind and outcome, with the first occurrence; empty when all is well."""
        return [
            f"{self.path}: {kind}: {count:,} {outcome}{self._first(kind, outcome)}"
            for (kind, outcome), count in sorted(self.counts.items())
        ]

    def _first(self, kind: str, outcome: str) -> str:
        first = next((problem for problem in self.examples[kind] if problem.outcome == outcome), None)
        return f" (first: {first.row}: {first.message})" if first else ""


def check_policies(policies: Mapping[str, Policy], kinds: Mapping[str, ProblemKind]) -> None:
    """Refuse policies for unknown kinds, and policies that a kind cannot honour.

    Args:
        kinds: those that there are, by name.

    Raises:
        UsageError: names the kind and says what is possible.
    """
    for name, policy in policies.items():
        kind = kinds.get(name)
        if kind is None and name != DEFAULT:
            close = get_close_matches(name, kinds, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(kinds)}, {DEFAULT}"
            raise UsageError(f"there is no problem kind {name!r}; {hint}")
        if kind is not None and policy not in kind.policies:
            raise UsageError(f"problem kind {name!r} cannot be {policy!r}: choose {', '.join(kind.policies)}")


def _without_skip(known: ProblemKind, *, repairable: bool) -> Policy:
    """What takes the place of ``skip`` where no record may be left out."""
    if "keep" in known.policies:
        return "keep"
    return "repair" if repairable and "repair" in known.policies else "error"


def _advice(known: ProblemKind, *, skippable: bool) -> str:
    others = [policy for policy in known.policies if policy != "error"]
    if not skippable:
        others = [policy for policy in others if policy != "skip"]
        if not others:
            return " (mend it: every record of a file that is predicted needs an answer)"
    return f" (to continue, set data.problems.{known.name} to {' or '.join(others)})" if others else ""
