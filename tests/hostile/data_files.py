"""What real files throw at a reader: each kind of damage, and what must come of it in each format."""

from __future__ import annotations

import copy
import gzip
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from formats import CONTEXT, FORMATS, JSON_FORMATS, Format, Outcome, dump_lines

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
HTML = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>Please sign in</body></html>\n"
LONG = "word " * 26_400
"""A context of 132,000 characters, as some data sets have them."""


@dataclass(frozen=True, slots=True)
class Case:
    """A file as somebody's disk holds it."""

    name: str
    form: Format
    content: bytes
    outcome: Outcome
    """With the default policies."""
    says: str = ""
    """What a refusal's message holds."""


def cases() -> Iterator[Case]:
    """All cases, format by format."""
    for form in FORMATS.values():
        yield from _bytes_cases(form)
        if form.name != "parquet":
            yield from _text_cases(form)
        if form.name in JSON_FORMATS:
            yield from _json_cases(form)
    yield from _shape_cases()


def _bytes_cases(form: Format) -> Iterator[Case]:
    """Files that are something else altogether."""
    valid = form.valid()
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr(form.file, valid)

    def refused(name: str, content: bytes, says: str) -> Case:
        return Case(name, form, content, "refused", says)

    yield Case("valid", form, valid, "read")
    yield refused("Git LFS pointer", LFS, "git lfs pull")
    yield refused("web page", HTML, "web page")
    yield refused("empty", b"", "empty")
    yield refused("blanks only", b"  \n\n", "empty")
    if form.name == "parquet":
        yield refused("gzip", gzip.compress(valid), "gzip")
    else:
        yield Case("gzip", form, gzip.compress(valid), "read")
        yield refused("gzip twice", gzip.compress(gzip.compress(valid)), "twice")
        yield refused("gzip cut off", gzip.compress(valid)[:-9], "gzip file stops short")
        yield refused("gzip damaged", gzip.compress(valid)[:12] + bytes(9) + gzip.compress(valid)[21:], "damaged")
    yield refused("zip archive", archive.getvalue(), "zip")
    yield refused("plain text", b"Dear colleague,\nplease find the data attached.\n", "")
    yield refused("only NUL bytes", bytes(4096), "")
    yield refused("an image", b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "")
    if form.name != "parquet":
        yield refused("UTF-16", "\ufeff".encode("utf-16-le") + valid.decode().encode("utf-16-le"), "UTF-16")
        # squad reads the hub's Parquet files; this table has other columns
        yield refused(
            "Parquet",
            FORMATS["parquet"].valid(),
            "flat records" if form.name in ("squad", "hotpotqa", "triviaqa") else "Parquet",
        )
    yield refused("cut in half", valid[: len(valid) // 2], "")


def _text_cases(form: Format) -> Iterator[Case]:
    """Text files with bytes that are not expected."""
    valid = form.valid()
    yield Case("byte order mark", form, b"\xef\xbb\xbf" + valid, "read")
    yield Case("CRLF line ends", form, valid.replace(b"\n", b"\r\n"), "read")
    yield Case("ends within a character", form, valid.rstrip(b"\n") + "…".encode()[:2], "refused", "not UTF-8")
    yield Case("Latin-1 text", form, valid.replace(b"Where?", "Wo fällt?".encode("latin-1")), *_encoded(form))
    yield Case("zero-width and astral characters", form, _changed(form, "Where?", "W\u200bh\U0001f5fce\u0301?"), "read")
    yield Case("a context of 132,000 characters", form, _changed(form, "One text.", LONG, LONG + CONTEXT), "read")


def _encoded(form: Format) -> tuple[Outcome, str]:
    return ("read", "") if form.name == "glue" else ("refused", "not UTF-8")  # GLUE's document has no "Where?"


def _changed(form: Format, old: str, new: str, context: str = CONTEXT) -> bytes:
    """The valid document with one text replaced in all its strings, and the context by another."""

    def walk(value: Any) -> Any:
        if isinstance(value, str):
            return context if value == CONTEXT else value.replace(old, new)
        if isinstance(value, list):
            return [walk(item) for item in value]
        return {key: walk(item) for key, item in value.items()} if isinstance(value, dict) else value

    return form.dump(walk(form.document))


def _json_cases(form: Format) -> Iterator[Case]:
    """JSON that is odd."""
    valid, end = form.valid(), b"\n" if form.dump is dump_lines else b""
    many = 100_000
    yield Case("100,000 brackets", form, b"[" * many + b"]" * many + end, "refused", "nested too deeply")
    yield Case("100,000 braces", form, b'{"a":' * many + b"1" + b"}" * many + end, "refused", "nested too deeply")
    yield Case("a number of 5,000 digits", form, b'{"data": ' + b"9" * 5000 + b"}" + end, "refused", "digits")
    yield Case("NUL within a text", form, valid.replace(b"Where?", b"Whe\\u0000re?"), "read")
    yield Case("NUL byte within a text", form, valid.replace(b"Where?", b"Whe\x00re?"), "refused", "not valid JSON")
    yield Case("lone surrogate", form, valid.replace(b"Where?", b"Whe\\ud800re?"), "read")
    yield Case("lone surrogate in the id", form, _first_id(valid, b'"\\udfff"'), "read")
    yield Case("line separators within a text", form, valid.replace(b"Where?", "Whe\u2028re\u0085?".encode()), "read")
    missing = form.reader == "table"  # as in a data frame
    if b"19" in valid:
        yield Case("NaN for an offset", form, valid.replace(b"19", b"NaN"), "read" if missing else "refused")
    yield Case("the same id twice", form, _twice(form), "refused", "id")
    yield Case("a key twice", form, valid.replace(b'"id": ', b'"id": "x", "id": ', 1), "read")
    yield Case("a list where an object should be", form, json.dumps([[form.document]]).encode() + end, "refused")
    yield Case("an object where a list should be", form, json.dumps({"a": form.document}).encode() + end, "refused")
    yield Case("a text", form, b'"data"' + end, "refused")
    yield Case("null", form, b"null" + end, "refused")


def _first_id(valid: bytes, new: bytes) -> bytes:
    for old in (b'"q1"', b'"id": 1,'):
        if old in valid:
            return valid.replace(old, new if old == b'"q1"' else b'"id": ' + new + b",", 1)
    raise AssertionError("no id")


def _twice(form: Format) -> bytes:
    document = copy.deepcopy(form.document)
    questions = document
    for key in form.questions:
        questions = questions[key]
    questions.append(copy.deepcopy(questions[0]))
    return form.dump(document)


def _shape_cases() -> Iterator[Case]:
    """One format's document for another's reader, columns in another order, rows of another width."""
    for name in ("squad", "hw7", "adl"):
        for other in ("squad", "hw7", "adl"):
            if other != name:
                yield Case(f"a file of the {other} format", FORMATS[name], FORMATS[other].valid(), "refused")
    glue, tsv, table = FORMATS["glue"], FORMATS["tsv"], FORMATS["csv"]
    header, row = glue.document
    swapped = [header, [row[0], row[3], row[1], row[2]]]
    yield Case("columns swapped", glue, glue.dump(swapped), "refused", "are the columns in order?")
    yield Case("a cell too many", glue, glue.dump([header, [*row, "x"]]), "refused", "5 cells where 4")
    yield Case("a cell too few", glue, glue.dump([header, row[:3]]), "refused", "3 cells where 4")
    yield Case("a column twice", glue, glue.dump([[*header, "label"], [*row, "x"]]), "refused", "twice")
    yield Case("another task's columns", glue, b"sentence\tlabel\nx\t1\n", "refused", "needs the column")
    yield Case("no header", glue, glue.dump([row]), "refused", "needs the column")
    yield Case("an open quotation mark", table, table.valid().replace(b"Where?", b'"Where?'), "refused", "quotation")
    yield Case("another separator", table, table.valid().replace(b",", b";"), "refused", "there is no column")
    yield Case(
        "columns without a header", tsv, tsv.dump(tsv.document).split(b"\n", 1)[1] * 2, "refused", "there is no column"
    )


ALL: list[Case] = list(cases())
BY_NAME: dict[str, list[Case]] = {}
for _case in ALL:
    BY_NAME.setdefault(_case.name, []).append(_case)
