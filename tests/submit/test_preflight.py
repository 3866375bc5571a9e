"""A submission file against the sample, before anything leaves."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qakit.errors import DataError
from qakit.submit.csv_content import LOOKS_MISSING
from qakit.submit.preflight import Preflight, check_csv

SAMPLE = "id,answer\n1,x\n2,x\n3,x\n"


@pytest.fixture
def check(tmp_path: Path) -> Any:
    """Check a text (or bytes) against a sample (None: against none)."""

    def run(content: str | bytes, sample: str | bytes | None = SAMPLE, **options: Any) -> Preflight:
        paths = []
        for name, each in (("answers.csv", content), ("sample.csv", sample)):
            if each is not None:
                (tmp_path / name).write_bytes(each.encode() if isinstance(each, str) else each)
            paths.append(tmp_path / name if each is not None else None)
        assert paths[0] is not None
        return check_csv(paths[0], paths[1], **options)

    return run


def test_a_good_file(check: Any) -> None:
    found = check("id,answer\n1,a\n2,b c\n3,d\n")
    assert (found.problems, found.notices, found.rows) == ((), (), 3)
    assert found.bytes == 24
    assert len(found.sha256) == 64


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("answer,id\na,1\nb,2\nc,3\n", "the columns are in another order: 'answer,id', the sample has 'id,answer'"),
        ("ID,answer\n1,a\n2,b\n3,c\n", "the columns are 'ID,answer', the sample has 'id,answer'"),
        ("1,a\n2,b\n3,c\n", "the first line is no header"),
        ("id,answer\n1,a\n3,c\n", "1 ids of the sample are missing: 2"),
        ("id,answer\n1,a\n2,b\n3,c\n4,d\n", "1 ids are not in the sample: 4"),
        ("id,answer\n1,a\n2,b\n3,c\n2,d\n", "1 rows repeat an id: 2"),
        ("id,answer\n1,a\n2,b, c\n3,c\n", "1 rows do not have 2 columns: line 3 (3): an answer with a comma needs"),
        ("id,answer\n1,a\n2\n3,c\n", "1 rows do not have 2 columns: line 3 (1)"),
        ("id,answer\n1,a\n2,\n3,c\n", "1 answers are empty and the sample has none: 2"),
        ('id,answer\n1,a\n2,"b\n3,c\n', "line 3: not well-formed CSV"),
        ('id,answer\n1,a\n2,"b" c\n3,c\n', "line 3: not well-formed CSV"),
        ("id,answer\n", "has no rows under its header"),
        ("", "the file is empty"),
        ("\ufeffid,answer\n1,a\n2,b\n3,c\n", "begins with a byte order mark (BOM)"),
        ("id,answer\n1,a\n2,é\n3,c\n".encode("latin-1"), "line 3: is not UTF-8 text (byte 0xe9)"),
        ("id,answer\n1,a\n".encode("utf-16"), "is not UTF-8 text but UTF-16"),
        ("id,answer\n 1,a\n 2,b\n 3,c\n", "3 ids are not in the sample:  1,  2,  3 (they have spaces around them)"),
        ("id,answer\n1.0,a\n2.0,b\n3.0,c\n", "(they were written as decimal numbers)"),
    ],
)
def test_problems(check: Any, content: str | bytes, problem: str) -> None:
    found = check(content)
    assert any(problem in each for each in found.problems), found.problems


def test_lost_zeros_are_told(check: Any) -> None:
    found = check("id,answer\n7,a\n10,b\n", "id,answer\n007,x\n010,x\n")
    assert any("they lost their leading zeros" in each for each in found.problems), found.problems


def test_choices_are_spelt_as_the_sample_spells_them(check: Any) -> None:
    letters, numbers, text = (f"id,answer\n1,{first}\n2,{second}\n" for first, second in ("AB", "01", ("A", "x")))
    for ours, sample, told in ((numbers, letters, "numbers"), (letters, numbers, "letters")):
        (problem,) = check(ours, sample).problems
        assert problem.startswith(f"the answers are {told}, and those of the sample are")
    for ours, sample in ((letters, letters), (numbers, numbers), (numbers, text), (text, numbers)):
        assert check(ours, sample).ok


def test_only_the_first_five_are_named(check: Any) -> None:
    sample = "id,answer\n" + "".join(f"{number},x\n" for number in range(100))
    found = check("id,answer\n50,a\n", sample)
    assert found.problems == ("99 ids of the sample are missing: 0, 1, 2, 3, 4, ...",)


def test_all_problems_come_at_once(check: Any) -> None:
    found = check("ID,answer\n1,a\n1,\n9,c\n4,d,e\n")
    words = ("the columns are", "missing", "not in the sample", "repeat", "2 columns", "empty")
    assert all(any(word in problem for problem in found.problems) for word in words), found.problems


def test_another_order_is_allowed_and_told(check: Any) -> None:
    found = check("id,answer\n3,a\n1,b\n2,c\n")
    assert found.ok
    assert "another order than the sample's, from row 1: 3" in found.notices[0]


@pytest.mark.parametrize("sample", [SAMPLE, None])
def test_empty_answers_may_be_allowed(check: Any, sample: str | None) -> None:
    assert check("id,answer\n1,a\n2,\n3,c\n", sample, allow_empty=True).ok


def test_empty_answers_are_allowed_where_the_sample_has_them(check: Any) -> None:
    found = check("id,answer\n1,a\n2,\n3,c\n", "id,answer\n1,\n2,\n3,\n")
    assert found.ok
    assert found.notices == ("1 answers are empty, which is allowed here",)


@pytest.mark.parametrize("answer", sorted(LOOKS_MISSING))
def test_words_that_look_missing_are_answers_with_a_notice(check: Any, answer: str) -> None:
    found = check(f"id,answer\n1,{answer}\n2,b\n3,c\n")
    assert found.ok
    assert "look like a missing value" in found.notices[0]


def test_a_bom_is_fine_where_it_is_expected(check: Any) -> None:
    assert check("\ufeffid,answer\n1,a\n2,b\n3,c\n", allow_bom=True).ok
    assert check("\ufeffid,answer\n1,a\n2,b\n3,c\n", "\ufeff" + SAMPLE).ok


def test_quoted_commas_quotes_and_line_breaks_are_fine(check: Any) -> None:
    found = check('id,answer\n1,"a, ""b"""\n2,"line\nbreak"\n3,c\n')
    assert found.ok
    assert found.notices == ("1 answers hold a line break (2); they are quoted, which is allowed",)


def test_chosen_columns(check: Any) -> None:
    sample = "text,key,score\nx,1,0\nx,2,0\n"
    found = check("text,key,score\n,1,0\n,2,0\n", sample, id_column="key", answer_column="score")
    assert found.ok, found.problems
    with pytest.raises(DataError, match="has no column 'nr'; it has text, key, score"):
        check("text,key,score\na,1,0\n", sample, id_column="nr")


def test_without_a_sample_the_form_is_checked(check: Any) -> None:
    found = check("id,answer\n1,a\n1,b\n", None)
    assert found.problems == ("1 rows repeat an id: 1",)
    assert any("no sample submission" in notice for notice in found.notices)
    assert check("only\na\n", None).problems


@pytest.mark.parametrize("sample", ["", "id,answer\n", "id,answer\n1,a\n1,b\n", "id,answer\n1\n", b"\xff\xfe\x00"])
def test_a_bad_sample_is_the_samples_fault(check: Any, sample: str | bytes) -> None:
    with pytest.raises(DataError, match=r"sample\.csv"):
        check("id,answer\n1,a\n", sample)


def test_a_missing_file() -> None:
    with pytest.raises(DataError, match="cannot be read"):
        check_csv(Path("nowhere.csv"))


ANSWERS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30)


@given(st.dictionaries(st.text(st.characters(codec="utf-8"), min_size=1, max_size=8), ANSWERS, min_size=1, max_size=8))
def test_what_a_csv_writer_writes_passes(tmp_path_factory: pytest.TempPathFactory, answers: dict[str, str]) -> None:
    """Whatever is in the answers and ids: written with quotes, it is read as it was."""
    folder = tmp_path_factory.mktemp("csv")
    for name, values in (("answers.csv", answers), ("sample.csv", dict.fromkeys(answers, "x"))):
        with (folder / name).open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows([("id", "answer"), *values.items()])
    found = check_csv(folder / "answers.csv", folder / "sample.csv")
    assert found.problems == ()
    assert found.rows == len(answers)


@given(st.binary(max_size=60))
def test_any_bytes_get_a_verdict(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.mktemp("bytes")
    (folder / "answers.csv").write_bytes(content)
    (folder / "sample.csv").write_text(SAMPLE)
    assert check_csv(folder / "answers.csv", folder / "sample.csv").problems


def test_the_verdict_is_that_of_the_csv_writer(tmp_path: Path) -> None:
    """The writer's own check after predicting, and the check before submitting, must not contradict each other."""
    from qakit.protocols import NoRuntime
    from qakit.registry import load_registry

    writer = load_registry().build("writers", "csv", {}, NoRuntime())
    (tmp_path / "sample.csv").write_text(SAMPLE)
    contents = [
        "id,answer\n1,a\n2,b\n3,c\n",
        "id,answer\n3,a\n2,b\n1,c\n",
        "id,answer\n1,a\n2,b\n",
        "id,answer\n1,a\n2,b\n3,c\n3,c\n",
        "id,answer\n1,a\n2,\n3,c\n",
        "id,answer\n1,a\n2,NA\n3,c\n",
        "a,b\n1,a\n2,b\n3,c\n",
        "id,answer\n1,a\n2,b,c\n3,c\n",
        "\ufeffid,answer\n1,a\n2,b\n3,c\n",
        'id,answer\n1,a\n2,"b\n3,c\n',
    ]
    for content in contents:
        (tmp_path / "answers.csv").write_text(content, "utf-8")
        theirs = writer.check(tmp_path / "answers.csv", tmp_path / "sample.csv")
        ours = check_csv(tmp_path / "answers.csv", tmp_path / "sample.csv")
        assert bool(theirs) == bool(ours.problems), (content, theirs, ours.problems)
