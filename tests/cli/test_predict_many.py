"""`qakit predict` of many files: the answers of one file, however it is cut and interrupted, in little memory."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from crew import Crew
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qakit.cli.predict.many import ManyOptions, is_many, own_share
from qakit.errors import DataError, UsageError
from qakit.inference.stream import answer_shards
from qakit.inference.stream_folder import AnswerFolder, Identity, content_sha256
from qakit.inference.stream_inputs import FORMS, Form, find_shards
from qakit.inference.trained import TrainedRun
from qakit.values import Prediction, SpanPrediction

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("forked_python")]

Row = dict[str, str]


@pytest.fixture(scope="session")
def table_run(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small run for questions in tables."""
    folder = tmp_path_factory.mktemp("table") / "run"
    shutil.copytree(small_run, folder)
    columns = "name: table\n    id: id\n    question: question\n    context: context\n"
    text = (folder / "recipe.yaml").read_text("utf-8").replace("name: squad\n    labelled: auto\n", columns)
    (folder / "recipe.yaml").write_text(text, "utf-8")
    return folder


@pytest.fixture(scope="session")
def rows(small_data: Path) -> list[Row]:
    """60 questions."""
    documents = [json.loads((small_data / f"{name}.json").read_text("utf-8")) for name in ("train", "dev")]
    return [
        {"id": question["id"], "question": question["question"], "context": paragraph["context"]}
        for document in documents
        for article in document["data"]
        for paragraph in article["paragraphs"]
        for question in paragraph["qas"]
    ]


def write_shard(path: Path, rows: Sequence[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(list(rows)), path, row_group_size=5)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    else:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


def read_shard(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        return list(pq.read_table(path).to_pylist())
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text("utf-8").split("\n")[:-1]]
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def check_same(row: dict[str, Any], prediction: Prediction) -> None:
    """The same up to the rounding of other batches: where two candidates are as good, either may come first."""
    assert isinstance(prediction, SpanPrediction)
    assert prediction.best is not None
    assert row["id"] == prediction.id
    assert float(row["score"]) == pytest.approx(prediction.best.score, abs=1e-4)
    assert float(row["probability"]) == pytest.approx(prediction.best.probability, abs=1e-4)
    as_good = [each for each in prediction.candidates if each.score > prediction.best.score - 1e-4]
    assert (row["answer"], int(row["start"]), int(row["end"])) in [
        (each.text, each.start, each.end) for each in as_good
    ]


def contents(folder: Path) -> dict[str, bytes]:
    files = [file for file in folder.rglob("*") if file.is_file() and "_progress" not in file.parts]
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


@pytest.fixture(scope="module")
def trained(table_run: Path) -> TrainedRun:
    return TrainedRun.load(table_run)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cuts=st.sets(st.integers(1, 59), max_size=5),
    block=st.integers(1, 25),
    endings=st.lists(st.sampled_from([".csv", ".jsonl", ".parquet"]), min_size=6, max_size=6),
    form=st.sampled_from([None, *FORMS]),
)
def test_however_the_questions_are_cut_the_answers_are_those_of_one_file(
    trained: TrainedRun,
    rows: list[Row],
    tmp_path_factory: pytest.TempPathFactory,
    cuts: set[int],
    block: int,
    endings: list[str],
    form: Form | None,
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    bounds = [0, *sorted(cuts), len(rows)]
    for number, ending in zip(range(len(bounds) - 1), endings, strict=False):
        write_shard(folder / "in" / f"{number}{ending}", rows[bounds[number] : bounds[number + 1]])
    write_shard(folder / "whole.csv", rows)
    answers = AnswerFolder(
        folder / "out", Identity.of(trained.run, trained.recipe, content_sha256([trained.run.model]), form=form)
    )
    answers.begin()
    shards = find_shards([str(folder / "in")], folder / "out", form=form)
    tally = answer_shards(trained, shards, answers, block=block)
    assert (tally.answered, tally.examples) == (len(bounds) - 1, len(rows))
    from qakit.training.events import silence
    from qakit.workflows.questions import read_examples

    expected = trained.predict(
        read_examples(trained, folder / "whole.csv", predicted_only=True, listener=silence).examples
    )
    found = [row for shard in shards for row in read_shard(folder / "out" / shard.output)]
    assert len(found) == len(expected)
    for row, prediction in zip(found, expected, strict=True):
        check_same(row, prediction)


def test_a_quoted_pattern_and_a_second_start(
    table_run: Path, rows: list[Row], invoke: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_shard(Path("shards/de/a.parquet"), rows[:9])
    write_shard(Path("shards/fr/a.parquet"), rows[9:15])
    command = ("predict", table_run, "--input", "shards/*/*.parquet", "--output", "answers", "--json")
    result = invoke(*command)
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert {key: said[key] for key in ("folder", "files", "answered", "skipped", "elsewhere", "failed", "rows")} == {
        "folder": "answers", "files": 2, "answered": 2, "skipped": 0, "elsewhere": 0, "failed": {}, "rows": 15,
    }  # fmt: skip
    assert pq.read_table("answers").num_rows == 15  # a folder of answers is one table
    again = json.loads(invoke(*command).stdout)
    assert (again["answered"], again["skipped"], again["rows"]) == (0, 2, 0)
    told = invoke(*command[:-1])
    assert told.stdout.startswith("0 answers in 0 files in answers, 2 were finished before")


def test_a_folder_of_documents_becomes_lines(small_run: Path, small_data: Path, invoke: Any, tmp_path: Path) -> None:
    for name in ("dev", "test"):
        shutil.copy(small_data / f"{name}.json", tmp_path)
    result = invoke("predict", small_run, "-i", tmp_path, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert {name: data.count(b"\n") for name, data in contents(tmp_path / "out").items()} == {
        "dev.jsonl": 12,
        "test.jsonl": 8,
    }


def test_answers_like_formulas_are_told(table_run: Path, invoke: Any, tmp_path: Path) -> None:
    write_shard(tmp_path / "in" / "a.csv", [{"id": "+1", "question": "what?", "context": "="}])
    for form, told in (("csv", True), ("jsonl", False)):
        result = invoke("predict", table_run, "-i", tmp_path / "in", "-o", f"{tmp_path}/{form}/", "--format", form)
        assert result.exit_code == 0, result.output
        assert ("2 ids or answers begin like a spreadsheet formula" in result.stderr) is told


def test_a_process_tells_only_its_share(table_run: Path, rows: list[Row], invoke: Any, tmp_path: Path) -> None:
    for name in "ab":
        write_shard(tmp_path / "in" / f"{name}.csv", rows[:1])
    command = ("predict", table_run, "-i", tmp_path / "in", "-o", f"{tmp_path}/out/", "--shard-of")
    told = invoke(*command, "1/2").stdout
    assert told.startswith("1 answers in 1 files") and "the share of process 1 of 2" in told
    assert "the share of process 2 of 2" in invoke(*command, "2/2").stdout


def test_bad_files_are_named(table_run: Path, rows: list[Row], invoke: Any, tmp_path: Path) -> None:
    write_shard(tmp_path / "in" / "a.jsonl", rows[:3])
    (tmp_path / "in" / "b.jsonl").write_text('{"id": "x", "question": 3, "context": "c"}\n')
    write_shard(tmp_path / "in" / "c.jsonl", rows[3:6])
    command = ("predict", table_run, "-i", tmp_path / "in", "-o", f"{tmp_path}/out/")
    result = invoke(*command)
    problem = f"{tmp_path}/in/b.jsonl, line 1 (id x), field 'question': should be text, not the number 3"
    assert isinstance(result.exception, DataError)
    assert result.exit_code == 2
    assert str(result.exception).startswith(problem)
    assert set(contents(tmp_path / "out")) == {"a.jsonl"}
    result = invoke(*command, "--keep-going")
    assert result.exit_code == 1
    assert problem in result.stderr
    assert "1 files are not answered: mend them and run the same command again" in result.stderr
    assert set(contents(tmp_path / "out")) == {"a.jsonl", "c.jsonl"}


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["-i", "in"], "several inputs need --output: the folder for the answers"),
        (["-i", "in", "-o", "answers.csv"], "--output answers.csv looks like a file; several inputs need a folder"),
        (["-i", "in", "-o", "in/a.csv"], "--output in/a.csv is a file; several inputs need a folder"),
        (["-i", "in", "-o", "o", "--nbest", "n.jsonl"], "--nbest and --character-scores are for one input"),
        (["-i", "in/a.csv", "-o", "a.csv", "--block", "5"], "--block is for a folder of answers: name one as --output"),
        (["-i", "in", "-o", "o", "--shard-of", "0/4"], "--shard-of 0/4: it must be I/N with I from 1 to N"),
        (["-i", "in", "-o", "o", "--shard-of", "1/2", "--overwrite"], "--overwrite with several processes would let"),
        (["-i", "in", "-i", "out", "--split", "test"], "give either --input FILE or --split train|validation|test"),
    ],
)
def test_options_that_do_not_go_together(
    table_run: Path, rows: list[Row], invoke: Any, tmp_path: Path, monkeypatch: Any, options: list[str], problem: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_shard(Path("in/a.csv"), rows[:1])
    result = invoke("predict", table_run, *options)
    assert result.exit_code == 2
    assert isinstance(result.exception, UsageError)
    assert str(result.exception).startswith(problem)


def test_which_outputs_are_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("there").mkdir()
    Path("there.csv").mkdir()
    assert [is_many(["a.csv"], output) for output in (None, "new", "new/", "there", "there.csv", "there.csv/")] == [
        False, False, True, True, False, True,
    ]  # fmt: skip
    assert all(is_many(inputs, None) for inputs in (["a", "b"], ["*.csv"], ["there"]))


def test_a_launcher_deals_out_the_files(monkeypatch: pytest.MonkeyPatch) -> None:
    assert own_share(ManyOptions()) == (0, 1)
    assert own_share(ManyOptions(shard_of="3/8")) == (2, 8)
    for name, value in (("WORLD_SIZE", "4"), ("RANK", "2"), ("LOCAL_RANK", "0")):
        monkeypatch.setenv(name, value)
    assert own_share(ManyOptions()) == (2, 4)
    for options in (ManyOptions(shard_of="1/2"), ManyOptions(keep_going=True), ManyOptions(overwrite=True)):
        with pytest.raises(UsageError):
            own_share(options)


def many_shards(folder: Path, rows: list[Row], *, count: int, size: int) -> None:
    """``count`` files of ``size`` questions, each other ones."""
    for number in range(count):
        own = [{**rows[(number + row) % len(rows)], "id": f"{number}-{row}"} for row in range(size)]
        write_shard(folder / f"{number}.parquet", own)


def wait_for_finished(folder: Path, count: int) -> None:
    """Until so many files are answered."""
    until = time.monotonic() + 120
    while len(list((folder / "_progress" / "done").glob("*.json"))) < count:
        assert time.monotonic() < until
        time.sleep(0.02)


def test_signals_cost_the_file_at_work_only(crew: Crew, table_run: Path, rows: list[Row], tmp_path: Path) -> None:
    many_shards(tmp_path / "in", rows, count=8, size=60)
    command = ("predict", table_run, "-i", tmp_path / "in", "--block", "20", "-o")
    broken = tmp_path / "broken"
    assert crew.run(1, *command, tmp_path / "whole").codes == [0]
    finished: dict[str, tuple[int, int]] = {}
    for number, code in ((signal.SIGKILL, -9), (signal.SIGTERM, 143), (signal.SIGINT, 130)):
        running = crew.start(1, *command, broken)
        wait_for_finished(broken, len(finished) + 1)
        running.signal(number)
        ended = running.ended()
        (said,) = ended.err
        assert ended.codes == [code], said
        assert "Traceback" not in said
        if number != signal.SIGKILL:
            assert f"stopped by {number.name}; finished files stay in {broken}, continue with the same command" in said
        now = {file.name: (file.stat().st_ino, file.stat().st_mtime_ns) for file in broken.glob("*.parquet")}
        assert finished.items() < now.items()  # what was finished is untouched
        finished = now
    assert len(finished) < 8
    resumed = crew.run(1, *command, broken, "--json")
    assert resumed.codes == [0], resumed.said
    assert (
        json.loads(resumed.out[0])["skipped"] >= len(finished) - 1
    )  # between a file's name and its record is a moment
    assert contents(broken) == contents(tmp_path / "whole")


def test_processes_share_the_files(crew: Crew, table_run: Path, rows: list[Row], tmp_path: Path) -> None:
    many_shards(tmp_path / "in", rows, count=5, size=20)
    command = ("predict", table_run, "-i", tmp_path / "in", "-o")
    by_hand = [crew.run(1, *command, tmp_path / "by-hand", "--shard-of", f"{part}/2", "--json") for part in (1, 2)]
    assert [json.loads(each.out[0])["answered"] for each in by_hand] == [3, 2]
    launched = crew.run(2, *command, tmp_path / "launched")
    assert launched.codes == [0, 0], launched.said
    assert ["answers in" in said for said in launched.out] == [True, False]
    assert contents(tmp_path / "by-hand") == contents(tmp_path / "launched")
    assert set(contents(tmp_path / "by-hand")) == {f"{number}.parquet" for number in range(5)}


PEAK = """\
import re, sys
from pathlib import Path
from qakit.cli import build_app
try:
    build_app()(sys.argv[1:], standalone_mode=False)
finally:
    # Not getrusage: its peak is that of the process that started this one, if that was larger.
    sys.stderr.write("peak " + re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""


def peak_megabytes(*arguments: object) -> float:
    """Of a `qakit` process."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-c", PEAK, *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=True)
    return int(done.stderr.rsplit("peak ", 1)[1]) / 1024


@pytest.mark.exhaustive
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is in /proc")
def test_memory_does_not_grow_with_the_file(table_run: Path, rows: list[Row], tmp_path: Path) -> None:
    few, many = 1_000, 3_000  # at first the allocator still spreads out
    peaks = []
    for size in (few, many):
        many_shards(tmp_path / str(size), rows, count=1, size=size)
        command = ("predict", table_run, "--json", "--block", 250, "-i", tmp_path / str(size))
        peaks.append(peak_megabytes(*command, "--set", "predict.n_best=100", "-o", tmp_path / f"out-{size}"))
    kept = 4_000 / 1024**2  # what is kept of a question, in megabytes
    spread = 30  # the allocator's, up to 20 MB; with the predictions kept, of 100 candidates each, it is 65 in all
    assert peaks[1] - peaks[0] < kept * (many - few) + spread
