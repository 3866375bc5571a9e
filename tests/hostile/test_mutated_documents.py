"""Wrong values in the cells of tables, and files of any bytes: examples, or a refusal in one line.

Wrong values in documents, and bytes changed anywhere, are lines of the table in ``hostile_table.py``.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from formats import FORMATS, dump_csv, read
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import WRONG, mutants

FAST = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


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
@given(content=st.binary(max_size=60) | st.text(max_size=40).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_at_all(tmp_path: Path, name: str, content: bytes) -> None:
    form = FORMATS[name]
    read(form, form.write(tmp_path, content))
