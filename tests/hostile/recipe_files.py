"""A valid recipe, and others that somebody made to build objects, to fill the memory, or to keep a program busy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qakit.errors import RecipeError
from qakit.recipe.load import load_recipe

MEBIBYTE = 1 << 20
VALID: dict[str, Any] = {
    "name": "small",
    "data": {"reader": {"name": "squad"}, "train": "train.json", "problems": {"answer_offset": "keep"}},
    "backbone": {"source": "some/model", "overrides": {"num_hidden_layers": 2}},
    "preprocess": {"train": "random_window", "predict": {"name": "stride", "overlap": 32}},
    "head": {"name": "linear_span"},
    "train": {"epochs": 1, "betas": [0.9, 0.99], "evaluate_every": "epoch"},
    "postprocess": [{"name": "special_chars"}],
    "writer": {"name": "csv", "id_column": "id"},
    "baselines": {"simple": 45.0},
    "competition": {"slug": "some-competition"},
}


def refusal(path: Path) -> str | None:
    """The text of a RecipeError whose every problem names the file, or None for a recipe."""
    try:
        load_recipe(path)
    except RecipeError as error:
        assert error.issues
        for issue in error.issues:
            assert issue.file == str(path) and issue.message
            assert len(issue.message.splitlines()) == 1, issue.message
            assert (issue.line is None) == (issue.column is None)
        return str(error)
    return None


@dataclass(frozen=True, slots=True)
class Bomb:
    """A recipe file, and what the refusal says."""

    name: str
    text: str
    says: str


def _laughs(levels: int = 12, width: int = 9) -> str:
    """A billion laughs: each list holds the one before it nine times."""
    lines = ["a: &a [" + ",".join(["x"] * width) + "]"]
    for level in range(1, levels):
        before, name = chr(96 + level), chr(97 + level)
        lines.append(f"{name}: &{name} [" + ",".join([f"*{before}"] * width) + "]")
    return "\n".join(lines) + "\n"


def bombs() -> Iterator[Bomb]:
    """Each of them fits the size limit: the limits inside have to hold."""
    deep, many = "nested more than 40 levels", "more than 10,000 values"
    yield Bomb("a billion laughs", _laughs(), many)
    yield Bomb("aliases of one value", "a: &a 1\nb: [" + "*a," * 300_000 + "]", many)
    yield Bomb("an alias of itself", "a: &a [*a]\n", "no anchor")
    yield Bomb("brackets", "[" * 1_000_000, deep)
    yield Bomb("braces", "{a: " * 250_000, deep)
    yield Bomb("dashes", "- " * 500_000, deep)
    yield Bomb("indentation", "\n".join(" " * depth + "a:" for depth in range(1_400)), deep)
    yield Bomb("keys without end", "? " * 500_000, "a key must be text")
    yield Bomb("a list", "a: [" + "1," * 500_000 + "]", many)
    yield Bomb("one key again and again", "a: 1\n" * 200_000, many)
    yield Bomb("directives", "%YAML 1.2\n" * 80_000, "not valid YAML")
    yield Bomb("documents", "a: 1\n---\n" * 100_000, "one YAML document")
    yield Bomb("larger than the limit", "#" * (MEBIBYTE + 1), "larger than 1 MiB")
    for tag in (
        "!!python/object/apply:os.system ['true']",
        "!!python/name:os.system",
        "!!python/object/new:subprocess.Popen [['true']]",
        "!!python/module:os",
        "!<tag:yaml.org,2002:python/object/apply:os.system> ['true']",
        "!mine {a: 1}",
        "!!binary aGk=",
        "!!timestamp 2026-01-01",
        "!!set {a}",
        "!!omap [a: 1]",
    ):
        yield Bomb(f"the tag {tag.split()[0]}", f"description: {tag}\n", "is not allowed here")


BOMBS = list(bombs())
HUGE_SCALARS = {
    "plain": "description: " + "x" * 1_000_000,
    "quoted": 'description: "' + "x " * 500_000 + '"',
    "block": "description: |\n" + "  line\n" * 140_000,
}
"""These are text and nothing else: they do no harm."""
