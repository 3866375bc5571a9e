"""Files that are no recipe, or no YAML, or extend nothing: each against its exact message."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from qakit.recipe.load import load_recipe
from qakit.registry import Registry

Write = Callable[..., Path]
Message = Callable[..., str]
MINIMAL = "data: {reader: squad}\nbackbone: {source: some-model}\n"


# What is added to a good recipe of two lines, and the whole message.
CASES = {
    "duplicate key": (
        "train:\n  epochs: 1\n  epochs: 2\n",
        (
            "r.yaml:5:3: duplicate key 'epochs' in train\n"
            "    5 |   epochs: 2\n"
            "      |   ^\n"
            "  hint: it is first given on line 4"
        ),
    ),
    "tab": (
        "train:\n\tepochs: 1\n",
        "r.yaml:4:1: a tab cannot be used for indentation\n    4 | \tepochs: 1\n      | ^\n  hint: use spaces".replace(
            "\t", " "
        ),
    ),
    "bad syntax: colon": (
        "description: a: b\n",
        (
            "r.yaml:3:15: not valid YAML: a key is not allowed here\n"
            "    3 | description: a: b\n"
            "      |               ^\n"
            "  hint: put a text that contains ': ' in quotes; check the indentation"
        ),
    ),
    "bad syntax: open bracket": (
        "postprocess: [a",
        (
            "r.yaml:3:16: not valid YAML: expected ',' or ']', but got '<stream end>' "
            "(while parsing a flow sequence that starts on line 3)\n"
            "    3 | postprocess: [a\n"
            "      |                ^"
        ),
    ),
    "bad syntax: start of a value": (
        "description: @a\n",
        (
            "r.yaml:3:14: a value cannot start with '@'\n"
            "    3 | description: @a\n"
            "      |              ^\n"
            "  hint: put the value in quotes"
        ),
    ),
    "object tag": (
        "description: !!python/object/apply:os.system [ls]\n",
        (
            "r.yaml:3:14: the tag !!python/object/apply:os.system is not allowed here\n"
            "    3 | description: !!python/object/apply:os.system [ls]\n"
            "      |              ^"
        ),
    ),
    "control character": (
        "description: a\x01b\n",
        (
            "r.yaml:3:15: not valid YAML: the character U+0001 is not allowed\n"
            "    3 | description: a b\n"
            "      |               ^"
        ),
    ),
    "second document": (
        "---\na: 1\n",
        "r.yaml:3:1: a recipe is one YAML document, but a second one starts here\n    3 | ---\n      | ^",
    ),
    "alias without anchor": (
        "description: *a\n",
        "r.yaml:3:14: the alias *a has no anchor &a before it\n    3 | description: *a\n      |              ^",
    ),
    "list as a key": (
        "? [a]\n: 1\n",
        (
            "r.yaml:3:3: a key must be text, not a list or mapping\n"
            "    3 | ? [a]\n"
            "      |   ^\n"
            "  hint: put a text that starts with [ or { in quotes"
        ),
    ),
    "parent that is not there": (
        "extends: parnt.yaml\n",
        (
            "r.yaml:3:10: extends: file not found: parnt.yaml\n"
            "    3 | extends: parnt.yaml\n"
            "      |          ^\n"
            "  hint: did you mean 'parent.yaml'?"
        ),
    ),
    "parent that is no path": (
        "extends: 3\n",
        "r.yaml:3:10: extends should be a path to a recipe, or a list of them\n    3 | extends: 3\n      |          ^",
    ),
}


@pytest.mark.parametrize(("text", "expected"), CASES.values(), ids=list(CASES))
def test_the_message_says_what_yaml_refuses(write: Write, message: Message, text: str, expected: str) -> None:
    write(MINIMAL, "parent.yaml")
    assert message(write(MINIMAL + text)) == expected


def test_a_circle_is_shown_as_a_chain(write: Write, message: Message) -> None:
    write("extends: sub/b.yaml\n", "a.yaml")
    write("extends: ../c.yaml\n", "sub/b.yaml")
    write("extends: a.yaml\n", "c.yaml")
    assert message(Path("a.yaml")) == (
        "c.yaml:1:10: recipes extend each other in a circle: a.yaml -> sub/b.yaml -> c.yaml -> a.yaml\n"
        "    1 | extends: a.yaml\n"
        "      |          ^"
    )


def test_a_recipe_that_extends_itself(write: Write, message: Message) -> None:
    assert message(write("extends: ./r.yaml\n")).startswith(
        "r.yaml:1:10: recipes extend each other in a circle: r.yaml -> r.yaml\n"
    )


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "r.yaml: the file is empty: a recipe needs at least `data` and `backbone`, or `extends`"),
        (
            b"# only a comment\n",
            "r.yaml: the file is empty: a recipe needs at least `data` and `backbone`, or `extends`",
        ),
        (b"\xef\xbb\xbf", "r.yaml: the file is empty: a recipe needs at least `data` and `backbone`, or `extends`"),
        (b"\xff\xfea\x00", "r.yaml: the file is not UTF-8 text: it looks like UTF-16\n  hint: save it as UTF-8"),
        (b"a: \xb0\n", "r.yaml: the file is not UTF-8 text: byte 4 is 0xb0\n  hint: save it as UTF-8"),
        (b"a" * ((1 << 20) + 1), "r.yaml: the file is larger than 1 MiB: this is no recipe"),
        (
            b"- a\n",
            "r.yaml:1:1: a recipe is a mapping (key: value), but this file holds a list\n    1 | - a\n      | ^",
        ),
        (
            b"hello\n",
            "r.yaml:1:1: a recipe is a mapping (key: value), but this file holds text\n    1 | hello\n      | ^",
        ),
    ],
    ids=["empty", "comment", "only a mark", "utf-16", "latin-1", "large", "list", "text"],
)
def test_files_that_are_no_recipe(write: Write, message: Message, content: bytes, expected: str) -> None:
    path = write("")
    path.write_bytes(content)
    assert message(path) == expected


def test_a_missing_file_suggests_its_neighbour(write: Write, message: Message) -> None:
    write(MINIMAL, "recipes/boss.yaml")
    assert message(Path("recipes/bos.yaml")) == ("recipes/bos.yaml: file not found\n  hint: did you mean 'boss.yaml'?")
    assert message(Path("nowhere/bos.yaml")) == "nowhere/bos.yaml: file not found"


def test_a_folder_is_no_recipe(write: Write, message: Message) -> None:
    write(MINIMAL, "recipes/boss.yaml")
    assert message(Path("recipes")) == "recipes: this is a folder: name a recipe file in it"


def test_a_byte_order_mark_is_skipped(write: Write, registry: Registry) -> None:
    path = write("\ufeff" + MINIMAL)
    assert load_recipe(path, registry=registry).recipe.backbone.source == "some-model"
