"""A competition's data arrive whole or not at all."""

from __future__ import annotations

import hashlib
import io
import json
import stat
import zipfile
from pathlib import Path

import faults
import pytest
from bench import Bench
from faults import Fault
from leftovers import left_behind

DOWNLOAD = ("kaggle", "download", "-c", "qa-cup", "-o", "data")


def files(bench: Bench) -> dict[str, bytes]:
    """What lies in the folder, without the manifest."""
    folder = bench.folder / "data"
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if name != "kaggle-manifest.json"}


def check_nothing_else(bench: Bench) -> None:
    """No archive and no temporary folder is left beside it."""
    names = {path.name for path in bench.folder.iterdir()}
    assert names <= {"data", "submission.csv", "sample_submission.csv"}
    assert not [path for path in bench.folder.parent.rglob("*") if path.name == "evil.txt"]


def archive(*members: tuple[zipfile.ZipInfo | str, bytes]) -> bytes:
    """A zip with exactly these members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in members:
            packed.writestr(name, content)
    return buffer.getvalue()


def link(name: str) -> zipfile.ZipInfo:
    """A symbolic link."""
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


def damaged() -> bytes:
    """A zip whose content does not fit its checksum."""
    whole = bytearray(archive(("train.csv", bytes(range(256)) * 40)))
    whole[60] ^= 0xFF
    return bytes(whole)


UNSAFE = {
    "above the folder": archive(("good.csv", b"x"), ("../evil.txt", b"x")),
    "far above the folder": archive(("a/../../../evil.txt", b"x")),
    "absolute": archive(("/tmp/evil.txt", b"x")),
    "backslashes": archive(("..\\evil.txt", b"x")),
    "a link": archive((link("evil.txt"), b"/etc/passwd")),
    "damaged": damaged(),
    "cut off": archive(("train.csv", b"x" * 5000))[:-30],
    "no zip": b"<html>not a zip</html>",
    "a bomb": archive(("zeros.csv", b"0" * (80 << 20))),
}


def test_files_and_manifest(bench: Bench) -> None:
    done = bench.run(*DOWNLOAD)
    assert done.code == 0, done.err
    assert files(bench) == bench.server.state.competitions["qa-cup"].files
    manifest = json.loads((bench.folder / "data" / "kaggle-manifest.json").read_text("utf-8"))
    for name, content in files(bench).items():
        assert manifest["files"][name] == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    check_nothing_else(bench)


def test_unchanged_files_are_not_fetched_again(bench: Bench) -> None:
    competition = bench.server.state.competitions["qa-cup"]
    for changes in (0, 0, 1):
        if changes:
            competition.files["test.csv"] += b"q9,what is new?\n"
        assert bench.run(*DOWNLOAD).code == 0
    assert bench.server.calls("DownloadDataFiles") == 2
    assert files(bench) == competition.files
    (bench.folder / "data" / "test.csv").write_text("edited", "utf-8")
    assert bench.run(*DOWNLOAD).code == 0
    assert files(bench) == competition.files, "a damaged file is fetched again"


@pytest.mark.sweep(4)
@pytest.mark.slow
@pytest.mark.parametrize("fault", faults.ALL, ids=lambda fault: fault.name)
@pytest.mark.parametrize("method", ["ListDataFiles", "DownloadDataFiles", "GET"])
def test_a_fault_once_and_for_good(method: str, fault: Fault, bench: Bench) -> None:
    if fault.kind == "hang":
        bench.env["QAKIT_KAGGLE_TIMEOUT"] = "0.25"
    bench.server.inject(method, fault, times=None)
    done = bench.run(*DOWNLOAD)
    if method == "ListDataFiles" and fault is faults.NOT_OBJECT:
        assert done.code == 0, "an empty list: the archive comes all the same"
        return
    assert done.code in (2, 4), done.out
    assert sum(line.startswith("error: ") for line in done.err.splitlines()) == 1
    assert files(bench) == {}
    check_nothing_else(bench)
    if fault in faults.REFUSALS and fault.status != 200:
        assert bench.server.calls(method) == 1
    bench.server.heal()
    if fault not in faults.REFUSALS:
        bench.server.inject(method, fault)
    once = bench.run(*DOWNLOAD)
    if method == "ListDataFiles" or fault.status != 200 or fault.kind != "answer":
        assert once.code == 0, "a reading is tried again"
    bench.server.heal()
    assert bench.run(*DOWNLOAD).code == 0
    assert files(bench) == bench.server.state.competitions["qa-cup"].files
    check_nothing_else(bench)


def test_a_download_that_breaks_off_begins_again(bench: Bench) -> None:
    bench.server.inject("GET", faults.TRUNCATED)
    done = bench.run(*DOWNLOAD)
    assert done.code == 0, done.err
    assert files(bench) == bench.server.state.competitions["qa-cup"].files
    assert bench.server.calls("GET") == 2
    bench.server.inject("GET", faults.TRUNCATED, times=None)
    bench.server.state.competitions["qa-cup"].files["test.csv"] += b"more\n"
    before = files(bench)
    assert bench.run(*DOWNLOAD).code == 4
    assert files(bench) == before, "the old files stay"
    check_nothing_else(bench)


@pytest.mark.parametrize("content", UNSAFE.values(), ids=UNSAFE)
def test_archives_that_must_not_be_unpacked(content: bytes, bench: Bench) -> None:
    assert bench.run(*DOWNLOAD).code == 0
    before = files(bench)
    competition = bench.server.state.competitions["qa-cup"]
    competition.archive = content
    done = bench.run(*DOWNLOAD, "--force")
    assert done.code == 2, done.text
    assert done.err.count("\n") == 1
    assert files(bench) == before
    check_nothing_else(bench)
    competition.archive = None
    assert bench.run(*DOWNLOAD, "--force").code == 0


def test_own_files_are_not_replaced(bench: Bench) -> None:
    (bench.folder / "data").mkdir()
    own = bench.write("data/thesis.txt", "years of work")
    done = bench.run(*DOWNLOAD)
    assert done.code == 2
    assert "thesis.txt" in done.err
    assert own.read_text("utf-8") == "years of work"


def test_the_folder_itself_is_no_place_for_a_download(bench: Bench) -> None:
    (bench.folder / "empty").mkdir()
    for place in ("empty/..", "."):
        done = bench.run("kaggle", "download", "-c", "qa-cup", "-o", place)
        assert done.code == 2
        assert "choose another --output" in done.err


def test_what_a_killed_download_left_is_removed_by_the_next_one(bench: Bench) -> None:
    """Also where nothing is new, so that nothing is fetched."""
    assert bench.run(*DOWNLOAD).code == 0
    left = [left_behind(bench.folder / name) for name in ("data", "data-archive")]
    for path in (bench.folder / ".data.old", *left):
        path.mkdir()
        (path / "test.csv").write_text("id\n", "utf-8")
    assert bench.run(*DOWNLOAD).code == 0
    assert bench.server.calls("DownloadDataFiles") == 1
    assert files(bench) == bench.server.state.competitions["qa-cup"].files
    check_nothing_else(bench)


@pytest.mark.slow
def test_killed_after_every_write_to_the_disk(bench: Bench) -> None:
    assert bench.run(*DOWNLOAD).code == 0
    for number in range(1, 100):
        competition = bench.server.state.competitions["qa-cup"]
        before = files(bench)
        competition.files["test.csv"] += b"q,more\n"
        done = bench.run(*DOWNLOAD, fsync=number, torn=False)
        folder = bench.folder / "data"
        if folder.is_dir():
            assert files(bench) in (before, competition.files), "the old files or the new ones"
        assert bench.run(*DOWNLOAD).code == 0
        assert files(bench) == competition.files
        check_nothing_else(bench)
        if done.code == 0:
            break
    assert number > 3


def test_rules_not_accepted(bench: Bench) -> None:
    bench.server.state.competitions["qa-cup"].entered = False
    done = bench.run(*DOWNLOAD)
    assert done.code == 4
    assert "https://www.kaggle.com/competitions/qa-cup/rules" in done.err
    assert not Path(bench.folder / "data").exists()
