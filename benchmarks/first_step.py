"""Seconds from a checkpoint to the first training step: ``python benchmarks/first_step.py FOLDER [--repeat 5]``.

FOLDER holds a real encoder (config.json, model.safetensors). Its weights are pickled as they are published on the hub
(``pytorch_model.bin``: as PyTorch 1.6 and later write it, and as earlier ones did), and loaded in fresh processes, one
after the other in alternating rounds: by ``AutoModel.from_pretrained``, by qakit for the first time (the pickle is
converted), and by qakit again (the converted copy is mapped). Each then takes one step of AdamW on the same batch. The
time of the imports is left out, being the same for all. All sides print the same loss.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SIDES = ("AutoModel.from_pretrained", "qakit, first time", "qakit, from then on")


def measure(side: str, folder: Path) -> None:
    """One side in this process; prints seconds to the model, seconds to the end of the step, and the loss."""
    import torch
    from transformers import AutoModel

    from qakit.modeling.backbones import load_backbone
    from qakit.recipe.model import BackboneSection

    torch.manual_seed(0)
    ids = torch.randint(5, 2000, (4, 128))
    start = time.perf_counter()
    if side == SIDES[0]:
        model = AutoModel.from_pretrained(
            folder, dtype=torch.float32, use_safetensors=False, attn_implementation="eager"
        )
    else:
        model = load_backbone(BackboneSection.model_validate({"source": str(folder)}), attention="eager").module
    loaded = time.perf_counter() - start
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-5)
    model.eval()  # without dropout, so that all sides compute the same
    loss = model(input_ids=ids).last_hidden_state.square().mean()
    loss.backward()
    optimiser.step()
    print(json.dumps([loaded, time.perf_counter() - start, loss.item()]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        measure(arguments.side, arguments.folder)
        return
    import torch
    from safetensors.torch import load_file

    with tempfile.TemporaryDirectory() as room:
        for zipped in (True, False):
            model = Path(room) / ("zip" if zipped else "old")
            model.mkdir()
            shutil.copy(arguments.folder / "config.json", model)
            weights = load_file(arguments.folder / "model.safetensors")
            torch.save(weights, model / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
            size = (model / "pytorch_model.bin").stat().st_size / 1e6
            print(f"pytorch_model.bin, {size:.0f} MB, {'as today' if zipped else 'as before PyTorch 1.6'}")
            results: dict[str, list[list[float]]] = {side: [] for side in SIDES}
            for _ in range(arguments.repeat):
                cache = tempfile.mkdtemp(dir=room)
                for side in SIDES:
                    command = [sys.executable, __file__, str(model), "--side", side]
                    environment = {**os.environ, "QAKIT_CACHE": cache}
                    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
                    results[side].append(json.loads(done.stdout.splitlines()[-1]))
                shutil.rmtree(cache)
            peer = statistics.median(step for _, step, _ in results[SIDES[0]])
            for side, rounds in results.items():
                loaded, stepped = (statistics.median(column) for column in list(zip(*rounds, strict=True))[:2])
                print(
                    f"  {side:26} model {loaded:6.2f} s   first step {stepped:6.2f} s   "
                    f"{stepped / peer:5.2f} of the peer's   loss {rounds[0][2]:.6f}"
                )


if __name__ == "__main__":
    main()
