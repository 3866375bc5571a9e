"""``qakit data check``."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast
from typer.testing import CliRunner, Result

from qakit.cli import build_app
from qakit.errors import PluginError, QakitError, UsageError


@pytest.fixture(scope="module")
def run():
    app = build_app()

    def invoke(*arguments: object) -> Result:
        result = CliRunner().invoke(app, ["data", "check", *map(str, arguments)], env={"COLUMNS": "200"})
        if isinstance(result.exception, QakitError):
            raise result.exception  # main() prints these in one line and exits 2
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return invoke


@pytest.fixture(scope="module")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    special = ["[UNK]", "[PAD]", "[CLS]", "[SEP]"]
    backend = Tokenizer(
        models.WordLevel({w: n for n, w in enumerate([*special, "a", "one", "two", "1066"])}, unk_token="[UNK]")
    )
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    folder = tmp_path_factory.mktemp("tokenizer")
    PreTrainedTokenizerFast(tokenizer_object=backend, **names).save_pretrained(folder)
    return folder


def squad(path: Path, *answers: tuple[str, str, int], context: str = "one two 1066 one") -> Path:
    questions = [
        {"id": name, "question": f"a {name}?", "answers": [{"text": text, "answer_start": start}]}
        for name, text, start in answers
    ]
    path.write_text(json.dumps({"data": [{"title": "T", "paragraphs": [{"context": context, "qas": questions}]}]}))
    return path


def report(result: Result) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(result.stdout)
    return value


def test_a_good_file(run, tmp_path):
    result = run("--reader", "squad", squad(tmp_path / "a.json", ("1", "two", 4)))
    assert result.exit_code == 0
    assert "a.json: 1 examples, 1 contexts, 1 answered, 1 answers, 1 of them placed" in result.stdout
    assert "training can start" in result.stdout


def test_problems_that_stop_and_problems_that_do_not(run, tmp_path):
    file = squad(tmp_path / "a.json", ("1", "two", 3), ("1", "one", 0))
    result = run("--reader", "squad", file)
    assert result.exit_code == 1
    assert re.search(r"answer_offset +repaired +1 +id 1, field 'answers.0..answer_start': the answer", result.stdout)
    assert re.search(r"duplicate_id +stops +1", result.stdout)
    assert "training would stop: 1 problems" in result.stdout


def test_unreadable_files_are_reported_beside_the_others(run, tmp_path):
    good = squad(tmp_path / "good.json", ("1", "two", 4))
    bad = tmp_path / "bad.json"
    bad.write_text("<html>")
    result = run("--reader", "squad", good, bad, tmp_path / "none.json", "--json")
    assert result.exit_code == 2
    splits = report(result)["splits"]
    assert [len(split["unreadable"]) for split in splits] == [0, 1, 1]
    assert "is a web page" in splits[1]["unreadable"][0]


def test_tokens_and_ceiling(run, tmp_path, tokenizer_folder):
    file = squad(tmp_path / "a.json", ("1", "two", 4), ("2", "66", 10))
    options = ("--reader", "squad", file, "--tokenizer", tokenizer_folder, "--max-length", 12, "--stride", 1)
    result = run(*options)
    assert result.exit_code == 0
    assert "EM ceiling: 50.00% of all questions (1 of 2)" in result.stdout
    assert "id 2: '66': would be cut as '1066'" in result.stdout
    value = report(run(*options, "--json"))
    assert value["window"]["max_length"] == 12
    assert value["window"]["overlap"] == 1
    assert value["splits"][0]["tokens"]["ceiling"]["of_questions"] == 50.0


def test_a_missing_tokenizer_is_a_warning(run, tmp_path):
    result = run("--reader", "squad", squad(tmp_path / "a.json", ("1", "two", 4)), "--tokenizer", tmp_path / "none")
    assert result.exit_code == 0
    assert "no figures in tokens" in result.stderr
    assert "EM ceiling" not in result.stdout


def test_reader_settings(run, tmp_path):
    path = tmp_path / "train.tsv"
    path.write_text("sentence\tlabel\nfine\t1\n")
    assert "labels: 1 1" in run("--reader", "glue", "--reader-set", "task=SST-2", path).stdout
    with pytest.raises(PluginError, match="task"):
        run("--reader", "glue", path)
    with pytest.raises(UsageError, match="should be key=value"):
        run("--reader", "glue", "--reader-set", "task", path)


def test_files_of_one_name_are_told_apart(run, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        squad(tmp_path / folder / "x.json", ("1", "two", 4))
    result = run("--reader", "squad", tmp_path / "a/x.json", tmp_path / "b/x.json", "--json")
    value = report(result)
    assert [split["name"] for split in value["splits"]] == [str(tmp_path / "a/x.json"), str(tmp_path / "b/x.json")]
    assert {finding["name"] for finding in value["overlaps"][0]["findings"]} >= {"shared_record", "shared_context"}


def test_the_same_file_twice(run, tmp_path):
    file = squad(tmp_path / "x.json", ("1", "two", 4))
    assert len(report(run("--reader", "squad", file, file, "--json"))["splits"]) == 1


def test_a_recipe_with_its_own_policies(run, tmp_path, tokenizer_folder):
    squad(tmp_path / "train.json", ("1", "two", 4), ("1", "one", 0))
    squad(tmp_path / "dev.json", ("3", "two", 4), context="one two")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "data:\n  reader: squad\n  train: train.json\n  validation: dev.json\n  problems: {duplicate_id: skip}\n"
        f"backbone: {{source: {tokenizer_folder}}}\nwindows: {{max_length: 12}}\n"
    )
    result = run(recipe, "--json")
    value = report(result)
    assert result.exit_code == 0
    assert [split["name"] for split in value["splits"]] == ["train", "validation"]
    assert value["splits"][0]["problems"][0]["outcome"] == "skipped"
    assert value["splits"][0]["tokens"]["ceiling"]["answers"] == 1
    assert run(recipe, "--set", "data.problems.duplicate_id=error").exit_code == 1
    with pytest.raises(UsageError, match="one recipe at a time"):
        run(recipe, recipe)


def test_text_from_files_takes_no_effect_on_the_terminal(run, tmp_path):
    file = squad(tmp_path / "a.json", ("[bold]x[/bold]\x1b[31m", "three", 4))
    result = run("--reader", "squad", file)
    assert "[bold]x[/bold]" in result.stdout
    assert "\x1b[31m" not in result.stdout


def unlabelled(path: Path, *names: str) -> Path:
    questions = [{"id": name, "question": f"a {name}?"} for name in names]
    path.write_text(json.dumps({"data": [{"paragraphs": [{"context": "one two three", "qas": questions}]}]}))
    return path


@pytest.mark.parametrize(
    ("train", "validation", "reason"),
    [(False, True, "unlabelled_train"), (True, False, "unlabelled_validation")],
)
def test_a_recipe_without_labels_cannot_train(run, tmp_path, tokenizer_folder, train, validation, reason):
    for name, labelled in (("train", train), ("dev", validation)):
        path = tmp_path / f"{name}.json"
        squad(path, (name, "two", 4)) if labelled else unlabelled(path, name)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "data: {reader: squad, train: train.json, validation: dev.json}\n"
        f"backbone: {{source: {tokenizer_folder}}}\nwindows: {{max_length: 12}}\n"
    )
    result = run(recipe)
    assert result.exit_code == 1
    assert f"training would stop: {reason}" in result.stdout
    assert (
        run("--reader", "squad", tmp_path / "train.json", tmp_path / "dev.json").exit_code == 0
    )  # no recipe, no roles


def test_the_longest_answer_lowers_the_ceiling(run, tmp_path, tokenizer_folder):
    file = squad(tmp_path / "a.json", ("1", "two", 4), ("2", "one two", 0))
    options = ("--reader", "squad", file, "--tokenizer", tokenizer_folder, "--max-answer-length", 1)
    result = run(*options, "--stride", 1)
    assert "EM ceiling: 50.00% of all questions (1 of 2)" in result.stdout
    assert "1 longer than max_answer_length" in result.stdout
    assert "id 2: 'one two': longer than 1 tokens" in result.stdout


def test_a_file_that_counts_from_one(run, tmp_path):
    result = run("--reader", "squad", squad(tmp_path / "a.json", ("1", "two", 5), ("2", "1066", 9), ("3", "one", 1)))
    assert "of 3 answers would fit one character earlier: does the file count from 1?" in result.stdout


def test_problems_name_the_field(run, tmp_path):
    questions = [
        {"id": "4", "paragraph_id": 0, "question_text": " "},
        {"id": "5", "paragraph_id": 0},
        {"id": "6", "paragraph_id": 0, "question_text": 7},
        {"id": "4", "paragraph_id": 0, "question_text": "?"},
    ]
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"questions": questions, "paragraphs": ["one"]}))
    shown = run("--reader", "hw7", path).stdout
    for name, where in (("empty_question", "4"), ("missing_field", "5"), ("wrong_type", "6")):
        assert re.search(rf"{name} .*id {where}, field 'question_text': ", shown)
    assert re.search(r"duplicate_id .*id 4, field 'id': ", shown)


@pytest.mark.parametrize("name", ["hw7_train.json", "x.CSV", "x.tsv", "x.jsonl", "x.parquet"])
def test_a_data_file_is_no_recipe(run, tmp_path, name):
    with pytest.raises(UsageError, match=r"looks like a data file: add --reader NAME \(hw7, squad, ...\)"):
        run(tmp_path / name)


def test_single_texts_have_no_questions_and_no_contexts(run, tmp_path, tokenizer_folder):
    path = tmp_path / "train.tsv"
    path.write_text("sentence\tlabel\none two\t1\n")
    shown = run("--reader", "glue", "--reader-set", "task=SST-2", path, "--tokenizer", tokenizer_folder).stdout
    assert re.search(r"text +characters", shown)
    assert re.search(r"text +tokens", shown)
    assert "question" not in shown
    assert "contexts" not in shown
