"""GLUE's files: the writer of one, and the zip of all."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from qakit.cli import build_app
from qakit.errors import DataError, UsageError
from qakit.protocols import NoRuntime
from qakit.registry import load_registry
from qakit.testing import check_component
from qakit.values import LabelPrediction, SpanPrediction, Targets
from qakit_glue import GLUE, GlueFile
from qakit_glue.pack import pack
from qakit_glue.tasks import TEST_SETS, problem_of, read_table, table_text


def writer(**settings: Any) -> Any:
    return load_registry().build("writers", "glue", settings, NoRuntime())


def write(folder: Path, name: str, *, rows: int | None = None, value: str | None = None) -> Path:
    test = TEST_SETS[name]
    path = folder / f"{name}.tsv"
    path.write_text(table_text([value or test.filler] * (test.rows if rows is None else rows)), "utf-8")
    return path


def test_keeps_the_contract_of_components() -> None:
    check_component("writers", GLUE)
    assert get_args(GlueFile) == tuple(TEST_SETS)


# ------------------------------------------------------------------------------------------------------------- writer
def test_rows_are_sorted_by_index_under_the_header(tmp_path: Path) -> None:
    path = tmp_path / "out.tsv"
    writer(task="QNLI").write([LabelPrediction(str(i), "entailment") for i in (10, 2, 1)], path)
    assert path.read_bytes() == b"index\tprediction\n1\tentailment\n2\tentailment\n10\tentailment\n"


def test_the_mismatched_set_is_numbered_like_the_matched_one(tmp_path: Path) -> None:
    path = tmp_path / "out.tsv"
    writer(task="MNLI-mm").write([LabelPrediction(f"mismatched-{i}", "neutral") for i in (1, 0)], path)
    assert read_table(path) == {0: "neutral", 1: "neutral"}


def test_numbers_have_three_decimals_between_0_and_5(tmp_path: Path) -> None:
    path = tmp_path / "out.tsv"
    values = [-0.2, 2.34567, 7.0]
    writer(task="STS-B").write([LabelPrediction(str(i), value) for i, value in enumerate(values)], path)
    assert list(read_table(path).values()) == ["0.000", "2.346", "5.000"]


@pytest.mark.parametrize(
    ("settings", "prediction", "error", "message"),
    [
        ({"task": "RTE"}, LabelPrediction("0", "neutral"), DataError, "'neutral' is none of entailment"),
        ({}, LabelPrediction("q1", "1"), DataError, "the id is no index"),
        ({}, SpanPrediction("0", "an answer"), UsageError, "no class and no number"),
        ({}, LabelPrediction("0", Targets((1, 2), "ab")), UsageError, "is several numbers; GLUE's tasks have one"),
        ({"task": "STS-B"}, LabelPrediction("0", float("nan")), DataError, "nan is not between 0 and 5"),
    ],
)
def test_what_glue_would_refuse_is_not_written(
    settings: dict[str, str], prediction: Any, error: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        writer(**settings).write([prediction], tmp_path / "out.tsv")
    assert not list(tmp_path.iterdir())


def test_a_repeated_index_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="1 indices come twice"):
        writer().write([LabelPrediction("0", "1"), LabelPrediction("mismatched-0", "1")], tmp_path / "out.tsv")


def test_check_compares_indices(tmp_path: Path) -> None:
    sample, good, bad = write(tmp_path, "WNLI"), tmp_path / "good.tsv", tmp_path / "bad.tsv"
    good.write_text(table_text(["1"] * 146))
    bad.write_text(table_text(["1"] * 144))
    assert writer().check(good, sample) == []
    assert writer().check(bad, sample) == ["2 indices are not in both files: 144, 145"]
    assert "there is no such file" in writer().check(tmp_path / "none.tsv", sample)[0]


@given(st.dictionaries(st.integers(0, 10**6), st.sampled_from(["0", "1"]), max_size=30))
def test_what_is_written_is_read(rows: dict[int, str]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "out.tsv"
        writer().write([LabelPrediction(str(index), value) for index, value in rows.items()], path)
        assert list(read_table(path).items()) == sorted(rows.items())


# ---------------------------------------------------------------------------------------------------------------- zip
def test_all_eleven_files_make_a_zip_with_the_same_bytes_each_time(tmp_path: Path) -> None:
    sources = [write(tmp_path, name) for name in TEST_SETS]
    packed = pack(sources, tmp_path / "one.zip", fill=False)
    assert packed.filled == ()
    pack(sources[::-1], tmp_path / "two.zip", fill=True)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        assert sorted(archive.namelist()) == sorted(f"{name}.tsv" for name in TEST_SETS)
        assert archive.read("STS-B.tsv") == (tmp_path / "STS-B.tsv").read_bytes()


def test_programs_read_what_was_packed_as_json(tmp_path: Path) -> None:
    source, output = write(tmp_path, "WNLI", value="1"), tmp_path / "glue.zip"
    shown = CliRunner().invoke(build_app(), ["glue", "pack", str(source), "--fill", "--output", str(output), "--json"])
    packed = json.loads(shown.stdout)
    assert packed["output"] == str(output)
    assert packed["files"] == {"WNLI": str(source)}
    assert set(packed["filled"]) == set(TEST_SETS) - {"WNLI"}
    assert output.is_file()


def test_missing_ones_are_named_or_filled(tmp_path: Path) -> None:
    sources = [write(tmp_path, "WNLI", value="1"), write(tmp_path, "RTE")]
    with pytest.raises(UsageError, match=r"no predictions for CoLA, SST-2, .*AX: .*--fill"):
        pack(sources, tmp_path / "glue.zip", fill=False)
    assert not (tmp_path / "glue.zip").exists()
    packed = pack(sources, tmp_path / "glue.zip", fill=True)
    assert set(packed.filled) == set(TEST_SETS) - {"WNLI", "RTE"}
    with zipfile.ZipFile(tmp_path / "glue.zip") as archive:
        for name, test in TEST_SETS.items():
            lines = io.TextIOWrapper(archive.open(f"{name}.tsv"), "utf-8").read().splitlines()
            assert len(lines) == test.rows + 1
        assert archive.read("WNLI.tsv").splitlines()[1] == b"0\t1"


def test_fillers_are_allowed() -> None:
    assert all(problem_of(test.filler, test) is None for test in TEST_SETS.values())


def test_two_files_for_one_task_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    sources = [write(tmp_path, "WNLI"), write(tmp_path / "other", "WNLI")]
    with pytest.raises(UsageError, match="two predictions for WNLI"):
        pack(sources, tmp_path / "glue.zip", fill=True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (table_text(["0"] * 145), "has 145 predictions .* test set WNLI has 146"),
        (table_text(["0"] * 146, indices=range(1, 147)), "with indices up to 146"),
        (table_text([]), "has 0 predictions"),
        (table_text(["2"] * 146), "'2' is none of 0, 1"),
        ("id\tlabel\n0\t1\n", "the header is"),
        ("index\tprediction\n0\t1\n0\t1\n", "the index 0 was there before"),
        ("index\tprediction\n0,1\n", "not an index and a prediction"),
        ("index\tprediction\n²\t1\n", "not an index and a prediction"),
        ("", "the header is ''"),
    ],
)
def test_what_the_server_would_refuse_is_not_packed(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "WNLI.tsv").write_text(content, "utf-8")
    with pytest.raises(DataError, match=message):
        pack([tmp_path / "WNLI.tsv"], tmp_path / "glue.zip", fill=True)
    assert not (tmp_path / "glue.zip").exists()


def test_a_file_needs_glues_name(tmp_path: Path) -> None:
    (tmp_path / "answers.tsv").write_text("")
    with pytest.raises(UsageError, match=r"no file of GLUE's: those are called CoLA\.tsv"):
        pack([tmp_path / "answers.tsv"], tmp_path / "glue.zip", fill=True)
    with pytest.raises(DataError, match="there is no such file"):
        pack([tmp_path / "WNLI.tsv"], tmp_path / "glue.zip", fill=True)
