"""A wrong value in any field of any record: examples, or a refusal that names file, record and field."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from formats import FORMATS, JSON_FORMATS, check_example, check_message, dump_csv, read
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import WRONG, Place, mutants

from qakit.api import DataError
from qakit.data.read import read_examples

FAST = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
LENIENT = ({"default": "skip"}, {"default": "keep"}, {"default": "repair"})


@pytest.mark.parametrize("name", JSON_FORMATS)
def test_every_value_in_every_field(tmp_path: Path, name: str) -> None:
    form, reader = FORMATS[name], FORMATS[name].build()
    refused = 0
    for at, what, document in mutants(form.document):
        try:
            path = form.write(tmp_path, form.dump(document))
        except TypeError:  # the whole document is no list of rows
            path = form.write(tmp_path, json.dumps(document).encode())
        try:
            for example in read_examples(reader, path).examples:
                check_example(example)
        except DataError as error:
            refused += 1
            check_message(error, path)
            assert error.row or not _in_a_record(name, at, what), (at, what, str(error))
        for policies in LENIENT:
            read(form, path, policies)
    assert refused > 30


def _in_a_record(name: str, at: Place, what: str) -> bool:
    """Whether the place lies within a single record (not the document's own frame, nor a table's columns)."""
    if name == "jsonl" and what == "is missing":
        return False
    depth = {"squad": 3, "hw7": 3, "newsqa": 3, "triviaqa": 3}.get(name, 2)
    return len(at) >= depth and at[0] != "paragraphs"


@pytest.mark.parametrize("name", ["glue", "csv", "tsv", "newsqa csv"])
def test_every_cell_of_a_table(tmp_path: Path, name: str) -> None:
    form = FORMATS[name]
    cells = [*map(str, WRONG), "a\tb", 'a"b', "a\r\nb", "\x00", "\ufeff", "x" * 200_000]
    for _, _, document in mutants([list(row.values()) if isinstance(row, dict) else row for row in form.document]):
        if not (isinstance(document, list) and all(isinstance(row, list) for row in document)):
            continue
        text = "\n".join(("," if form.dump is dump_csv else "\t").join(map(str, row)) for row in document)
        path = form.write(tmp_path, text.encode("utf-8", "surrogatepass"))
        read(form, path)
        read(form, path, {"default": "skip"})
    for cell in cells:
        path = form.write(tmp_path, form.valid().replace(b"text", cell.encode("utf-8", "surrogatepass"), 1))
        read(form, path)


@pytest.mark.parametrize("name", list(FORMATS))
@FAST
@given(data=st.data())
def test_bytes_changed_anywhere(tmp_path: Path, name: str, data: st.DataObject) -> None:
    form = FORMATS[name]
    content = bytearray(form.valid())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content)))
        match data.draw(st.sampled_from(("flip", "cut", "insert"))):
            case "flip" if at < len(content):
                content[at] = data.draw(st.integers(0, 255))
            case "cut":
                del content[at : at + data.draw(st.integers(1, 20))]
            case _:
                content[at:at] = data.draw(st.binary(min_size=1, max_size=6))
    path = form.write(tmp_path, bytes(content))
    read(form, path)
    read(form, path, {"default": "skip"})


@pytest.mark.parametrize("name", list(FORMATS))
@FAST
@given(content=st.binary(max_size=60) | st.text(max_size=40).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_at_all(tmp_path: Path, name: str, content: bytes) -> None:
    form = FORMATS[name]
    read(form, form.write(tmp_path, content))
