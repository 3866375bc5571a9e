"""A large file whose download breaks off is taken up by the next command where it stopped, and never spoilt by that."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import published
import pytest
from hub import faults
from hub.http_side import TOKEN
from hub.server import HubServer
from huggingface_hub import HfFileMetadata, constants
from huggingface_hub.utils import XetFileData

from qakit import hub as client
from qakit import hub_downloads
from qakit.errors import HubError

NAME = "owner/model"
WEIGHTS = random.Random(1).randbytes(100_000)
OTHER = random.Random(2).randbytes(100_000)
FILE = "model.safetensors"


@pytest.fixture(autouse=True)
def small_scale(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is large, and in what pieces it is written; and no waiting between the client's tries."""
    monkeypatch.setattr(hub_downloads, "LARGE", 10_000)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1_000)
    monkeypatch.setattr("time.sleep", lambda _: None)


@pytest.fixture
def broken(hub: HubServer) -> HubServer:
    """The hub, and a download of which half has arrived."""
    hub.publish(NAME, {"config.json": "{}", FILE: WEIGHTS})
    break_off(hub)
    return hub


def break_off(hub: HubServer) -> None:
    hub.inject(faults.TRUNCATED, "file", path=FILE)
    hub.inject(faults.DROPPED, "file", path=FILE, times=None)
    with pytest.raises(HubError, match=r"the connection broke .* what has arrived is kept"):
        fetch()
    hub.heal()
    hub.forget()


def fetch() -> bytes:
    """One command."""
    client._listing.cache_clear()
    subject = f"backbone {NAME!r}"
    return (client.snapshot(NAME, choose=list, subject=subject, complete=lambda held: FILE in held) / FILE).read_bytes()


def parts() -> list[Path]:
    return sorted(Path(constants.HF_HUB_CACHE).rglob(f"*{hub_downloads.PART}"))


def begun_at(hub: HubServer) -> list[int]:
    """The first byte that each request for the large file asked for."""
    return [one.first for one in hub.asked if (one.what, one.path) == ("file", FILE)]


def test_the_next_command_fetches_what_is_missing_and_nothing_else(broken: HubServer) -> None:
    (part,) = parts()
    had = part.stat().st_size
    assert part.read_bytes() == WEIGHTS[:had] and 40_000 <= had < 60_000
    assert fetch() == WEIGHTS
    assert begun_at(broken) == [had]
    assert 100_000 - had <= broken.sent < 60_000  # with the small file's and the hub's own answers
    assert not parts()
    broken.forget()
    assert fetch() == WEIGHTS
    assert not begun_at(broken)


def test_it_may_break_as_often_as_it_likes(broken: HubServer) -> None:
    sizes = [part.stat().st_size for part in parts()]
    for _ in range(3):
        break_off(broken)
        sizes += [part.stat().st_size for part in parts()]
    assert sizes == sorted(set(sizes)) and len(sizes) == 4
    assert fetch() == WEIGHTS


def test_progress_goes_on_from_what_is_there(broken: HubServer) -> None:
    had = parts()[0].stat().st_size
    told: list[client.Progress] = []
    with client.reporting(told.append):
        fetch()
    of_weights = [each for each in told if FILE in each.what]
    assert had < of_weights[0].done < had + 2_000
    assert (of_weights[-1].done, of_weights[-1].total) == (100_000, 100_000)


def test_a_spoilt_partial_file_is_told_once_and_then_fetched_anew(broken: HubServer) -> None:
    (part,) = parts()
    part.write_bytes(bytes([part.read_bytes()[0] ^ 1]) + part.read_bytes()[1:])
    with pytest.raises(HubError, match=rf"^backbone '{NAME}': {FILE} arrived damaged \(sha256 .*; give the command"):
        fetch()
    assert not parts()
    broken.forget()
    assert fetch() == WEIGHTS
    assert begun_at(broken) == [0]


def test_another_revisions_partial_file_is_not_used(broken: HubServer) -> None:
    broken.publish(NAME, {"config.json": "{}", FILE: OTHER})
    assert fetch() == OTHER
    assert begun_at(broken) == [0]
    broken.publish(NAME, {"config.json": "{}", FILE: WEIGHTS})
    broken.forget()
    assert fetch() == WEIGHTS
    assert begun_at(broken) != [0]


def test_a_partial_file_that_is_too_long_begins_anew(broken: HubServer) -> None:
    parts()[0].write_bytes(WEIGHTS + b"x")
    assert fetch() == WEIGHTS
    assert begun_at(broken) == [0]


def test_a_partial_file_that_was_whole_is_only_checked(broken: HubServer) -> None:
    parts()[0].write_bytes(WEIGHTS)
    assert fetch() == WEIGHTS
    assert begun_at(broken) == []


def test_a_link_in_its_place_is_not_written_through(broken: HubServer, tmp_path: Path) -> None:
    (part,) = parts()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"mine")
    part.unlink()
    part.symlink_to(elsewhere)
    assert fetch() == WEIGHTS
    assert elsewhere.read_bytes() == b"mine"


def test_a_server_without_ranges_sends_all_of_it_again(broken: HubServer) -> None:
    broken.inject(faults.WHOLE, "file", path=FILE)
    assert fetch() == WEIGHTS
    assert len(begun_at(broken)) == 1


@pytest.mark.parametrize("status", [403, 416])
def test_what_the_storage_refuses_is_fetched_as_the_client_does(broken: HubServer, status: int) -> None:
    broken.inject(faults.refusal(status), "file", path=FILE)
    assert fetch() == WEIGHTS
    assert len(begun_at(broken)) == 2 and begun_at(broken)[-1] == 0


def test_a_busy_server_leaves_the_partial_file(broken: HubServer) -> None:
    had = parts()[0].stat().st_size
    broken.inject(faults.UNAVAILABLE, "file", path=FILE, times=None)
    with pytest.raises(HubError, match=r"answers with an error \(503\)"):
        fetch()
    broken.heal()
    broken.forget()
    assert fetch() == WEIGHTS
    assert begun_at(broken) == [had]


def test_processes_that_want_the_same_file_wait_for_one(hub: HubServer) -> None:
    hub.publish(NAME, {"config.json": "{}", FILE: WEIGHTS})
    hub.inject(faults.STALLED, "file", path=FILE)
    came: list[bytes] = []
    both = [threading.Thread(target=lambda: came.append(fetch())) for _ in range(2)]
    both[0].start()
    assert hub.blocked.wait(20)
    both[1].start()
    threading.Event().wait(0.3)  # for the second to come so far
    hub.heal()
    for each in both:
        each.join(20)
    assert came == [WEIGHTS, WEIGHTS]
    assert begun_at(hub) == [0]


def test_a_full_disk_is_named_and_what_arrived_stays(broken: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("huggingface_hub.file_download.http_get", full)
        with pytest.raises(HubError, match=rf"cannot write .*{hub_downloads.PART}: No space left on device"):
            fetch()
    assert fetch() == WEIGHTS
    assert begun_at(broken)[-1] > 40_000


def test_anothers_partial_file_is_left_alone(broken: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(hub_downloads, "_opened", closed)
    assert fetch() == WEIGHTS
    assert begun_at(broken) == [0]


def test_partial_files_that_nobody_takes_up_are_given_up(broken: HubServer) -> None:
    (old,) = parts()
    then = time.time() - (hub_downloads.KEPT_DAYS + 1) * 86_400
    broken.publish("owner/another", {FILE: OTHER})
    client.snapshot("owner/another", choose=list, subject="backbone")
    assert old.exists()
    os.utime(old, (then, then))
    broken.publish("owner/third", {FILE: OTHER})
    client.snapshot("owner/third", choose=list, subject="backbone")
    assert not old.exists()


def test_the_storage_does_not_see_the_token(hub: HubServer, set_hub: Callable[..., None]) -> None:
    hub.publish(NAME, {"config.json": "{}", FILE: WEIGHTS}, gated=True)
    set_hub(HF_TOKEN=TOKEN)
    assert fetch() == WEIGHTS
    assert {one.path: one.authorization for one in hub.asked if one.what == "file"} == {
        "config.json": True,
        FILE: False,
    }


def test_files_that_the_client_would_fetch_by_the_xet_protocol_come_over_http(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.publish(NAME, {FILE: WEIGHTS})
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    url = f"{hub.url}/{NAME}/resolve/main/{FILE}"
    sha256 = hub.revision(NAME).files[FILE].etag
    xet = XetFileData(file_hash="0" * 64, refresh_route=f"{hub.url}/refresh")
    metadata = HfFileMetadata("a" * 40, sha256, url, len(WEIGHTS), xet)
    assert hub_downloads.bring(url, metadata, tmp_path / "models--owner--model", {})
    assert len(begun_at(hub)) == 1


def test_a_hub_that_does_not_answer_for_a_file_is_given_up_after_one_try(
    hub: HubServer, set_hub: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_hub(HF_HUB_ETAG_TIMEOUT="1")
    monkeypatch.setattr(client, "SECONDS", 1)
    hub.publish(NAME, {"config.json": "{}", FILE: WEIGHTS})
    hub.inject(faults.HANG, "head", times=None)
    with pytest.raises(HubError, match=r"cannot be reached, or the connection broke \(ReadTimeout\)"):
        fetch()
    assert sum(one.what == "head" for one in hub.asked) == 1


@pytest.mark.slow
@pytest.mark.usefixtures("forked_python")
def test_a_command_that_was_killed_in_a_download_is_taken_up_by_the_next(
    hub: HubServer, hub_environment: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    """Nothing is set smaller here: 30 MB, of which half come before the kill, and the first 10 MB are written."""
    question, context = "Where is Normandy?", "Normandy is a region in France."
    folder = published.publish("Bert", [question, context], tmp_path / "model", vocabulary=230_000)
    size = (folder / FILE).stat().st_size
    assert size > 29_000_000
    hub.publish(NAME, folder)
    command = [sys.executable, "-m", "qakit", "ask", NAME, question, "-c", context, "--json"]
    hub.inject(faults.STALLED, "file", path=FILE)
    process = subprocess.Popen(command, env=hub_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert hub.blocked.wait(120)
        deadline = time.monotonic() + 20
        while not any(part.stat().st_size >= 10_000_000 for part in parts()) and time.monotonic() < deadline:
            threading.Event().wait(0.05)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    (part,) = parts()
    had = part.stat().st_size
    assert had >= 10_000_000
    hub.heal()
    done = subprocess.run(command, env=hub_environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["answer"] in context
    assert begun_at(hub) == [0, had]
    assert hub.sent < 1.5 * size
    assert not parts()


def test_what_broke_off_between_small_files_is_no_copy_in_the_cache(hub: HubServer) -> None:
    """A tokenizer without its settings would be another one."""
    hub.publish(NAME, {"config.json": "{}", "tokenizer.json": "[]", "tokenizer_config.json": "1"})
    hub.inject(faults.DROPPED, "file", path="tokenizer_config.json", times=None)
    for _ in range(2):
        client._listing.cache_clear()
        with pytest.raises(HubError, match="the connection broke"):
            client.snapshot(NAME, choose=list, subject="backbone", complete=lambda held: "config.json" in held)
    hub.heal()
    found = client.snapshot(NAME, choose=list, subject="backbone")
    hub.publish(NAME, {"config.json": "{}", "new.json": "2"})
    hub.inject(faults.DROPPED, "file", path="new.json", times=None)
    client._listing.cache_clear()
    assert client.snapshot(NAME, choose=list, subject="backbone", revision=found.name) == found  # whole: it still does
