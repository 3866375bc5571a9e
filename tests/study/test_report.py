"""A study's report: what stands in it, and that nothing in it is markup or comes from elsewhere."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from qakit.errors import RunError, UsageError
from qakit.files import file_sha256, write_json
from qakit.graph.expand import load
from qakit.names import duration
from qakit.report.study_page import memory, write_report
from qakit.report.study_pictures import numeric_keys
from qakit.statistics import Sampling
from qakit.study.folder import find_study
from qakit.study.results import read_results
from qakit.training.events import Notice

Write = Callable[..., Path]
Drive = Any
VOID = {"meta", "br", "hr", "link", "img", "input"}
RANKS = """\
name: ranks
description: "<script>alert('x')</script> & $x_1$ [red]"
recipes: {one: base.yaml, two: base.yaml}
set: {adapter: lora}
grid: {adapter.rank: [1, 4, 16, 64]}
seeds: [0, 1]
"""


class Checker(HTMLParser):
    """Whether tags are balanced, what is fetched, and the ids."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("src", "href", "xlink:href", "action", "data"):
                self.links.append(value or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.usefixtures("drawn_pictures")
def test_a_report_of_two_tasks(write: Write, drive: Drive, tmp_path: Path) -> None:
    file = write(RANKS)
    drive(file, jobs=2)
    results = drive.results(file)
    assert [task.name for task in results.tasks] == ["one", "two"]
    first = results.tasks[0]
    assert (first.figure, first.keys) == ("f1", ("f1", "exact_match"))
    assert [(row.label, len(row.runs), row.trainable) for row in first.rows] == [
        ("rank1", 2, 1000),
        ("rank4", 2, 4000),
        ("rank16", 2, 16000),
        ("rank64", 2, 64000),
    ]
    last = first.rows[-1].figures["f1"]
    assert (last.mean, last.low, last.high) == (98.5, 98, 99)
    assert last.sd == pytest.approx(0.5**0.5)
    assert dict(first.rows[-1].differs) == {"adapter.rank": "64"}
    assert numeric_keys(first.rows) == ["adapter.rank"]

    text, page = write_report(results, tmp_path / "out")
    markdown, html = text.read_text("utf-8"), page.read_text("utf-8")
    names = sorted(path.name for path in (tmp_path / "out" / "pictures").iterdir())
    assert names == ["costs.png", "curves.png"] + [
        f"{task}-{what}.png" for task in ("one", "two") for what in ("adapter.rank", "parameters")
    ]
    for name in names:
        assert f"](pictures/{name})" in markdown
    assert "| rank64 | adapter.rank=64 | 2 | 98.50 ± 0.71 (98.00 .. 99.00) |" in markdown
    assert "0.291%" in markdown and "500 MiB" in markdown and "qakit study run study.yaml" in markdown
    assert "16 finished." in markdown
    assert markdown.count("<script") == markdown.count("\\<script") == 1

    checked = Checker(html)
    assert checked.open == [] and "script" not in checked.tags and checked.tags.count("svg") == 6
    assert "<script>alert('x')</script> & $x_1$ [red]" in checked.text
    for expected in ("98.50 ± 0.71 (98.00 .. 99.00)", "adapter.rank", "Made by", "16 finished."):
        assert expected in checked.text
    assert len(checked.ids) == len(set(checked.ids))
    assert all(link.startswith("#") and link[1:] in checked.ids for link in checked.links)
    assert "://" not in html and "@import" not in html
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", html))
    assert not re.search(r"(?i)\b(nan|none|inf)\b", checked.text.replace("LoRA", ""))


@pytest.mark.parametrize("of", ["a trial", "its folds"])
def test_trials_of_other_training_data_are_told_apart(write: Write, drive: Drive, tmp_path: Path, of: str) -> None:
    data = tmp_path / "train.json"
    data.write_text("first", "utf-8")

    def train(rates: str) -> list[str]:
        drive.events.clear()
        drive(file := write(f"recipe: base.yaml\ngrid: {{train.learning_rate: [{rates}]}}\n"))
        for run in drive.folder.runs.iterdir():  # what the fake training leaves out
            parts = [run]
            if of == "its folds":
                write_json(run / "folds.json", {"folds": [1, 2]})
                parts = [run / "fold-1", run / "fold-2"]
            for part in parts:
                part.mkdir(exist_ok=True)
                (part / "recipe.yaml").touch()
                if not (part / "meta.json").is_file() or "data" not in (part / "meta.json").read_text("utf-8"):
                    write_json(part / "meta.json", {"data": {"train": {"files": {str(data): file_sha256(data)}}}})
        notes.extend(note for note in drive.results(file).notes if "train.json" in note)
        return [event.message for event in drive.events if isinstance(event, Notice)]

    notes = list[str]()
    assert train("1e-3, 1e-4") == train("1e-3, 1e-4") == notes == []
    data.write_text("second", "utf-8")
    (told,) = train("1e-3, 1e-4, 1e-5")
    assert "learning_rate0.001, learning_rate0.0001 were trained on an older train.json" in told
    rest = "their difference is one of the training data, too."
    others = "learning_rate0.001, learning_rate0.0001"
    assert notes == [f"train.json had other content when learning_rate1e-05 was trained than for {others}: {rest}"]


@pytest.mark.parametrize("part", ["", "fold-1"])
def test_a_shared_training_costs_each_trial_the_same(write: Write, drive: Drive, tmp_path: Path, part: str) -> None:
    """The run that only predicts took no time, which says nothing about what its row costs."""
    drive(file := write("recipe: base.yaml\ngrid: {preprocess.predict.overlap: [16, 32]}\n"))
    trained, taken = (drive.folder.runs / f"overlap{overlap}" for overlap in (16, 32))
    for run in (trained, taken):  # what the fake training leaves out
        (run / part).mkdir(exist_ok=True)
        (run / part / "recipe.yaml").touch()
    costs = {"validation": {"f1": 90.0, "exact_match": 45.0}, "seconds": 0.5, "peak_memory_mb": 400.0}
    write_json(taken / "metrics.json", costs)
    write_json(taken / part / "meta.json", {"weights_from": f"/moved/study/runs/{trained.name}/{part}".rstrip("/")})
    write_json(trained / part / "metrics.json", costs | {"seconds": 190, "peak_memory_mb": 500.0})

    results = drive.results(file)
    row = results.tasks[0].rows[1]
    assert (row.label, row.seconds, row.peak_memory_mb) == ("overlap32", 190.5, 500)
    assert any("overlap32: time and memory" in note for note in results.notes)
    (trained / part / "metrics.json").unlink()
    results = drive.results(file)
    assert results.tasks[0].rows[-1].seconds is None
    write_report(results, tmp_path / "out")


def test_failed_trials_are_shown_with_what_they_said(write: Write, drive: Drive, tmp_path: Path) -> None:
    file = write("recipe: base.yaml\ngrid: {train.batch_size: [8, 13]}\n")
    drive(file)
    text, page = write_report(drive.results(file), tmp_path / "out")
    assert "    thirteen & more is not allowed" in text.read_text("utf-8")
    html = page.read_text("utf-8")
    assert "thirteen &amp; more is not allowed" in html and "1 finished, 1 failed." in html
    assert Checker(html).open == []


def test_a_search_shows_the_best_first_and_warns(write: Write, drive: Drive, tmp_path: Path) -> None:
    file = write("recipe: base.yaml\nsearch: {trials: 4, space: {train.learning_rate: {log: [1e-6, 1e-2]}}}\n")
    records = drive(file)
    results = drive.results(file)
    text, _ = write_report(results, tmp_path / "out")
    markdown = text.read_text("utf-8")
    best = max(records, key=lambda record: record.value or 0)
    rows = [line for line in markdown.splitlines() if line.startswith("| learning\\_rate")]
    assert f"{best.value:.2f}" in rows[0]
    assert "which flatters it" in markdown
    assert (tmp_path / "out" / "pictures" / "train.learning_rate.png").is_file()


def test_runs_that_are_not_here_wait(write: Write, drive: Drive) -> None:
    file = write("recipe: base.yaml\ngrid: {train.batch_size: [2, 4]}\n")
    drive(file)
    shutil.rmtree(drive.folder.runs / "batch_size4")
    results = drive.results(file)
    assert [row.figures["f1"].mean for row in results.tasks[0].rows] == [90]
    assert [(run.name, run.state) for run in results.runs] == [("batch_size2", "finished"), ("batch_size4", "waiting")]


def test_a_run_that_is_damaged_hides_no_other(write: Write, drive: Drive) -> None:
    file = write("recipe: base.yaml\ngrid: {train.batch_size: [2, 4, 8]}\n")
    drive(file)
    (drive.folder.runs / "batch_size4" / "metrics.json").write_text("{")
    (drive.folder.runs / "batch_size8" / "recipe.yaml").write_text("data: 3\n")
    results = drive.results(file)
    assert [row.figures["f1"].mean for row in results.tasks[0].rows] == [90]
    assert [run.state for run in results.runs] == ["finished", "failed", "failed"]
    assert "batch_size4/metrics.json is damaged" in results.runs[1].error
    assert "batch_size8/recipe.yaml:1:" in results.runs[2].error


def test_a_study_whose_file_is_gone_shows_what_was_noted(write: Write, drive: Drive) -> None:
    file = write("recipe: base.yaml\ngrid: {train.batch_size: [2, 4]}\n")
    drive(file)
    shown = drive.results(file)
    file.unlink()
    folder, loaded = find_study(drive.folder.path)
    read = partial(load, registry=drive.registry)
    assert loaded is None
    kept = read_results(folder, loaded, drive.registry, read, Sampling(200, 0))
    assert [task.rows for task in kept.tasks] == [task.rows for task in shown.tasks]


def test_a_report_needs_a_finished_trial_and_a_study(write: Write, drive: Drive, tmp_path: Path) -> None:
    file = write("recipe: base.yaml\nset: {train.batch_size: 13}\n")
    with pytest.raises(RunError, match="is not a study"):
        drive.results(file)
    drive(file)
    with pytest.raises(UsageError, match=r"no trial of .* is finished; see `qakit study show"):
        drive.results(file)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0.4, "0 s"), (119, "119 s"), (120, "2.0 min"), (7200, "2.0 h"), (86400, "24.0 h")],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("megabytes", "text"), [(None, "-"), (812.4, "812 MiB"), (9999, "9,999 MiB"), (20480, "20.0 GiB")]
)
def test_memory(megabytes: float | None, text: str) -> None:
    assert memory(megabytes) == text


def test_a_baseline_that_failed_is_said(write: Write, drive: Drive) -> None:
    file = write(
        "recipe: base.yaml\nbaseline: bad\n"
        "variants: {bad: {train.batch_size: 13}, a: {train.batch_size: 2}, b: {train.batch_size: 4}}\n"
    )
    drive(file)
    assert "the baseline bad is not finished: a stands for it" in drive.results(file).notes


def test_a_received_study_with_a_link_that_leads_out_is_refused(tmp_path: Path) -> None:
    """Its report would be written behind the link."""
    folder = tmp_path / "study"
    folder.mkdir()
    (folder / "study.json").write_text("{}")
    (folder / "pictures").symlink_to(tmp_path)
    with pytest.raises(RunError, match="is a link that leads out of "):
        find_study(folder)
