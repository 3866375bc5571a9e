"""How fast the CRF head's loss and decoding are, against pytorch-crf and the linear head.

    python benchmarks/crf.py [--windows 8] [--tokens 384] [--rounds 15] [--json]

Loss: forward and backward pass from the same emissions, with gradients for emissions and transitions, in both modes of
the head. The peer is pytorch-crf with the same numbers in its parameters, illegal steps barred by -10,000. In mode
``bio`` loss and gradients are compared with the peer's in float64; ``single_span`` has no counterpart there. Decoding:
from scores to the n-best spans, beside the linear head's; and the best tag path, beside pytorch-crf's ``decode``.

Rounds alternate; medians; one core unless ``--threads`` says otherwise. As in training, freed memory stays with the
process, for the peer, too.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
import torchcrf
from instruments import medians
from torch import Tensor, nn

from qakit.data.batch import Batch
from qakit.modeling.device import keep_freed_memory
from qakit.protocols import HeadRuntime
from qakit.registry import load_registry

PEER = "pytorch-crf"
LINEAR = "linear_span"
MODES = ("bio", "single_span")


class Emissions(nn.Module):
    """In the place of a head's features: hands on what it is given, so that only the chain is measured."""

    yes_no_weight = 0.0

    def logits(self, hidden: Tensor) -> list[Tensor]:
        return [hidden]

    def window_scores(self, _hidden: Tensor) -> dict[str, Tensor]:
        return {}

    def auxiliary_loss(self, _hidden: Tensor, _batch: Batch) -> None:
        return None


def main() -> None:
    options = parse()
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    torch.manual_seed(0)
    batch = made_up_batch(options.windows, options.tokens)
    emissions = torch.randn(options.windows, options.tokens, 3, requires_grad=True)
    heads = {mode: head("crf", options, mode=mode) for mode in MODES}
    peer = same_chain(heads["bio"])

    loss = milliseconds(
        {
            PEER: partial(peer_loss, peer, emissions, batch),
            **{mode: partial(head_loss, built, emissions, batch) for mode, built in heads.items()},
        },
        options.rounds,
    )
    crf, linear = heads["bio"], head("linear_span", options)
    with torch.inference_mode():
        scores = {"emissions": emissions.detach().clone()}
        linear_scores = {"start": emissions[..., 1].contiguous(), "end": emissions[..., 2].contiguous()}
        spans = milliseconds(
            {
                LINEAR: partial(linear.decode, linear_scores, batch),
                "crf": partial(crf.decode, scores, batch),
            },
            options.rounds,
        )
        path = milliseconds(
            {
                PEER: partial(peer.decode, scores["emissions"], mask=batch.context_mask),
                "crf": partial(crf.best_path, scores, batch),
            },
            options.rounds,
        )
    result = {
        "windows": options.windows,
        "tokens": options.tokens,
        "rounds": options.rounds,
        "threads": options.threads,
        "loss_ms": rounded(loss),
        "loss_ratio": {mode: round(loss[PEER] / loss[mode], 1) for mode in MODES},
        "differences": differences(crf, peer, emissions, batch),
        "spans_ms": rounded(spans),
        "spans_ratio": round(spans["crf"] / spans[LINEAR], 2),
        "path_ms": rounded(path),
        "path_ratio": round(path[PEER] / path["crf"], 1),
    }
    if options.json:
        print(json.dumps(result))
        return
    print(f"{options.windows} windows of {options.tokens} tokens, 3 tags, median of {options.rounds} rounds")
    print("loss, forward and backward")
    print(f"  {PEER:12} {loss[PEER]:8.2f} ms")
    for mode in MODES:
        print(f"  {mode:12} {loss[mode]:8.2f} ms  ({loss[PEER] / loss[mode]:.1f} times as fast)")
    print(
        "  largest relative differences to the peer in float64: "
        + ", ".join(f"{k} {v:.1e}" for k, v in result["differences"].items())
    )
    print(f"{options.n_best} best spans of at most {options.max_answer_length} tokens")
    print(f"  {LINEAR:12} {spans[LINEAR]:8.2f} ms")
    print(f"  {'crf':12} {spans['crf']:8.2f} ms  ({result['spans_ratio']:.2f} times the time)")
    print("best tag path")
    print(f"  {PEER:12} {path[PEER]:8.2f} ms")
    print(f"  {'crf':12} {path['crf']:8.2f} ms  ({result['path_ratio']:.1f} times as fast)")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--windows", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=384)
    parser.add_argument("--n-best", type=int, default=20)
    parser.add_argument("--max-answer-length", type=int, default=30)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


# --------------------------------------------------------------------------------------------------------- the inputs
def made_up_batch(windows: int, tokens: int) -> Batch:
    """Nothing but context, as pytorch-crf wants chains that begin at position 0; some padding; answers up to 8 tokens,
    none in every third window."""
    place = torch.arange(tokens)
    mask = place < tokens - torch.randint(0, tokens // 8 + 1, (windows, 1))
    first = torch.randint(1, tokens // 2, (windows,))
    last = first + torch.randint(0, 8, (windows,))
    first[::3] = last[::3] = 0
    nothing = np.full((windows, tokens), -1)
    return Batch(
        input_ids=torch.zeros(windows, tokens, dtype=torch.int64),
        attention_mask=mask.long(),
        token_type_ids=None,
        context_mask=mask,
        start_mask=mask,
        contexts=torch.arange(windows)[:, None],
        context_example=torch.arange(windows),
        segment_number=mask.long() - 1,
        target_first=first,
        target_last=last,
        example=torch.arange(windows),
        examples=windows,
        window=np.arange(windows),
        token=nothing,
        segment=nothing.astype(np.int32),
    )


def head(name: str, options: argparse.Namespace, **settings: Any) -> Any:
    """A head that takes emissions for hidden states, with random transitions."""
    runtime = HeadRuntime(
        hidden_size=3,
        initializer_range=0.02,
        n_best=options.n_best,
        max_answer_length=options.max_answer_length,
        no_answer=True,
    )
    torch.manual_seed(1)
    built = load_registry().build("heads", name, settings, runtime)
    if name == "crf":
        built.features = Emissions()
        for parameter in built.parameters():
            nn.init.normal_(parameter)
    return built


def same_chain(built: Any) -> Any:
    """pytorch-crf with the head's parameters."""
    peer = torchcrf.CRF(3, batch_first=True)
    with torch.no_grad():
        peer.transitions.copy_(built.transitions.view(3, 3))
        peer.start_transitions.copy_(built.start)
        peer.end_transitions.copy_(built.end)
        peer.transitions[0, 2] = peer.start_transitions[2] = -1e4
    return peer


# ------------------------------------------------------------------------------------------------------- what is timed
def head_loss(built: Any, emissions: Tensor, batch: Batch) -> Tensor:
    loss: Tensor = built(emissions, batch).loss
    torch.autograd.backward(loss)
    return loss


def peer_loss(peer: Any, emissions: Tensor, batch: Batch) -> Tensor:
    assert batch.target_first is not None
    assert batch.target_last is not None
    place, first, last = torch.arange(emissions.shape[1]), batch.target_first[:, None], batch.target_last[:, None]
    tags = torch.where((place == first) & (first > 0), 1, torch.where((place > first) & (place <= last), 2, 0))
    loss: Tensor = -peer(emissions, tags, mask=batch.context_mask, reduction="mean")
    torch.autograd.backward(loss)
    return loss


def differences(built: Any, peer: Any, emissions: Tensor, batch: Batch) -> dict[str, float]:
    """Loss and gradients of the head in float32, against the peer's in float64; relative to the largest of them."""
    found: list[dict[str, Tensor]] = []
    for loss, module, dtype in ((head_loss, built, torch.float32), (peer_loss, peer.double(), torch.float64)):
        module.zero_grad()
        leaf = emissions.detach().to(dtype).requires_grad_()
        value = loss(module, leaf, batch).detach()
        assert leaf.grad is not None
        found.append({"loss": value, "emissions": leaf.grad, "transitions": module.transitions.grad.flatten()})
    ours, theirs = found
    return {name: ((ours[name] - theirs[name]).abs().max() / theirs[name].abs().max()).item() for name in ours}


def milliseconds(works: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    return {name: 1000 * each for name, each in medians(works, rounds).items()}


def rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 2) for name, value in values.items()}


if __name__ == "__main__":
    main()
