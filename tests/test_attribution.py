"""What fails in a plugin, or comes back from it as it must not, is one line: whose, which method, where in its file."""

from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from qakit.attribution import METHODS, fault
from qakit.components import KINDS, Kind
from qakit.data.encode import EncodedExamples
from qakit.errors import DataError, PluginFaultError
from qakit.problems import Problems
from qakit.protocols import BackboneRuntime, HeadRuntime, NoRuntime, ObserverRuntime, PoolsLayers, WindowRuntime
from qakit.registry import Registry
from qakit.testing import made_up_batch, made_up_examples
from qakit.values import Answer, Candidate, Example, SpanPrediction

FAULTY = '''
from dataclasses import replace

import torch
from torch import nn

from qakit.api import ProblemKind

def give(self, method):
    """What a test wants of this method."""
    given = WANTED[method]
    if isinstance(given, BaseException):
        raise given  # the innermost line
    return given

WANTED = {}

class Reads:
    def read(self, path, problems):
        return give(self, "read")

class ReadsLater:
    def read(self, path, problems):
        yield from give(self, "read")

class Reports:
    def read(self, path, problems):
        problems.judge(give(self, "read"), row="line 1", field="", message="it is odd")  # reports
        return []

class Cuts:
    redraws = False
    def windows(self, encoded, *, epoch):
        return give(self, "windows")

class Adapts:
    def apply(self, backbone):
        return give(self, "apply")
    def merge(self, backbone):
        return give(self, "merge")
    def export(self, backbone, folder, *, source):
        return give(self, "export")
    def parameter_rule(self, name):
        return give(self, "parameter_rule")

class Encodes(nn.Module):
    hidden_size = 2
    def forward(self, *, input_ids, attention_mask):
        return give(self, "forward")
    def get_input_embeddings(self):
        return give(self, "get_input_embeddings")
    @property
    def length_limit(self):
        return give(self, "length_limit")

class Heads(nn.Module):
    reads = "tokens"
    pools = True
    has_distributions = True
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 2)
    def forward(self, hidden, batch):
        return give(self, "forward")
    def decode(self, scores, batch):
        return give(self, "decode")
    def pool(self, layers):
        return give(self, "pool")
    def position_scores(self, scores, batch):
        return give(self, "position_scores")
    def distributions(self, scores, batch):
        return give(self, "distributions")
    def parameter_rule(self, name):
        return give(self, "parameter_rule")

class Cleans:
    def __call__(self, prediction, example):
        return give(self, "__call__")
    def learn(self, examples):
        return give(self, "learn")

def clean(prediction, example):
    return give(None, "__call__")

class Pool:
    def combine(self, weights, temperatures, *, n_best):
        return give(self, "pool.combine")
    def learn(self, rows):
        return give(self, "pool.learn")

class Combines:
    reads_characters = decodes = False
    def combine(self, members):
        return give(self, "combine")
    def pool(self, members, examples):
        return give(self, "pool")

class Writes:
    suffix = ".csv"
    def write(self, predictions, path):
        return give(self, "write")
    def check(self, path, sample):
        return give(self, "check")

class Judges:
    primary = "f1"
    def compute(self, examples, predictions):
        return give(self, "compute")
    def per_example(self, examples, answers):
        return give(self, "per_example")
    def of_draws(self, examples, answers, counts):
        return give(self, "of_draws")
    def official_format(self, figures):
        return give(self, "official_format")

class Watches:
    def observe(self, event):
        return give(self, "observe")
    def close(self, error):
        return give(self, "close")

def of(built, name="faulty"):
    return [component(name, build=lambda settings, runtime: built())]

@hookimpl
def qakit_register_readers():
    (reports,) = of(Reports, "reports")
    declared = replace(reports, problems=(ProblemKind("odd_row", "a row that is odd"),))
    return [*of(Reads), *of(ReadsLater, "later"), declared]
@hookimpl
def qakit_register_preprocessors():
    return of(Cuts)
@hookimpl
def qakit_register_adapters():
    return of(Adapts)
@hookimpl
def qakit_register_backbones():
    return of(Encodes)
@hookimpl
def qakit_register_heads():
    return of(Heads)
@hookimpl
def qakit_register_postprocessors():
    return [*of(Cleans), *of(lambda: clean, "function")]
@hookimpl
def qakit_register_ensemblers():
    return of(Combines)
@hookimpl
def qakit_register_writers():
    return of(Writes)
@hookimpl
def qakit_register_metrics():
    return of(Judges)
@hookimpl
def qakit_register_observers():
    return of(Watches)
'''

QUESTION = Example("a", "who?", ("Ann came.",), (Answer("Ann", 0),))
ANSWER = SpanPrediction("a", "Ann", (Candidate("Ann", 0, 3, 0, 1.0, 0.9),))
BATCH = made_up_batch(targets=False)
HIDDEN = torch.zeros(4, 14, 2)
RUNTIMES: Mapping[Kind, object] = {
    "preprocessors": WindowRuntime(24, 8, 3, training=True, seed=1),
    "backbones": BackboneRuntime(8, 0),
    "heads": HeadRuntime(2, 0.02, 5, 4, no_answer=True),
    "observers": ObserverRuntime("run", Path(), "run", {}),
}
CALLS: Mapping[tuple[Kind, str], Callable[[Any, Path], Any]] = {
    ("readers", "read"): lambda each, path: list(each.read(path, Problems(path))),
    ("preprocessors", "windows"): lambda each, _: each.windows(made_up_examples(), epoch=0),
    ("adapters", "apply"): lambda each, _: each.apply(torch.nn.Identity()),
    ("adapters", "merge"): lambda each, _: each.merge(torch.nn.Identity()),
    ("adapters", "export"): lambda each, path: each.export(torch.nn.Identity(), path, source="bert"),
    ("adapters", "parameter_rule"): lambda each, _: each.parameter_rule("weight"),
    ("heads", "parameter_rule"): lambda each, _: each.parameter_rule("weight"),
    ("backbones", "forward"): lambda each, _: each(input_ids=BATCH.input_ids, attention_mask=BATCH.attention_mask),
    ("backbones", "get_input_embeddings"): lambda each, _: each.get_input_embeddings(),
    ("backbones", "length_limit"): lambda each, _: each.length_limit,
    ("heads", "forward"): lambda each, _: each(HIDDEN, BATCH),
    ("heads", "decode"): lambda each, _: each.decode({}, BATCH),
    ("heads", "pool"): lambda each, _: each.pool([HIDDEN]),
    ("heads", "position_scores"): lambda each, _: each.position_scores({}, BATCH),
    ("heads", "distributions"): lambda each, _: each.distributions({}, BATCH),
    ("postprocessors", "__call__"): lambda each, _: each(ANSWER, QUESTION),
    ("postprocessors", "learn"): lambda each, _: each.learn([QUESTION]),
    ("ensemblers", "combine"): lambda each, _: each.combine([[ANSWER]]),
    ("ensemblers", "pool"): lambda each, _: each.pool([], None),
    ("writers", "write"): lambda each, path: each.write([ANSWER], path / "none.csv"),
    ("writers", "check"): lambda each, path: each.check(path, path),
    ("metrics", "compute"): lambda each, _: each.compute([QUESTION], [ANSWER]),
    ("metrics", "per_example"): lambda each, _: each.per_example([QUESTION], ["Ann"]),
    ("metrics", "of_draws"): lambda each, _: each.of_draws([QUESTION], ["Ann"], np.ones((3, 1))),
    ("metrics", "official_format"): lambda each, _: each.official_format({}),
    ("observers", "observe"): lambda each, _: each.observe(None),
    ("observers", "close"): lambda each, _: each.close(None),
}
"""Each method that the core calls, called as the core does it."""
Faulty = Callable[..., str]


@pytest.fixture
def plugin(install: Callable[..., tuple[EntryPoint, ...]]) -> Registry:
    return Registry.from_entry_points(install("acme", version="2.1", kinds=FAULTY))


def wanted(method: str, given: object) -> None:
    """From here on the plugin's method gives this, or raises it."""
    import acme_kinds  # type: ignore[import-not-found]

    acme_kinds.WANTED[method] = given


def built(plugin: Registry, kind: Kind, name: str = "faulty") -> Any:
    return plugin.build(kind, name, {}, RUNTIMES.get(kind, NoRuntime()))


@pytest.fixture
def told(plugin: Registry, tmp_path: Path) -> Faulty:
    """What is said of a component whose method gives (or raises) something."""

    def tell(kind: Kind, method: str, given: object, name: str = "faulty") -> str:
        wanted(method, given)
        folder = tmp_path / "empty"
        folder.mkdir(exist_ok=True)
        with pytest.raises(PluginFaultError) as caught:
            CALLS[kind, method](built(plugin, kind, name), folder)
        assert caught.value.exit_code == 2
        said = str(caught.value)
        assert "\n" not in said
        return said

    return tell


def source() -> str:
    """The plugin's file."""
    import acme_kinds

    return Path(acme_kinds.__file__).read_text("utf-8")


def line_of(text: str) -> int:
    """Where the plugin's file has it first."""
    return source().split(text)[0].count("\n") + 1


def test_every_method_of_every_kind_is_called_here() -> None:
    assert {kind for kind, _ in CALLS} == set(KINDS)
    assert set(CALLS) == {(kind, method) for kind in KINDS for method in METHODS[kind]}


@pytest.mark.parametrize(("kind", "method"), CALLS)
def test_a_method_that_raises(told: Faulty, kind: Kind, method: str) -> None:
    said = told(kind, method, ZeroDivisionError("by\nnothing"))
    what = "the call" if method == "__call__" else method
    assert said.startswith(f"in {kind[:-1]} 'faulty' of plugin acme 2.1: {what} fails")
    assert said.endswith(f": ZeroDivisionError: by nothing (acme_kinds.py:{line_of('raise given')})")


def test_a_plain_function_and_a_generator_are_called_likewise(told: Faulty) -> None:
    assert "the call fails for the example 'a': KeyError: 'x' (acme_kinds.py:" in told(
        "postprocessors", "__call__", KeyError("x"), "function"
    )
    assert "read fails: KeyError: 'x' (acme_kinds.py:" in told("readers", "read", KeyError("x"), "later")


def test_a_reader_reports_only_what_its_component_declares(told: Faulty, plugin: Registry) -> None:
    said = told("readers", "read", "odd_rows", "reports")
    assert said == (
        "in reader 'reports' of plugin acme 2.1: read fails: LookupError: a problem of the kind 'odd_rows', which is "
        f"not declared; did you mean 'odd_row'? (acme_kinds.py:{line_of('# reports')})"
    )
    wanted("read", "odd_row")
    problems = Problems(Path("a"), {"odd_row": "skip"})
    assert list(built(plugin, "readers", "reports").read(Path("a"), problems)) == []
    assert problems.counts == {("odd_row", "skipped"): 1}


def test_a_plugin_does_not_end_the_process(told: Faulty) -> None:
    assert "compute fails: SystemExit: 3" in told("metrics", "compute", SystemExit(3))


@pytest.mark.parametrize(
    "error",
    [
        KeyboardInterrupt(),
        DataError("is odd", path="a.csv", row="line 3"),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
        MemoryError(),
        PermissionError(13, "Permission denied", "a.csv"),
    ],
)
def test_what_others_see_to_passes_as_it_is(plugin: Registry, tmp_path: Path, error: BaseException) -> None:
    for kind, method in (("readers", "read"), ("heads", "forward"), ("writers", "write")):
        wanted(method, error)
        with pytest.raises(type(error)) as caught:
            CALLS[kind, method](built(plugin, kind), tmp_path)
        assert caught.value is error


def windows(**changes: Any) -> Any:
    from qakit.data.windows import Windows

    some = {"example": [0], "query_stop": [4], "pair": [0], "first": [0], "stop": [5], "answer_first": [-1]}
    arrays = {name: np.array(values) for name, values in (some | {"answer_stop": [-1]}).items()}
    found = Windows.single(**arrays)
    for name, value in changes.items():
        object.__setattr__(found, name, value)
    return found


def output(loss: Any = None, scores: Any = None, figures: Any = None) -> Any:
    from qakit.protocols import HeadOutput

    return HeadOutput(loss, {} if scores is None else scores, figures or {})


def spans(first: Any = None, **changes: Any) -> Any:
    from qakit.protocols import SpanCandidates

    columns = {"first": torch.zeros(4, 2).long() if first is None else first, "last": torch.zeros(4, 2).long()}
    return SpanCandidates(**(columns | {"score": torch.zeros(4, 2), "null": torch.zeros(4)} | changes))


def example(**changes: Any) -> list[Any]:
    return [Example(**({"id": "a", "question": "who?", "contexts": ("Ann came.",)} | changes))]


def odd_results() -> list[tuple[Kind, str, Any, str]]:
    from qakit.protocols import BackboneOutput, Distributions, LabelScores, ParameterRule, PositionScores

    none = torch.zeros(4, 0)
    unsorted = SpanPrediction("a", "x", tuple(Candidate("x", 0, 1, 0, score, 0.5) for score in (1.0, 2.0)))
    return [
        ("readers", "read", None, "read returned None; it must give examples (is `yield` missing?)"),
        ("readers", "read", "abc", "read returned str; it must give examples"),
        ("readers", "read", ["abc"], "read yields example 1: it is str, not Example"),
        ("readers", "read", example(contexts="a b"), "a: contexts is str; it must be a tuple"),
        ("readers", "read", example(contexts=(1,)), "a: contexts must hold str"),
        ("readers", "read", example(id=3), "id 3 is int, not str"),
        ("readers", "read", example(question=None), "a: question is None, not str"),
        ("readers", "read", example(answers=("Ann",)), "a: answers must hold Answer, with texts"),
        ("readers", "read", example(relevant=1), "a: relevant is 1, of 1 contexts"),
        ("preprocessors", "windows", [], "windows returned list; it must return Windows"),
        ("preprocessors", "windows", windows(first=[0]), "whose `first` is no array of integers"),
        (
            "preprocessors",
            "windows",
            windows(pair=np.zeros(2, np.int32)),
            "whose arrays do not fit together: {",
        ),
        (
            "preprocessors",
            "windows",
            windows(pointers=np.array([1, 1])),
            "whose `pointers` do not ascend from 0",
        ),
        ("preprocessors", "windows", windows(example=np.array([11])), "of examples that there are not"),
        ("preprocessors", "windows", windows(pair=np.array([-1])), "of contexts that there are not"),
        ("preprocessors", "windows", windows(stop=np.array([11])), "that do not lie in their contexts"),
        ("adapters", "apply", None, "apply returned None; it must return the backbone"),
        ("adapters", "merge", {}, "merge returned dict; it must return the backbone"),
        ("adapters", "export", None, "export has written no file"),
        ("adapters", "parameter_rule", 0.1, "parameter_rule returned float; it must return a ParameterRule"),
        (
            "heads",
            "parameter_rule",
            ParameterRule(rate=-1.0),
            "returned a rate that is -1.0; it must be a finite number",
        ),
        ("backbones", "forward", none, "forward returned Tensor; it must return a BackboneOutput"),
        ("backbones", "forward", BackboneOutput(HIDDEN[0]), "last_hidden_state of shape (14, 2); it must be (B, T, 2)"),
        ("heads", "forward", torch.zeros(4), "forward returned Tensor; it must return a HeadOutput"),
        (
            "heads",
            "forward",
            output(1.0),
            "forward gives a loss that is float; it must be a tensor",
        ),
        ("heads", "forward", output(torch.tensor(1)), "forward gives a loss that is torch.int64 of shape ()"),
        ("heads", "forward", output(torch.zeros(4)), "forward gives a loss of shape (4,); it must give the mean"),
        ("heads", "forward", output(scores=[none]), "forward gives scores that are list"),
        ("heads", "forward", output(scores={"x": 1.0}), "forward gives scores whose 'x' is float, not a tensor"),
        ("heads", "forward", output(scores={"x": none[:3]}), "whose 'x' has the shape (3, 0) for 4 windows"),
        ("heads", "forward", output(figures={"x": 1.0}), "forward gives a figure 'x' that is float"),
        ("heads", "forward", output(figures={"x": none}), "a figure 'x' that is torch.float32 of shape (4, 0)"),
        ("heads", "decode", LabelScores(none), "decode returned LabelScores, where SpanCandidates is expected"),
        ("heads", "decode", spans([0]), "decode returned SpanCandidates whose `first` is list, not a tensor"),
        (
            "heads",
            "decode",
            spans(null=torch.zeros(3)),
            "null (3,) for 4 windows; first, last and score must",
        ),
        ("heads", "decode", spans(none, last=none, score=none), "score (4, 0), null (4,) for 4 windows"),
        ("heads", "decode", spans(yes_no=none), "yes_no (4, 0) for 4 windows"),
        ("heads", "pool", none, "it must return hidden states of shape (4, 14, 2)"),
        ("heads", "position_scores", none, "position_scores returned Tensor; it must return PositionScores"),
        ("heads", "position_scores", PositionScores(none, none), "returned start (4, 0) and end (4, 0), not (4, 14)"),
        ("heads", "distributions", none, "distributions returned Tensor; it must return a list of Distributions"),
        ("heads", "distributions", [Distributions(none, HIDDEN > 0, 4)], "possible of shape (4, 14, 2)"),
        ("postprocessors", "__call__", None, "the call returned None; it must return a Prediction with the same id"),
        ("postprocessors", "__call__", SpanPrediction("b", ""), "returned the id 'b'"),
        (
            "postprocessors",
            "__call__",
            SpanPrediction("a", None),
            "an answer that is None, not str",
        ),  # type: ignore[arg-type]
        ("postprocessors", "learn", None, "learn returned None; it must return values by name"),
        ("ensemblers", "combine", None, "combine returned None; it must return a list of predictions"),
        ("ensemblers", "combine", [], "combine returned 0 predictions; it must return one for each of 1 ids"),
        ("ensemblers", "combine", [unsorted], "combine returned candidates for 'a' that are not sorted, best first"),
        ("ensemblers", "pool", None, "pool returned None, which has no combine and no learn"),
        ("writers", "write", None, "write has written no file"),
        ("writers", "check", "abc", "check returned str; it must return a list of texts"),
        ("metrics", "compute", 1.0, "compute returned float; it must return figures by name"),
        ("metrics", "compute", {"f1": torch.tensor(1.0)}, "compute gives Tensor for 'f1'"),
        ("metrics", "per_example", [1.0], "per_example returned list; it must return lists of figures by name"),
        ("metrics", "per_example", {"em": [1.0]}, "it must give 'f1', and one for each"),
        ("metrics", "per_example", {"f1": [1.0, 2.0]}, "per_example gives {'f1': 2} figures of each of 1 examples"),
        ("metrics", "per_example", {"f1": [float("nan")]}, "gives 'f1' that is no finite number for some example"),
        (
            "metrics",
            "of_draws",
            {"f1": [1.0] * 3},
            "'f1' as list; it must be an array of the shape (3,)",
        ),
        ("metrics", "official_format", "f1: 1", "official_format returned str; it must return values by name"),
    ]


@pytest.mark.parametrize(("kind", "method", "given", "what"), odd_results())
def test_what_must_not_come_back(told: Faulty, kind: Kind, method: str, given: Any, what: str) -> None:
    said = told(kind, method, given)
    assert said.startswith(f"in {kind[:-1]} 'faulty' of plugin acme 2.1: ")
    assert what in said
    place = re.search(r"\(acme_kinds\.py:(\d+)\)$", said)
    assert place is not None
    assert f"def {method}(self" in source().splitlines()[int(place[1]) - 1]


ADAPTER = """
from torch import nn

class Scaled(nn.Module):
    def forward(self, hidden):
        raise KeyError("x")

class Bare(nn.Module):
    def forward(self, hidden):
        return hidden

class Adapts:
    def __init__(self, module):
        self.module = module
    def apply(self, backbone):
        return self.module

@hookimpl
def qakit_register_adapters():
    made = {"scaled": lambda: nn.Sequential(Scaled()), "bare": Bare}
    return [component(name, build=lambda settings, runtime, make=make: Adapts(make())) for name, make in made.items()]
"""


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("scaled", "forward fails: KeyError: 'x'"),
        ("bare", "forward returned Tensor; it must return a BackboneOutput with last_hidden_state"),
    ],
)
def test_modules_that_an_adapter_gives_are_its_own(
    install: Callable[..., tuple[EntryPoint, ...]], name: str, said: str
) -> None:
    registry = Registry.from_entry_points(install("acme", kinds=ADAPTER))
    adapted = registry.build("adapters", name, {}, NoRuntime()).apply(torch.nn.Identity())
    for each in (adapted, copy.deepcopy(adapted)):
        with pytest.raises(PluginFaultError) as caught:
            each(HIDDEN)
        assert str(caught.value).startswith(f"in adapter '{name}' of plugin acme 1.0: {said} (acme_kinds.py:")
    assert type(adapted).__name__ == ("Bare" if name == "bare" else "Sequential")
    assert name == "bare" or type(adapted) is torch.nn.Sequential, "torch's own module is nobody's"


def test_a_lost_connection_is_no_mistake_of_a_plugin(plugin: Registry, tmp_path: Path) -> None:
    for error in (
        torch.distributed.DistBackendError("closed"),
        RuntimeError("[gloo/tcp.cc] Connection closed"),
    ):
        wanted("forward", error)
        with pytest.raises(type(error)) as caught:
            CALLS["heads", "forward"](built(plugin, "heads"), tmp_path)
        assert caught.value is error


def test_what_is_right_comes_back_as_it_is(plugin: Registry, tmp_path: Path) -> None:
    (tmp_path / "none.csv").write_text("")
    right: list[tuple[Kind, str, Any]] = [
        ("readers", "read", [QUESTION]),
        ("preprocessors", "windows", windows()),
        ("adapters", "apply", torch.nn.Identity()),
        ("adapters", "export", None),
        ("heads", "forward", output(torch.tensor(1.0), {"x": HIDDEN}, {"half": torch.tensor(0.5)})),
        ("heads", "decode", spans(yes_no=torch.zeros(4, 2))),
        ("heads", "pool", HIDDEN),
        ("postprocessors", "__call__", ANSWER),
        ("ensemblers", "combine", [ANSWER]),
        ("writers", "write", None),
        ("writers", "check", []),
        ("metrics", "compute", {"f1": float("nan"), "count": 1}),  # undefined of a few examples
        ("metrics", "per_example", {"f1": [1.0]}),
        ("metrics", "of_draws", {"f1": np.ones(3)}),
    ]
    for kind, method, given in right:
        wanted(method, given)
        found = CALLS[kind, method](built(plugin, kind), tmp_path)
        assert found == given if isinstance(given, list) else found is given


def test_pools_of_an_ensembler_are_its_own(plugin: Registry) -> None:
    built(plugin, "ensemblers")
    import acme_kinds

    wanted("pool", acme_kinds.Pool())
    pool = built(plugin, "ensemblers").pool([], None)
    wanted("pool.combine", ZeroDivisionError())
    with pytest.raises(PluginFaultError, match=r"^in ensembler 'faulty' of plugin acme 2\.1: combine fails: Zero"):
        pool.combine([1.0], [1.0], n_best=1)
    wanted("pool.learn", KeyError("x"))
    with pytest.raises(PluginFaultError, match=r"^in ensembler 'faulty' of plugin acme 2\.1: learn fails: KeyError"):
        pool.learn([0])


# --- what else an object is


def test_a_module_stays_what_it_is_in_copies_too(plugin: Registry) -> None:
    head = built(plugin, "heads")
    import acme_kinds

    for each in (head, copy.deepcopy(head), pickle.loads(pickle.dumps(head))):
        assert isinstance(each, acme_kinds.Heads)
        assert isinstance(each, PoolsLayers)
        assert (type(each).__name__, type(each).__module__) == ("Heads", "acme_kinds")
        assert list(each.state_dict()) == ["linear.weight", "linear.bias"]
        assert torch.equal(each.linear.weight, head.linear.weight)
        wanted("decode", KeyError("x"))
        with pytest.raises(PluginFaultError, match=r"^in head 'faulty' of plugin acme 2\.1: decode fails: KeyError"):
            each.decode({}, BATCH)


OBJECTS = """
import functools
from dataclasses import dataclass
from types import SimpleNamespace
from typing import NamedTuple

def fail(*given):
    raise KeyError("x")

@dataclass(frozen=True, slots=True)
class Slotted:
    width: int = 3
    def __call__(self, prediction, example):
        fail()

class Tuple(NamedTuple):
    width: int = 3
    def __call__(self, prediction, example):
        fail()

class Static:
    width = 3
    learn = staticmethod(fail)
    __call__ = staticmethod(fail)

class Model(Settings):
    width: int = 3
    def __call__(self, prediction, example):
        fail()

def writer():
    made = SimpleNamespace(suffix=".csv", write=fail, check=fail, width=3)
    return made

@hookimpl
def qakit_register_postprocessors():
    kinds = {"slotted": Slotted, "tuple": Tuple, "static": Static, "model": Model}
    return [component(name, build=lambda settings, runtime, kind=kind: kind()) for name, kind in kinds.items()]

@hookimpl
def qakit_register_writers():
    return [component("namespace", build=lambda settings, runtime: writer())]
"""


def test_objects_of_any_class(install: Callable[..., tuple[EntryPoint, ...]], tmp_path: Path) -> None:
    registry = Registry.from_entry_points(install("acme", objects=OBJECTS))
    for name in registry.names("postprocessors"):
        made = registry.build("postprocessors", name, {}, NoRuntime())
        assert made.width == 3
        with pytest.raises(PluginFaultError, match=rf"^in postprocessor '{name}' of plugin acme 1\.0: the call fails"):
            made(ANSWER, QUESTION)
    assert registry.build("postprocessors", "slotted", {}, None) == registry.build(
        "postprocessors", "slotted", {}, None
    )
    writer = registry.build("writers", "namespace", {}, NoRuntime())
    with pytest.raises(PluginFaultError, match=r"^in writer 'namespace' of plugin acme 1\.0: write fails: KeyError"):
        writer.write([ANSWER], tmp_path)


# --- what is seen only where it is used


@pytest.mark.parametrize(
    ("score", "scores", "said"),
    [
        (
            [1.0, 2.0],
            0.0,
            "in head 'faulty' of plugin acme 2.1: decode gives candidates that are not sorted, best first (",
        ),
        ([float("nan"), 1.0], 0.0, "decode gives scores that are NaN or infinite, of finite ones (acme_kinds.py:"),
        ([float("nan"), 1.0], float("nan"), "the model produced NaN scores"),
        ([1.0, float("-inf")], 0.0, "decode gives a span outside the contexts (acme_kinds.py:"),
    ],
)
def test_candidates_are_looked_at_where_they_arrive(
    plugin: Registry, score: list[float], scores: float, said: str
) -> None:
    from qakit.errors import QakitError
    from qakit.inference.collectors import collector
    from qakit.modeling.model import ReadingModel
    from qakit.recipe.model import PredictSection
    from qakit.testing.preprocessors import made_up_examples

    head = built(plugin, "heads")
    wanted("decode", spans(score=torch.tensor([score] * 4)))
    encoded: EncodedExamples = made_up_examples()
    collected = collector(encoded, windows(), PredictSection(aggregation="max_context"), (), "spans")
    batch = made_up_batch(targets=False)
    model = ReadingModel(torch.nn.Identity(), head)
    with pytest.raises(QakitError) as caught:
        collected.add(model, collected.find(model, batch, batch, output(scores={"x": torch.full((4, 1), scores)})))
    assert said in str(caught.value)


def test_a_fault_of_what_nobody_has_built_names_the_class() -> None:
    assert str(fault(torch.nn.Identity(), "forward", "is odd")).startswith("in Identity: forward is odd (")


SETTINGS = """
from pydantic import field_validator

class Odd(Settings):
    width: int = 1

    @field_validator("width")
    def check(cls, value):
        raise KeyError("x")

@hookimpl
def qakit_register_postprocessors():
    return [component("odd", settings=Odd)]
"""


def test_a_check_of_settings_that_raises(install: Callable[..., tuple[EntryPoint, ...]]) -> None:
    registry = Registry.from_entry_points(install("acme", odd=SETTINGS))
    with pytest.raises(PluginFaultError, match=r"'odd' of plugin acme 1\.0: settings fails: KeyError: 'x' \(acme_odd"):
        registry.build("postprocessors", "odd", {"width": 2}, NoRuntime())


@pytest.mark.parametrize("debugging", [False, True])
def test_the_traceback_is_shown_to_those_who_ask_for_it(
    plugin: Registry, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, debugging: bool
) -> None:
    from qakit import cli

    def fail() -> None:
        wanted("compute", KeyError("x"))
        built(plugin, "metrics").compute([], [])

    monkeypatch.setattr(cli, "build_app", lambda: fail)
    monkeypatch.setenv("QAKIT_DEBUG", "1" if debugging else "")
    with pytest.raises(SystemExit) as ended:
        cli._run()
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert ("Traceback (most recent call last)" in said) == debugging
    assert ("raise given" in said) == debugging  # the line in the plugin
    assert said.splitlines()[-1].startswith(
        "error: in metric 'faulty' of plugin acme 2.1: compute fails: KeyError: 'x'"
    )
