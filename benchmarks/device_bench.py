"""On what ``device.py`` measures, and with which instruments: encoders, trainings, clocks, memory, waits."""

from __future__ import annotations

import json
import resource
import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from sample import make_backbone, questions
from torch.profiler import ProfilerActivity, profile
from transformers import BertConfig, DebertaV2Config, ModernBertConfig, PretrainedConfig

from qakit.modeling.device import Precision, resolve_precision
from qakit.recipe.model import Recipe
from qakit.registry import Registry, load_registry
from qakit.runs import Run
from qakit.training.checkpoints import Progress
from qakit.training.events import Listener, silence
from qakit.training.interrupts import StopRequest
from qakit.training.journal import Journal
from qakit.training.launch import accelerator_for, prepared_for
from qakit.training.loop import train
from qakit.training.prepare import Prepared, prepare_training
from qakit.training.sharding import Trainee
from qakit.training.tricks import Tricks

Figures = dict[str, Any]
DEBERTA: dict[str, Any] = {
    "relative_attention": True,
    "position_buckets": 256,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "pos_att_type": ["p2c", "c2p"],
    "position_biased_input": False,
    "type_vocab_size": 0,
}
NEVER = 10**6
"""Steps; and once at the end."""
READS = ("aten::_local_scalar_dense",)
"""A number goes from the device to the host (``tensor.item()``)."""
WAITS = ("cudaStreamSynchronize", "cudaEventSynchronize")
"""What CUDA calls a wait. The profiler itself ends with a ``cudaDeviceSynchronize``, so that one does not count."""


@dataclass(frozen=True, slots=True)
class Model:
    """An encoder from its configuration, and what it trains with."""

    config: PretrainedConfig
    entries: int
    """Of the published vocabulary."""
    max_length: int
    batch_size: int = 32


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured."""

    models: Mapping[str, Model]
    """Of them ``small`` is what is resumed."""
    words: int = 30_000
    """Trained entries of the vocabulary."""
    steps: int = 30
    """Of a training; of a resumed one a fifth."""
    examples: int = 640
    rounds: int = 3
    product: int = 8192
    """Rows and columns of the matrices."""


def full_sizes() -> Sizes:
    """The encoders that users have, in windows of 384 and 512 tokens."""
    large = BertConfig(hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096)
    base: dict[str, Any] = {
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
    }
    small = BertConfig(hidden_size=256, num_hidden_layers=4, num_attention_heads=4, intermediate_size=1024)
    return Sizes(
        {
            "bert-base": Model(BertConfig(**base), 30_522, 384),
            "bert-large": Model(large, 30_522, 384),
            "deberta-v3-base": Model(DebertaV2Config(**base, **DEBERTA), 128_100, 512),
            "modernbert-base": Model(ModernBertConfig(), 50_368, 512),
            "small": Model(small, 30_522, 384, batch_size=16),
        }
    )


def tiny_sizes() -> Sizes:
    """The same in seconds on a CPU."""
    sizes: dict[str, Any] = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
    }
    bert = Model(BertConfig(**sizes), 600, 64, batch_size=4)
    deberta = Model(DebertaV2Config(**sizes, **DEBERTA), 700, 64, batch_size=4)
    ids: dict[str, Any] = {
        "pad_token_id": 0,
        "bos_token_id": 2,
        "cls_token_id": 2,
        "eos_token_id": 3,
        "sep_token_id": 3,
    }
    modern = Model(ModernBertConfig(**sizes, **ids), 700, 64, batch_size=4)
    models = {
        "bert-base": bert,
        "bert-large": bert,
        "deberta-v3-base": deberta,
        "modernbert-base": modern,
        "small": bert,
    }
    return Sizes(models, words=500, steps=6, examples=16, rounds=1, product=128)


@dataclass(frozen=True, slots=True)
class Bench:
    """Where everything is measured."""

    device: torch.device
    precisions: tuple[Precision, ...]
    """The first is what ``precision: auto`` takes."""
    sizes: Sizes
    folder: Path
    registry: Registry
    until: float = 0.0
    """When the section should end, by ``time.monotonic``."""

    @staticmethod
    def of(device: torch.device, sizes: Sizes, folder: Path) -> Bench:
        """Write encoders and questions into a folder: ``plain.jsonl``, and ``long.jsonl``, where each context is
        followed by others, so that every window is full."""
        precisions = [resolve_precision("auto", device)]
        also: Precision = "fp16" if device.type == "cuda" else "bf16"
        if also not in precisions:
            precisions.append(also)
        every = questions()
        plain = every[:: len(every) // sizes.examples][: sizes.examples]
        needed = sizes.steps * max(model.batch_size for model in sizes.models.values())
        contexts = list(dict.fromkeys(each["context"] for each in every))
        long = [each | {"context": " ".join([each["context"], *contexts[:6]])} for each in every[:needed]]
        for name, held in (("plain", plain), ("long", long)):
            (folder / f"{name}.jsonl").write_text("".join(json.dumps(each) + "\n" for each in held), "utf-8")
        texts = [*contexts, *(each["question"] for each in every)]
        for name, model in sizes.models.items():
            make_backbone(folder / name, texts, model.config, words=sizes.words, entries=model.entries)
        return Bench(device, tuple(precisions), sizes, folder, load_registry())

    def prepared(
        self, name: str, data: str, precision: Precision, *, validated: bool = False, **train: Any
    ) -> Prepared:
        """One pass over some questions, that can begin."""
        model = self.sizes.models[name]
        fields = {"id": "id", "question": "question", "context": "context", "answer_text": "answer"}
        recipe = {
            "data": {
                "reader": {"name": "table", **fields, "answer_start": "start"},
                "train": str(self.folder / f"{data}.jsonl"),
                "validation": str(self.folder / f"{data}.jsonl") if validated else None,
            },
            "backbone": {"source": str(self.folder / name), "init": "scratch"},
            "windows": {"max_length": model.max_length, "max_question_length": model.max_length // 4},
            "preprocess": {"train": "random_window", "predict": {"name": "stride", "overlap": model.max_length // 3}},
            "train": {
                "epochs": 1,
                "batch_size": model.batch_size,
                "precision": precision,
                "log_every": NEVER,
                "evaluate_every": NEVER,
                "checkpoint_every": NEVER,
                "validation_loss": False,
                **train,
            },
            "metric": "squad_v1",
        }
        checked, cache = Recipe.model_validate(recipe), self.folder / "cache"
        return prepare_training(checked, self.registry, device=self.device, listener=silence, cache=cache)

    def wait(self) -> None:
        """Until the device has done what it was told."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def seconds(self, work: Callable[[], object], *, times: int) -> float:
        """The median of several, after one that is not counted."""
        took = []
        for _ in range(times + 1):
            began = time.perf_counter()
            work()
            self.wait()
            took.append(time.perf_counter() - began)
        return statistics.median(took[1:])

    def peak_memory(self) -> int:
        """Bytes: PyTorch's since it was reset, or of the whole process since it began."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class KeepsNothing:
    """A keeper for trainings of which only the steps count."""

    def evaluate(self, progress: Progress) -> Progress:
        return progress

    def ignore(self, *_: Any) -> None:
        """There is nothing to keep."""

    checkpoint = combine_kept = complete_checkpoint = save_batch = ignore


def trained(bench: Bench, prepared: Prepared, listener: Listener) -> None:
    """All steps of qakit's loop, from the weights that the model has."""
    recipe, assembled, steps = prepared.recipe, prepared.assembled, prepared.plan.steps
    accelerator = accelerator_for(recipe)
    model, optimiser = prepared_for(accelerator, assembled.model, Trainee.of(assembled, recipe, steps=steps).optimiser)
    try:
        train(
            recipe,
            prepared.plan,
            prepared.feed,
            accelerator=accelerator,
            model=model,
            optimiser=optimiser,
            tricks=Tricks(),
            keeper=KeepsNothing(),
            journal=Journal(Run(bench.folder), writes=False),
            progress=Progress(),
            listener=listener,
            stop_request=StopRequest(),
        )
    finally:
        accelerator.unwrap_model(model, keep_fp32_wrapper=False)  # else the next training would wrap it once more


def profiler(device: torch.device) -> profile:
    """What :func:`waits_in` reads."""
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]
    return profile(activities=activities)


def waits_in(profiled: profile, device: torch.device, *, units: int) -> Figures:
    """How often the host waited, for each of ``units`` steps: ``waits``, and ``by`` the outermost operator around.

    On a GPU also ``reads_by``, the numbers that were read, likewise: CUDA's own events need not know their operators.

    Raises:
        RuntimeError: the profiler has seen nothing of CUDA, so that 0 would mean nothing.
    """
    events = list(profiled.events() or ())  # type: ignore[no-untyped-call]

    def by(names: tuple[str, ...]) -> Figures:
        counted = Counter(_outermost(event) for event in events if event.name in names)
        return {name: count / units for name, count in counted.most_common()}

    if device.type != "cuda":
        return {"waits": sum(by(READS).values()), "by": by(READS)}
    if not any(event.name.startswith("cudaLaunchKernel") for event in events):
        raise RuntimeError("the profiler has seen no launch of a kernel: CUPTI does not work here")
    copies = sum(event.name.startswith("Memcpy DtoH") for event in events) / units
    return {"waits": sum(by(WAITS).values()), "by": by(WAITS), "reads_by": by(READS), "copies_to_host": copies}


def _outermost(event: Any) -> str:
    while event.cpu_parent is not None:
        event = event.cpu_parent
    return str(event.name)
