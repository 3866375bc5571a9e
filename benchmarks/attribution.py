"""What the attribution of calls into plugins costs: ``python benchmarks/attribution.py``.

A head alone on four short windows (forward, forward and backward, decoding), with the wrapper and without it, rounds
alternating; and the clean-up of predictions, one short call for each. CPU time, the least of all rounds: other work on
the machine only adds to it. A real step is dearer by its encoder, so the shares are upper bounds.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch

from qakit.protocols import HeadRuntime, NoRuntime
from qakit.registry import load_registry
from qakit.testing import made_up_batch
from qakit.values import Example, SpanPrediction

ROUNDS, CALLS = 30, 100


def main() -> None:
    registry = load_registry()
    head = registry.build("heads", "linear_span", {}, HeadRuntime(16, 0.02, 20, 30, no_answer=True))
    clean = registry.build("postprocessors", "special_chars", {}, NoRuntime())
    batch, answers = made_up_batch(), [SpanPrediction(str(number), "an answer") for number in range(CALLS)]
    examples = [Example(each.id, "?", ("this is an answer",)) for each in answers]
    hidden = torch.randn(*batch.input_ids.shape, 16)

    def forward(used: Any) -> None:
        with torch.no_grad():
            for _ in range(CALLS):
                used(hidden, batch)

    def step(used: Any) -> None:
        for _ in range(CALLS):
            used(hidden, batch).loss.backward()

    def decode(used: Any) -> None:
        with torch.no_grad():
            scores = used(hidden, batch).scores
            for _ in range(CALLS):
                used.decode(scores, batch)

    def tidy(used: Any) -> None:
        for answer, example in zip(answers, examples, strict=True):
            used(answer, example)

    compare("head: forward", forward, head)
    compare("head: step", step, head)
    compare("head: decode", decode, head)
    compare("clean-up", tidy, clean)


def compare(name: str, work: Callable[[Any], None], built: Any) -> None:
    """The time of a call with the wrapper and without it."""
    wrapped = type(built)
    kinds = {"without": wrapped._qakit_plain, "with": wrapped}
    seconds: dict[str, list[float]] = {each: [] for each in kinds}
    for turn in range(ROUNDS + 1):
        for each, kind in kinds.items():
            object.__setattr__(built, "__class__", kind)
            began = time.process_time()
            work(built)
            if turn:  # the first round warms up
                seconds[each].append((time.process_time() - began) / CALLS)
    took = {each: 1e6 * min(values) for each, values in seconds.items()}
    more = took["with"] - took["without"]
    print(f"{name:14} {took['without']:9.1f} us without, {took['with']:9.1f} us with: {more:+.1f} us a call")


if __name__ == "__main__":
    main()
