"""Which part of a cross-validation each example belongs to.

The parts depend on the seed and on what the groups are called, not on the order of the file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from qakit.data.checks.repeats import Keys
from qakit.errors import DataError
from qakit.randomness import derive_seed
from qakit.recipe.staged import FoldsSection
from qakit.values import Example


@dataclass(frozen=True, slots=True)
class Assignment:
    """The parts of N examples.

    Attributes:
        fold: (N,) from 1 to k.
        group: (N,) what is never divided has one number, from 0.
    """

    fold: tuple[int, ...]
    group: tuple[int, ...]

    def sizes(self, k: int) -> list[dict[str, int]]:
        """Examples and groups of each fold."""
        groups = dict(zip(self.group, self.fold, strict=True))
        examples, parts = Counter(self.fold), Counter(groups.values())
        return [{"fold": fold, "examples": examples[fold], "groups": parts[fold]} for fold in range(1, k + 1)]


def assign(examples: Sequence[Example], section: FoldsSection, *, path: Path | None = None) -> Assignment:
    """Groups of examples, the largest first, each into the smallest fold so far; equals in an order by chance.

    So two folds differ by at most the largest group. With ``stratify_by`` each group goes to the fold that has the
    least of its strata so far (the sum of squares of all folds' strata, each by its own size, grows least). Texts are
    the same when they differ only in case, blanks and punctuation. Of several contexts, the one that holds the answer
    counts: others are distractors, and shared.

    Args:
        examples: with different ids.
        section: the recipe's block.
        path: the file that errors name.

    Raises:
        DataError: an example has no document to be grouped by, or nothing to be stratified by, there are fewer groups
            than folds, or a question or a context would be on both sides of a split.
    """
    from scipy.cluster.hierarchy import DisjointSet

    keys, groups = Keys(), DisjointSet()
    firsts: list[str] = []
    group_by = _group_by(examples, section)
    for example in examples:
        names = _names(example, group_by, keys, path)
        firsts.append(names[0])
        together = [*_texts(example, keys)] if section.repeats == "together" else []
        groups.add(names[0])
        for name in [*names[1:], *(f"{kind} {text}" for kind, text in together)]:
            groups.add(name)
            groups.merge(names[0], name)
    roots = [groups[name] for name in firsts]
    sizes = Counter(roots)
    if len(sizes) < section.k:
        count = "1 group" if len(sizes) == 1 else f"{len(sizes)} groups"
        ways = [] if len(sizes) == 1 else ["fewer folds"]
        ways += ["smaller groups with folds.group_by"] + ["folds.repeats: ignore"] * (section.repeats == "together")
        raise DataError(f"{count} (by {group_by}) for {section.k} folds: choose {' or '.join(ways)}", path=path)
    address: dict[str, int] = {}
    for root, name in zip(roots, firsts, strict=True):
        own = derive_seed(section.seed, "folds", name)
        address[root] = min(own, address.get(root, own))
    strata = _Strata(roots, [_stratum(example, section, keys, path) for example in examples], section.k)
    filled, fold_of = [0] * section.k, dict[str, int]()
    for root in sorted(sizes, key=lambda root: (-sizes[root], address[root])):
        smallest = min(range(section.k), key=lambda fold: (strata.growth(root, fold), filled[fold], fold))
        filled[smallest] += sizes[root]
        strata.put(root, smallest)
        fold_of[root] = smallest + 1
    numbers = {root: number for number, root in enumerate(dict.fromkeys(roots))}
    assignment = Assignment(tuple(fold_of[root] for root in roots), tuple(numbers[root] for root in roots))
    if section.repeats != "ignore":
        _check_sides(examples, assignment, group_by, keys, path)
    return assignment


def own_contexts(example: Example) -> tuple[str, ...]:
    """The contexts that an example is about: the only one, that of the answer, or all where nobody says."""
    if len(example.contexts) < 2:
        return example.contexts
    if example.relevant is not None:
        return (example.contexts[example.relevant],)
    with_answer = {answer.context for answer in example.answers or () if answer.places}
    return tuple(example.contexts[index] for index in sorted(with_answer)) or example.contexts


class _Strata:
    """How many examples of each stratum every fold has so far. Where there is one stratum, all folds are alike."""

    def __init__(self, roots: Sequence[str], strata: Sequence[str], k: int) -> None:
        self._sizes = Counter(strata)
        self._of: dict[str, Counter[str]] = {}
        for root, stratum in zip(roots, strata, strict=True):
            self._of.setdefault(root, Counter())[stratum] += 1
        self._filled: list[Counter[str]] = [Counter() for _ in range(k)]

    def growth(self, root: str, fold: int) -> Fraction | int:
        """What the group adds to the sum of squares, each stratum's by its size."""
        if len(self._sizes) < 2:
            return 0
        filled = self._filled[fold]
        return sum(
            Fraction(count * (2 * filled[stratum] + count), self._sizes[stratum])
            for stratum, count in self._of[root].items()
        )

    def put(self, root: str, fold: int) -> None:
        """Add the group to the fold."""
        self._filled[fold].update(self._of[root])


def _stratum(example: Example, section: FoldsSection, keys: Keys, path: Path | None) -> str:
    """What an example counts as; the same for all without ``stratify_by``."""
    by = section.stratify_by
    if by not in ("label", "answer"):
        return keys(example.question) if by == "question" else ""
    if by == "answer" and example.answers is not None:
        if not example.answers:
            return "none"
        placed = [answer for answer in example.answers if answer.places]
        whole = any(answer.text.strip() == example.contexts[answer.context].strip() for answer in placed)
        return "whole" if whole else "part" if placed else "without a place"
    if by == "label" and isinstance(example.label, str):
        return example.label
    is_number = by == "label" and example.label is not None
    problem = "the label is a number, no class" if is_number else f"there is no {by} to stratify by"
    raise DataError(f"{problem}: leave folds.stratify_by out", path=path, row=f"id {example.id}")


def _group_by(examples: Sequence[Example], section: FoldsSection) -> str:
    if section.group_by != "auto":
        return section.group_by
    if any(example.document for example in examples):
        return "document"
    return "context" if any(example.contexts for example in examples) else "none"


def _names(example: Example, group_by: str, keys: Keys, path: Path | None) -> list[str]:
    """What an example is grouped by; at least one name."""
    if group_by == "none":
        return [f"id {example.id}"]
    if group_by == "context" and example.contexts:
        return [f"context {keys(context)}" for context in own_contexts(example)]
    if group_by == "document" and example.document:
        return [f"document {example.document}"]
    other = "context" if group_by == "document" and example.contexts else "none"
    problem = f"there is no {group_by} to group by: set folds.group_by: {other}"
    raise DataError(problem, path=path, row=f"id {example.id}")


def _texts(example: Example, keys: Keys) -> Iterator[tuple[str, str]]:
    """What must not be on both sides, with its kind; no text is the same as no other."""
    for kind, texts in (("question", (example.question,)), ("context", own_contexts(example))):
        yield from ((kind, keys(text)) for text in texts if text)


def _check_sides(
    examples: Sequence[Example], assignment: Assignment, group_by: str, keys: Keys, path: Path | None
) -> None:
    seen: dict[tuple[str, str], tuple[str, int]] = {}
    for example, fold in zip(examples, assignment.fold, strict=True):
        for text in _texts(example, keys):
            other, earlier = seen.setdefault(text, (example.id, fold))
            if earlier != fold:
                ways = ["folds.repeats: together, which keeps such questions in one fold"]
                if text[0] == "context" and group_by != "context":
                    ways = ["folds.group_by: context", *ways]
                if text[0] == "question":
                    ways.append("ignore, where questions are a few words for all texts, such as a sentiment")
                raise DataError(
                    f"both have the same {text[0]} and would be on two sides of a split, in the folds {earlier} and "
                    f"{fold}: set {' or '.join(ways)}",
                    path=path,
                    row=f"ids {other} and {example.id}",
                )
