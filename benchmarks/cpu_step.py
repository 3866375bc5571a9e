"""Where a training step on a CPU spends its time, and what it could win: ``python benchmarks/cpu_step.py``.

Steps of ``recipes/quickstart.yaml`` with all weights in windows of 384 (or of another recipe): forward, backward, clip,
AdamW, on the same batches. Each variant changes one thing, in alternating rounds; two are bounds, what a faster way
could win at most: ``no embedding gradients`` for sparse ones, and ``no dropout``. Then the share of each kind of
operator in the plain step, by PyTorch's profiler (a fused softmax or layer norm cannot win more than theirs), and the
share of padding (attention over real lengths cannot win more).
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from instruments import medians
from torch.profiler import ProfilerActivity, profile

from qakit.modeling.device import autocast
from qakit.recipe.load import load_recipe
from qakit.registry import load_registry
from qakit.training.events import silence
from qakit.training.optim import build_optimiser
from qakit.training.prepare import Prepared, prepare_training

CPU = torch.device("cpu")
RECIPE = Path(__file__).resolve().parents[1] / "recipes" / "quickstart.yaml"
LONG = (
    "adapter=null",
    "windows.max_length=384",
    "preprocess.train={name: stride, overlap: 128}",
    "preprocess.predict.overlap=128",
    "backbone.overrides={}",
    "data.test=null",
    "data.train_limit=400",
    "data.validation_limit=20",
)
"""The quickstart as its peers train it."""
VARIANTS: dict[str, tuple[str, ...]] = {
    "plain": (),
    "torch.compile": (),
    "fused attention (sdpa)": ("train.attention=sdpa",),
    "AdamW in a loop over tensors": (),
    "no embedding gradients": ("adapter={name: freeze, embeddings: true, layers: 0}",),
    "no dropout": ("backbone.overrides={hidden_dropout_prob: 0.0, attention_probs_dropout_prob: 0.0}",),
}
KINDS = {
    "matrix products": ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm"),
    "softmax": ("aten::_softmax", "aten::_softmax_backward_data"),
    "layer norm": ("aten::native_layer_norm", "aten::native_layer_norm_backward"),
    "GELU": ("aten::gelu", "aten::gelu_backward"),
    "dropout": ("aten::bernoulli_", "aten::native_dropout", "aten::native_dropout_backward"),
    "embeddings": ("aten::embedding_dense_backward", "aten::index_select"),
    "AdamW": ("aten::_fused_adamw_",),
    "copies": ("aten::copy_",),
}


def stepper(name: str, prepared: Prepared, batches: int) -> Callable[[], None]:
    """A pass over the first batches."""
    model, epoch = prepared.assembled.model.train(), prepared.plan.first
    optimiser: torch.optim.Optimizer = build_optimiser(model, prepared.recipe.train, prepared.assembled.adapter)
    if name == "AdamW in a loop over tensors":
        groups = [{key: group[key] for key in ("params", "lr", "weight_decay")} for group in optimiser.param_groups]
        optimiser = torch.optim.AdamW(groups, foreach=False, fused=False)
    if name == "torch.compile":
        model.backbone.compile(dynamic=True)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    collated = [epoch.collator.collate(rows, targets=True) for rows in epoch.batches[:batches]]

    def steps() -> None:
        for batch in collated:
            with autocast(CPU, prepared.precision):
                loss = model(batch).loss
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimiser.step()
            optimiser.zero_grad()

    return steps


def shares(work: Callable[[], None]) -> dict[str, float]:
    """Each kind's share of the operators' own time."""
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        work()
    kinds = {operator: kind for kind, operators in KINDS.items() for operator in operators}
    took = Counter[str]()
    for each in profiled.key_averages():
        took[kinds.get(each.key, "others")] += each.self_cpu_time_total
    return {kind: time_ / took.total() for kind, time_ in took.most_common()}


def padding(prepared: Prepared, batches: int) -> float:
    """The share of a batch's tokens that are padding."""
    epoch = prepared.plan.first
    masks = [epoch.collator.collate(rows, targets=False).attention_mask for rows in epoch.batches[:batches]]
    return 1 - sum(int((mask > 0).sum()) for mask in masks) / sum(mask.numel() for mask in masks)


def prepare(recipe: Path, changes: Sequence[str]) -> Prepared:
    """The training of a recipe with changes."""
    checked = load_recipe(recipe, list(changes), registry=load_registry()).recipe
    return prepare_training(checked, load_registry(), device=CPU, listener=silence)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe", type=Path, nargs="?", help="by default the quickstart, all weights, windows of 384")
    parser.add_argument("--set", dest="changes", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--batches", type=int, default=4, help="steps in a round")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    changes = [*(() if options.recipe else LONG), *options.changes]
    prepared = {name: prepare(options.recipe or RECIPE, [*changes, *own]) for name, own in VARIANTS.items()}
    works = {name: stepper(name, each, options.batches) for name, each in prepared.items()}
    took = {name: each / options.batches for name, each in medians(works, options.rounds).items()}
    for name, each in took.items():
        print(f"{name:30} {each:8.3f} s/step  {took['plain'] / each:5.2f} times as fast")
    print(f"padding: {padding(prepared['plain'], 40):.1%} of the tokens, {prepared['plain'].precision}")
    for kind, share in shares(works["plain"]).items():
        print(f"{kind:20} {share:6.1%}")


if __name__ == "__main__":
    main()
