"""How gradients travel between processes: here from a process to itself; see ``tests/processes`` for several."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from tiny_model import gradients, gradients_of, tiny_model
from torch import distributed, nn

from qakit.errors import ModelError, RunError
from qakit.modeling.model import ReadingModel
from qakit.recipe.tricks import AdversarialSection
from qakit.training import exchange as exchanges
from qakit.training.adversarial import Attack
from qakit.training.events import Event, Notice
from qakit.training.exchange import GradientExchange, Outcome, _buckets

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def group() -> Iterator[None]:
    """A process group of this process alone."""
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@pytest.fixture(params=[1, 1200, 25 * 2**20])
def bucket(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each parameter for itself, some together, all together."""
    monkeypatch.setattr(exchanges, "BUCKET", request.param)


def exchanged(model: ReadingModel, **options: Any) -> float:
    return gradients(model, exchange=GradientExchange(model, processes=1, device=CPU), **options)


def same(one: ReadingModel, other: ReadingModel) -> bool:
    ours, theirs = gradients_of(one), gradients_of(other)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def run_out(model: ReadingModel, *, most: int, backward: bool) -> None:
    """From now on so many windows fit into memory."""

    def ran_out(*_: Any) -> None:
        raise torch.OutOfMemoryError("out of memory")

    def limited(_: nn.Module, arguments: tuple[Any, ...]) -> None:
        hidden, batch = arguments
        if len(batch) > most:
            hidden.register_hook(ran_out) if backward else ran_out()

    model.head.register_forward_pre_hook(limited)


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize("parts", [1, 2])
def test_the_gradients_are_those_of_the_backward_passes(parts: int) -> None:
    plain, model = tiny_model(backbone_dropout=0.1), tiny_model(backbone_dropout=0.1)
    assert gradients(plain, parts=parts) == exchanged(model, parts=parts)
    assert same(plain, model)


@pytest.mark.usefixtures("bucket")
def test_they_are_averaged_over_the_processes() -> None:
    """One of two that is alone in its group sends all that is summed."""
    model = nn.Linear(3, 2)
    exchange = GradientExchange(model, processes=2, device=CPU)
    with exchange.sending():
        model(torch.ones(3)).sum().backward()
    exchange.finish(Outcome.WELL)
    assert float(model.weight.grad.sum()) == 3  # type: ignore[union-attr]
    assert float(model.bias.grad.sum()) == 1  # type: ignore[union-attr]


def test_a_model_is_freed_once_its_training_is_over() -> None:
    model = tiny_model()
    exchanged(model)
    held = weakref.ref(next(iter(model.parameters())))
    del model
    gc.collect()
    assert held() is None


@pytest.mark.usefixtures("bucket")
def test_a_second_pass_adds_to_what_has_travelled() -> None:
    plain, model = tiny_model(), tiny_model()
    section = AdversarialSection(method="fgm")
    gradients(plain, attack=Attack(plain, section))
    exchanged(model, attack=Attack(model, section))
    assert same(plain, model)


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize("backward", [False, True])
def test_where_memory_runs_out_the_step_is_that_of_the_halves(backward: bool) -> None:
    heard: list[Event] = []
    plain, model = tiny_model(backbone_dropout=0.1), tiny_model(backbone_dropout=0.1)
    run_out(model, most=2, backward=backward)
    assert gradients(plain, parts=2) == exchanged(model, listener=heard.append)
    assert same(plain, model)
    assert [each.message.partition(":")[0] for each in heard if isinstance(each, Notice)] == ["out of memory at step 4"]


def others(monkeypatch: pytest.MonkeyPatch, *outcomes: Outcome) -> None:
    """What another process's passes come to, one after the other."""
    theirs = iter(outcomes)
    monkeypatch.setattr(exchanges, "largest", lambda values, device: [max(values[0], next(theirs)), *values[1:]])


def test_where_it_runs_out_in_another_process_this_one_begins_anew_too(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, model = tiny_model(backbone_dropout=0.1), tiny_model(backbone_dropout=0.1)
    others(monkeypatch, Outcome.CUT, Outcome.WELL)
    assert gradients(plain, parts=2) == exchanged(model)
    assert same(plain, model)


@pytest.mark.parametrize("where", ["here", "elsewhere"])
def test_where_not_even_a_window_fits_all_end(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    model = tiny_model()
    if where == "here":
        run_out(model, most=0, backward=True)
    else:
        others(monkeypatch, Outcome.END)
    with pytest.raises(RunError, match="out of memory with a single window: choose a smaller"):
        exchanged(model)
    assert not gradients_of(model)


def test_other_errors_are_not_taken_for_full_memory() -> None:
    model = tiny_model()
    model.head.register_forward_pre_hook(lambda *_: torch.zeros(2) @ torch.zeros(3))
    with pytest.raises(RuntimeError, match="size"):
        exchanged(model)


def test_a_gradient_that_comes_in_several_goes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be added to what has left already."""
    weight = nn.Linear(1, 2, bias=False)
    exchange = GradientExchange(weight, processes=1, device=CPU)
    with exchange.sending():
        weight(torch.ones(1)).sum().backward()
        with pytest.raises(ModelError, match="gets its gradient in several goes"):
            weight(torch.ones(1)).sum().backward()


@pytest.mark.usefixtures("bucket")
def test_a_parameter_without_a_gradient_holds_nobody_up() -> None:
    """Zeros travel for it, but where no process has used it, it is left alone: the optimiser would decay it."""
    model = nn.ModuleDict({"used": nn.Linear(1, 2), "idle": nn.Linear(1, 2)})
    exchange = GradientExchange(model, processes=1, device=CPU)
    with exchange.sending():
        model["used"](torch.ones(1)).sum().backward()
    assert exchange.finish(Outcome.WELL) is Outcome.WELL
    assert float(model["used"].weight.grad.sum()) == 2  # type: ignore[union-attr, operator]
    assert model["idle"].weight.grad is None


def test_buckets_are_neighbours_of_one_type_in_order() -> None:
    sizes = [2, 3, 9, 1, 1, 4]
    parameters = [nn.Parameter(torch.zeros(size)) for size in sizes]
    parameters[4] = nn.Parameter(torch.zeros(1, dtype=torch.float64))
    assert [[len(each) for each in own] for own in _buckets(parameters, 20)] == [[2, 3], [9], [1], [1], [4]]
    assert [each for own in _buckets(parameters, 20) for each in own] == parameters
