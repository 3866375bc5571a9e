"""What ``device.py`` measures, a function for each section: ``(bench, figures of the sections before) -> figures``."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any
from unittest.mock import patch

import datasets
import numpy as np
import torch
import training_sides
from accelerate.utils import extract_model_from_parallel
from device_bench import Bench, Figures, profiler, trained, waits_in
from torch import Tensor, nn
from training_sides import Setup
from transformers import (
    AutoModelForQuestionAnswering,
    BertConfig,
    PretrainedConfig,
    default_data_collator,
)

from qakit.data.collate import Collator
from qakit.errors import QakitError
from qakit.inference.aggregation import given_by
from qakit.inference.scoring import score
from qakit.modeling.assemble import build_head
from qakit.modeling.device import Precision, autocast
from qakit.modeling.model import ReadingModel, parameters_by_module
from qakit.runs import create_run
from qakit.training.events import Event, Notice, StepDone, silence
from qakit.training.fit import fit
from qakit.training.interrupts import InterruptedTrainingError
from qakit.training.launch import accelerator_for

TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
PEER = "bert-base"
"""The encoder that the others' ways are compared with."""


class EnoughError(Exception):
    """A training has been measured for as long as it may."""


def _products(left: Tensor, right: Tensor) -> None:
    for _ in range(10):
        left @ right


def matmul(bench: Bench, _: Mapping[str, Figures]) -> Figures:
    """TFLOP/s of a product of square matrices, by precision."""
    side = bench.sizes.product
    found: Figures = {}
    for precision in bench.precisions:
        left, right = torch.randn(2, side, side, device=bench.device, dtype=TYPES[precision])
        took = bench.seconds(partial(_products, left, right), times=7)
        found[precision] = 10 * 2 * side**3 / took / 1e12
    return found


def training(name: str, precision: Precision, bench: Bench, found: Mapping[str, Figures]) -> Figures:
    """The loop on full windows."""
    prepared = bench.prepared(name, "long", precision, log_every=max(2, bench.sizes.steps // 6))
    if bench.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    rates, notices = list[float](), list[str]()

    def listen(event: Event) -> None:
        if isinstance(event, Notice):
            notices.append(event.message)
        if isinstance(event, StepDone) and event.windows_per_second is not None:
            rates.append(event.windows_per_second)
            if time.monotonic() > bench.until and len(rates) > 2:
                raise EnoughError

    with suppress(EnoughError):
        trained(bench, prepared, listen)
    rate = statistics.median(rates[2:])  # neither the first step nor those in which memory is found
    tokens = int(prepared.plan.first.collator.lengths.max())
    model, config = prepared.assembled.model, prepared.assembled.config
    tflops = rate * window_flops(config, dense_parameters(model), tokens) / 1e12
    product = found.get("matmul", {}).get(precision)
    return {
        "tokens": tokens,
        "full_windows": float((prepared.plan.first.collator.lengths == tokens).mean()),
        "batch_size": prepared.recipe.train.batch_size,
        "windows_per_second": rate,
        "tflops": tflops,
        "share_of_matmul": None if product is None else tflops / product,
        "peak_gb": bench.peak_memory() / 1e9,
        **({"notices": notices} if notices else {}),
    }


def window_flops(config: PretrainedConfig, parameters: int, tokens: int) -> float:
    """A window's share of a step's forward and backward pass, as ``device.py`` says; ``parameters`` without the
    embeddings."""
    seen = tokens + 2 * config.position_buckets if getattr(config, "relative_attention", False) else tokens
    return float(6 * parameters + 12 * config.num_hidden_layers * config.hidden_size * seen) * tokens


def dense_parameters(model: ReadingModel) -> int:
    """Those of the layers and of the head."""
    return sum(int(row["total"]) for row in parameters_by_module(model) if row["module"] != "embeddings")


def padded(collator: Collator, width: int, *, targets: bool) -> dict[str, Tensor]:
    """All windows as run_qa.py has them: (W, ``width``) each, and with ``targets`` (W,) the ends of the answers."""
    batch = collator.collate(np.arange(len(collator.lengths)), targets=targets)
    columns = {name: nn.functional.pad(getattr(batch, name), (0, width - batch.input_ids.shape[1])) for name in INPUTS}
    if batch.target_first is not None and batch.target_last is not None:
        columns |= {"start_positions": batch.target_first, "end_positions": batch.target_last}
    return columns


def peer_of(bench: Bench) -> Any:
    """transformers' model with a head for questions."""
    return AutoModelForQuestionAnswering.from_config(BertConfig.from_pretrained(bench.folder / PEER)).to(bench.device)


def peer_rate(bench: Bench, model: nn.Module, table: Any, precision: Precision) -> float:
    """Windows/s of transformers' Trainer over one epoch, without its first step."""
    setup = Setup(backbone=bench.folder / PEER, epochs=1, learning_rate=3e-5, dropout=0.1, seed=42, folder=bench.folder)
    size = bench.sizes.models[PEER].batch_size
    rate = training_sides.fit(model, table, default_data_collator, setup, None, size, precision).rate
    extract_model_from_parallel(model, keep_fp32_wrapper=False)
    return rate


def run_qa(bench: Bench, _: Mapping[str, Figures]) -> Figures:
    """qakit and the Trainer, an epoch each in turn."""
    precision, width = bench.precisions[0], bench.sizes.models[PEER].max_length
    prepared, model = bench.prepared(PEER, "plain", precision), peer_of(bench)
    collator = prepared.plan.first.collator
    columns = padded(collator, width, targets=True)
    table = datasets.Dataset.from_dict({name: column.tolist() for name, column in columns.items()})
    ours, theirs = list[float](), list[float]()

    def listen(event: Event) -> None:
        if isinstance(event, StepDone) and event.windows_per_second is not None:
            ours.append(event.windows_per_second)  # of the first step, and of all others

    for turn in range(bench.sizes.rounds + 1):
        if turn > 1 and time.monotonic() > bench.until:
            break
        if turn <= 1:  # the first round has warmed up
            ours.clear()
            theirs.clear()
        trained(bench, prepared, listen)
        theirs.append(peer_rate(bench, model, table, precision))
    rates = {"qakit": statistics.median(ours[1::2]), "run_qa": statistics.median(theirs)}
    told = {"precision": precision, "windows": len(table), "mean_tokens": float(collator.lengths.mean())}
    return {**told, **rates, "ratio": rates["qakit"] / rates["run_qa"], "rounds": len(theirs)}


def scoring(bench: Bench, _: Mapping[str, Figures]) -> Figures:
    """qakit's way with its decoding; the same, each batch collected before the next is launched; and a loop that only
    fetches the scores."""
    precision, peer = bench.precisions[0], peer_of(bench).eval()
    prepared = bench.prepared(PEER, "plain", precision, validated=True)
    validation, size = prepared.validation, prepared.recipe.predict.batch_size
    assert validation is not None
    inputs, count = (
        padded(validation.collator, bench.sizes.models[PEER].max_length, targets=False),
        len(validation.windows),
    )

    @torch.inference_mode()
    def naive() -> None:
        for begin in range(0, count, size):
            some = {name: column[begin : begin + size].to(bench.device) for name, column in inputs.items()}
            with autocast(bench.device, precision):
                output = peer(**some)
            output.start_logits.float().cpu().numpy(), output.end_logits.float().cpu().numpy()

    qakit = partial(score, validation, prepared.assembled, device=bench.device, precision=precision)

    def serial() -> None:
        with patch("qakit.inference.scoring.one_late", iter):
            qakit()

    ways: dict[str, Callable[[], object]] = {
        "qakit": qakit,
        "serial": serial,
        "naive": naive,
    }
    took: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(bench.sizes.rounds):
        if turn and time.monotonic() > bench.until:
            break
        for name, way in ways.items():
            took[name].append(bench.seconds(way, times=1))
    rates = {name: count / statistics.median(each) for name, each in took.items()}
    ratios = {"ratio": rates["qakit"] / rates["naive"], "to_serial": rates["qakit"] / rates["serial"]}
    return {"precision": precision, "windows": count, **rates, **ratios, "rounds": len(took["qakit"])}


KERNELS = (("flash_deberta", "deberta-v3-base"), ("flash_attention_2", "modernbert-base"))
"""``train.attention``, and the encoder that it is for."""


def kernels(bench: Bench, _: Mapping[str, Figures]) -> Figures:
    """Those of other packages, as far as they are here, beside what encoders have without them."""
    if bench.device.type != "cuda":
        return {kernel: "for CUDA only" for kernel, _ in KERNELS}
    found: Figures = {}
    for kernel, name in KERNELS:
        try:
            found[kernel] = compared(bench, name, kernel)
        except QakitError as error:  # its package is not installed, or the card cannot
            found[kernel] = str(error)
    return found


def compared(bench: Bench, name: str, kernel: str) -> Figures:
    """An encoder with its usual attention and with another, an epoch of the sample's windows each in turn; and by how
    much the scores of some windows differ, of the same weights."""
    precision = bench.precisions[0]
    both = [bench.prepared(name, "plain", precision, attention=each) for each in ("auto", kernel)]
    models = [prepared.assembled.model for prepared in both]
    models[1].load_state_dict(models[0].state_dict())
    epoch = both[0].plan.first
    batch = epoch.collator.collate(epoch.batches[0], targets=False).to(bench.device)
    with torch.inference_mode(), autocast(bench.device, precision):
        usual, other = (model.to(bench.device).eval()(batch).scores["start"][batch.context_mask] for model in models)
    rates: list[list[float]] = [[], []]
    for turn in range(bench.sizes.rounds + 1):
        if turn > 1 and time.monotonic() > bench.until:
            break
        for prepared, rate in zip(both, rates, strict=True):
            if turn <= 1:  # the first round has warmed up
                rate.clear()

            def listen(event: Event, rate: list[float] = rate) -> None:
                if isinstance(event, StepDone) and event.windows_per_second is not None:
                    rate.append(event.windows_per_second)  # of the first step, and of all others

            trained(bench, prepared, listen)
    plain, fused = (statistics.median(rate[1::2]) for rate in rates)
    told = {"precision": precision, "without": plain, "with": fused, "ratio": fused / plain}
    return {**told, "largest_difference": float((usual - other).abs().max()), "largest": float(usual.abs().max())}


def waits(precision: Precision, bench: Bench, _: Mapping[str, Figures]) -> Figures:
    """Of some steps in the middle of a training, none of them logged."""
    profiled, first, last = profiler(bench.device), 3, 7

    def listen(event: Event) -> None:
        if isinstance(event, StepDone) and event.step == first:
            bench.wait()
            profiled.start()
        elif isinstance(event, StepDone) and event.step == last:
            profiled.stop()

    trained(bench, bench.prepared(PEER, "plain", precision, epochs=last + 1, max_steps=last + 1), listen)
    return waits_in(profiled, bench.device, units=last - first)


def resume(bench: Bench, _: Mapping[str, Figures]) -> Figures:
    """Three trainings of the same recipe: two that are not interrupted, one that is."""
    steps = max(4, bench.sizes.steps // 5)
    once, again, resumed = (fitted(bench, steps, number, stop) for number, stop in enumerate((None, None, steps // 2)))
    return {
        "steps": steps,
        "repeat_identical": same(once, again),
        "resume_identical": same(once, resumed),
        "largest_difference": max(float((once[name] - resumed[name]).abs().max()) for name in once),
    }


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Bit for bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def fitted(bench: Bench, steps: int, number: int, stop_after: int | None) -> Mapping[str, Tensor]:
    """The weights of a training of ``steps``, interrupted after some and then resumed with a model of its own."""

    def listen(event: Event) -> None:
        if isinstance(event, StepDone) and event.step == stop_after:
            raise KeyboardInterrupt

    run, interrupted = None, False
    while True:
        prepared = bench.prepared("small", "long", bench.precisions[0], max_steps=steps)
        run = run or create_run(prepared.recipe, bench.folder / f"run-{number}")
        accelerator, listener = accelerator_for(prepared.recipe), silence if interrupted else listen
        try:
            fit(prepared, run, bench.registry, accelerator=accelerator, resume=interrupted, listener=listener)
        except InterruptedTrainingError:
            interrupted = True
            continue
        assert interrupted == (stop_after is not None)
        return {name: tensor.cpu() for name, tensor in prepared.assembled.model.state_dict().items()}


def decode(bench: Bench, _: Mapping[str, Figures]) -> Figures:
    """Each head that gives spans, on made-up hidden states of the longest windows."""
    prepared = bench.prepared(PEER, "plain", bench.precisions[0], validated=True)
    validation, config, found = prepared.validation, prepared.assembled.config, dict[str, Figures]()
    assert validation is not None
    batch = validation.collator.collate(validation.batches[0], targets=False).to(bench.device)
    hidden = torch.randn(*batch.input_ids.shape, config.hidden_size, device=bench.device)
    for name in bench.registry.names("heads"):
        recipe = prepared.recipe.model_copy(update={"head": prepared.recipe.head.model_copy(update={"name": name})})
        head: Any = build_head(recipe, config, bench.registry).to(bench.device).eval()
        if given_by(head) != "spans":
            continue
        with torch.inference_mode():
            decoding = partial(head.decode, head(hidden, batch).scores, batch)
            took = [bench.seconds(work, times=5) for work in (partial(head, hidden, batch), decoding)]
            with profiler(bench.device) as profiled:
                decoding()
        counted = waits_in(profiled, bench.device, units=1)
        found[name] = {"head_ms": 1000 * took[0], "decode_ms": 1000 * took[1], "waits": counted["waits"]}
    return {"windows": len(batch), "tokens": int(batch.input_ids.shape[1]), **found}
