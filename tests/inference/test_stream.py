"""Many files into a folder: whole files or none, each once, whatever ends the work in between."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from answered_shards import FirstWords, answer, begun, contents, write_shard, write_shards
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qakit import files
from qakit.errors import DataError, OutputError, RunError
from qakit.inference.stream import StoppedError
from qakit.inference.stream_folder import AnswerFolder, Identity
from qakit.inference.stream_inputs import FORMS, Form, Shard, find_shards
from qakit.recipe.model import DataSection, Recipe
from qakit.registry import Registry


@pytest.fixture(scope="module")
def run(registry: Registry, nameless: Recipe) -> Callable[..., FirstWords]:
    """``run(before=...)``."""
    return lambda **options: FirstWords(nameless, registry, **options)


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """Three files of 5, 3 and 4 questions."""
    return write_shards(tmp_path / "in", a=5, b=3, c=4)


def test_each_file_is_answered_in_blocks(home: Path, run: Any, shards: Path, tmp_path: Path) -> None:
    trained, told = run(), []
    tally = answer(home, trained, shards, tmp_path / "out", block=2, listener=lambda each: told.append(each.examples))
    assert trained.calls == [2, 2, 1, 2, 1, 2, 2]
    assert (tally.answered, tally.skipped, tally.examples, tally.bytes_left) == (3, 0, 12, 0)
    assert 0 < tally.last_finished <= tally.seconds < 600
    assert told == sorted(told)
    assert (told[0], told[-1]) == (0, 12)
    lines = contents(tmp_path / "out")["b.jsonl"].decode().splitlines()
    assert [json.loads(line)["answer"] for line in lines] == ["because"] * 3
    record = json.loads((tmp_path / "out" / "_progress" / "done" / "b.jsonl.json").read_text())
    assert (record["input"], record["examples"]) == (str(shards / "b.csv"), 3)


def test_finished_files_are_not_done_again(home: Path, run: Any, shards: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    answer(home, run(), shards, output)
    before = {file: file.stat() for file in output.glob("*.jsonl")}
    (output / "b.jsonl").unlink()  # asks for it again
    (output / "c.jsonl").write_bytes(b"damaged")
    os.utime(shards / "a.csv", ns=(1, 1))  # the same bytes under another time
    trained = run()
    tally = answer(home, trained, shards, output)
    assert (trained.calls, tally.answered, tally.skipped) == ([3, 4], 2, 1)
    now = (output / "a.jsonl").stat()
    assert (now.st_ino, now.st_mtime_ns) == (before[output / "a.jsonl"].st_ino, before[output / "a.jsonl"].st_mtime_ns)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(1, 7), max_size=4), st.sampled_from(FORMS), st.integers(0, 10**9))
def test_a_kill_at_any_block_costs_that_file_only(
    home: Path, run: Any, shards: Path, tmp_path: Path, kills: list[int], form: Form, number: int
) -> None:
    whole, broken = tmp_path / f"whole-{form}", tmp_path / f"broken-{number}-{'-'.join(map(str, kills))}-{form}"
    answer(home, run(), shards, whole, block=2, form=form)
    for kill in kills:
        before = {file.name: file.stat().st_ino for file in broken.glob(f"*.{form}")}
        child = os.fork()
        if child == 0:  # pragma: no cover - in the other process

            def end(call: int, at: int = kill) -> None:
                if call == at:
                    os.kill(os.getpid(), signal.SIGKILL)

            answer(home, run(before=end), shards, broken, block=2, form=form)
            os._exit(0)
        os.waitpid(child, 0)
        found = contents(broken)
        complete = {name for name in found if name.endswith(f".{form}") and not name.startswith(".")}
        assert before.items() <= {name: (broken / name).stat().st_ino for name in complete}.items()
        assert all(found[name] == contents(whole)[name] for name in complete)
    answer(home, run(), shards, broken, block=2, form=form)
    assert contents(broken) == contents(whole)  # the killed ones' temporary files are gone, too


def test_nothing_of_a_block_is_kept(home: Path, run: Any, tmp_path: Path) -> None:
    peaks = []
    for rows in (200, 200, 3200):  # the first fills what Python itself keeps
        source = tmp_path / str(len(peaks)) / "a.csv"
        source.parent.mkdir()
        write_shard(source, [f"{row:09},why,because {row:09}" for row in range(rows)])
        trained = run()
        tracemalloc.start()
        answer(home, trained, source, tmp_path / f"out-{len(peaks)}", block=50)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] - peaks[1] < 3000 * 20  # bytes; an id alone takes more than 50


def test_what_was_asked_to_stop_stops_in_the_file(home: Path, run: Any, shards: Path, tmp_path: Path) -> None:
    asked: list[int] = []
    trained = run(before=lambda call: asked.append(signal.SIGTERM) if call == 4 else None)
    with pytest.raises(StoppedError, match="stopped by SIGTERM") as caught:
        answer(home, trained, shards, tmp_path / "out", block=2, stopping=lambda: asked[0] if asked else 0)
    assert caught.value.exit_code == 143
    assert set(contents(tmp_path / "out")) == {"a.jsonl"}


def test_it_stops_while_a_file_is_hashed(home: Path, run: Any, tmp_path: Path) -> None:
    """Before any record is read: this file has none."""
    source, asked = tmp_path / "a.csv", iter([0])
    source.write_text("no table at all")
    with pytest.raises(StoppedError, match="stopped by SIGINT"):
        answer(home, run(), source, tmp_path / "out", stopping=lambda: next(asked, signal.SIGINT))


def test_it_stops_while_what_is_answered_is_compared(home: Path, run: Any, shards: Path, tmp_path: Path) -> None:
    answer(home, run(), shards, tmp_path / "out")
    for file in shards.iterdir():
        os.utime(file, ns=(1, 1))
    with pytest.raises(StoppedError):
        answer(home, run(), shards, tmp_path / "out", stopping=lambda: signal.SIGINT)


def test_a_large_file_is_hashed_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "HASHED_AT_A_TIME", 3)
    file, asked = tmp_path / "a", [0]
    file.write_bytes(b"abcdefgh")
    assert files.file_sha256(file, lambda: asked.append(1)) == hashlib.sha256(b"abcdefgh").hexdigest()
    assert sum(asked) == 3


def test_a_changed_input_is_refused_before_any_work(home: Path, run: Any, shards: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    answer(home, run(), shards, output)
    (output / "a.jsonl").unlink()
    text = (shards / "c.csv").read_text()
    (shards / "c.csv").write_text(text.replace("why", "how"))
    os.utime(shards / "c.csv", ns=(1, 1))
    trained = run()
    with pytest.raises(DataError) as caught:
        answer(home, trained, shards, output)
    assert str(caught.value) == (
        f"{shards / 'c.csv'}: has changed since {output / 'c.jsonl'} was answered: delete that to have it answered "
        "again, or give --overwrite to begin anew"
    )
    assert trained.calls == []
    (output / "c.jsonl").unlink()
    assert answer(home, trained, shards, output).answered == 2


def test_a_changed_file_of_contexts_counts_as_a_changed_input(home: Path, run: Any, tmp_path: Path) -> None:
    source, texts = tmp_path / "in", tmp_path / "in" / "context.json"
    source.mkdir()
    (source / "a.jsonl").write_text('[{"id": "1", "question": "why", "paragraphs": [0]}]', "utf-8")
    texts.write_text('["because it rains"]', "utf-8")
    first = run()
    data = DataSection.model_validate({"reader": {"name": "adl", "contexts": "context.json"}, "train": "none"})
    trained = replace(first, recipe=first.recipe.model_copy(update={"data": data}))
    assert answer(home, trained, source / "a.jsonl", tmp_path / "out").answered == 1
    os.utime(texts, ns=(1, 1))
    assert answer(home, trained, source / "a.jsonl", tmp_path / "out").skipped == 1
    texts.write_text('["because it snows"]', "utf-8")
    with pytest.raises(DataError) as caught:
        answer(home, trained, source / "a.jsonl", tmp_path / "out")
    assert str(caught.value).startswith(f"{texts}: has changed since {tmp_path / 'out' / 'a.jsonl'} was answered")


def test_an_input_that_changes_while_it_is_read(home: Path, run: Any, shards: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.csv: was changed while it was read; run the same command again"):
        answer(home, run(before=lambda _: os.utime(shards / "a.csv", ns=(1, 1))), shards, tmp_path / "out")
    assert contents(tmp_path / "out") == {}


def test_the_folder_of_another_run_is_refused(home: Path, run: Any, shards: Path, tmp_path: Path) -> None:
    output, weights = tmp_path / "out", home / "run" / "model" / "model.safetensors"
    answer(home, run(), shards, output)
    weights.write_bytes(b"others")
    try:
        with pytest.raises(
            RunError, match="holds the answers of other weights of the run run: choose another --output"
        ):
            answer(home, run(), shards, output)
        with pytest.raises(RunError, match="holds the answers of other weights"):
            answer(home, run(), shards, output, form="csv")
        (shards / "c.csv").unlink()
        assert answer(home, run(), shards, output, overwrite=True).answered == 2
        assert set(contents(output)) == {"a.jsonl", "b.jsonl"}
    finally:
        weights.write_bytes(b"weights")


def test_a_folder_with_other_files_is_left_alone(home: Path, run: Any, shards: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is not empty, and its files are no answers of qakit"):
        answer(home, run(), shards, shards.parent, overwrite=True)
    assert set(contents(tmp_path)) == {"in/a.csv", "in/b.csv", "in/c.csv"}


def test_damaged_progress_says_so(home: Path, run: Any, shards: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    answer(home, run(), shards, output)
    (output / "_progress" / "done" / "b.jsonl.json").write_text("{")
    with pytest.raises(RunError, match=r"b\.jsonl\.json is damaged: .*; give --overwrite to begin anew"):
        answer(home, run(), shards, output)
    assert answer(home, run(), shards, output, overwrite=True).answered == 3


def test_a_bad_file_stops_or_is_passed_over(home: Path, run: Any, shards: Path, tmp_path: Path) -> None:
    write_shard(shards / "b.csv", ["b0,why,because", "b1,why", "b2,why,because"])
    problem = f"{shards / 'b.csv'}, line 3: the row has 2 cells where the header has 3"
    with pytest.raises(DataError) as caught:
        answer(home, run(), shards, tmp_path / "out")
    assert str(caught.value).startswith(problem)
    assert set(contents(tmp_path / "out")) == {"a.jsonl"}
    tally = answer(home, run(), shards, tmp_path / "out", keep_going=True)
    assert (tally.answered, tally.skipped, tally.examples) == (1, 1, 4)
    assert list(tally.failed) == [str(shards / "b.csv")]
    assert tally.failed[str(shards / "b.csv")].startswith(problem)
    assert set(contents(tmp_path / "out")) == {"a.jsonl", "c.jsonl"}


def test_no_record_is_left_out_where_training_would_skip_it(home: Path, run: Any, shards: Path, tmp_path: Path) -> None:
    write_shard(shards / "b.csv", ["b0,why,", "b1,why,", "b2,why,because"])
    tally = answer(home, run(), shards, tmp_path / "out", block=2)
    assert contents(tmp_path / "out")["b.jsonl"].count(b"\n") == 3
    assert [line.split(" (first")[0] for line in tally.warnings] == [f"{shards / 'b.csv'}: empty_context: 2 kept"]


def test_the_same_id_in_one_block_is_judged_in_two_it_is_not_known(
    home: Path, run: Any, shards: Path, tmp_path: Path
) -> None:
    write_shard(shards / "b.csv", ["b0,why,because", "b1,why,because", "b0,why,because"])
    with pytest.raises(DataError, match="the id of example 3 was there before, in this file"):
        answer(home, run(), shards, tmp_path / "one", block=3)
    assert answer(home, run(), shards, tmp_path / "two", block=2).examples == 12


def test_a_full_disk_leaves_no_half_file(home: Path, run: Any, shards: Path, tmp_path: Path) -> None:
    def full(call: int) -> None:
        if call == 2:
            raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match="No space left on device"):
        answer(home, run(before=full), shards, tmp_path / "out", keep_going=True)
    assert set(contents(tmp_path / "out")) == {"a.jsonl"}


def test_two_processes_never_have_the_same_file(home: Path, run: Any, shards: Path, tmp_path: Path) -> None:
    trained, other = run(), run()
    output = tmp_path / "out"
    folder = begun(home, trained, output, form="jsonl")
    held: Shard = find_shards([str(shards)], output, form="jsonl")[1]
    with folder.claim(held) as ours, folder.claim(held) as again:
        assert (ours, again) == (True, False)
        tally = answer(home, trained, shards, output)
    assert (tally.answered, tally.elsewhere, trained.calls) == (2, 1, [5, 4])
    assert answer(home, other, shards, output).skipped == 2
    assert other.calls == [3]


def test_a_file_that_another_process_gives_up_is_done_in_the_end(
    home: Path, run: Any, shards: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    folder = begun(home, run(), output, form="jsonl")
    claim = folder.claim(find_shards([str(shards)], output, form="jsonl")[0])
    claim.__enter__()
    trained = run(before=lambda call: claim.__exit__(None, None, None) if call == 2 else None)
    tally = answer(home, trained, shards, output)
    assert (trained.calls, tally.answered, tally.elsewhere) == ([3, 4, 5], 3, 0)


def test_a_folder_that_was_begun_anew_takes_no_old_answers(home: Path, run: Any, shards: Path, tmp_path: Path) -> None:
    output, weights = tmp_path / "out", home / "run" / "model" / "model.safetensors"

    def begin_anew(call: int) -> None:
        if call == 1:
            weights.write_bytes(b"others")
            begun(home, run(), output, overwrite=True, form="jsonl")

    try:
        with pytest.raises(RunError, match="holds the answers of other weights"):
            answer(home, run(before=begin_anew), shards, output)
        assert contents(output) == {}
    finally:
        weights.write_bytes(b"weights")


@pytest.mark.parametrize("place", ["_progress/done", "sub"])
def test_an_answer_folder_with_a_link_that_leads_out_is_refused(tmp_path: Path, place: str) -> None:
    """Beginning anew removes answers, and somebody else's files may lie behind the link."""
    private = tmp_path / "private"
    private.mkdir()
    (private / "package.json").write_text("{}")
    link = tmp_path / "answers" / place
    link.parent.mkdir(parents=True)
    (tmp_path / "answers" / "_progress").mkdir(exist_ok=True)
    link.symlink_to(private)
    folder = AnswerFolder(tmp_path / "answers", Identity("run", "0", "0", None))
    with pytest.raises(RunError, match="is a link that leads out of "):
        folder.begin(overwrite=True)
    assert (private / "package.json").is_file()
