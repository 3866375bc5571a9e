"""A graph is carried out: each node once, after its needs, whatever fails and whoever helps."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import pytest
from graph.conftest import NOTHING
from graph.test_nodes import graphs
from hypothesis import given, settings
from hypothesis import strategies as st

from qakit.errors import QakitError, RunError
from qakit.files import write_json
from qakit.graph.execute import TRAINING, Ended, Execution
from qakit.graph.nodes import Graph, Node, Repredict, Train
from qakit.runs import BusyError, Run, locked
from qakit.training.events import Event, Listener, NodeEnded, NodeStarted, NodesWaiting, Remark, silence
from qakit.training.interrupts import InterruptedTrainingError, StopRequest


@dataclass
class Fake:
    """Jobs that end after so many looks, in the folders of a graph."""

    capacity: int = 1
    looks: Mapping[str, int] = field(default_factory=dict)
    fails: frozenset[str] = frozenset()
    listens: bool = True
    """Whether a job that is asked to stop does."""
    started: list[str] = field(default_factory=list)
    running: set[str] = field(default_factory=set)
    stopped: dict[str, int] = field(default_factory=dict)

    def start(self, node: Node, folder: Path, listener: Listener) -> FakeJob:
        run = Run(folder / node.label)
        assert not run.finished and node.label not in self.running
        self.started.append(node.label)
        self.running.add(node.label)
        assert len(self.running) <= self.capacity
        return FakeJob(self, node.label, run, self.looks.get(node.label, 0))


@dataclass
class FakeJob:
    executor: Fake
    label: str
    run: Run
    left: int
    how: Ended | None = None

    def ended(self) -> Ended | None:
        if self.how is None:
            self.left -= 1
            if self.left < 0:
                self.how = self.work()
        if self.how is not None:
            self.executor.running.discard(self.label)
        return self.how

    def work(self) -> Ended:
        if self.label in self.executor.fails:
            write_json(self.run.failure_file, {"error": f"{self.label} fails"})
            return Ended(QakitError(f"{self.label} fails"))
        try:
            with locked(self.run):
                if not self.run.finished:
                    write_json(self.run.metrics_file, {})
        except BusyError as error:
            return Ended(error)
        return Ended()

    def stop(self, number: int) -> None:
        self.executor.stopped[self.label] = number
        if self.executor.listens:
            self.how = Ended(InterruptedTrainingError(number))


def chain(*labels: str, needs: Mapping[str, tuple[str, ...]] = {}) -> Graph:
    return Graph("some", tuple(Node(label, NOTHING, Train(), needs.get(label, ())) for label in labels))


def laid_out(graph: Graph, folder: Path) -> Path:
    """The nodes' folders."""
    for label in graph.labels:
        (folder / label).mkdir(parents=True, exist_ok=True)
        (folder / label / "recipe.yaml").touch()
    return folder


def finished(graph: Graph, folder: Path) -> set[str]:
    return {label for label in graph.labels if Run(folder / label).finished}


def below(graph: Graph, labels: frozenset[str]) -> set[str]:
    """These, and all that needs them."""
    found = set(labels)
    for node in graph.nodes:
        if found.intersection(graph.needs(node)):
            found.add(node.label)
    return found


@pytest.fixture
def folders() -> Iterator[Callable[[Graph], Path]]:
    """``folders(graph)``: a new place where the graph is laid out."""
    with ExitStack() as held:
        yield lambda graph: laid_out(graph, Path(held.enter_context(TemporaryDirectory())))


Folders = Callable[[Graph], Path]
QUICK = settings(max_examples=40, deadline=None)


@QUICK
@given(graph=graphs(), capacity=st.integers(1, 3), data=st.data())
def test_every_node_runs_once_after_its_needs(graph: Graph, capacity: int, data: st.DataObject) -> None:
    looks = {label: data.draw(st.integers(0, 3)) for label in graph.labels}
    events: list[Event] = []
    with TemporaryDirectory() as place:
        folder, executor = laid_out(graph, Path(place)), Fake(capacity, looks)
        Execution(graph, folder, executor, events.append, poll=0).run()
        assert sorted(executor.started) == sorted(graph.labels)
        assert finished(graph, folder) == set(graph.labels)
        done: set[str] = set()
        for event in events:
            if isinstance(event, NodeStarted):
                assert done.issuperset(graph.needs(graph.node(event.label)))
            elif isinstance(event, NodeEnded):
                done.add(event.label)
        numbers = [event.number for event in events if isinstance(event, NodeStarted)]
        assert numbers == list(range(1, len(graph.nodes) + 1))
        again = Fake(capacity)
        Execution(graph, folder, again, silence, poll=0).run()
        assert again.started == []


@QUICK
@given(graph=graphs(), capacity=st.integers(1, 3), keep_going=st.booleans(), data=st.data())
def test_what_fails_stops_what_needs_it_and_on_request_nothing_else(
    graph: Graph, capacity: int, keep_going: bool, data: st.DataObject
) -> None:
    fails = frozenset(data.draw(st.lists(st.sampled_from(graph.labels), unique=True)))
    with TemporaryDirectory() as place:
        folder, executor = laid_out(graph, Path(place)), Fake(capacity, fails=fails)
        execution = Execution(graph, folder, executor, silence, poll=0, keep_going=keep_going)
        if fails and not keep_going:
            with pytest.raises(QakitError, match=r"fails$"):
                execution.run()
            assert len(fails.intersection(executor.started)) == 1
            assert not executor.running
        else:
            execution.run()
            lost = below(graph, fails)
            assert finished(graph, folder) == set(graph.labels) - lost
            assert fails.intersection(executor.started) == set(execution.failures) <= lost
            assert set(graph.labels) - set(executor.started) <= lost - set(execution.failures)


@pytest.mark.parametrize("retry", [True, False])
def test_what_has_failed_before_is_tried_again_where_that_is_wanted(folders: Folders, retry: bool) -> None:
    graph = chain("a", "b", "c", needs={"c": ("a",)})
    folder = folders(graph)
    Execution(graph, folder, Fake(fails=frozenset("a")), silence, poll=0, keep_going=True).run()
    executor = Fake()
    execution = Execution(graph, folder, executor, silence, poll=0, keep_going=True, retry_failed=retry)
    execution.run()
    assert executor.started == (["a", "c"] if retry else [])
    assert {label: str(error) for label, error in execution.failures.items()} == ({} if retry else {"a": "a fails"})


def test_what_runs_elsewhere_is_waited_for_and_what_does_not_need_it_goes_on(folders: Folders) -> None:
    graph = chain("a", "b", "c", needs={"b": ("a",)})
    folder, executor, held = folders(graph), Fake(), ExitStack()
    held.enter_context(locked(Run(folder / "a")))
    heard: list[Event] = []

    def ends_elsewhere(event: Event) -> None:
        heard.append(event)
        if isinstance(event, NodesWaiting):
            write_json(Run(folder / "a").metrics_file, {})
            held.close()

    Execution(graph, folder, executor, ends_elsewhere, poll=0).run()
    assert executor.started == ["c", "b"]
    assert [event for event in heard if isinstance(event, NodesWaiting)] == [NodesWaiting(("a",))]
    assert finished(graph, folder) == {"a", "b", "c"}


def test_what_another_process_leaves_unfinished_is_taken_over(folders: Folders) -> None:
    graph = chain("a")
    folder, executor, held = folders(graph), Fake(), ExitStack()
    held.enter_context(locked(Run(folder / "a")))
    Execution(graph, folder, executor, lambda event: held.close(), poll=0).run()
    assert executor.started == ["a"]


def test_who_comes_too_late_waits_for_the_other(folders: Folders) -> None:
    """Somebody takes the lock between the look at it and the work."""
    graph = chain("a")
    folder, held, ends = folders(graph), ExitStack(), list[str]()

    class Late(Fake):
        def start(self, node: Node, folder: Path, listener: Listener) -> FakeJob:
            held.enter_context(locked(Run(folder / "a")))
            return super().start(node, folder, listener)

    def hear(event: Event) -> None:
        ends.append(type(event).__name__)
        if isinstance(event, NodesWaiting):
            write_json(Run(folder / "a").metrics_file, {})
            held.close()

    execution = Execution(graph, folder, Late(), hear, poll=0)
    execution.run()
    assert ends == ["NodeStarted", "NodesWaiting"] and execution.failures == {}


@settings(max_examples=10, deadline=None)
@given(graph=graphs())
def test_several_share_a_folder_without_doing_anything_twice(graph: Graph) -> None:
    with TemporaryDirectory() as place:
        folder, raised = laid_out(graph, Path(place)), list[BaseException]()
        wrote: list[str] = []

        class Counting(Fake):
            def start(self, node: Node, folder: Path, listener: Listener) -> FakeJob:
                self.running.clear()
                job = FakeJob(self, node.label, Run(folder / node.label), 0)

                def work() -> Ended:
                    try:
                        with locked(job.run):
                            if not job.run.finished:
                                wrote.append(node.label)
                                write_json(job.run.metrics_file, {})
                    except BusyError as error:
                        return Ended(error)
                    return Ended()

                job.work = work  # type: ignore[method-assign]
                return job

        def execute() -> None:
            try:
                Execution(graph, folder, Counting(2), silence, poll=0.001).run()
            except BaseException as error:
                raised.append(error)

        threads = [threading.Thread(target=execute) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert raised == []
        assert sorted(wrote) == sorted(graph.labels)


def test_a_stop_reaches_what_runs_and_nothing_new_begins(folders: Folders) -> None:
    graph, stop = chain("a", "b", "c"), StopRequest()
    folder, executor = folders(graph), Fake(2, looks={"a": 10**6, "b": 10**6})

    def stops(event: Event) -> None:
        if isinstance(event, NodeStarted) and event.label == "b":
            stop.signal = signal.SIGINT

    execution = Execution(graph, folder, executor, stops, poll=0, stop=stop)
    with pytest.raises(InterruptedTrainingError, match="SIGINT"):
        execution.run()
    assert executor.stopped == {"a": signal.SIGINT, "b": signal.SIGINT} and executor.running == set()
    assert execution.failures == {} and finished(graph, folder) == set()
    after = Fake()
    Execution(graph, folder, after, silence, poll=0).run()
    assert after.started == ["a", "b", "c"]


def test_who_is_asked_to_stop_before_the_first_begins_nothing(folders: Folders) -> None:
    graph, executor = chain("a"), Fake()
    with pytest.raises(InterruptedTrainingError):
        Execution(graph, folders(graph), executor, silence, poll=0, stop=StopRequest(15)).run()
    assert executor.started == []


def test_what_a_killed_process_could_not_remove_of_a_finished_node_goes(folders: Folders) -> None:
    graph = chain("a", "b", "c")
    folder = folders(graph)
    for label in ("a", "b", "c"):
        (folder / label / "checkpoints" / "step-00000002").mkdir(parents=True)
    for label in ("a", "b"):
        write_json(Run(folder / label).metrics_file, {})
    with locked(Run(folder / "b")):  # whoever is at work there does it
        Execution(graph, folder, Fake(), silence, poll=0).run()
    assert [(folder / label / "checkpoints").exists() for label in "abc"] == [False, True, True]


def test_an_error_stops_what_runs_beside_it(folders: Folders) -> None:
    graph = chain("a", "b")
    executor = Fake(2, looks={"a": 10**6, "b": 2}, fails=frozenset("b"))
    with pytest.raises(QakitError, match="b fails"):
        Execution(graph, folders(graph), executor, silence, poll=0).run()
    assert executor.stopped == {"a": signal.SIGTERM} and executor.running == set()


def test_a_training_that_somebody_else_stops_is_no_failure_of_the_others(folders: Folders) -> None:
    graph, ends = chain("a", "b"), list[Any]()
    executor = Fake(2, looks={"a": 10**6})
    execution = Execution(graph, folders(graph), executor, silence, poll=0, keep_going=True)
    execution.ended = lambda node, how: (ends.append((node.label, how)), execution.cancel("a", signal.SIGTERM))
    execution.run()
    assert [label for label, _ in ends] == ["b", "a"]
    assert isinstance(execution.failures["a"], InterruptedTrainingError)


def test_nodes_that_wait_for_each_other_are_no_success(folders: Folders) -> None:
    """A damaged folder may say so."""
    graph = Graph("some", (Node("a", NOTHING, Repredict("b")), Node("b", NOTHING, Repredict("a"))))
    with pytest.raises(RunError, match="a, b cannot begin, as each waits for another"):
        Execution(graph, folders(graph), Fake(), silence).run()


def test_further_nodes_come_when_there_is_room(folders: Folders) -> None:
    graph = chain("a", "b", "c", "d")
    folder, executor, asked = folders(graph), Fake(2, looks={"a": 3}), list[list[str]]()
    nodes = list(graph.nodes)

    def more() -> list[Node]:
        asked.append(sorted(executor.running))
        return [nodes.pop(0)] if nodes else []

    Execution(Graph("growing", ()), folder, executor, silence, poll=0, more=more).run()
    assert executor.started == ["a", "b", "c", "d"]
    assert asked[:3] == [[], ["a"], ["a"]]
    assert finished(graph, folder) == {"a", "b", "c", "d"}


@pytest.mark.parametrize(("capacity", "shares"), [(1, [25, 25, 25, 25]), (2, [50, 50, 50, 50]), (4, [100] * 4)])
def test_the_time_is_dealt_out_among_the_trainings_that_are_to_do(
    folders: Folders, monkeypatch: pytest.MonkeyPatch, capacity: int, shares: list[float]
) -> None:
    """Each takes what it gets; whatever one leaves, the later ones have."""
    graph = chain("a", "b", "c", "d")
    clock, given = [0.0], list[float]()

    class Timed(Fake):
        def start(self, node: Node, folder: Path, listener: Listener) -> FakeJob:
            assert isinstance(node.work, Train) and node.work.seconds is not None
            given.append(node.work.seconds / TRAINING)
            if len(given) % capacity == 0:
                clock[0] += given[-1]  # all that began together have ended
            return super().start(node, folder, listener)

    monkeypatch.setattr("qakit.graph.execute.time", SimpleNamespace(monotonic=lambda: clock[0], sleep=lambda _: None))
    events: list[Event] = []
    looks = dict.fromkeys(graph.labels, 1)
    Execution(graph, folders(graph), Timed(capacity, looks), events.append, poll=0, deadline=100.0).run()
    assert given == pytest.approx(shares)
    assert events[0] == Remark(f"4 trainings share 0.0278 h: about {TRAINING * shares[0] / 3600:.3g} h for each")
