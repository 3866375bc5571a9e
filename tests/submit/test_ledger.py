"""The ledger: written before the deed, whole or not at all."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qakit.errors import DataError, OutputError, QakitError, SubmissionError
from qakit.submit.ledger import Ledger
from qakit.submit.record import STATES, Count, Record, new_id


def record(submit_id: str = "0123456789", **facts: object) -> Record:
    base = {"competition": "qa-cup", "sha256": "f" * 64, "bytes": 3, "rows": 1, "file": "a.csv"}
    base |= {"folder": f"20261130-101010-qa-cup-{submit_id}"}
    return Record(submit_id, **(base | facts)).to("INTENT")  # type: ignore[arg-type]


def written(ledger: Ledger, *records: Record) -> None:
    with ledger.locked():
        for each in records:
            ledger.append(each)


def test_the_last_line_of_a_submission_counts(tmp_path: Path) -> None:
    ledger, first, second = Ledger(tmp_path / "new"), record("a" * 10), record("b" * 10)
    assert ledger.read() == []
    done = first.to("CREATING", count=Count("2026-11-21", 1, 9)).to("CREATED", ref=7)
    written(ledger, first, second, done)
    assert ledger.read() == [done, second]
    assert ledger.find("a" * 10) == done
    assert ledger.find("c" * 10) is None
    assert len(ledger.file.read_text().splitlines()) == 3


def test_times_of_all_states_are_kept(tmp_path: Path) -> None:
    done = record().to("CREATING").to("CREATED", ref=1).to("COMPLETE", public=0.5)
    assert list(done.times) == ["INTENT", "CREATING", "CREATED", "COMPLETE"]
    assert all(text.endswith("+00:00") for text in done.times.values())
    written(Ledger(tmp_path), done)
    assert Ledger(tmp_path).read() == [done]


@pytest.mark.parametrize("text", ["Größe 大小 \u2028", "[qk:fake] ", "\ud800"])
def test_any_message_comes_back(tmp_path: Path, text: str) -> None:
    written(Ledger(tmp_path), record(message=text))
    [found] = Ledger(tmp_path).read()
    assert found.message == text.replace("\ud800", "?")


def test_killed_in_a_write_anywhere(tmp_path: Path) -> None:
    """A line without its end never counted; the next writer takes it off and goes on."""
    ledger, first, second = Ledger(tmp_path), record("a" * 10), record("b" * 10)
    written(ledger, first)
    whole = ledger.file.read_bytes()
    written(ledger, second)
    both = ledger.file.read_bytes()
    third = record("c" * 10)
    for end in (*range(len(whole), len(both), 13), len(both) - 1):
        ledger.file.write_bytes(both[:end])
        assert ledger.read() == [first]
        written(ledger, third)
        assert ledger.read() == [first, third]
        assert ledger.file.read_bytes().startswith(whole)


def test_a_line_longer_than_a_block_is_taken_off_whole(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    written(ledger, record("a" * 10))
    with ledger.file.open("ab") as file:
        file.write(b'{"message": "' + b"x" * 20_000)
    written(ledger, record("b" * 10))
    assert [each.submit_id for each in ledger.read()] == ["a" * 10, "b" * 10]


def test_a_first_line_that_was_cut_off(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.file.write_bytes(b'{"submit_id')
    assert ledger.read() == []
    written(ledger, record())
    assert len(ledger.read()) == 1


@pytest.mark.parametrize(
    "line",
    ["", "{", "[]", "null", '{"submit_id": "a"}', "\x00\x00", "\ufffd", '{"submit_id": 3}', "[" * 100_000],
)
def test_a_damaged_line_is_named(tmp_path: Path, line: str) -> None:
    ledger = Ledger(tmp_path)
    written(ledger, record("a" * 10), record("b" * 10))
    lines = ledger.file.read_text().splitlines()
    ledger.file.write_text("\n".join([lines[0], line, lines[1]]) + "\n")
    with pytest.raises(DataError, match=r"ledger\.jsonl, line 2: is damaged"):
        ledger.read()


@pytest.mark.parametrize(
    "change",
    [
        {"state": "DONE"},
        {"state": ["INTENT"]},
        {"times": []},
        {"times": {"INTENT": 3}},
        {"times": {"INTENT": "2026-11-30"}},
        {"times": {"SOON": "2026-11-30T10:10:10+00:00"}},
        {"count": {"day": 1}},
        {"count": {"day": "2026-11-30", "today": True, "total": 1}},
        {"count": {"day": "2026-11-30", "today": 1, "total": 10**400}},
        {"count": {"day": "soon", "today": 1, "total": 1}},
        {"count": [1, 2, 3]},
        {"sha256": None},
        {"sha256": "f" * 63},
        {"submit_id": "0123456789\n"},
        {"submit_id": "../../x"},
        {"competition": "qa-cup; rm -r ."},
        {"competition": 3},
        {"notebook": 7},
        {"notebook": "me/x@1; rm -r ."},
        {"run_id": ["x"]},
        {"metric": {"f1": 1}},
        {"kaggle_metric": 1},
        {"message": None},
        {"error": 5},
        {"versions": {"qakit": 1}},
        {"baselines": {"weak": "50"}},
        {"baselines": {"weak": True}},
        {"bytes": -1},
        {"rows": 1.5},
        {"rows": None},
        {"ref": "7"},
        {"ref": False},
        {"public": float("nan")},
        {"cv_mean": "80"},
        {"folder": "ledger.jsonl"},
        {"folder": ".lock"},
        {"folder": "data"},
        {"folder": "20261130-101010-qa-cup-ffffffffff"},
    ],
    ids=str,
)
def test_a_line_that_makes_no_sense_is_damaged(tmp_path: Path, change: dict[str, object]) -> None:
    ledger = Ledger(tmp_path)
    ledger.file.write_text(json.dumps(record().to_dict() | change) + "\n")
    with pytest.raises(DataError, match=r"line 1: is damaged: \w+") as caught:
        ledger.read()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "link out", "lock out"])
def test_what_is_no_ledger_is_refused_and_left_alone(tmp_path: Path, kind: str) -> None:
    ledger, victim = Ledger(tmp_path / "submissions"), tmp_path / "token"
    victim.write_text("no line end: all of it would be cut off")
    ledger.folder.mkdir()
    if kind == "pipe":
        os.mkfifo(ledger.file)
    elif kind == "folder":
        ledger.file.mkdir()
    elif kind == "device":
        ledger.file.symlink_to("/dev/zero")
    else:
        (ledger.file if kind == "link out" else ledger.folder / ".lock").symlink_to(victim)
    with pytest.raises(QakitError) as caught:
        ledger.read()
    assert "\n" not in str(caught.value)
    with pytest.raises(QakitError), ledger.locked():
        raise AssertionError("it was opened")
    assert victim.read_text() == "no line end: all of it would be cut off"


def test_keys_of_a_later_version_are_passed_over(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.file.write_text(json.dumps(record().to_dict() | {"novelty": 1}) + "\n")
    assert len(ledger.read()) == 1


def test_one_process_at_a_time(tmp_path: Path) -> None:
    ledger, waiting, order = Ledger(tmp_path), threading.Event(), []

    def second() -> None:
        with ledger.locked(on_wait=waiting.set):
            order.append("second")

    with ledger.locked():
        thread = threading.Thread(target=second)
        thread.start()
        assert waiting.wait(10)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]


def test_waiting_ends(tmp_path: Path) -> None:
    ledger, problems = Ledger(tmp_path), []

    def second() -> None:
        try:
            with ledger.locked(wait=0.05):
                pass
        except SubmissionError as problem:
            problems.append(problem)

    with ledger.locked():
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(10)
    assert [problem.exit_code for problem in problems] == [4]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError), Ledger(tmp_path / "file").locked():
        pass


def test_a_write_that_fails_leaves_the_ledger_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(tmp_path)
    written(ledger, record("a" * 10))
    before, write = ledger.file.read_bytes(), os.write

    def half_and_then_full(handle: int, data: memoryview) -> int:
        """The disk takes a hundred bytes more."""
        if len(data) > 200:
            return write(handle, bytes(data[:100]))
        raise OSError(28, "No space left on device")

    with ledger.locked():
        monkeypatch.setattr(os, "write", half_and_then_full)
        with pytest.raises(OutputError, match="No space left"):
            ledger.append(record("b" * 10, message="x" * 50))
        monkeypatch.undo()
    assert ledger.file.read_bytes() == before


def test_a_torn_line_goes_also_where_there_is_no_pread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pread", raising=False)  # as on Windows
    ledger = Ledger(tmp_path)
    written(ledger, record("a" * 10, message="x" * 6000))
    with ledger.file.open("ab") as file:
        file.write(b'{"half": "' + b"y" * 9000)
    written(ledger, record("b" * 10))
    assert [each.submit_id for each in ledger.read()] == ["a" * 10, "b" * 10]
    assert ledger.file.read_bytes().count(b"\n") == 2


@given(st.integers(0, 5), st.integers(0, 50), st.booleans())
def test_counts_of_the_same_moment_are_the_same(today: int, total: int, overnight: bool) -> None:
    before = Count("2026-11-21", today, total)
    later = Count("2026-11-22", 0, total) if overnight else before
    assert before.same_as(later)
    assert not before.same_as(Count(later.day, later.today + 1, total + 1))
    assert not before.same_as(Count(later.day, later.today + 1, total))


def test_ids_are_not_repeated() -> None:
    assert len({new_id() for _ in range(1000)}) == 1000
    assert record(new_id()).state in STATES


@pytest.mark.parametrize("field", ["folder", "file"])
@pytest.mark.parametrize("value", ["../victim", "/tmp/victim", "..", "", "a/b", "C:\\x", None, 7])
def test_a_line_that_names_a_place_outside_is_damaged(tmp_path: Path, field: str, value: object) -> None:
    line = record().to_dict() | {field: value}
    (tmp_path / "ledger.jsonl").write_text(json.dumps(line) + "\n", "utf-8")
    with pytest.raises(DataError, match=r"line 1.*is damaged: .*(file name|no str)"):
        Ledger(tmp_path).read()


@pytest.mark.parametrize(
    "change",
    [{"public": "high"}, {"ref": True}, {"cv_mean": float("nan")}, {"bytes": 10**400}, {"times": {"CREATED": "soon"}},
     {"baselines": []}, {"baselines": {"a": "b"}}, {"times": {"CREATED": 3}}],
    ids=str,
)  # fmt: skip
def test_a_line_with_a_value_of_another_type_is_damaged(tmp_path: Path, change: dict[str, object]) -> None:
    (tmp_path / "ledger.jsonl").write_text(json.dumps(record().to_dict() | change) + "\n", "utf-8")
    with pytest.raises(DataError, match=r"line 1.*is damaged"):
        Ledger(tmp_path).read()
