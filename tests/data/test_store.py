"""The token store and its cache."""

from __future__ import annotations

import copy
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from leftovers import left_behind
from transformers import PreTrainedTokenizerFast

from qakit.data import store as stores
from qakit.data.cache import TOKENS
from qakit.data.store import TokenStore, build_store
from qakit.data.template import kept_copy

TEXTS = ["William landed at Pevensey.", "台北市是首都。", "", "William landed at Pevensey.", " ", "naïve café 👩‍👧"]


def texts_of(store: TokenStore) -> list[tuple[list[int], list[list[int]]]]:
    return [
        (store.ids[a:b].tolist(), store.offsets[a:b].tolist())
        for a, b in zip(store.pointers, store.pointers[1:], strict=False)
    ]


def entries(cache: Path) -> list[Path]:
    return sorted((cache / TOKENS).iterdir())


def test_each_distinct_text_once_in_order(tokenizer: PreTrainedTokenizerFast) -> None:
    store, rows = build_store(iter(TEXTS), tokenizer)
    assert rows.tolist() == [0, 1, 2, 0, 3, 4]
    assert len(store) == 5
    for text, row in zip(TEXTS, rows, strict=True):
        expected = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        ids, offsets = texts_of(store)[row]
        assert ids == expected["input_ids"]
        assert offsets == [list(offset) for offset in expected["offset_mapping"]]
    assert store.lengths.tolist() == [len(ids) for ids, _ in texts_of(store)]


@pytest.mark.parametrize("cached", [False, True])
def test_no_texts(bert_tokenizer: PreTrainedTokenizerFast, tmp_path: Path, cached: bool) -> None:
    for _ in range(2):
        store, rows = build_store([], bert_tokenizer, cache=tmp_path if cached else None)
        assert len(store) == 0 and len(rows) == 0
        assert store.ids.shape == (0,) and store.offsets.shape == (0, 2)


def test_many_texts_take_the_same_way_as_few(
    tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [f"{text} number {i}" for i in range(20) for text in TEXTS]
    few, _ = build_store(texts, tokenizer)
    monkeypatch.setattr(stores, "MANY_CHARACTERS", 0)
    many, _ = build_store(texts, tokenizer)
    assert texts_of(few) == texts_of(many)


@pytest.mark.parametrize("many", [False, True])
def test_a_separator_in_a_text_is_one_for_the_tokenizer_that_has_it(
    tokenizer: PreTrainedTokenizerFast, many: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As transformers reads it; what other tokenizers have for one is text."""
    monkeypatch.setattr(stores, "MANY_CHARACTERS", 0 if many else 10**9)
    own = tokenizer.sep_token
    other = "</s>" if own == "[SEP]" else "[SEP]"
    store, rows = build_store([f"land {own} water", f"land {other} water"], tokenizer)
    ids = [texts_of(store)[row][0] for row in rows]
    assert ids[0].count(tokenizer.sep_token_id) == 1
    assert not set(ids[1]) & set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    assert ids == [tokenizer(f"land {each} water", add_special_tokens=False)["input_ids"] for each in (own, other)]


def test_the_tokenizer_stays_as_it_is(bert_tokenizer: PreTrainedTokenizerFast) -> None:
    backend = bert_tokenizer.backend_tokenizer
    expected = texts_of(build_store(TEXTS, bert_tokenizer)[0])
    backend.enable_truncation(2)
    backend.enable_padding(length=5)
    try:
        state = backend.to_str()
        assert texts_of(build_store(TEXTS, bert_tokenizer)[0]) == expected
        assert backend.to_str() == state
    finally:
        backend.no_truncation()
        backend.no_padding()


def test_lone_surrogates_keep_their_place(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    broken, clean = "land \ud83d at", "land \ufffd at"
    store, _ = build_store([broken, clean], tokenizer, cache=tmp_path)
    assert texts_of(store)[0] == texts_of(store)[1]


def test_progress_reaches_the_end(make_tokenizer: Callable[[str], PreTrainedTokenizerFast], tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    texts = [f"text {i}" for i in range(2500)]
    tokenizer = make_tokenizer("roberta")
    build_store(texts, tokenizer, cache=tmp_path, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (2500, 2500)
    assert seen == sorted(seen) and len(seen) > 1


# -------------------------------------------------------------------------------------------------------------- cache
def test_the_second_time_nothing_is_tokenised(
    bert_tokenizer: PreTrainedTokenizerFast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, first_rows = build_store(TEXTS, bert_tokenizer, cache=tmp_path)
    monkeypatch.setattr(stores, "_tokenise", lambda *_: pytest.fail("tokenised again"))
    second, second_rows = build_store(TEXTS, bert_tokenizer, cache=tmp_path)
    assert texts_of(first) == texts_of(second) == texts_of(build_in_memory(bert_tokenizer, monkeypatch))
    assert first_rows.tolist() == second_rows.tolist()
    assert isinstance(second.ids.base, np.memmap) or isinstance(second.ids.base.base, np.memmap)
    assert [entry.name for entry in entries(tmp_path)] == [entries(tmp_path)[0].name]  # no temporary folder stays


def build_in_memory(tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch) -> TokenStore:
    monkeypatch.undo()
    return build_store(TEXTS, tokenizer)[0]


def test_other_texts_or_another_tokenizer_are_another_entry(
    make_tokenizer: Callable[[str], PreTrainedTokenizerFast], tmp_path: Path
) -> None:
    for texts, style in (
        (["ab", "c"], "bert"),
        (["a", "bc"], "bert"),
        (["c", "ab"], "bert"),
        (["ab", "c"], "roberta"),
    ):
        build_store(texts, make_tokenizer(style), cache=tmp_path)
    assert len(entries(tmp_path)) == 4


def damage_cut(entry: Path) -> None:
    os.truncate(entry / "ids", (entry / "ids").stat().st_size - 4)


def damage_flip(entry: Path) -> None:
    content = bytearray((entry / "offsets").read_bytes())
    content[5] ^= 1
    (entry / "offsets").write_bytes(content)


def damage_missing(entry: Path) -> None:
    (entry / "pointers").unlink()


def damage_manifest(entry: Path) -> None:
    (entry / stores.MANIFEST).write_bytes(b"\xff{")


def damage_no_manifest(entry: Path) -> None:
    (entry / stores.MANIFEST).unlink()


def damage_not_a_folder(entry: Path) -> None:
    for file in entry.iterdir():
        file.unlink()
    entry.rmdir()
    entry.write_text("a file")


@pytest.mark.parametrize(
    "damage",
    [damage_cut, damage_flip, damage_missing, damage_manifest, damage_no_manifest, damage_not_a_folder],
)
def test_a_damaged_entry_is_rebuilt(
    bert_tokenizer: PreTrainedTokenizerFast, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    expected = texts_of(build_store(TEXTS, bert_tokenizer)[0])
    build_store(TEXTS, bert_tokenizer, cache=tmp_path)
    (entry,) = entries(tmp_path)
    damage(entry)
    assert stores.load(entry) is None
    store, _ = build_store(TEXTS, bert_tokenizer, cache=tmp_path)
    assert texts_of(store) == expected
    assert entries(tmp_path) == [entry]
    assert stores.load(entry) is not None


def test_a_failure_leaves_nothing(bert_tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    def fail(_: int, __: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_store(TEXTS, bert_tokenizer, cache=tmp_path, progress=fail)
    assert entries(tmp_path) == []


def test_a_disk_that_cannot_be_written_is_no_obstacle(
    bert_tokenizer: PreTrainedTokenizerFast, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with caplog.at_level(logging.WARNING):
        store, _ = build_store(TEXTS, bert_tokenizer, cache=blocked / "cache")
    assert texts_of(store) == texts_of(build_store(TEXTS, bert_tokenizer)[0])
    assert "tokens stay in memory" in caplog.text


def test_leftovers_of_killed_processes_go(bert_tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    left = left_behind(tmp_path / TOKENS / ("0" * 32))
    (left / "entry").mkdir(parents=True)
    build_store(TEXTS, bert_tokenizer, cache=tmp_path)
    assert not left.exists()


def test_the_faster_process_wins(tmp_path: Path) -> None:
    """Both write; the second finds the first one's entry in place and takes it."""

    def write(files: stores.Files) -> None:
        files.ids.write(np.array([5, 6], np.int32).tobytes())
        files.offsets.write(np.array([[0, 1], [1, 2]], np.int32).tobytes())
        files.pointers.write(np.array([0, 2], np.int64).tobytes())

    def slow(files: stores.Files) -> None:
        stores.publish(tmp_path / TOKENS / "entry", write)
        write(files)

    arrays = stores.publish(tmp_path / TOKENS / "entry", slow)
    assert arrays.ids.tolist() == [5, 6]
    assert [entry.name for entry in entries(tmp_path)] == ["entry"]


def test_two_processes_at_once(bert_tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    folder, cache = tmp_path / "tokenizer", tmp_path / "cache"
    bert_tokenizer.save_pretrained(folder)
    program = f"""
import json, sys
from pathlib import Path
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast
from qakit.data.store import build_store
tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_file({str(folder / "tokenizer.json")!r}))
store, rows = build_store([f"text {{i}}" for i in range(3000)], tokenizer, cache=Path({str(cache)!r}))
print(json.dumps([int(store.ids.sum()), int(store.offsets.sum()), len(store)]))
"""
    processes = [subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    results = [json.loads(process.communicate(timeout=120)[0].splitlines()[-1]) for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert results[0] == results[1] and results[0][2] == 3000
    assert len(entries(cache)) == 1


def test_a_tokenizer_is_copied_again_only_when_it_has_changed(bert_tokenizer: PreTrainedTokenizerFast) -> None:
    tokenizer = copy.deepcopy(bert_tokenizer)
    first = kept_copy(tokenizer)
    assert kept_copy(tokenizer) is first
    tokenizer.add_tokens(["entirely-new"])
    second = kept_copy(tokenizer)
    assert second is not first
    assert second.size == first.size + 1
    assert second.fingerprint != first.fingerprint
    tokenizer.split_special_tokens = True
    assert kept_copy(tokenizer).backend.encode_special_tokens
