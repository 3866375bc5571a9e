"""Streams as systems hand them out: with few characters, closed, full, or without a reader."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qakit.cli import main
from qakit.cli.terminal.console import out, plain, print_json
from qakit.cli.terminal.harmless import show_logged_warnings
from qakit.cli.terminal.streams import SteadyStream, lost_output, steady_streams

NARROW = ("cp1252", "latin-1", "ascii", "big5", "cp950", "gbk")
"""What Python uses on Windows for pipes and files, or with such a locale."""
CONTEXT = "清水寺位於東山🍰，由延鎮上人創建。Café"
GOLD = {
    "data": [
        {
            "title": "t",
            "paragraphs": [
                {
                    "context": CONTEXT,
                    "qas": [{"id": "é誰🍰", "question": "誰？", "answers": [{"text": "空海", "answer_start": 3}]}],
                }
            ],
        }
    ]
}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "gold.json").write_text(json.dumps(GOLD), "utf-8")
    (tmp_path / "answers.json").write_text(json.dumps({"é誰🍰": "空海", "其他": ""}), "utf-8")
    (tmp_path / "壞.yaml").write_text("壞🍰: 1\n", "utf-8")
    return tmp_path


def narrow(encoding: str, monkeypatch: pytest.MonkeyPatch, name: str = "stdout") -> io.BytesIO:
    """One of the process's streams as a pipe of that encoding; what is written comes out of the bytes."""
    held = io.BytesIO()
    monkeypatch.setattr(sys, name, io.TextIOWrapper(held, encoding=encoding, write_through=True))
    return held


def run(arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> int:
    """``main`` with that command line; its exit code."""
    monkeypatch.setattr(sys, "argv", ["qakit", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


@pytest.mark.parametrize("encoding", NARROW)
def test_no_command_fails_for_a_character_that_the_stream_lacks(
    encoding: str, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gold, answers = str(files / "gold.json"), str(files / "answers.json")
    commands = {
        ("plugins",): 0,
        ("data", "check", "--reader", "squad", gold): 0,
        ("score", "-m", "squad_v1", "-g", gold, "-p", answers): 0,
        ("recipes", "validate", str(files / "壞.yaml")): 2,
        ("runs", "show", "壞🍰"): 2,
        ("study", "reference"): 0,
        ("--help",): 0,
    }
    for arguments, code in commands.items():
        written, told = narrow(encoding, monkeypatch), narrow(encoding, monkeypatch, "stderr")
        assert run(arguments, monkeypatch) == code, arguments
        assert written.getvalue() + told.getvalue()
        assert "Traceback" not in told.getvalue().decode(encoding)


@pytest.mark.parametrize("encoding", NARROW)
def test_json_for_programs_holds_the_same_texts_in_every_encoding(
    encoding: str, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for each in (encoding, "utf-8"):
        written = narrow(each, monkeypatch)
        assert run(("data", "check", "--reader", "squad", str(files / "gold.json"), "--json"), monkeypatch) == 0
        found.append(json.loads(written.getvalue().decode(each)))
    assert found[0] == found[1]
    assert "空海" in json.dumps(found[0], ensure_ascii=False)


@given(st.text(), st.sampled_from(NARROW))
def test_any_text_comes_through_json(text: str, encoding: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        written = narrow(encoding, patch)
        steady_streams()
        print_json({"text": text})
        document = written.getvalue().decode(encoding)
        out.print(plain(text))
    assert json.loads(document) == {"text": text}


def test_lines_of_tables_are_what_the_stream_has(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = narrow("cp1252", monkeypatch)
    run(("data", "check", "--reader", "squad", str(files / "gold.json")), monkeypatch)
    text = written.getvalue().decode("cp1252")
    assert "---+---" in text and "\\u2500" not in text


def command(arguments: str, redirections: str) -> subprocess.CompletedProcess[str]:
    """``qakit`` through a shell."""
    line = f'"{sys.executable}" -m qakit {arguments} {redirections}'
    return subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("arguments", ["plugins", "plugins --json", "--help"])
def test_a_full_stdout_is_one_line_and_not_success(arguments: str) -> None:
    ended = command(arguments, ">/dev/full")
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: cannot write to stdout: No space left on device; what the command printed")
    assert ended.stderr.count("\n") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_stderr_ends_no_command() -> None:
    code = (
        "from qakit.cli.terminal.streams import steady_streams; steady_streams()\n"
        "from qakit.cli.terminal.console import print_warning\n"
        "for _ in range(2000): print_warning('x' * 50)\n"
        "print('done')"
    )
    line = ["sh", "-c", 'exec "$0" -c "$1" 2>/dev/full', sys.executable, code]
    ended = subprocess.run(line, stdout=subprocess.PIPE, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (0, "done\n")


def test_a_stream_that_somebody_closed_takes_everything() -> None:
    written = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    stream = SteadyStream(written)
    assert (stream.write("abc"), stream.encoding) == (3, "ascii")
    written.close()
    assert stream.write("abc") == 3
    stream.flush()


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell")
@pytest.mark.parametrize("redirections", [">&-", ">&- 2>&- <&-", "2>&-", "| true"])
def test_closed_streams_and_readers_that_leave_end_no_command(redirections: str) -> None:
    ended = command("plugins", redirections)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_closed_stream_is_not_the_next_file() -> None:
    """What a library prints would go into it."""
    code = (
        "from qakit.cli.terminal.streams import steady_streams; import os, sys; steady_streams(); "
        "sys.exit(os.open(sys.executable, os.O_RDONLY) < 3)"
    )
    line = f'exec "{sys.executable}" -c "{code}" <&- >&- 2>&-'
    assert subprocess.run(["sh", "-c", line], timeout=60, check=False).returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_command_goes_on_when_its_stream_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    with Path("/dev/full").open("w", encoding="utf-8", buffering=1) as full:
        monkeypatch.setattr(sys, "stdout", SteadyStream(full))
        assert lost_output() is None
        assert [sys.stdout.write("one\n"), sys.stdout.write("two\n")] == [4, 4]
        assert "No space left" in str(lost_output())


def test_what_libraries_log_and_warn_of_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    """transformers logs what a configuration holds, through a handler of its own."""
    show_logged_warnings()
    logger = logging.getLogger("somebody.elses")
    handler = logging.StreamHandler(sys.stderr)
    logger.addHandler(handler)
    try:
        logger.warning("the model type %s\x1b]0;evil\x07", "\x9b2J\u202e")
    finally:
        logger.removeHandler(handler)
    assert capsys.readouterr().err == "the model type \\x9b2J\\u202e\\x1b]0;evil\\x07\n"
    assert warnings.formatwarning("\x1b[31mred", UserWarning, "a.py", 3) == "a.py:3: UserWarning: \\x1b[31mred\n"


@pytest.mark.skipif(sys.platform == "win32", reason="needs symbolic links")
@pytest.mark.parametrize(
    "arguments",
    [
        ("compare", "loop", "loop"),
        ("ensemble", "loop", "loop", "-o", "a.csv"),
        ("train", "x" * 300),
        ("runs", "show", "x" * 300),
        ("score", "-m", "squad_v1", "-g", "loop", "-p", "loop"),
    ],
    ids=lambda arguments: " ".join(arguments)[:20],
)
def test_paths_that_the_system_refuses_are_one_line(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    assert run(arguments, monkeypatch) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ") and told.count("\n") == 1
