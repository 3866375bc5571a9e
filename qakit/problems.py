"""What is wrong with input records, and what is done about each kind of problem.

Readers name what they find by one of the kinds in :data:`PROBLEM_KINDS` and ask :meth:`Problems.judge` what to do. The
names are public: a recipe's ``data.problems`` sets a policy for each. A plugin may use kinds of its own; their names
hold a colon (``mine:odd_rows``) and their default policy is ``error``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Literal, get_args

from qakit.errors import DataError, PluginError, UsageError

Policy = Literal["error", "skip", "repair", "keep", "first", "all"]
"""``error``: stop. ``skip``: leave the record out, counted. ``repair``: mend it where the repair is certain, else the
kind's fallback. ``keep``: use what is sound (an answer's text without its place), counted. ``first`` and ``all``: of
several places that an answer may have, learn the first one, or any of them."""
POLICIES: tuple[Policy, ...] = get_args(Policy)

EXAMPLES_KEPT = 5
"""How many occurrences of each kind and outcome are remembered for the report."""


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """A kind of problem, and the policies that make sense for it."""

    name: str
    meaning: str
    default: Policy
    """The policy when the recipe says nothing."""
    policies: tuple[Policy, ...]
    """What a recipe may ask for."""
    fallback: Policy = "error"
    """What ``repair`` means where no repair is certain."""
    repair: str = ""
    """What ``repair`` does."""


def _kinds() -> dict[str, ProblemKind]:
    structural: tuple[Policy, ...] = ("error", "skip")
    kinds = (
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
        ProblemKind("answer_start", "an answer's offset is no whole number", "error", ("error", "skip", "keep")),
        ProblemKind("answer_missing", "the answer's text is nowhere in the context", "keep", ("error", "skip", "keep")),
        ProblemKind(
            "answer_end",
            "the answer's end does not agree with its start and text",
            "repair",
            ("error", "skip", "repair"),
            "error",
            "text and start win, since they agree with the context",
        ),
        ProblemKind("empty_answer", "an answer without text", "keep", ("error", "skip", "keep")),
        ProblemKind("empty_question", "a question (first text) without text", "keep", ("error", "skip", "keep")),
        ProblemKind("empty_context", "a context (second text) without text", "keep", ("error", "skip", "keep")),
        ProblemKind(
            "lone_surrogate",
            "text with half of a surrogate pair, which no file can hold and no tokenizer takes",
            "repair",
            ("error", "skip", "repair"),
            "error",
            "U+FFFD takes its place; offsets stay right",
        ),
        ProblemKind(
            "duplicate_id",
            "the same id twice in one file",
            "error",
            ("error", "skip", "repair"),
            "error",
            "the later record's id gets the ending #2, #3 ...",
        ),
        ProblemKind(
            "shared_id",
            "an id that an earlier file of the same list has, too",
            "repair",
            ("error", "skip", "repair"),
            "error",
            "the later record's id gets the file's name in front",
        ),
        ProblemKind(
            "repeated_key", "a JSON object has a key twice; the last one counts", "keep", ("error", "skip", "keep")
        ),
        ProblemKind("missing_field", "a record lacks a field, or its id is empty", "error", structural),
        ProblemKind("wrong_type", "a field holds a value of the wrong type", "error", structural),
        ProblemKind(
            "bad_reference",
            "a number of a paragraph, of characters or tokens, or the name of a document, that points nowhere",
            "error",
            structural,
        ),
        ProblemKind("contradiction", "a record contradicts itself about having an answer", "error", structural),
        ProblemKind("is_impossible", "a flag that the answers contradict", "error", ("error", "skip", "keep")),
        ProblemKind("paragraph_count", "not as many paragraphs as promised", "error", ("error", "skip", "keep")),
        ProblemKind("bad_row", "a table row with too many or too few cells", "error", structural),
        ProblemKind("bad_label", "a label that the task does not have", "error", structural),
    )
    return {kind.name: kind for kind in kinds}


PROBLEM_KINDS: Mapping[str, ProblemKind] = MappingProxyType(_kinds())
"""Every kind of problem that the first-party readers report, by name."""

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

    def opened(self, path: Path) -> None:
        """Note that the reader reads a further file for this one. A change in it is told as one in the file itself:
        when a run is resumed, compared or made an ensemble of, and when a prediction of many files continues."""
        if path not in self.beside:
            self.beside.append(path)

    def policy(self, kind: str) -> Policy:
        """What the recipe says about this kind; else its ``default`` where the kind allows that; else our default."""
        if kind in self.policies:
            return self.policies[kind]
        known = PROBLEM_KINDS.get(kind)
        default = self.policies.get("default")
        if default is not None and (known is None or default in known.policies):
            return default
        return known.default if known else "error"

    def judge(
        self, kind: str, *, row: str, field: str, message: str, repairable: bool = False, records: int = 1
    ) -> Policy:
        """Say what to do with a problem, and count it: never ``error``, and ``repair`` only if it is repairable.

        Args:
            kind: one of :data:`PROBLEM_KINDS`, or a plugin's own with a colon in its name.
            row: the record as a person would find it: ``"record 17"``, ``"line 4"``, ``"id 3f2a"``.
            field: the field within the record, or empty.
            message: what is wrong, one sentence without the place.
            repairable: whether the caller has a repair that is certain.
            records: how many records are concerned (all questions of a paragraph, say).

        Raises:
            DataError: see the class.
            PluginError: the kind is neither qakit's nor has it a colon: no recipe could set a policy for it.
        """
        known = PROBLEM_KINDS.get(kind)
        if known is None and ":" not in kind:
            raise PluginError(
                f"{kind!r} is not a kind of qakit{_suggest(kind)}; a plugin's own kind has a colon, e.g. 'cards:{kind}'"
            )
        policy = self.policy(kind)
        if self.predicted_only and policy == "skip":
            policy = _without_skip(known, repairable=repairable)
        if policy == "repair" and not repairable:
            policy = known.fallback if known else "error"
        outcome: Outcome
        if policy != "error":
            outcome = _OUTCOMES[policy]
        elif self.collect:
            outcome = "stops"
            policy = "keep" if known and "keep" in known.policies else "skip"
        else:
            advice = _advice(kind, known, skippable=not self.predicted_only)
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


def check_policies(policies: Mapping[str, Policy]) -> None:
    """Refuse policies for unknown kinds, and policies that a kind cannot honour.

    Raises:
        UsageError: names the kind and says what is possible.
    """
    for name, policy in policies.items():
        kind = PROBLEM_KINDS.get(name)
        if policy not in POLICIES:
            raise UsageError(f"problem kind {name!r}: the policy {policy!r} is none of {', '.join(POLICIES)}")
        if kind is None and name != "default" and ":" not in name:
            close = get_close_matches(name, PROBLEM_KINDS, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(PROBLEM_KINDS)}, default"
            raise UsageError(f"there is no problem kind {name!r}{hint}")
        if kind is not None and policy not in kind.policies:
            raise UsageError(f"problem kind {name!r} cannot be {policy!r}: choose {', '.join(kind.policies)}")


def _suggest(kind: str) -> str:
    close = get_close_matches(kind, PROBLEM_KINDS, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _without_skip(known: ProblemKind | None, *, repairable: bool) -> Policy:
    """What takes the place of ``skip`` where no record may be left out."""
    possible = known.policies if known else ()
    if "keep" in possible:
        return "keep"
    return "repair" if repairable and "repair" in possible else "error"


def _advice(kind: str, known: ProblemKind | None, *, skippable: bool) -> str:
    others = [policy for policy in (known.policies if known else ("skip",)) if policy != "error"]
    if not skippable:
        others = [policy for policy in others if policy != "skip"]
        if not others:
            return " (mend it: every record of a file that is predicted needs an answer)"
    return f" (to continue, set data.problems.{kind} to {' or '.join(others)})" if others else ""
