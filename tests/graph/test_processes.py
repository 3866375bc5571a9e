"""Nodes in processes of their own: how they end, and what is left of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from graph.conftest import NOTHING
from study.conftest import fake_command

from qakit.devices import Slot
from qakit.errors import QakitError, RunError
from qakit.graph.execute import Ended, Execution
from qakit.graph.nodes import Graph, Joined, Node, Train
from qakit.graph.processes import LOG, Processes, outcome, report_progress, what_happened
from qakit.recipe.dump import dump_recipe
from qakit.registry import Registry, load_registry
from qakit.runs import BusyError, Run
from qakit.training.events import Event, NodeProgress, silence
from qakit.training.interrupts import InterruptedTrainingError, StopRequest

SLOTS = [Slot(f"CPU {number}", "", 2, threads=3) for number in range(2)]
Lay = Callable[..., Graph]


@pytest.fixture
def lay(tmp_path: Path) -> Lay:
    """``lay("a", "b")``: nodes with their folders and recipes in ``tmp_path``."""

    def make(*labels: str, batch_size: int = 8) -> Graph:
        recipe = NOTHING.model_copy(update={"train": NOTHING.train.model_copy(update={"batch_size": batch_size})})
        for label in labels:
            (tmp_path / label).mkdir()
            (tmp_path / label / "recipe.yaml").write_text(dump_recipe(recipe), "utf-8")
        return Graph("some", tuple(Node(label, recipe, Train()) for label in labels))

    return make


def python(code: str) -> Callable[[Path], list[str]]:
    """A command that runs some Python in a run's folder."""
    return lambda folder: [
        sys.executable,
        "-S",
        "-c",
        f"import os, sys, pathlib\nrun = pathlib.Path({str(folder)!r})\n{code}",
    ]


def execute(graph: Graph, folder: Path, **options: Any) -> Execution:
    command = options.pop("command", fake_command)
    execution = Execution(graph, folder, Processes(SLOTS, command), silence, **{"poll": 0.01, **options})
    execution.run()
    return execution


def test_each_node_has_a_process_a_slot_and_a_log(lay: Lay, tmp_path: Path) -> None:
    code = 'print("working"); (run / "slot").write_text(os.environ["OMP_NUM_THREADS"] + os.environ["QAKIT_DEVICES"])\n'
    code += '(run / "pid").write_text(str(os.getpid())); (run / "metrics.json").write_text("{}")'
    execute(lay("a", "b", "c"), tmp_path, command=python(code))
    assert {(tmp_path / label / "slot").read_text() for label in "abc"} == {"3cpu"}
    assert len({(tmp_path / label / "pid").read_text() for label in "abc"} | {str(os.getpid())}) == 4
    said = (tmp_path / "a" / LOG).read_text("utf-8").splitlines()
    assert said[0].startswith(f"$ {sys.executable} ") and said[-1] == "working"


class Joining:
    """A join that shows something."""

    def finish(self, run: Run, registry: Registry, listener: object) -> Joined:
        (run.folder / "metrics.json").write_text("{}")
        return Joined(expectation=os.getpid())  # type: ignore[arg-type]

    prepare = check_same = dry_run = finish  # not asked for


def test_what_the_root_joins_is_shown_by_the_command_itself(lay: Lay, tmp_path: Path) -> None:
    parts = lay("a", "b")
    (tmp_path / "recipe.yaml").write_text(dump_recipe(parts.recipe), "utf-8")
    graph = Graph("some", (*parts.nodes, Node("", Run(tmp_path).recipe(), Joining(), needs=("a", "b"))))  # type: ignore[arg-type]
    execution = Execution(graph, tmp_path, Processes(SLOTS, fake_command, registry=load_registry()), silence, poll=0.01)
    execution.run()
    assert execution.joined == Joined(expectation=os.getpid())  # type: ignore[arg-type]


def test_a_failure_is_told_in_the_words_of_the_process(lay: Lay, tmp_path: Path) -> None:
    execution = execute(lay("a", "b", batch_size=13), tmp_path, keep_going=True)
    assert {label: str(error) for label, error in execution.failures.items()} == dict.fromkeys(
        "ab", "thirteen & more is not allowed\n(exit code 2)"
    )
    kept = json.loads((tmp_path / "a" / "failure.json").read_text("utf-8"))
    assert kept["error"].startswith("thirteen & more")


def test_a_killed_process_is_a_failure_that_is_gone_on_with(lay: Lay, tmp_path: Path) -> None:
    graph = lay("a")
    with pytest.raises(RunError, match=r"\(ended by SIGKILL: often too little memory\)"):
        execute(graph, tmp_path, command=python("print('half', flush=True); os.kill(os.getpid(), 9)"))
    assert "half" in json.loads((tmp_path / "a" / "failure.json").read_text("utf-8"))["error"]
    assert execute(graph, tmp_path, retry_failed=False, keep_going=True).failures.keys() == {"a"}
    assert execute(graph, tmp_path).failures == {}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_is_passed_on_and_checkpoints_are_written(
    lay: Lay, tmp_path: Path, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_SECONDS", "60")
    graph, stop = lay("a", "b"), StopRequest()
    execution = Execution(graph, tmp_path, Processes(SLOTS, fake_command), silence, poll=0.01, stop=stop)
    advance = execution._advance

    def stopped() -> bool:
        if all((tmp_path / label / "meta.json").exists() for label in "ab"):
            stop.signal = number
        return advance()

    monkeypatch.setattr(Execution, "_advance", lambda _: stopped())
    with pytest.raises(InterruptedTrainingError, match=number.name):
        execution.run()
    monkeypatch.undo()
    assert [(tmp_path / label / "checkpoint").read_text() for label in "ab"] == [f"{number.value}\n"] * 2
    assert not (tmp_path / "a" / "failure.json").exists()
    execute(graph, tmp_path)
    assert [len((tmp_path / label / "started").read_text().splitlines()) for label in "ab"] == [2, 2]


def test_what_is_stopped_before_it_listens_has_not_failed(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"])
    process.send_signal(signal.SIGTERM)
    how = outcome(Run(tmp_path), process.wait(), 0)
    assert isinstance(how.error, InterruptedTrainingError) and how.error.exit_code == 143
    assert not (tmp_path / "failure.json").exists()


def test_what_lies_in_the_folder_counts_whatever_the_exit_code(tmp_path: Path) -> None:
    run = Run(tmp_path)
    assert "nothing came of it" in str(outcome(run, 0, 0).error)
    assert isinstance(outcome(run, BusyError.exit_code, 0).error, BusyError)
    run.metrics_file.write_text("{}")
    assert outcome(run, 143, 0) == outcome(run, 0, 0) == Ended()


@pytest.mark.parametrize(
    ("text", "offset", "code", "told"),
    [
        ("error: old\n", 11, 1, "(exit code 1)"),
        ("error: old\nsome\nerror: new\nmore\n", 0, 2, "new\nmore\n(exit code 2)"),
        ("\n".join(map(str, range(99))), 0, 1, "\n".join(map(str, range(84, 99))) + "\n(exit code 1)"),
        (None, 0, -11, "(ended by SIGSEGV)"),
        (None, 0, -99, "(ended by signal 99)"),
    ],
)
def test_why_a_process_ended(text: str | None, offset: int, code: int, told: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / LOG).write_text(text, "utf-8")
    assert what_happened(tmp_path, code, offset) == told


def test_progress_is_read_from_the_log_also_while_it_is_written(tmp_path: Path) -> None:
    run, heard = Run(tmp_path), list[Event]()
    report_progress("a", run, heard.append)
    lines = [
        {"type": "evaluation", "step": 0, "f1": 1.0},
        {"type": "train", "step": 3, "loss": 0.5},
        {"type": "evaluation", "step": 4, "f1": 2.0, "note": "x"},
    ]
    run.metrics_log.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"type": "tr', "utf-8")
    run.meta_file.write_text('{"steps": 9}')
    report_progress("a", run, heard.append)
    run.metrics_log.write_text("{\n")
    report_progress("a", run, heard.append)
    assert heard == [NodeProgress("a", 0, None, None, ()), NodeProgress("a", 4, 9, 0.5, ({"step": 4, "f1": 2.0},))]


def test_a_process_outlives_its_killed_parent_and_is_not_begun_twice(
    lay: Lay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = lay("a")
    monkeypatch.setenv("FAKE_SECONDS", "1.5")
    command = fake_command(tmp_path / "a")
    starts = f"import subprocess, time\nsubprocess.Popen({command!r}, start_new_session=True)\ntime.sleep(60)"
    parent = subprocess.Popen([sys.executable, "-S", "-c", starts])
    while not (tmp_path / "a" / "started").exists():
        time.sleep(0.02)
    parent.kill()
    parent.wait()
    execute(graph, tmp_path)
    assert len((tmp_path / "a" / "started").read_text().splitlines()) == 1


def test_a_folder_that_cannot_be_written_is_one_line(lay: Lay, tmp_path: Path) -> None:
    graph = lay("a")
    (tmp_path / "a" / LOG).mkdir()
    with pytest.raises(QakitError, match="cannot write "):
        execute(graph, tmp_path)
