"""Every mistake in a recipe against its exact message."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from qakit.errors import RecipeError
from qakit.recipe.load import load_recipe, load_resolved
from qakit.registry import Registry

Write = Callable[..., Path]
Message = Callable[..., str]
MINIMAL = "data: {reader: squad}\nbackbone: {source: some-model}\n"


# Each case: what is added to a good recipe of two lines, and the whole message.
CASES = {
    "unknown key, close": (
        "train:\n  learning_rte: 1\n",
        (
            "r.yaml:4:3: unknown key 'learning_rte' in train\n"
            "    4 |   learning_rte: 1\n"
            "      |   ^\n"
            "  hint: did you mean 'learning_rate'?"
        ),
    ),
    "unknown key, of another section": (
        "epochs: 3\n",
        "r.yaml:3:1: unknown key 'epochs'\n    3 | epochs: 3\n      | ^\n  hint: did you mean 'train.epochs'?",
    ),
    "unknown key, of a study": (
        "grid: {}\n",
        "r.yaml:3:1: unknown key 'grid'\n    3 | grid: {}\n      | ^\n  hint: a study has it: `qakit study run FILE`",
    ),
    "unknown key, nothing close": (
        "windows: {zzz: 1}\n",
        (
            "r.yaml:3:11: unknown key 'zzz' in windows\n"
            "    3 | windows: {zzz: 1}\n"
            "      |           ^\n"
            "  hint: keys here: max_length, max_question_length"
        ),
    ),
    "caret under wide characters": (
        "windows: {中文: 1, zzz: 2}\n",
        (
            "r.yaml:3:11: unknown key '中文' in windows\n"
            "    3 | windows: {中文: 1, zzz: 2}\n"
            "      |           ^\n"
            "  hint: keys here: max_length, max_question_length\n"
            "\n"
            "r.yaml:3:18: unknown key 'zzz' in windows\n"
            "    3 | windows: {中文: 1, zzz: 2}\n"
            "      |                    ^\n"
            "  hint: keys here: max_length, max_question_length"
        ),
    ),
    "number": (
        "train: {epochs: three}\n",
        (
            "r.yaml:3:17: train.epochs should be a number greater than 0, not the text 'three'\n"
            "    3 | train: {epochs: three}\n"
            "      |                 ^"
        ),
    ),
    "number in quotes": (
        'train: {epochs: "3"}\n',
        (
            "r.yaml:3:17: train.epochs should be a number greater than 0, not the text '3'\n"
            '    3 | train: {epochs: "3"}\n'
            "      |                 ^\n"
            "  hint: write it without quotes"
        ),
    ),
    "number with underscores": (
        "train: {max_steps: 1_000}\n",
        (
            "r.yaml:3:20: train.max_steps should be an integer greater than 0 or null, not the text '1_000'\n"
            "    3 | train: {max_steps: 1_000}\n"
            "      |                    ^\n"
            "  hint: write it without underscores"
        ),
    ),
    "bound": (
        "train: {batch_size: 0}\n",
        (
            "r.yaml:3:21: train.batch_size should be an integer greater than 0, not 0\n"
            "    3 | train: {batch_size: 0}\n"
            "      |                     ^"
        ),
    ),
    "bound of an optional number": (
        "train: {max_grad_norm: -1}\n",
        (
            "r.yaml:3:24: train.max_grad_norm should be a number greater than 0 or null, not -1\n"
            "    3 | train: {max_grad_norm: -1}\n"
            "      |                        ^"
        ),
    ),
    "infinity": (
        "train: {learning_rate: .inf}\n",
        (
            "r.yaml:3:24: train.learning_rate should be a number greater than 0, not .inf\n"
            "    3 | train: {learning_rate: .inf}\n"
            "      |                        ^"
        ),
    ),
    "true for a number": (
        "train: {batch_size: true}\n",
        (
            "r.yaml:3:21: train.batch_size should be an integer greater than 0, not true\n"
            "    3 | train: {batch_size: true}\n"
            "      |                     ^"
        ),
    ),
    "boolean of YAML 1.1": (
        "train: {compile: no}\n",
        (
            "r.yaml:3:18: train.compile should be true or false, not the text 'no'\n"
            "    3 | train: {compile: no}\n"
            "      |                  ^\n"
            "  hint: YAML 1.2 knows only true and false"
        ),
    ),
    "text": (
        "description: 2024\n",
        (
            "r.yaml:3:14: description should be text, not 2024\n"
            "    3 | description: 2024\n"
            "      |              ^\n"
            '  hint: put it in quotes: "2024"'
        ),
    ),
    "pattern": (
        "name: a b\n",
        (
            "r.yaml:3:7: name should be text that matches `^[A-Za-z0-9][A-Za-z0-9._-]*$` or null, not the text 'a b'\n"
            "    3 | name: a b\n"
            "      |       ^"
        ),
    ),
    "choice": (
        "train: {schedule: liner}\n",
        (
            "r.yaml:3:19: train.schedule should be 'linear', 'cosine' or 'constant', not the text 'liner'\n"
            "    3 | train: {schedule: liner}\n"
            "      |                   ^\n"
            "  hint: did you mean 'linear'?"
        ),
    ),
    "union": (
        "train: {evaluate_every: epochs}\n",
        (
            "r.yaml:3:25: train.evaluate_every should be 'epoch' or an integer greater than 0, not the text 'epochs'\n"
            "    3 | train: {evaluate_every: epochs}\n"
            "      |                         ^\n"
            "  hint: did you mean 'epoch'?"
        ),
    ),
    "item of a list in a union": (
        "data: {reader: squad, train: [a, 1]}\n",
        (
            "r.yaml:3:1: duplicate key 'data'\n"
            "    3 | data: {reader: squad, train: [a, 1]}\n"
            "      | ^\n"
            "  hint: it is first given on line 1\n"
            "\n"
            "r.yaml:3:34: data.train.1 should be a path or a mapping with `dataset` and `split`, not 1\n"
            "    3 | data: {reader: squad, train: [a, 1]}\n"
            "      |                                  ^\n"
            '  hint: put it in quotes: "1"'
        ),
    ),
    "list for a section": (
        "train: [1]\n",
        "r.yaml:3:8: train should be a mapping, not a list of 1\n    3 | train: [1]\n      |        ^",
    ),
    "nothing for a section": (
        "train:\nwindows: {}\n",
        (
            "r.yaml:3:1: train should be a mapping, not null\n"
            "    3 | train:\n"
            "      | ^\n"
            "  hint: give it a value, or remove the line"
        ),
    ),
    "text for a list": (
        "postprocess: strip\n",
        (
            "r.yaml:3:14: postprocess should be a list of plugins, not the text 'strip'\n"
            "    3 | postprocess: strip\n"
            "      |              ^\n"
            "  hint: write [strip]"
        ),
    ),
    "tuple of another length": (
        "train: {betas: [0.9]}\n",
        (
            "r.yaml:3:16: train.betas should be a list of 2 values (a number of at least 0 and below 1), "
            "not a list of 1\n"
            "    3 | train: {betas: [0.9]}\n"
            "      |                ^"
        ),
    ),
    "number for a plugin": (
        "head: 3\n",
        (
            "r.yaml:3:7: head should be a plugin (its name, or a mapping with `name`), not 3\n"
            "    3 | head: 3\n"
            "      |       ^"
        ),
    ),
    "number for a plugin's name": (
        "head: {name: 3}\n",
        (
            "r.yaml:3:14: head.name should be text, not 3\n"
            "    3 | head: {name: 3}\n"
            "      |              ^\n"
            '  hint: put it in quotes: "3"'
        ),
    ),
    "plugin without a name": (
        "postprocess: [{mode: all}]\n",
        (
            "r.yaml:3:15: missing key 'name' in postprocess.0\n"
            "    3 | postprocess: [{mode: all}]\n"
            "      |               ^\n"
            "  hint: it should be text"
        ),
    ),
    "unknown plugin, close": (
        "head: linear_spam\n",
        (
            "r.yaml:3:7: head: no head is called 'linear_spam'\n"
            "    3 | head: linear_spam\n"
            "      |       ^\n"
            "  hint: did you mean 'linear_span'?"
        ),
    ),
    "unknown plugin, nothing close": (
        "head: {name: zzz, a: 1}\n",
        (
            "r.yaml:3:14: head: no head is called 'zzz'\n"
            "    3 | head: {name: zzz, a: 1}\n"
            "      |              ^\n"
            "  hint: installed heads: crf, linear_span"
        ),
    ),
    "unknown setting": (
        "head: {name: crf, smothing: 1}\n",
        (
            "r.yaml:3:19: unknown key 'smothing' for the head 'crf'\n"
            "    3 | head: {name: crf, smothing: 1}\n"
            "      |                   ^\n"
            "  hint: did you mean 'smoothing'?"
        ),
    ),
    "setting for a plugin without any": (
        "head: {name: linear_span, depth: 1}\n",
        (
            "r.yaml:3:27: unknown key 'depth' for the head 'linear_span'\n"
            "    3 | head: {name: linear_span, depth: 1}\n"
            "      |                           ^\n"
            "  hint: it has no settings"
        ),
    ),
    "type of a setting": (
        "postprocess: [strip, {name: strip, mode: al}]\n",
        (
            "r.yaml:3:42: postprocess.1.mode should be 'all' or 'none', not the text 'al'\n"
            "    3 | postprocess: [strip, {name: strip, mode: al}]\n"
            "      |                                          ^\n"
            "  hint: did you mean 'all'?"
        ),
    ),
    "item of a setting": (
        "head: {name: crf, layers: [1, x]}\n",
        (
            "r.yaml:3:31: head.layers.1 should be an integer, not the text 'x'\n"
            "    3 | head: {name: crf, layers: [1, x]}\n"
            "      |                               ^"
        ),
    ),
    "bounds of a setting": (
        "head: {name: crf, smoothing: 1.5}\n",
        (
            "r.yaml:3:30: head.smoothing should be a number of at least 0 and of at most 1, not 1.5\n"
            "    3 | head: {name: crf, smoothing: 1.5}\n"
            "      |                              ^"
        ),
    ),
}


@pytest.mark.parametrize(("text", "expected"), CASES.values(), ids=list(CASES))
def test_the_message_says_where_what_and_what_to_do(write: Write, message: Message, text: str, expected: str) -> None:
    write(MINIMAL, "parent.yaml")
    assert message(write(MINIMAL + text)) == expected


def test_problem_kinds_and_their_policies_are_checked(write: Write, message: Message) -> None:
    text = "data:\n  reader: squad\n  problems: {answer_ofset: skip, missing_field: keep}\nbackbone: {source: x}\n"
    assert message(write(text)) == (
        "r.yaml:3:14: there is no problem kind 'answer_ofset'\n"
        "    3 |   problems: {answer_ofset: skip, missing_field: keep}\n"
        "      |              ^\n"
        "  hint: did you mean 'answer_offset'?\n"
        "\n"
        "r.yaml:3:34: problem kind 'missing_field' cannot be 'keep': choose error, skip\n"
        "    3 |   problems: {answer_ofset: skip, missing_field: keep}\n"
        "      |                                  ^"
    )


def test_a_readers_own_kinds_count_too(write: Write, message: Message) -> None:
    text = (
        "data:\n  reader: {name: table, text: t}\n  problems: {bad_rows: skip, bad_row: keep}\nbackbone: {source: x}\n"
    )
    said = message(write(text))
    assert "r.yaml:3:14: there is no problem kind 'bad_rows'\n" in said
    assert "hint: did you mean 'bad_row'?" in said
    assert "r.yaml:3:30: problem kind 'bad_row' cannot be 'keep': choose error, skip\n" in said


def test_kinds_of_another_reader_and_of_one_that_is_not_installed_pass(write: Write, registry: Registry) -> None:
    """What reads a file can be changed, and a run asks only for the plugins that a command uses."""
    text = "data: {{reader: {}, train: t.json, problems: {{bad_row: skip}}}}\nbackbone: {{source: x}}\n"
    loaded = load_recipe(write(text.format("squad")), registry=registry)
    assert loaded.recipe.data.problems == {"bad_row": "skip"}
    gone = load_resolved(write(text.format("gone")), registry=registry, unneeded=("data.reader",))
    assert gone.data.problems == {"bad_row": "skip"}


def test_missing_keys_point_at_their_parent(write: Write, message: Message) -> None:
    assert message(write("data: {reader: glue}\nbackbone:\n  init: scratch\n")) == (
        "r.yaml:1:8: missing key 'task' for the reader 'glue'\n"
        "    1 | data: {reader: glue}\n"
        "      |        ^\n"
        "  hint: it should be text\n"
        "\n"
        "r.yaml:2:1: missing key 'source' in backbone\n"
        "    2 | backbone:\n"
        "      | ^\n"
        "  hint: it should be a path or a name"
    )


def test_missing_sections_point_at_the_start_of_the_file(write: Write, message: Message) -> None:
    assert message(write("# a comment\nseed: 1\ndata: {reader: squad}\n")) == (
        "r.yaml:2:1: missing key 'backbone'\n    2 | seed: 1\n      | ^\n  hint: it should be a mapping"
    )


def test_a_rule_over_several_settings_points_at_the_block(write: Write, message: Message) -> None:
    text = MINIMAL.replace("squad", "{name: table, question: a, text: b}")
    assert message(write(text)) == (
        "r.yaml:1:8: the reader 'table': give `question` or `text`, one of the two\n"
        "    1 | data: {reader: {name: table, question: a, text: b}}\n"
        "      |        ^"
    )


def test_a_default_plugin_that_is_not_installed_is_named(
    write: Write, message: Message, registry_without_heads: Registry
) -> None:
    assert message(write(MINIMAL), registry=registry_without_heads) == (
        "r.yaml:1:1: head: no head is called 'linear_span' (the default)\n"
        "    1 | data: {reader: squad}\n"
        "      | ^\n"
        "  hint: 1 plugin could not be loaded: `qakit plugins` says why"
    )


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("linear_spam", "did you mean 'linear_span'?; QAKIT_DISABLE_PLUGINS switches off qakit:heads, other:y"),
        (
            "zzz",
            (
                "installed heads: crf, linear_span; QAKIT_DISABLE_PLUGINS switches off qakit:heads, other:y; "
                "1 plugin could not be loaded: `qakit plugins` says why"
            ),
        ),
    ],
)
def test_plugins_that_are_switched_off_are_named(
    write: Write, message: Message, registry_with_plugins_off: Registry, name: str, hint: str
) -> None:
    text = message(write(MINIMAL + f"head: {name}\n"), registry=registry_with_plugins_off)
    assert text.endswith(f"  hint: {hint}")


def test_a_name_that_two_plugins_use_says_the_way_out(
    write: Write, message: Message, registry_with_a_conflict: Registry
) -> None:
    text = message(write(MINIMAL + "head: crf\n"), registry=registry_with_a_conflict)
    first, *_, hint = text.splitlines()
    assert re.fullmatch(
        r"r\.yaml:\d:7: head: more than one head is called 'crf': other:x \(other 2\) and \S+ \(\S+ \S+\)", first
    )
    assert re.fullmatch(r"  hint: name the package, too: other:crf or \S+:crf", hint)


def test_problems_of_a_parent_lie_in_the_parent(write: Write, message: Message) -> None:
    write(MINIMAL + "train: {epochs: x}\n", "parent.yaml")
    assert message(write("extends: parent.yaml\ntrain: {batch_size: 8}\n")).startswith("parent.yaml:3:17: train.epochs")


def test_all_problems_come_at_once(write: Write, registry: Registry) -> None:
    path = write(MINIMAL + "trian: 1\nhead: crff\nwindows: {max_length: 4}\nseed: -1\nseed: -2\n")
    with pytest.raises(RecipeError) as caught:
        load_recipe(path, ["train.epochs=x", "b"], registry=registry)
    places = [(issue.line, issue.path) for issue in caught.value.issues]
    assert places == [
        (3, "trian"),
        (4, "head.name"),
        (5, "windows.max_length"),
        (7, "seed"),
        (7, "seed"),
        (None, ""),
        (None, "train.epochs"),
    ]


def test_a_long_line_is_cropped_around_the_caret(write: Write, message: Message) -> None:
    path = write(MINIMAL + f"windows: {{max_length: 99, {' ' * 300}zzz: 1, {' ' * 300}}}\n")
    _, snippet, caret, _ = message(path).split("\n")
    assert len(snippet) <= 108
    assert snippet[caret.index("^") :].startswith("zzz: 1")
