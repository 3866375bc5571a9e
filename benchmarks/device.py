"""What a GPU makes of it all, in one go of at most eight minutes.

    python benchmarks/device.py [--device cuda|cpu] [--budget 480] [--output device.json] [--tiny]
                                [--only SECTION ...] [--rounds N]

Encoders are made from their configurations, with random weights and a tokenizer of the sample's words that is filled up
to the published number of entries; nothing is downloaded. Sections come one after the other, each with its share of the
time: one that comes too late is skipped, one that fails says why, and the others go on. The output is written anew
after each.

- ``matmul``: TFLOP/s of one large matrix product, in each precision.
- ``train ...``: qakit's own loop on windows that are all full: windows/s, the model's TFLOP/s and their share of the
  matrix product's, peak memory. The FLOPs of a window of T tokens are ``(6 N + 12 L H S) T``: N parameters but for the
  embeddings, L layers, H the hidden size, S = T positions that each token is compared with; for DeBERTa ``2 k`` more,
  its relative places, looked up from both sides. Source: Chowdhery et al. 2022, "PaLM", appendix B; DeBERTa's addition
  by the same count.
- ``run_qa``: bert-base on the sample's windows as they are, by qakit and by transformers' ``Trainer`` as ``run_qa.py``
  sets it up (padded to 384, ``default_data_collator``, a ``datasets`` table, fused AdamW): the same windows, batch size
  and precision, rounds alternating, the first step of each left out.
- ``waits ...``: how often a training step makes the host wait for the device, between two logged steps, and in which
  operator. On a GPU what CUDA reports; on a CPU, where nothing waits, the single numbers that are read
  (``aten::_local_scalar_dense``), most of them by AdamW, which reads its counters on a CPU only.
- ``scoring``: windows/s of qakit's scoring with its n-best decoding; of the same, ``serial``, where the results of a
  batch are waited for before the next is launched; and of a naive loop: padded to 384, in the file's order, scores
  fetched batch by batch, nothing decoded.
- ``kernels``: DeBERTa with ``flash_deberta`` and ModernBERT with ``flash_attention_2``, where their packages are
  installed and the card can: windows/s of training on the sample's windows with and without, rounds alternating, and
  by how much the start scores of the same weights differ.
- ``resume``: whether a training that is interrupted and resumed ends with the weights of one that is not, bit for bit;
  and whether a second uninterrupted one does, since without that the first says nothing.
- ``decode``: what each head takes for the scores of the 64 longest windows and for decoding them, and how often
  decoding makes the host wait.

``--tiny`` does all of it with toy sizes, for a look and for the tests. Goals are judged on a GPU only. Memory is
PyTorch's peak on a GPU, on a CPU the process's up to there, in GB (10^9 bytes).
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import tempfile
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import device_sections
import torch
from device_bench import Bench, Figures, full_sizes, tiny_sizes

from qakit.modeling.device import free_memory, pick_device
from qakit.runs import environment

Section = Callable[[Bench, Mapping[str, Figures]], Figures]
FASTER, SHARE = 2.5, 0.5
"""The goals: times as fast as run_qa.py, and the matrix product's share for bert-large."""


def sections(bench: Bench) -> list[tuple[str, float, Section]]:
    """Name, part of the time, what is done; the most important first."""
    models = ("bert-base", "bert-large", "deberta-v3-base")
    (first, *others), work = bench.precisions, device_sections
    trainings = {
        precision: [(f"train {name} {precision}", 3.0, partial(work.training, name, precision)) for name in models]
        for precision in bench.precisions
    }
    return [
        ("matmul", 1.0, work.matmul),
        *trainings[first],
        ("run_qa", 8.0, work.run_qa),
        *((f"waits {precision}", 1.0, partial(work.waits, precision)) for precision in bench.precisions),
        ("scoring", 3.0, work.scoring),
        ("kernels", 4.0, work.kernels),
        ("resume", 2.0, work.resume),
        ("decode", 1.0, work.decode),
        *(each for precision in others for each in trainings[precision]),
    ]


def measure(bench: Bench, *, budget: float, note: Callable[[str, Figures], None], only: Collection[str] = ()) -> None:
    """All sections, or those whose first word is in ``only``; ``note`` is called with the figures of each. What one
    leaves of its time is the next ones'."""
    planned = [section for section in sections(bench) if not only or section[0].split()[0] in only]
    found = dict[str, Figures]()
    began, whole, passed = time.monotonic(), sum(part for _, part, _ in planned), 0.0
    for name, part, section in planned:
        passed += part
        at, until = time.monotonic(), began + budget * passed / whole
        if at >= until:
            figures: Figures = {"status": "skipped", "reason": f"the time was over ({budget:.0f} s for all sections)"}
        else:
            try:
                figures = {"status": "done", **section(replace(bench, until=until), found)}
                found[name] = figures
            except Exception as error:  # whatever a device comes up with: the others are still worth having
                figures = {"status": "failed", "reason": f"{type(error).__name__}: {error}".split("\n")[0]}
            if bench.device.type == "cuda":
                free_memory()
        note(name, figures | {"seconds": round(time.monotonic() - at, 2)})


def goals(found: Mapping[str, Figures], bench: Bench) -> dict[str, str]:
    """What was to be reached, and whether it was; nothing on a CPU."""
    share = found.get(f"train bert-large {bench.precisions[0]}", {}).get("share_of_matmul")
    wanted = {
        f"at least {FASTER} times run_qa's speed": (found.get("run_qa", {}).get("ratio"), FASTER),
        f"at least {SHARE:.0%} of the matrix product's rate for bert-large at 384": (share, SHARE),
    }
    return {
        what: "not measured" if value is None else f"{'reached' if value >= goal else 'missed'} ({value:.2f})"
        for what, (value, goal) in wanted.items()
        if bench.device.type == "cuda"
    }


def told(figures: Mapping[str, Any]) -> str:
    """On one line."""

    def plain(value: Any) -> str:
        if isinstance(value, Mapping):
            return f"({told(value)})"
        return f"{value:.4g}" if isinstance(value, float) else str(value)

    return ", ".join(f"{key} {plain(value)}" for key, value in figures.items())


def main(arguments: list[str] | None = None) -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cuda", "cpu"], help="by default a GPU, if there is one")
    parser.add_argument("--budget", type=float, default=480, metavar="SECONDS", help="for all of it")
    parser.add_argument("--output", type=Path, default=Path("device.json"), metavar="FILE")
    parser.add_argument("--tiny", action="store_true", help="toy sizes")
    parser.add_argument("--only", nargs="+", default=[], metavar="SECTION", help="these alone, by their first words")
    parser.add_argument("--rounds", type=int, help="of what is compared in alternating rounds")
    options = parser.parse_args(arguments)
    began = time.monotonic()
    # One GPU: the Trainer would take all that it sees.
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    os.environ["CUDA_VISIBLE_DEVICES"] = "" if options.device == "cpu" else visible
    device = pick_device()
    if options.device == "cuda" and device.type != "cuda":
        parser.error("there is no GPU that PyTorch can use")
    logging.getLogger("qakit").setLevel(logging.ERROR)
    card = torch.cuda.get_device_name() if device.type == "cuda" else "no GPU"
    found: dict[str, Figures] = {}
    with tempfile.TemporaryDirectory() as folder:
        sizes = tiny_sizes() if options.tiny else full_sizes()
        bench = Bench.of(device, replace(sizes, rounds=options.rounds or sizes.rounds), Path(folder))
        about = {"device": card, "precisions": bench.precisions, "tiny": options.tiny, "environment": environment()}

        def note(name: str, figures: Figures) -> None:
            found[name] = figures
            whole = about | {"sections": found, "goals": goals(found, bench)}
            options.output.write_text(json.dumps(whole, indent=2) + "\n", "utf-8")
            rest = {key: value for key, value in figures.items() if key != "status"}
            print(f"{name:26} {figures['status']:8} {told(rest)}", flush=True)

        print(f"{card}, {', '.join(bench.precisions)}{', toy sizes' if options.tiny else ''}")
        measure(bench, budget=options.budget - (time.monotonic() - began), note=note, only=options.only)
    for what, said in goals(found, bench).items():
        print(f"{what}: {said}")


if __name__ == "__main__":
    main()
