"""What a file can be instead of the data: each case is one clear line that names the file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from qakit.api import DataError

GOOD = b'{"data": []}'
BROKEN = {
    "empty": (b"", "the file is empty"),
    "blank": (b" \n\n", "the file is empty"),
    "lfs": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n",
        "is a Git LFS pointer.*git lfs pull",
    ),
    "html": (b"\n<!DOCTYPE html><html><body>Sign in</body></html>", r"is a web page \(HTML\)"),
    "text": (b"Not found", "is not JSON: it begins with 'N'"),
    "gzip": (b"\x1f\x8b\x08\x00", "the gzip file stops short"),
    "zip": (b"PK\x03\x04xx", "is a zip archive"),
    "utf16": ("{}".encode("utf-16"), "is UTF-16; save it as UTF-8"),
    "latin1": (b'{"data": "caf\xe9"}', r"byte 13 of the file \(0xe9\) is not UTF-8"),
    "truncated": (b'{"data": [\n  {"a": 1', r"stops short at line 2, column 10"),
    "cut string": (b'{"data": ["abc', r"is not valid JSON at line 1, column 11|stops short"),
    "comma": (b'{"data": [1,,2]}', r"is not valid JSON at line 1, column 13"),
    "json lines": (
        b'{"a": 1}\n{"a": 2}\n',
        "second JSON value at line 2, column 1; for JSON Lines use the table reader",
    ),
    "deep": (b"[" * 100_000, "nested too deeply|stops short"),
    "huge number": (b'{"data": ' + b"9" * 5000 + b"}", "thousands of digits"),
}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("reader", ["squad", "hw7", "adl"])
def test_broken_file_is_one_clear_line(name, reader, tmp_path, read):
    content, message = BROKEN[name]
    path = tmp_path / "data.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read(reader, path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file_and_folder(tmp_path, read):
    with pytest.raises(DataError, match=r"none\.json: there is no such file"):
        read("squad", tmp_path / "none.json")
    with pytest.raises(DataError, match="is a folder; name a file in it"):
        read("squad", tmp_path)


def test_byte_order_mark_is_accepted(tmp_path, read):
    path = tmp_path / "data.json"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD)
    assert read("squad", path)[0] == ()


@pytest.mark.parametrize("reader", ["squad", "hw7", "adl"])
@pytest.mark.parametrize("top", [None, 1, "text", True, [1], {"questions": 3}, {"data": {}}])
def test_wrong_shape_at_the_top(reader, top, write_json, tmp_path, read):
    (tmp_path / "context.json").write_text("[]")
    with pytest.raises(DataError, match=re.escape(str(tmp_path))):
        read(reader, write_json(top))


def test_a_file_of_another_format_is_recognised(write_json, read):
    with pytest.raises(DataError, match="this looks like the hw7 format"):
        read("squad", write_json({"questions": [], "paragraphs": []}))
    with pytest.raises(DataError, match="this looks like the adl format"):
        read("squad", write_json([{"paragraphs": [1]}]))
    with pytest.raises(DataError, match="this looks like the squad format"):
        read("hw7", write_json({"data": []}))
    with pytest.raises(DataError, match="a list of 1; this looks like the squad format"):
        read("adl", write_json([{"context": "x", "qas": []}]))


def test_unreadable_file_names_the_reason(tmp_path, read):
    path = Path(tmp_path / "file" / "below")
    path.parent.write_text("x")
    with pytest.raises(DataError, match="cannot be read: Not a directory"):
        read("squad", path)
