"""A training whose messages nobody takes any more goes on, and no file is taken for its standard error."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from qakit.cli import streams

SAY = "import logging, sys, warnings; from qakit.cli.streams import keep_going_without_stderr as keep; keep()\n"
MUCH = SAY + (
    "from qakit.cli.console import print_error, print_warning\n"
    "for _ in range(2000):\n"
    "    print_warning('x' * 50), print_error('y'), sys.stderr.write('z'), sys.stderr.flush(), warnings.warn(str(_))\n"
    "logging.getLogger('other').error('w')\n"
    "print('done')\n"
)


def run(code: str, stderr: object, shell_end: str = "") -> subprocess.CompletedProcess[str]:
    command = ["sh", "-c", f'exec "$0" -c "$1" {shell_end}', sys.executable, code]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=stderr, text=True, check=False)  # type: ignore[call-overload, no-any-return]


def test_a_pipe_that_is_closed() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    ended = run(MUCH, writing)
    os.close(writing)
    assert (ended.returncode, ended.stdout) == (0, "done\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_disk_that_is_full() -> None:
    with Path("/dev/full").open("w") as full:
        ended = run(MUCH, full)
    assert (ended.returncode, ended.stdout) == (0, "done\n")


def test_no_file_takes_the_place_of_a_closed_standard_error(tmp_path: Path) -> None:
    code = SAY + (
        f"import os; file = open({str(tmp_path / 'weights')!r}, 'w'); os.write(2, b'a warning')\n"
        "file.write('weights'); file.flush()\n"
        "sys.stderr.write('more'); print('done')\n"
    )
    ended = run(code, None, "2>&-")
    assert (ended.returncode, ended.stdout) == (0, "done\n")
    assert (tmp_path / "weights").read_text("utf-8") == "weights"


def test_what_is_written_is_written_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stderr", stream)
    streams.keep_going_without_stderr()
    assert sys.stderr.write("abc") == 3
    assert sys.stderr.encoding == "ascii"
    with pytest.raises(UnicodeEncodeError):
        sys.stderr.write("é")
    sys.stderr.flush()
    assert stream.buffer.getvalue() == b"abc"  # type: ignore[attr-defined]
    stream.close()
    assert sys.stderr.write("abc") == 3
