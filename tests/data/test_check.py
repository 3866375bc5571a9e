"""The data doctor: every finding on examples made to have it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from qakit.data.check import check_data, shift_findings
from qakit.data.checks.labels import training_findings
from qakit.data.checks.repeats import text_key
from qakit.errors import DataError
from qakit.problems import Problems
from qakit.recipe.model import Recipe
from qakit.values import Answer, Example


class Listed:
    """A reader that gives these examples, by file name; after them, an error if there is one."""

    def __init__(self, **files: list[Example | DataError]) -> None:
        self.files = files

    def read(self, path: Path, problems: Problems) -> Iterator[Example]:
        for item in self.files[path.name]:
            if isinstance(item, DataError):
                raise item
            yield item


def check(**files):
    return check_data(Listed(**files), {name: [Path(name)] for name in files})


def found(split):
    return {finding.name: finding.count for finding in split.findings}


def qa(identifier, question, context, *answers):
    return Example(identifier, question, (context,), answers=tuple(answers))


def test_clean_data_has_no_findings():
    report = check(
        a=[qa("1", "Who?", "Ada wrote it.", Answer("Ada", 0)), qa("2", "What?", "A letter.", Answer("letter", 2))]
    )
    (split,) = report.splits
    assert split.findings == split.problems == split.unreadable == report.overlaps == ()
    assert split.counts == {
        "examples": 2,
        "contexts": 2,
        "answered": 2,
        "unanswerable": 0,
        "unlabelled": 0,
        "answers": 2,
        "placed": 2,
    }
    assert report.exit_code == 0


def test_answers_that_are_hard_to_place():
    split = check(
        a=[
            qa("1", "a?", "one two one", Answer("one", 0), Answer("one", 0)),  # the same twice counts once
            qa("2", "b?", "one two", Answer(" two", 3)),
            qa("3", "c?", "one two", Answer("three", None), Answer("trois", None)),
            qa("5", "e?", "one two", Answer("two", 4), Answer("deux", None)),  # another name of it
            qa("4", "d?", "aaa", Answer("aa", 1)),
        ]
    ).splits[0]
    assert found(split) == {"repeated_answer_text": 2, "answer_blanks": 1, "unplaced_answer": 1}


def test_duplicates_within_a_split():
    split = check(
        a=[
            qa("1", "Who wrote it?", "Ada did.", Answer("Ada", 0)),
            qa("2", "who wrote it", "Ada  did", Answer("Ada", 0)),  # case, blanks and punctuation don't count
            qa("3", "Who wrote it?", "Ada did.", Answer("did", 4)),
            qa("4", "Who wrote it?", "A d a did it.", Answer("did", 6)),
            qa("5", "Who wrote what?", "Ada did.", Answer("Ada", 0)),
        ]
    ).splits[0]
    assert found(split) == {"duplicate_question": 1, "conflicting_duplicate": 1, "question_with_other_context": 1}
    assert next(f for f in split.findings if f.name == "duplicate_question").examples == ("ids 1, 2",)


def test_duplicates_of_classified_texts():
    texts = [Example("1", "fine", label="1"), Example("2", "Fine!", label="1"), Example("3", "fine", label="0")]
    split = check(a=texts).splits[0]
    assert found(split) == {"duplicate_text": 1, "conflicting_duplicate": 1}
    assert split.labels == {"1": 2, "0": 1}


def test_overlap_between_splits():
    train = [qa("1", "Who?", "Ada did."), qa("2", "What?", "A letter."), qa("3", "Why?", "So.")]
    dev = [qa("1", "who", "Ada did!"), qa("2", "What?", "Nothing."), qa("3", "When?", "So.")]
    (overlap,) = check(train=train, dev=dev).overlaps
    assert (overlap.first, overlap.second) == ("train", "dev")
    assert {finding.name: finding.count for finding in overlap.findings} == {
        "shared_record": 1,
        "shared_question": 2,
        "shared_context": 2,
    }
    assert check(train=train, dev=[qa("9", "Whose?", "Hers.")]).overlaps == ()


def test_distractors_may_be_shared():
    shared = Example("1", "a?", ("one", "two"), answers=())
    (overlap,) = check(train=[shared], dev=[Example("2", "b?", ("two", "three"), answers=())]).overlaps
    assert [(finding.name, finding.level) for finding in overlap.findings] == [("shared_context", "note")]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("zero_width", "a\u200bb"),
        ("byte_order_mark", "a\ufeffb"),
        ("bidirectional", "a\u200eb"),
        ("carriage_return", "a\r\nb"),
        ("control", "a\x00b"),
        ("replacement", "a\ufffdb"),
        ("private_use", "a\ue000b"),
        ("no_break_space", "a\u00a0b"),
        ("ideographic_space", "a\u3000b"),
        ("combining", "a\u0301b"),
        ("astral", "a\U0001f5fcb"),
    ],
)
def test_suspicious_characters(name, text):
    split = check(a=[qa("1", "a?", text), qa("2", "b?", text), qa("3", text * 2, "plain 中文。")]).splits[0]
    assert found(split) == {name: 3}  # distinct texts
    assert "in 2 texts" in split.findings[0].meaning


def test_lengths_in_characters():
    split = check(a=[qa(str(n), "q" * n, "c" * 10 * n, Answer("c" * n, 0)) for n in range(1, 101)]).splits[0]
    assert (split.characters["question"].p50, split.characters["question"].p95, split.characters["question"].max) == (
        51,
        96,
        100,
    )
    assert split.characters["context"].max == 1000
    assert split.characters["answer"].p95 == 96


def test_unreadable_files_do_not_stop_the_others():
    report = check(a=[qa("1", "?", "c"), DataError("cut off", path="a")], b=[qa("2", "?", "d")])
    assert report.splits[0].unreadable == ("a: cut off",)
    assert [split.counts["examples"] for split in report.splits] == [1, 1]
    assert report.exit_code == 2


def test_problems_that_would_stop_training():
    repeated = [qa("1", "a?", "c"), qa("1", "b?", "c")]
    report = check(a=repeated)
    (problem,) = report.splits[0].problems
    assert (problem.kind, problem.outcome, problem.count) == ("duplicate_id", "stops", 1)
    assert report.exit_code == 1
    lenient = check_data(Listed(a=repeated), {"a": [Path("a")]}, policies={"duplicate_id": "skip"})
    assert lenient.exit_code == 0
    assert lenient.splits[0].problems[0].outcome == "skipped"


def test_the_report_is_json():
    report = check(a=[qa("1", "?", "c\r", Answer("c", 0)), qa("1", "?", "d")], b=[qa("2", "?", "d")])
    value = json.loads(json.dumps(report.to_dict()))
    assert value["exit_code"] == 1
    assert value["splits"][0]["problems"][0]["kind"] == "duplicate_id"
    assert value["overlaps"][0]["findings"]


def test_keys_of_texts_without_letters_are_the_texts():
    assert text_key("Who, me?") == "whome"
    assert text_key("?!") == "?!"
    assert text_key("") == ""


def test_labels_that_training_needs():
    labelled, open_ = qa("1", "a?", "c"), Example("2", "b?", ("d",))

    def levels(split, *examples, gives=None, answerable_only=False, no_answer=True):
        recipe = Recipe.model_validate(
            {
                "data": {"reader": "squad", "answerable_only": answerable_only},
                "backbone": {"source": "nowhere"},
                "predict": {"no_answer": no_answer},
            }
        )
        found = training_findings(recipe, gives, {split: examples})
        return [(finding.name, finding.level) for finding in found[split]]

    assert levels("train", labelled) == levels("validation", labelled) == levels("test", open_) == []
    assert levels("train", labelled, open_) == [("unlabelled_train", "warning")]
    assert levels("train", open_) == [("unlabelled_train", "stops")]
    assert levels("validation", labelled, open_) == [("unlabelled_validation", "stops")]
    assert levels("train", labelled, answerable_only=True) == [("no_answerable_train", "stops")]
    assert levels("train", Example("3", "text", label="1"), Example("4", "text", label="0")) == []
    assert levels("train", Example("3", "text", label="1")) == [("one_class", "stops")]
    assert levels("train", Example("3", "text", label="1"), Example("4", "text", label=0.5)) == [
        ("mixed_labels", "stops")
    ]
    assert (
        levels("train", labelled, gives="labels")
        == levels("train", open_, gives="contexts")
        == [("unlabelled_train", "stops")]
    )
    assert levels("validation", labelled, no_answer=False) == [("unanswerable_validation", "warning")]
    assert levels("train", labelled, no_answer=False) == [("unanswerable_train", "warning")]
    assert levels("test") == [("empty_split", "stops")]


def test_missing_labels_come_with_what_is_there_instead():
    labelled, answered, open_ = (
        Example("1", "text", label="1"),
        qa("2", "a?", "c", Answer("c", 0)),
        Example("3", "b?", ("d",)),
    )

    def said(example, gives, why=""):
        recipe = Recipe.model_validate(
            {"data": {"reader": "squad", "train": "train.json"}, "backbone": {"source": "x"}}
        )
        found = training_findings(recipe, gives, {"train": [example]}, why={"train": why})
        return next(finding.meaning for finding in found["train"] if finding.name == "unlabelled_train")

    assert said(labelled, "spans").endswith(
        "they have a class or a number, which heads such as classifier learn (with preprocess truncate)"
    )
    assert said(answered, "labels").endswith("they have answers, which heads such as linear_span learn")
    assert said(open_, "spans", "there is no column 'a'").endswith("all of them; there is no column 'a'")


@pytest.mark.parametrize(
    ("shifts", "said"),
    [
        ({-1: 60}, "of 60 answers would fit one character earlier: does the file count from 1?"),
        ({-1: 57, 0: 2, 4: 1}, "of 60 answers would fit one character earlier"),
        ({2: 3}, "of 3 answers would fit 2 characters later"),
        ({-1: 50, 0: 10}, None),
        ({0: 60}, None),
        ({-1: 2}, None),
        ({}, None),
    ],
)
def test_offsets_that_are_all_shifted(shifts, said):
    findings = shift_findings(shifts)
    assert [finding.count for finding in findings] == ([max(shifts.values())] if said else [])
    assert said is None or findings[0].meaning.startswith(said)
