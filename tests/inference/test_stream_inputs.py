"""Which files an input stands for, and under which name each one's answers are kept."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qakit.errors import UsageError
from qakit.inference.stream_inputs import Shard, dealt, find_shards, is_pattern


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def touch(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()


def outputs(*inputs: str, **options: object) -> list[tuple[str, str]]:
    return [(str(shard.source), shard.output) for shard in find_shards(inputs, Path("out"), **options)]  # type: ignore[arg-type]


@pytest.mark.usefixtures("home")
def test_a_file_a_folder_and_a_pattern() -> None:
    touch("in/a.parquet", "in/de/b.csv", "in/de/b.txt", "in/.hidden/c.csv", "in/_SUCCESS.csv", "in/.d.json", "e.tsv")
    assert outputs("e.tsv") == [("e.tsv", "e.csv")]
    assert outputs("in") == [("in/a.parquet", "a.parquet"), ("in/de/b.csv", "de/b.csv")]
    assert outputs("in/*.parquet") == [("in/a.parquet", "a.parquet")]
    assert outputs("in/*/b.t?t") == [("in/de/b.txt", "de/b.jsonl")]
    assert outputs("in/**/*.csv", form="parquet")[-1] == ("in/de/b.csv", "de/b.parquet")
    assert outputs("in/*.parquet", "e.tsv", "in/a.parquet") == [("in/a.parquet", "a.parquet"), ("e.tsv", "e.csv")]


@pytest.mark.usefixtures("home")
def test_a_name_with_brackets_is_a_name_where_it_exists() -> None:
    touch("a[1].csv", "a1.csv")
    assert outputs("a[1].csv") == [("a[1].csv", "a[1].csv")]
    assert outputs("a[1-2].csv") == [("a1.csv", "a1.csv")]
    assert [is_pattern(text) for text in ("a[1].csv", "a[1-2].csv", "b*", "b")] == [False, True, True, False]


@pytest.mark.usefixtures("home")
def test_the_same_name_twice_is_kept_apart_or_refused() -> None:
    touch("de/a.csv", "fr/a.csv", "de/a.tsv")
    assert [output for _, output in outputs("*/a.csv")] == ["de/a.csv", "fr/a.csv"]
    for inputs in (("de", "fr"), ("de/a.csv", "fr/a.csv"), ("de",)):
        with pytest.raises(UsageError, match=r"would both be answered in out/a\.csv: give the folder that holds both"):
            find_shards(inputs, Path("out"))


@pytest.mark.usefixtures("home")
def test_answers_are_never_questions() -> None:
    touch("a.csv", "out/a.csv", "out/_progress/done/a.csv.json")
    assert outputs("**/*.csv") == [("a.csv", "a.csv")]
    assert outputs(".") == [("a.csv", "a.csv")]
    with pytest.raises(UsageError, match=r"--input out/a\.csv: it lies in the output folder \(files in the output"):
        find_shards(["out/a.csv"], Path("out"))


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("nothing.csv", "there is no such file"),
        ("nothing*", "no file matches the pattern"),
        ("empty", "the folder holds no data file (.parquet, .csv"),
    ],
)
def test_an_input_that_stands_for_nothing(text: str, problem: str) -> None:
    Path("empty").mkdir()
    with pytest.raises(UsageError) as caught:
        find_shards([text], Path("out"))
    assert str(caught.value).startswith(f"--input {text}: {problem}")


@given(st.integers(0, 40), st.integers(1, 12))
def test_every_shard_belongs_to_one_process(shards: int, count: int) -> None:
    all_of_them = [Shard(Path(f"{number}.csv"), f"{number}.csv", "csv") for number in range(shards)]
    parts = [dealt(all_of_them, index=index, count=count) for index in range(count)]
    assert sorted((shard for part in parts for shard in part), key=lambda shard: int(shard.source.stem)) == all_of_them
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
