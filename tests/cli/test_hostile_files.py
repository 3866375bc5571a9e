"""Damaged data files through the commands: exit code 2, one line on stderr, no traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "hostile"))

from data_files import BY_NAME
from formats import CONTEXT

NAMES = (
    "Git LFS pointer",
    "web page",
    "empty",
    "gzip cut off",
    "UTF-16",
    "100,000 brackets",
    "cut in half",
    "a text",
    "null",
)
MEGABYTE = 1 << 20
PROGRAM = """
import sys
from qakit.cli import main
sys.argv = ["qakit", "data", "check", *sys.argv[1:]]
try:
    main()
finally:
    (peak,) = (line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    print("peak", peak.split()[1], file=sys.stderr)
"""
"""``qakit data check``, and the most memory that it held, in KiB (``ru_maxrss`` would begin at the parent's)."""
COPIES = {"json": 3.0, "jsonl": 5.5, "csv": 8.5}
"""How often a context may lie in memory, its bytes and its text counted: half a copy more than it does. CSV takes most:
the parser of Python's csv module gathers a cell in four bytes for each character."""


def qakit(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("name", NAMES)
def test_the_data_doctor_refuses(invoke: Any, tmp_path: Path, name: str) -> None:
    case = next(case for case in BY_NAME[name] if case.form.name == "squad")
    path = case.form.write(tmp_path, case.content)
    result = invoke("data", "check", path, "--reader", "squad")
    assert result.exit_code == 2
    assert "unreadable" in result.output and case.says in " ".join(result.output.split())
    assert "Traceback" not in result.output


@pytest.mark.parametrize("name", NAMES)
def test_training_refuses(invoke: Any, small_recipe: Path, tmp_path: Path, name: str) -> None:
    case = next(case for case in BY_NAME[name] if case.form.name == "squad")
    path = case.form.write(tmp_path, case.content)
    result = invoke("train", small_recipe, "--set", f"data.train={path}", "--output", tmp_path / "run")
    assert result.exit_code == 2
    message = str(result.exception)
    assert message.startswith(str(path)) and len(message.splitlines()) == 1 and case.says in message
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_nobody_sees_a_traceback(tmp_path: Path) -> None:
    """The whole program, as a user starts it."""
    case = next(case for case in BY_NAME["a key twice"] if case.form.name == "squad")
    (tmp_path / "data.json").write_bytes(b"[" * 100_000)
    done = qakit(tmp_path / "data.json", "--reader", "squad")
    assert done.returncode == 2 and "Traceback" not in done.stdout + done.stderr
    done = qakit(case.form.write(tmp_path, case.content), "--reader", "squad")
    assert done.returncode == 0 and "Traceback" not in done.stdout + done.stderr


def write_one_question(folder: Path, form: str, context: str) -> tuple[Path, tuple[str, ...]]:
    """A file with the context on one line, and the options of its reader."""
    path = folder / f"data.{form}"
    if form == "json":
        question = {"id": "q", "question": "Where?", "answers": [{"text": "Pevensey", "answer_start": 0}]}
        path.write_text(json.dumps({"data": [{"paragraphs": [{"context": context, "qas": [question]}]}]}), "utf-8")
        return path, ("squad",)
    row = json.dumps({"q": "Where?", "c": context}) + "\n" if form == "jsonl" else f"q,c\nWhere?,{context}\n"
    path.write_text(row, "utf-8")
    return path, ("table", "--reader-set", "question=q", "--reader-set", "context=c")


def peak_of_reading(path: Path, reader: tuple[str, ...]) -> int:
    """In bytes; the file holds one example."""
    done = qakit(path, "--reader", *reader)
    assert done.returncode == 0, done.stderr
    assert "1 examples" in done.stdout and "Traceback" not in done.stderr
    return int(done.stderr.rsplit("peak ", 1)[1]) * 1024


@pytest.mark.sweep(3)
@pytest.mark.slow
@pytest.mark.parametrize("form", COPIES)
def test_twenty_megabytes_on_one_line(tmp_path: Path, form: str) -> None:
    """A context of 20 MB is read in a small multiple of its size: another copy of it would be too much."""
    empty = peak_of_reading(*write_one_question(tmp_path, form, CONTEXT))
    path, reader = write_one_question(tmp_path, form, "word " * (4 * MEGABYTE) + CONTEXT)
    size = path.stat().st_size
    assert size > 20_000_000
    assert peak_of_reading(path, reader) - empty < COPIES[form] * size
