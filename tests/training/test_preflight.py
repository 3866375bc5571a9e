"""One batch through everything before the first step: each kind of misfit is one line, and nothing changes by it."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from command_line import Invoke, checkpoints_kept
from sample_questions import write_first_questions

from qakit.attribution import attributed
from qakit.components import Kind
from qakit.distributed import Workers
from qakit.errors import ModelError, PluginError, QakitError, RunError, UsageError
from qakit.inference.evaluation import Judge
from qakit.modeling.model import ReadingModel, parameter_counts
from qakit.protocols import HeadOutput, LabelScores
from qakit.recipe.load import load_recipe
from qakit.registry import Registry, load_registry
from qakit.training.checkpoints import Progress
from qakit.training.events import Event, Notice
from qakit.training.fit import started
from qakit.training.preflight import FirstBatch, preflight
from qakit.training.prepare import Prepared, prepare_training
from qakit.values import Example, LabelPrediction, Prediction

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def recipe_file(samples: Path, tiny_backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 questions to learn from, 12 to be judged by, 6 to answer."""
    folder = tmp_path_factory.mktemp("preflight")
    write_first_questions(samples, folder, train=24, dev=12, test=6)
    path = folder / "small.yaml"
    path.write_text(
        f"""\
data: {{reader: squad, train: train.json, validation: dev.json, test: test.json}}
backbone: {{source: {tiny_backbone}}}
windows: {{max_length: 128, max_question_length: 32}}
preprocess: {{train: random_window, predict: {{name: stride, overlap: 32}}}}
train: {{max_steps: 4, batch_size: 8, learning_rate: 1e-3, precision: fp32, log_every: 1, evaluate_every: 2}}
metric: squad_v1
""",
        "utf-8",
    )
    return path


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry()


Prepare = Callable[..., Prepared]


@pytest.fixture(scope="module")
def ready(recipe_file: Path, registry: Registry) -> Prepare:
    """``ready("train.x=1")``: a prepared training of the recipe with changes."""

    def prepare(*changes: str) -> Prepared:
        recipe = load_recipe(recipe_file, list(changes), registry=registry).recipe
        return prepare_training(recipe, registry, device=CPU, listener=lambda _: None)

    return prepare


@pytest.fixture(scope="module")
def plain(ready: Prepare) -> Prepared:
    """The recipe as it is; a preflight leaves it as it was."""
    return ready()


@pytest.fixture(scope="module")
def decoding(ready: Prepare) -> Prepared:
    """The same, with spans that the head decodes; the mean over windows seeks them itself."""
    return ready("predict.aggregation=max_context")


def fly(prepared: Prepared, registry: Registry, **options: Any) -> tuple[FirstBatch, list[str]]:
    """What the preflight saw, and the warnings that came of it."""
    heard: list[Event] = []
    seen = preflight(prepared, registry, device=CPU, listener=heard.append, **options)
    return seen, [event.message for event in heard if isinstance(event, Notice)]


def refusal(prepared: Prepared, registry: Registry, kind: type[QakitError], **options: Any) -> str:
    """The line that a preflight ends with."""
    with pytest.raises(kind) as caught:
        fly(prepared, registry, **options)
    text = str(caught.value)
    assert caught.value.exit_code == 2
    assert text.startswith("preflight")
    assert "\n" not in text
    return text


def owned(thing: Any, kind: Kind, name: str) -> Any:
    """A stand-in that is taken for what a component has built."""
    return attributed(thing, load_registry().get(kind, name).owner)


def as_built(head: Any) -> Any:
    """The head without the methods that a test has put in."""
    return super(type(head)._qakit_plain, head)


def with_head(prepared: Prepared, **methods: Any) -> Prepared:
    """The same model, whose head has other methods."""
    head = copy.deepcopy(prepared.assembled.model.head)
    head.__class__ = type("OddHead", (type(head),), methods)
    model = ReadingModel(prepared.assembled.model.backbone, owned(head, "heads", "linear_span"))
    return replace(prepared, assembled=replace(prepared.assembled, model=model))


def with_loss(prepared: Prepared, change: Callable[[torch.Tensor], Any]) -> Prepared:
    """The same model, whose head makes something else of its loss."""

    def forward(self: Any, hidden: torch.Tensor, batch: Any) -> HeadOutput:
        output = as_built(self).forward(hidden, batch)
        return output if output.loss is None else HeadOutput(change(output.loss), output.scores)

    return with_head(prepared, forward=forward)


class FakeMetric:
    """A metric with everything that the core looks at; tests put other methods in."""

    primary = "score"

    def compute(self, examples: Sequence[Example], predictions: Sequence[Prediction]) -> dict[str, Any]:
        assert len({each.id for each in examples}) == len({each.id for each in predictions})
        return {"score": 1.0}


def with_metric(prepared: Prepared, primary: str = "score", **methods: Any) -> Prepared:
    metric = type("OddMetric", (FakeMetric,), {"primary": primary, **methods})()
    metric = owned(metric, "metrics", "squad_v1")
    return replace(prepared, judge=Judge(prepared.recipe, metric, prepared.judge.postprocessors))


# --- what is seen, and that nothing is left behind


def test_a_training_begins_with_what_it_has(plain: Prepared) -> None:
    accelerator: Any = SimpleNamespace(device="cpu")
    begun = started(plain, {}, accelerator, Progress(step=3))
    assert plain.validation is not None
    assert (begun.steps, begun.first_step, begun.device) == (plain.plan.steps, 3, "cpu")
    assert (begun.train_examples, begun.validation_examples) == (
        len(plain.train_split.examples),
        len(plain.validation.examples),
    )
    assert started(replace(plain, validation=None), {}, accelerator, Progress()).validation_examples == 0


def test_it_says_what_it_saw_of_the_batch_that_needs_most_memory(plain: Prepared, registry: Registry) -> None:
    seen, notices = fly(plain, registry)
    lengths = plain.plan.first.collator.lengths
    assert notices == []
    assert (seen.windows, seen.tokens) == (8, max(lengths))
    assert 1 < seen.loss < 20
    assert seen.seconds > 0


@pytest.mark.parametrize(
    "changes",
    [
        (),
        ("adapter={name: lora, rank: 2}",),
        ("adapter=bitfit", "train.r_drop={}"),
        ("train.keep=adapter", "adapter=freeze", "adapter.layers=1"),
        ("head=crf", "predict={no_answer: true}", "metric=squad_v2"),
        ("train.accumulation=2", "predict={character_scores: true, aggregation: mean}"),
        ("data.validation=null", "data.test=null"),
    ],
)
def test_nothing_is_left_behind(ready: Prepare, registry: Registry, changes: tuple[str, ...]) -> None:
    prepared = ready(*changes)
    model = prepared.assembled.model
    torch.manual_seed(3)
    random.seed(3)
    np.random.seed(3)

    def state() -> dict[str, Any]:
        named = {name: tensor.clone() for name, tensor in (*model.named_parameters(), *model.named_buffers())}
        return {
            **named,
            "torch": torch.get_rng_state(),
            "rest": (random.getstate(), np.random.get_state()[1].tolist()),  # type: ignore[index]
            "trained": [name for name, parameter in model.named_parameters() if parameter.requires_grad],
            "gradients": [name for name, parameter in model.named_parameters() if parameter.grad is not None],
            "training": [module.training for module in model.modules()],
            "hooks": [len(module._forward_pre_hooks) for module in model.modules()],
        }

    before = state()
    fly(prepared, registry)
    after = state()
    assert before.keys() == after.keys()
    for name, value in before.items():
        same = torch.equal(value, after[name]) if isinstance(value, torch.Tensor) else value == after[name]
        assert same, name
    assert after["gradients"] == []


def test_what_a_backbone_keeps_of_its_first_texts_is_kept_in_a_copy(plain: Prepared, registry: Registry) -> None:
    model = copy.deepcopy(plain.assembled.model)
    model.backbone.register_buffer("seen", torch.zeros(1))

    def note(module: Any, *_: Any) -> None:
        module.seen += 1
        module.attention_type = "original_full"

    model.backbone.register_forward_pre_hook(note)
    fly(replace(plain, assembled=replace(plain.assembled, model=model)), registry)
    assert float(model.backbone.seen) == 0
    assert not hasattr(model.backbone, "attention_type")


def train(invoke: Invoke, *arguments: object) -> None:
    result = invoke("train", *arguments, "--quiet")
    assert result.exit_code == 0, result.output


@pytest.mark.slow
def test_a_run_with_it_equals_one_without_it_also_resumed(
    recipe_file: Path, tmp_path: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    flown = []

    def counted(*arguments: Any, **options: Any) -> FirstBatch:
        flown.append(preflight(*arguments, **options))
        return flown[-1]

    with_it, without = tmp_path / "with", tmp_path / "without"
    monkeypatch.setattr("qakit.training.preflight.preflight", counted)
    with checkpoints_kept():
        train(invoke, recipe_file, "--output", with_it)
        assert len(flown) == 1
        monkeypatch.setattr("qakit.training.preflight.preflight", lambda *_, **__: None)
        train(invoke, recipe_file, "--output", without)
    names = ("metrics.jsonl", "model/model.safetensors", "model/decision.json", "predictions/nbest.jsonl")
    for name in names:
        assert (with_it / name).read_bytes() == (without / name).read_bytes(), name

    for left, times in ((1, 1), (0, 2)):  # resumed after two steps; begun again before the first checkpoint
        (with_it / "metrics.json").unlink()
        folders = sorted((with_it / "checkpoints").glob("step-*"))
        for folder in folders[left:]:
            for file in folder.iterdir():
                file.unlink()
            folder.rmdir()
        monkeypatch.setattr("qakit.training.preflight.preflight", counted)
        with checkpoints_kept():
            train(invoke, "--resume", "--output", with_it)
        assert len(flown) == times
        for name in names:
            assert (with_it / name).read_bytes() == (without / name).read_bytes(), name


# --- the head


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number(plain: Prepared, registry: Registry, value: float) -> None:
    said = refusal(with_loss(plain, lambda loss: loss * value), registry, ModelError)
    assert said.startswith(f"preflight, forward pass: the head 'linear_span' gives a loss of {value} for 8 windows")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda loss: loss.expand(3), "forward gives a loss of shape (3,)"),
        (lambda loss: 1.5, "forward gives a loss that is float; it must be a tensor"),
        (lambda loss: None, "forward gives no loss for a batch with targets"),
        (lambda loss: loss.detach(), "forward pass: the loss of the head 'linear_span' does not depend on anything"),
    ],
)
def test_a_loss_that_cannot_be_learnt_from(
    plain: Prepared, registry: Registry, change: Callable[[torch.Tensor], Any], problem: str
) -> None:
    assert problem in refusal(with_loss(plain, change), registry, PluginError)


def test_a_head_that_raises_is_named_with_its_plugin_and_line(plain: Prepared, registry: Registry) -> None:
    def forward(_self: Any, _hidden: torch.Tensor, _batch: Any) -> HeadOutput:
        raise ZeroDivisionError("by nothing\nat all")

    said = refusal(with_head(plain, forward=forward), registry, PluginError)
    assert said.startswith("preflight, forward pass: in head 'linear_span' of plugin qakit ")
    assert "forward fails: ZeroDivisionError: by nothing at all (tests/training/test_preflight.py:" in said


def test_a_backbone_that_raises_is_not_taken_for_the_head(plain: Prepared, registry: Registry) -> None:
    model = copy.deepcopy(plain.assembled.model)

    def broken(*_: Any) -> None:
        raise IndexError("index out of range in self")

    model.backbone.register_forward_pre_hook(broken)
    said = refusal(replace(plain, assembled=replace(plain.assembled, model=model)), registry, ModelError)
    assert said.startswith(f"preflight, forward pass: the backbone '{plain.recipe.backbone.source}' fails: IndexError")


@pytest.mark.parametrize(
    ("decode", "problem"),
    [
        (
            lambda *_: LabelScores(torch.zeros(1, 2)),
            "decode returned LabelScores, where SpanCandidates is expected",
        ),
        (lambda *_: None, "decode returned None"),
        (lambda *_: {}["scores"], "in head 'linear_span' of plugin qakit"),
    ],
)
def test_a_head_that_decodes_nonsense(
    decoding: Prepared, registry: Registry, decode: Callable[..., Any], problem: str
) -> None:
    said = refusal(with_head(decoding, decode=decode), registry, PluginError)
    assert said.startswith("preflight, decoding: ")
    assert problem in said


def test_decoded_shapes_are_seen(decoding: Prepared, registry: Registry) -> None:
    def decode(self: Any, scores: Mapping[str, torch.Tensor], batch: Any) -> Any:
        found = as_built(self).decode(scores, batch)
        return replace(found, null=found.null[:1])

    said = refusal(with_head(decoding, decode=decode), registry, PluginError)
    assert "decode returned first" in said


# --- gradients


def test_a_head_that_reads_the_backbone_alone_trains_with_a_warning(plain: Prepared, registry: Registry) -> None:
    def forward(self: Any, hidden: torch.Tensor, batch: Any) -> HeadOutput:
        output: HeadOutput = as_built(self).forward(hidden.detach(), batch)
        return output

    (notice,) = fly(with_head(plain, forward=forward), registry)[1]
    assert "trainable parameters get no gradient from the first batch (the whole backbone)" in notice


def test_a_loss_that_does_not_depend_on_the_head(plain: Prepared, registry: Registry) -> None:
    def forward(self: Any, hidden: torch.Tensor, batch: Any) -> HeadOutput:
        output = as_built(self).forward(hidden, batch)
        return HeadOutput(hidden.square().mean(), output.scores)

    said = refusal(with_head(plain, forward=forward), registry, PluginError)
    assert "backward pass: the loss of the head 'linear_span' does not depend on the head's weights" in said


def with_idle_parameter(prepared: Prepared) -> Prepared:
    odd = with_head(prepared)
    odd.assembled.model.head.idle = torch.nn.Parameter(torch.zeros(2))
    return odd


def test_parameters_without_a_gradient_are_named(plain: Prepared, registry: Registry) -> None:
    (notice,) = fly(with_idle_parameter(plain), registry)[1]
    assert "trainable parameters get no gradient from the first batch (head.idle): they may never change" in notice
    assert notice.startswith("preflight: 1 of ")


def test_each_process_takes_its_own_part_and_the_first_one_does_the_rest(plain: Prepared, registry: Registry) -> None:
    def compute(*_: Any) -> dict[str, Any]:
        raise ZeroDivisionError

    broken = with_metric(plain, compute=compute)
    assert fly(broken, registry, workers=Workers(1, 2))[0].windows == 4
    refusal(broken, registry, PluginError, workers=Workers(0, 2))


def test_with_sharded_weights_there_is_no_backward_pass(plain: Prepared, registry: Registry) -> None:
    learning: list[bool] = []

    def note(loss: torch.Tensor) -> torch.Tensor:
        learning.append(loss.requires_grad)
        return loss

    fly(with_loss(plain, note), registry, sharded=True)
    assert learning == [False]


# --- memory


def fits(most: int) -> Callable[..., HeadOutput]:
    def forward(self: Any, hidden: torch.Tensor, batch: Any) -> HeadOutput:
        if len(batch) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        output: HeadOutput = as_built(self).forward(hidden, batch)
        return output

    return forward


def test_where_memory_runs_out_the_part_is_halved_as_the_loop_will(plain: Prepared, registry: Registry) -> None:
    whole = fly(plain, registry)[0]
    seen, notices = fly(with_head(plain, forward=fits(2)), registry)
    assert "each step will be computed in 4 parts (train.accumulation=4), with the same batch" in notices[0]
    assert (seen.windows, seen.tokens) == (whole.windows, whole.tokens)


def test_auto_finds_the_parts_that_fit_in_each_process(ready: Prepare, registry: Registry) -> None:
    """Also where several processes train, and without a warning: it was asked for."""
    prepared = ready("train.accumulation=auto")
    assert fly(prepared, registry)[0].parts == 1
    for workers, parts in ((Workers(), 4), (Workers(1, 2), 2)):
        seen, notices = fly(with_head(prepared, forward=fits(2)), registry, workers=workers)
        assert seen.parts == parts
        assert not any("train.accumulation" in line for line in notices)


def test_auto_leaves_room_for_what_comes_after_the_first_step(
    ready: Prepare, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Moments, and the average of the weights that is asked for: three more numbers for each that trains."""
    prepared, taken = ready("train.accumulation=auto", "train.ema={}"), []

    def empty(size: int, **options: Any) -> None:
        taken.append(size)
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("qakit.training.parts.torch.empty", empty)
    with pytest.raises(RunError, match=r"^out of memory before the first step: the optimiser's moments do not fit"):
        fly(prepared, registry)
    assert taken == [3 * 4 * parameter_counts(prepared.assembled.model)["all"]["trainable"]]


def test_where_not_even_one_window_fits_it_ends(plain: Prepared, registry: Registry) -> None:
    with pytest.raises(RunError, match="out of memory with a single window"):
        fly(with_head(plain, forward=fits(0)), registry)


def test_several_processes_halve_their_parts_unless_weights_lie_in_parts(plain: Prepared, registry: Registry) -> None:
    small = with_head(plain, forward=fits(2))
    seen, notices = fly(small, registry, workers=Workers(1, 2))
    assert seen.parts == 2
    assert "each step will be computed in 2 parts (train.accumulation=2), with the same batch" in notices[0]
    assert fly(small, registry, sharded=True)[0].parts == 4  # a process that is alone
    said = refusal(small, registry, RunError, workers=Workers(1, 2), sharded=True)
    assert "start again with train.accumulation=2, which keeps the batch" in said


def test_memory_that_runs_out_later_ends_no_training(plain: Prepared, registry: Registry) -> None:
    def compute(*_: Any) -> dict[str, Any]:
        raise MemoryError

    (notice,) = fly(with_metric(plain, compute=compute), registry)[1]
    assert notice == "preflight: out of memory after the first batch: what comes after it was not tried"


# --- clean-up, metric, writer, adapter


def test_a_clean_up_step_that_raises_is_named(ready: Prepare, registry: Registry) -> None:
    prepared = ready("postprocess=[special_chars, number_units]")

    def broken(prediction: Prediction, example: Example) -> Prediction:
        raise AttributeError(f"{type(prediction).__name__} has no label")

    step = owned(broken, "postprocessors", "number_units")
    judge = replace(prepared.judge, postprocessors=(prepared.judge.postprocessors[0], step))
    said = refusal(replace(prepared, judge=judge), registry, PluginError)
    assert said.startswith("preflight, clean-up: in postprocessor 'number_units' of plugin qakit ")
    assert "the call fails for the example '" in said
    assert "AttributeError: SpanPrediction has no label (" in said


def test_a_clean_up_step_that_returns_another_id(ready: Prepare, registry: Registry) -> None:
    prepared = ready("postprocess=[number_units]")
    step = owned(lambda prediction, _: replace(prediction, id="zz"), "postprocessors", "number_units")
    judge = replace(prepared.judge, postprocessors=(step,))
    said = refusal(replace(prepared, judge=judge), registry, PluginError)
    assert "the call returned the id 'zz'; it must return a Prediction with the same id for the example '" in said


def gives(**figures: Any) -> Callable[..., dict[str, Any]]:
    return lambda *_: figures


@pytest.mark.parametrize(
    ("methods", "kind", "problem"),
    [
        ({"compute": lambda *_: {}["answer"]}, PluginError, "fails: KeyError: 'answer'"),
        ({"compute": lambda *_: None}, PluginError, "in metric 'squad_v1' of plugin qakit"),
        ({"compute": gives(score="high")}, PluginError, "compute gives str for 'score'"),
        ({"compute": gives(score=float("nan"))}, PluginError, "no finite number (score nan)"),
        ({"compute": gives(score=np.float32(1))}, PluginError, "compute gives float32 for 'score'"),
        ({"compute": gives(points=1.0)}, UsageError, "train.select_by is 'score', but the metric gives points"),
        ({"per_example": lambda *_: {"score": [1.0]}}, PluginError, "gives {'score': 1} figures of each of 4 examples"),
        ({"per_example": lambda *_: {}}, PluginError, "gives nothing figures of each"),
        ({"per_example": lambda *_: 1 / 0}, PluginError, "fails: ZeroDivisionError"),
    ],
)
def test_a_metric_that_does_not_fit(
    plain: Prepared, registry: Registry, methods: dict[str, Any], kind: type[QakitError], problem: str
) -> None:
    said = refusal(with_metric(plain, **methods), registry, kind)
    assert said.startswith("preflight, metric: ")
    assert problem in said


def test_a_metric_of_something_else_says_so(plain: Prepared, registry: Registry) -> None:
    accuracy = registry.build("metrics", "accuracy", {}, object())
    judge = replace(plain.judge, metric=accuracy)
    said = refusal(replace(plain, judge=judge), registry, UsageError)
    assert said.startswith("preflight, metric: this metric compares classes, but the example")


def test_a_figure_that_a_few_examples_leave_out_or_undefined_is_looked_for_in_all(
    plain: Prepared, registry: Registry
) -> None:
    def compute(self: Any, examples: Sequence[Example], predictions: Sequence[Prediction]) -> dict[str, float]:
        return {"score": float("nan")} if len(examples) < 12 else {"score": 1.0, "rare": 2.0}

    fly(with_metric(plain, primary="rare", compute=compute), registry)


def with_writer(monkeypatch: pytest.MonkeyPatch, write: Callable[..., None]) -> None:
    writer = type("OddWriter", (), {"suffix": ".csv", "write": write, "check": lambda *_: []})()
    monkeypatch.setattr("qakit.training.preflight.build_writer", lambda *_: owned(writer, "writers", "csv"))


@pytest.mark.parametrize(
    ("write", "problem"),
    [
        (lambda *_: 1 / 0, "write fails: ZeroDivisionError: division by zero (tests/training/test_preflight.py:"),
        (lambda *_: None, "write has written no file"),
    ],
)
def test_a_writer_that_cannot_write(
    plain: Prepared,
    registry: Registry,
    monkeypatch: pytest.MonkeyPatch,
    write: Callable[..., None],
    problem: str,
) -> None:
    with_writer(monkeypatch, write)
    said = refusal(plain, registry, PluginError)
    assert said.startswith("preflight, writer: in writer 'csv' of plugin qakit ")
    assert problem in said
    fly(replace(plain, test_ids=None), registry)  # without a test file nothing is written


def test_the_writer_sees_real_answers_under_the_ids_of_the_test_file(
    plain: Prepared, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Prediction] = []

    def write(_self: Any, predictions: Sequence[Prediction], path: Path) -> None:
        written.extend(predictions)
        path.write_text("", "utf-8")

    with_writer(monkeypatch, write)
    fly(plain, registry)
    assert plain.test_ids is not None
    assert [each.id for each in written] == list(plain.test_ids)
    assert all(each.final for each in written)


def test_an_answer_that_cannot_be_kept(ready: Prepare, registry: Registry) -> None:
    prepared = ready("postprocess=[number_units]", "data.validation=null")
    judge = replace(prepared.judge, postprocessors=(lambda each, _: LabelPrediction(each.id, float("nan")),))
    said = refusal(replace(prepared, judge=judge), registry, QakitError)
    assert said.startswith("preflight, keeping answers: ")


@pytest.mark.parametrize(
    ("merge", "problem"),
    [
        (lambda *_: 1 / 0, "in adapter 'full' of plugin qakit"),
        (lambda *_: None, "merge returned None; it must return the backbone"),
    ],
)
def test_an_adapter_that_cannot_merge(
    plain: Prepared, registry: Registry, merge: Callable[..., Any], problem: str
) -> None:
    adapter = type("OddAdapter", (type(plain.assembled.adapter),), {"merge": merge})(choose=None)
    adapter = owned(adapter, "adapters", "full")
    odd = replace(plain, assembled=replace(plain.assembled, adapter=adapter))
    said = refusal(odd, registry, PluginError)
    assert said.startswith("preflight, merge: ")
    assert problem in said


def test_what_begins_from_scratch_needs_an_adapter_that_can_merge(plain: Prepared, registry: Registry) -> None:
    """Without a source, adapter weights alone would be of nothing."""
    adapter = owned(type("KeepsApart", (), {})(), "adapters", "full")
    odd = replace(plain, assembled=replace(plain.assembled, adapter=adapter))
    fly(odd, registry)
    backbone = plain.recipe.backbone.model_copy(update={"init": "scratch"})
    scratch = replace(odd, recipe=plain.recipe.model_copy(update={"backbone": backbone}))
    assert "a model that begins from scratch could not be kept" in refusal(scratch, registry, UsageError)


def test_a_head_whose_weights_cannot_be_written(plain: Prepared, registry: Registry) -> None:
    odd = with_head(plain)
    weight = next(odd.assembled.model.head.parameters())
    odd.assembled.model.head.register_buffer("twin", weight.detach().view(-1)[:4])
    assert "preflight, keeping weights: the head 'linear_span'" in refusal(odd, registry, PluginError)


# --- the command


CLASSES = """\
data: {{reader: {{name: table, id: id, text_a: t, label: y}}, train: train.csv, validation: dev.csv, test: test.csv}}
backbone: {{source: {backbone}}}
windows: {{max_length: 48, max_question_length: 40}}
head: classifier
metric: {{name: {metric}}}
preprocess: {{train: truncate, predict: truncate}}
train: {{max_steps: 1, batch_size: 4, precision: fp32}}
"""


def classes_recipe(folder: Path, backbone: Path, metric: str) -> Path:
    """Texts of two classes, sorted by class."""
    rows = [f"r{n},the gate {n} of part {n},{'a' if n < 10 else 'b'}" for n in range(20)]
    for name, chosen in (("train", rows), ("dev", rows)):
        (folder / f"{name}.csv").write_text("\n".join(["id,t,y", *chosen]) + "\n", "utf-8")
    (folder / "test.csv").write_text("id,t\nx,the gate\n", "utf-8")
    path = folder / "classes.yaml"
    path.write_text(CLASSES.format(backbone=backbone, metric=metric), "utf-8")
    return path


NEEDS_BOTH = """
class Both:
    primary = "share"
    def __init__(self, broken):
        self.broken = broken
    def compute(self, examples, predictions):
        if len({example.label for example in examples}) < 2:
            raise ValueError("one class is not enough")
        if self.broken and any(max(each.scores) < 1 for each in predictions):
            raise ValueError("scores must be 0 or 1")
        return {"share": 0.5}

@hookimpl
def qakit_register_metrics():
    return [
        component("both", build=lambda settings, runtime: Both(False)),
        component("both_broken", build=lambda settings, runtime: Both(True)),
    ]
"""

Install = Callable[..., tuple[EntryPoint, ...]]


@pytest.fixture
def both(install: Install, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Two metrics of a plugin from elsewhere, beside what is installed; they take no stand-ins of a single class."""
    install("acme", metrics=NEEDS_BOTH)
    load_registry.cache_clear()
    request.addfinalizer(load_registry.cache_clear)
    monkeypatch.setattr("qakit.inference.data_rules.STAND_INS", 20)


def test_a_metric_that_needs_some_of_each_class_gets_them(
    both: None, invoke: Invoke, tiny_backbone: Path, tmp_path: Path
) -> None:
    path = classes_recipe(tmp_path, tiny_backbone, "both")
    result = invoke("train", path, "--dry-run", "--json")
    assert result.exit_code == 0, result.output
    seen = json.loads(result.stdout)["first_batch"]
    assert seen.keys() == {"loss", "windows", "tokens", "seconds", "parts", "peak_memory_mb"}
    assert seen["windows"] == 4


@pytest.mark.parametrize("way", [(), ("--dry-run",)])
def test_a_plugin_that_fails_on_real_scores_is_one_line_and_no_folder(
    both: None, invoke: Invoke, tiny_backbone: Path, tmp_path: Path, way: tuple[str, ...]
) -> None:
    path = classes_recipe(tmp_path, tiny_backbone, "both_broken")
    result = invoke("train", path, "--output", tmp_path / "run", *way)
    assert result.exit_code == 2
    said = str(result.exception)
    assert said.startswith("preflight, metric: in metric 'both_broken' of plugin acme 1.0: compute fails: ValueError: ")
    assert "scores must be 0 or 1 (acme_metrics.py:" in said
    assert not (tmp_path / "run").exists()
