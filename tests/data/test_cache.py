"""The user's cache: whose it is, how large it may be, what goes first."""

from __future__ import annotations

import json
import os
import stat
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from qakit.data import cache as caches
from qakit.data.cache import DATASETS, TOKENS, WEIGHTS, clear, default_cache, entries, limit_bytes, open_room, prune
from qakit.data.store import build_store
from qakit.errors import UsageError

DAY = 24 * 3600


def put(cache: Path, number: int, *, size: int, days: float, room: str = TOKENS) -> Path:
    """An entry that was last used so many days ago."""
    path = open_room(cache, room) / (f"{number:032x}" if room == TOKENS else f"{number:064x}.safetensors")
    if room == TOKENS:
        path.mkdir()
        (path / "ids").write_bytes(bytes(size))
    else:
        path.write_bytes(bytes(size))
    then = time.time() - days * DAY
    os.utime(path, (then, then))
    return path


def test_each_user_has_a_cache_that_nobody_else_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QAKIT_CACHE", str(tmp_path / "shared"))
    assert default_cache() == tmp_path / "shared" / f"user-{os.getuid()}"
    open_room(default_cache(), TOKENS)
    assert stat.S_IMODE(default_cache().stat().st_mode) == 0o700
    monkeypatch.setattr(os, "getuid", lambda: 1234)
    assert default_cache() == tmp_path / "shared" / "user-1234"


@pytest.mark.parametrize("kind", ["a link", "a room that is a link", "open to the group", "open to all"])
def test_a_cache_that_others_could_have_filled_is_neither_read_nor_cleared(
    tmp_path: Path, kind: str, tokenizer: PreTrainedTokenizerFast, caplog: pytest.LogCaptureFixture
) -> None:
    """What lies there answers for the texts: it must not be looked at before it is known whose it is."""
    cache = tmp_path / "shared" / "user-1"
    expected, _ = build_store(["a text"], tokenizer, cache=cache)
    assert len(entries(cache)) == 1
    if kind == "a link":
        cache.rename(tmp_path / "elsewhere")
        cache.symlink_to(tmp_path / "elsewhere")
    elif kind == "a room that is a link":
        (cache / TOKENS).rename(tmp_path / "elsewhere")
        (cache / TOKENS).symlink_to(tmp_path / "elsewhere")
    else:
        cache.chmod(0o770 if kind == "open to the group" else 0o707)
    caplog.clear()
    found, _ = build_store(["a text"], tokenizer, cache=cache)
    assert found.ids.tolist() == expected.ids.tolist()
    assert not isinstance(found.ids, np.memmap)
    (line,) = [each.getMessage() for each in caplog.records]
    assert "tokens stay in memory" in line
    assert clear(cache) == []
    with pytest.raises(PermissionError):
        open_room(cache, TOKENS)


def test_a_cache_that_somebody_else_has_put_there_is_not_used(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tokenizer: PreTrainedTokenizerFast,
    caplog: pytest.LogCaptureFixture,
) -> None:
    open_room(tmp_path / "user-1234", TOKENS)
    monkeypatch.setattr(os, "getuid", lambda: 1234)
    with pytest.raises(PermissionError, match="it belongs to another user"):
        open_room(tmp_path / "user-1234", TOKENS)
    build_store(["a text"], tokenizer, cache=tmp_path / "user-1234")
    assert "tokens stay in memory" in caplog.text
    assert entries(tmp_path / "user-1234") == []


def test_without_a_variable_and_without_a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QAKIT_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_cache().parent == tmp_path / ".cache" / "qakit"

    def nobody() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nobody)
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    assert default_cache().parent == tmp_path / "qakit-cache"


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QAKIT_CACHE_GB", "0.000001")  # 1,000 bytes
    old = put(tmp_path, 1, size=400, days=20)
    middle = put(tmp_path, 2, size=400, days=10, room=WEIGHTS)
    new = put(tmp_path, 3, size=400, days=0)
    prune(tmp_path)
    assert not old.exists()
    assert [entry.path for entry in entries(tmp_path)] == [middle, new]


def test_what_was_just_made_stays_whatever_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QAKIT_CACHE_GB", "0.000001")
    before, large = put(tmp_path, 1, size=10, days=1), put(tmp_path, 2, size=5000, days=2)
    prune(tmp_path, keep=large)
    assert large.exists()
    assert not before.exists()


def test_what_was_not_used_for_three_months_goes(tmp_path: Path) -> None:
    put(tmp_path, 1, size=1, days=caches.UNUSED_DAYS + 1)
    kept = put(tmp_path, 2, size=1, days=caches.UNUSED_DAYS - 1)
    prune(tmp_path)
    assert [entry.path for entry in entries(tmp_path)] == [kept]


def test_nothing_else_is_ever_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QAKIT_CACHE_GB", "0")
    gone = put(tmp_path, 1, size=9, days=1)
    for name in ("tokens/notes.txt", "weights/model.safetensors", "mine/0/file"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("a user's")
    prune(tmp_path)
    clear(tmp_path)
    assert not gone.exists()
    assert sum(path.is_file() for path in tmp_path.rglob("*")) == 3


def test_an_entry_that_is_used_is_kept_longer(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    for text in ("one", "two"):
        build_store([text], tokenizer, cache=tmp_path)
    first, second = (entry.path for entry in entries(tmp_path))
    for path in (first, second):
        os.utime(path, (time.time() - 5 * DAY,) * 2)
    build_store(["one"], tokenizer, cache=tmp_path)  # from the cache
    monkeypatch.setenv("QAKIT_CACHE_GB", "0.000000001")
    build_store(["three"], tokenizer, cache=tmp_path)
    (left,) = entries(tmp_path)
    assert left.path not in (first, second), "the one that was just made stays"


def test_tokens_that_are_in_use_stay_in_use(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    store, _ = build_store(["one text and another"], tokenizer, cache=tmp_path)
    before = np.array(store.ids)
    clear(tmp_path)
    assert np.array_equal(store.ids, before)


def test_a_limit_that_is_no_number_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("much", "-1", "nan", "1e999", "9" * 400):
        monkeypatch.setenv("QAKIT_CACHE_GB", text)
        with pytest.raises(UsageError, match="should be a number"):
            limit_bytes()
    monkeypatch.setenv("QAKIT_CACHE_GB", "1.5")
    assert limit_bytes() == 1_500_000_000


def test_the_command_shows_and_clears_every_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, invoke: Any) -> None:
    monkeypatch.setenv("QAKIT_CACHE", str(tmp_path))
    put(default_cache(), 1, size=100, days=0)
    put(default_cache(), 2, size=50, days=9)
    put(default_cache(), 3, size=1000, days=0, room=WEIGHTS)
    split = default_cache() / DATASETS / "hub--owner--name" / ("a" * 40) / "v1" / "_" / "train.parquet"
    split.parent.mkdir(parents=True)
    split.write_bytes(bytes(200))
    assert json.loads(invoke("cache", "show", "--json").stdout) == {
        "folder": str(default_cache()),
        "bytes": 1350,
        "limit_bytes": 20_000_000_000,
        "rooms": {
            "tokens": {"entries": 2, "bytes": 150},
            "weights": {"entries": 1, "bytes": 1000},
            "datasets": {"entries": 1, "bytes": 200},
        },
    }
    shown = invoke("cache", "show").stdout
    assert "tokens" in shown and "weights" in shown
    assert "removed 1 entries" in invoke("cache", "clear", "tokens", "--unused-days", "5").stdout
    assert json.loads(invoke("cache", "clear", "weights", "--json").stdout)["bytes"] == 1000
    assert "removed 2 entries" in invoke("cache", "clear").stdout
    assert entries(default_cache()) == []
    with pytest.raises(UsageError, match="it has tokens, weights and datasets"):
        raise invoke("cache", "clear", "models").exception


def test_nothing_behind_a_link_and_no_file_of_another_name_is_ever_removed(tmp_path: Path) -> None:
    own = tmp_path / "mydata"
    own.mkdir()
    (own / "hub--corpus").write_text("mine")
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / DATASETS).symlink_to(own)
    (cache / WEIGHTS).mkdir()
    (cache / WEIGHTS / "notes.txt").write_text("mine")
    assert entries(cache) == [] and clear(cache) == []
    prune(cache)
    assert (own / "hub--corpus").is_file() and (cache / WEIGHTS / "notes.txt").is_file()
