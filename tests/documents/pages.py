"""What stands in README.md and docs/: code blocks, code spans, commands, headings and links."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
SHELL = ("", "bash", "console")
"""Languages of blocks that hold command lines."""
_OPERATORS = frozenset(";|&()<>")
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_BEFORE = r"(?:\S+=\S+ |srun |torchrun |\S*/)*(?:\S.* -m )?qakit\s"
"""What a command line may have before qakit's own words: variables, a launcher, a folder."""


_COMMAND_TABLE = re.compile(r"^\| (?:[^|]+ \| (?:command|type)|command \|) \|\n\|[-|]+\n((?:\|.*\n)+)", re.MULTILINE)
"""A table with a column of commands."""


@dataclass(frozen=True)
class Command:
    """A ``qakit`` command as a page has it."""

    line: str
    words: tuple[str, ...]
    """Without ``qakit`` itself and without ``...``."""
    typed: bool
    """A line of a block; else a mention in the text, which may leave arguments out."""


def name(page: Path) -> str:
    """Relative to the checkout."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[tuple[str, str]]:
    """(language, text) of each fenced block."""
    return _FENCE.findall(page.read_text("utf-8"))


def prose(page: Path) -> str:
    """The page without its fenced blocks and comments."""
    return re.sub(r"<!--.*?-->", "", _FENCE.sub("", page.read_text("utf-8")), flags=re.DOTALL)


def spans(page: Path) -> list[str]:
    """The inline code of the page."""
    return [" ".join(text.split()) for text in re.findall(r"(?<!`)`([^`]+)`(?!`)", prose(page))]


def commands(page: Path) -> Iterator[Command]:
    """All ``qakit`` commands of the page."""
    for language, text in blocks(page):
        for line in re.sub(r"\\\n\s*", "", text).splitlines() if language in SHELL else ():
            if re.match(rf"\s*[$!]?\s*{_BEFORE}", line):
                yield _command(line.strip().removeprefix("$"), typed=True)
    for span in spans(page):
        if re.match(_BEFORE, span):
            yield _command(span, typed=False)


def _command(line: str, *, typed: bool) -> Command:
    whole = re.sub(r"\[(--[^\]]+)\]", r"\1", line)  # what may be left out
    lexer = shlex.shlex(whole, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words = [word for word in lexer if word not in ("...", "…")]
    start = next(number for number, word in enumerate(words) if word.rpartition("/")[2] == "qakit") + 1
    stop = next((number for number, word in enumerate(words) if set(word) <= _OPERATORS), len(words))
    return Command(line.strip(), tuple(words[start:stop]), typed)


def scripts(page: Path) -> list[str]:
    """The blocks that a reader types into a shell, without prompts and what was printed."""
    found = []
    for language, text in blocks(page):
        if language == "console" or text.startswith("$ "):
            found.append("".join(f"{line[2:]}\n" for line in text.splitlines() if line.startswith("$ ")))
        elif language in SHELL and any(re.match(rf"\s*!?{_BEFORE}", line) for line in text.splitlines()):
            found.append(text)
    return found


def listed(page: Path) -> list[str]:
    """The commands of the page's tables of commands, those of a row as one script."""
    rows = [row for table in _COMMAND_TABLE.findall(prose(page)) for row in table.splitlines()]
    found = [[span for span in re.findall(r"`([^`]+)`", row) if re.match(r"qakit\s", span)] for row in rows]
    return ["".join(f"{line}\n" for line in lines) for lines in found if lines]


def anchors(page: Path) -> set[str]:
    """Of its headings, as GitHub and the site name them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\s-]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def links(page: Path) -> list[str]:
    """Targets of links and pictures that lead to other files of the checkout, or within the page."""
    text = re.sub(r"(?<!`)`[^`]+`(?!`)", "", prose(page))
    return [target for target in re.findall(r"\]\(([^)\s]+)\)", text) if not re.match(r"\w+:", target)]
