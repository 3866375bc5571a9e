"""Hostile inputs of each kind, and what came of them: the lines of a table in ``docs/dev/reliability.md``.

``python tests/reliability/table.py`` plays them and writes it.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from data_files import ALL, Case
from formats import FORMATS, JSON_FORMATS, Format, Outcome, read, refused
from mutations import Place, mutants
from recipe_files import BOMBS, VALID, Bomb, refusal

LENIENT = ({"default": "skip"}, {"default": "keep"}, {"default": "repair"})
FLIPPED = 250
"""Files with changed bytes for each format."""


@dataclass(frozen=True)
class Hostile:
    """One line."""

    name: str
    inputs: Callable[[], Iterator[Any]]
    play: Callable[[Path, Any], Outcome]
    """Try one of them in a folder. Any exception, a traceback for the user, comes through."""
    read_as: str = ""
    """What is known of the inputs that are read."""

    def __str__(self) -> str:
        return f"hostile: {self.name}"

    def tried(self) -> int:
        """How many inputs there are."""
        return sum(1 for _ in self.inputs())

    def outcome(self, folder: Path) -> str:
        """Play all of them: what came of it, counted."""
        seen = Counter(self.play(folder, each) for each in self.inputs())
        parts = []
        if seen["refused"]:
            parts.append(f"{seen['refused']:,} refused in one line that names the place")
        if seen["read"]:
            parts.append(f"{seen['read']:,} read{self.read_as}")
        return ", ".join(parts) + "; no traceback"


def rows() -> list[Hostile]:
    """Every line of the table, in its order."""
    return [
        Hostile(
            "a data file that is something else (LFS pointer, web page, archive, UTF-16, cut off, swapped columns ...)",
            partial(_cases, lambda case: case.outcome == "refused" and not _is_deep(case)),
            _play_case,
        ),
        Hostile("100,000 nested brackets in a data file", partial(_cases, _is_deep), _play_case),
        Hostile(
            "odd but valid data files (byte order mark, CRLF, NUL, lone surrogates, 132,000 characters ...)",
            partial(_cases, lambda case: case.outcome == "read"),
            _play_case,
            " as what they are",
        ),
        Hostile(
            "a data file with a value of a wrong type, a missing or a doubled field, anywhere",
            _mutated,
            _play_mutated,
            ", every example sound",
        ),
        Hostile(
            "a data file with bytes changed, lost or added at random", _flipped, _play_flipped, ", every example sound"
        ),
        Hostile(
            "a recipe that would build objects, fill the memory (aliases, nesting) or keep the parser busy",
            lambda: iter(BOMBS),
            _play_bomb,
        ),
        Hostile(
            "a recipe with a wrong, missing or doubled value, anywhere",
            lambda: (document for _, _, document in mutants(VALID)),
            _play_recipe,
            ", still a valid recipe",
        ),
    ]


def _is_deep(case: Case) -> bool:
    return case.says.startswith("nested")


def _cases(wanted: Callable[[Case], bool]) -> Iterator[Case]:
    return filter(wanted, ALL)


def _play_case(folder: Path, case: Case) -> Outcome:
    outcome, _ = read(case.form, case.form.write(folder, case.content))
    assert outcome == case.outcome, case.name
    return outcome


@dataclass(frozen=True)
class Mutated:
    """A document with one wrong value."""

    form: Format
    at: Place
    what: str
    content: bytes

    @property
    def in_a_record(self) -> bool:
        """Whether the place lies within a single record (not the document's own frame, nor a table's columns)."""
        if self.form.name == "jsonl" and self.what == "is missing":
            return False
        depth = {"squad": 3, "hw7": 3, "newsqa": 3, "triviaqa": 3}.get(self.form.name, 2)
        return len(self.at) >= depth and self.at[0] != "paragraphs"


def _mutated() -> Iterator[Mutated]:
    for name in JSON_FORMATS:
        form = FORMATS[name]
        for at, what, document in mutants(form.document):
            try:
                content = form.dump(document)
            except TypeError:  # the whole document is no list of rows
                content = json.dumps(document).encode()
            yield Mutated(form, at, what, content)


def _flipped() -> Iterator[tuple[Format, bytes]]:
    generator = random.Random(0)
    for form in FORMATS.values():
        for _ in range(FLIPPED):
            content = bytearray(form.valid())
            for _ in range(generator.randint(1, 4)):
                at = generator.randrange(len(content))
                content[at : at + generator.randint(0, 2)] = generator.randbytes(generator.randint(0, 2))
            yield form, bytes(content)


def _play_mutated(folder: Path, mutated: Mutated) -> Outcome:
    """A refusal names the record; whatever else a recipe says of bad examples, there is no other exception."""
    path = mutated.form.write(folder, mutated.content)
    for policies in LENIENT:
        read(mutated.form, path, policies)
    error = refused(mutated.form, path)
    if error is None:
        return "read"
    assert error.row or not mutated.in_a_record, (mutated, str(error))
    return "refused"


def _play_flipped(folder: Path, file: tuple[Format, bytes]) -> Outcome:
    form, content = file
    path = form.write(folder, content)
    read(form, path, {"default": "skip"})
    return read(form, path)[0]


def _play_bomb(folder: Path, bomb: Bomb) -> Outcome:
    said = _refusal(folder, bomb.text)
    assert said is not None and bomb.says in said, bomb.name
    return "refused"


def _play_recipe(folder: Path, document: Any) -> Outcome:
    return "read" if _refusal(folder, json.dumps(document)) is None else "refused"


def _refusal(folder: Path, text: str) -> str | None:
    path = folder / "r.yaml"
    path.write_text(text, "utf-8")
    return refusal(path)
