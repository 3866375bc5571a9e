"""A run's own JSON files, damaged in every way that a disk or a person damages files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mutations import places

BROKEN = {
    "empty": b"",
    "cut off": b'{"a": ',
    "not JSON": b"\x89PNG\r\n\x1a\n",
    "not UTF-8": b'{"a": "\xff"}',
    "a list": b"[1, 2]",
    "null": b"null",
    "a number": b"1",
    "an empty object": b"{}",
    "100,000 brackets": b"[" * 100_000,
    "100,000 braces": b'{"a":' * 100_000,
    "a number of 5,000 digits": b'{"step": ' + b"9" * 5_000 + b"}",
    "a web page": b"<!DOCTYPE html><html></html>",
    "a Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
}
"""Contents that no file of a run has."""
WRONG: tuple[Any, ...] = (None, "x", -1, 10**400, [], {"a": 1})
FILES = (
    "meta.json",
    "metrics.json",
    "metrics.jsonl",
    "timings.jsonl",
    "model/qakit.json",
    "model/config.json",
    "model/decision.json",
    "model/tokenizer_config.json",
    "model/tokenizer.json",
    "predictions/meta.json",
    "predictions/nbest.jsonl",
    "predictions/validation/nbest.jsonl",
)


def broken(file: Path) -> Iterator[tuple[str, bytes]]:
    """What is wrong, and the file's content with it."""
    yield from BROKEN.items()
    yield "cut in half", file.read_bytes()[: file.stat().st_size // 2]
    if file.suffix == ".json" and file.stat().st_size < 100_000:
        document = json.loads(file.read_bytes())
        for at in places(document):
            if 0 < len(at) <= 2:
                for value in WRONG:
                    yield f"{'.'.join(map(str, at))} is {str(value)[:10]}", _with(document, at, value)
    elif file.suffix == ".jsonl":
        first, rest = file.read_bytes().split(b"\n", 1)
        for key in json.loads(first):
            for value in WRONG:
                yield (
                    f"{key} is {str(value)[:10]}",
                    json.dumps(json.loads(first) | {key: value}).encode() + b"\n" + rest,
                )


def _with(document: Any, at: tuple[Any, ...], value: Any) -> bytes:
    changed = json.loads(json.dumps(document))
    parent = changed
    for key in at[:-1]:
        parent = parent[key]
    parent[at[-1]] = value
    return json.dumps(changed).encode()
