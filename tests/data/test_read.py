"""Reading files: ids are unique, answers are where they say, problems are counted per file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qakit.data.read import iter_examples, problems_of, read_examples
from qakit.errors import DataError, PluginError
from qakit.problems import Problems
from qakit.values import Answer, Example


class Listed:
    """A reader that gives these examples, by file name."""

    def __init__(self, **files: list[Example]) -> None:
        self.files = files

    def read(self, path: Path, problems: Problems) -> Iterator[Example]:
        yield from self.files[path.name]


def named(*ids: str) -> list[Example]:
    return [Example(identifier, "?") for identifier in ids]


def test_a_repeated_id_stops_is_skipped_or_gets_a_number():
    reader = Listed(a=named("1", "1", "2", "1"))
    with pytest.raises(DataError, match="a, id 1, field 'id': the id of example 2 was there before, in this file"):
        read_examples(reader, Path("a"))
    result = read_examples(reader, Path("a"), policies={"duplicate_id": "skip"})
    assert [example.id for example in result.examples] == ["1", "2"]
    assert result.problems[0].counts == {("duplicate_id", "skipped"): 2}
    result = read_examples(reader, Path("a"), policies={"duplicate_id": "repair"})
    assert [example.id for example in result.examples] == ["1", "1#2", "2", "1#3"]


def test_ids_that_files_share_get_the_files_name():
    reader = Listed(a=named("0", "1"), b=named("1", "2"))
    result = read_examples(reader, [Path("a"), Path("b")])
    assert [example.id for example in result.examples] == ["0", "1", "b:1", "2"]
    assert [dict(problems.counts) for problems in result.problems] == [{}, {("shared_id", "repaired"): 1}]
    with pytest.raises(DataError, match="in an earlier file of the list"):
        read_examples(reader, [Path("a"), Path("b")], policies={"shared_id": "error"})


@given(st.lists(st.lists(st.sampled_from(["1", "2", "1#2", "b:1", "b:2"]), max_size=6), max_size=3))
def test_ids_are_unique_whatever_the_files_hold(files):
    reader = Listed(**{name: named(*ids) for name, ids in zip("abc", files, strict=False)})
    paths = [Path(name) for name in reader.files]
    result = read_examples(reader, paths, policies={"duplicate_id": "repair"})
    ids = [example.id for example in result.examples]
    assert len(ids) == len(set(ids)) == sum(map(len, files))


@pytest.mark.parametrize("answer", [Answer("x", 1), Answer("a", -1), Answer("a", 0, context=1), Answer("ab", 0)])
def test_a_reader_that_misplaces_an_answer_is_found_out(answer):
    with pytest.raises(PluginError, match="this is a mistake in the reader's plugin"):
        read_examples(Listed(a=[Example("1", "?", ("a",), answers=(answer,))]), Path("a"))


def test_streaming_reads_no_further_than_asked():
    reader = Listed(a=named("1", "2"))
    stream = iter_examples(reader, problems_of([Path("a"), Path("missing")], {}))
    assert [next(stream).id, next(stream).id] == ["1", "2"]
    with pytest.raises(KeyError):
        next(stream)
