"""Files that are damaged when a training continues."""

from __future__ import annotations

import re
import shutil
from functools import partial
from pathlib import Path

import phases
from fault import Fault, moments, resumed, told
from workbench import Trial, Whole, Workbench, differences

CHECKPOINT, CACHE = "damaged checkpoint", "damaged token cache"
CACHE_PARTS = ("ids", "offsets", "pointers", "manifest.json")
PARTS = ("model.safetensors", "optimiser.safetensors", "average.safetensors", "state.json")


def truncate(path: Path) -> None:
    """Only the first half is left."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    """One bit in the middle is another; in a text, in its last number."""
    content = bytearray(path.read_bytes())
    digits = [found.start() for found in re.finditer(rb"(?<=: )\d", content)]
    content[digits[-1] if path.suffix == ".json" and digits else len(content) // 2] ^= 1
    path.write_bytes(content)


KINDS = {"truncated": truncate, "with a flipped bit": flip, "removed": Path.unlink}


def faults() -> list[Fault]:
    """All of them."""
    found = [
        Fault(CHECKPOINT, f"a file of the newest one {kind}", moments_of(PARTS), partial(_newest, kind))
        for kind in KINDS
    ]
    found.append(Fault(CHECKPOINT, "the newest one removed", moments(1, "full", "lora"), partial(_newest, "removed")))
    found.append(Fault(CHECKPOINT, "all of them", moments(1, "full", "bitfit"), _all))
    found += [Fault(CACHE, f"a file {kind}", moments_of(CACHE_PARTS), partial(_cache, kind)) for kind in KINDS]
    return found


def moments_of(files: tuple[str, ...]) -> tuple[str, ...]:
    """One for each file."""
    return tuple(f"full {file}" for file in files)


def _killed(bench: Workbench, moment: str) -> tuple[Whole, Trial]:
    """A run that was killed after some checkpoints."""
    adapter = moment.split()[0]
    whole = bench.whole(adapter)
    with bench.lock:
        if adapter not in bench.killed:
            late = (phases.STEP, int(0.8 * whole.lines[phases.STEP]))
            trial = bench.trial(adapter)
            assert trial.train(at=late, happens="SIGKILL").code == -9
            assert len(trial.checkpoints) == 2
            bench.killed[adapter] = trial
    trial = bench.trial(adapter)
    shutil.copytree(bench.killed[adapter].folder, trial.folder, dirs_exist_ok=True)
    return whole, trial


def _newest(kind: str, bench: Workbench, moment: str) -> str:
    whole, trial = _killed(bench, moment)
    before, newest = trial.checkpoints
    part = moment.split()[1]
    if part in PARTS:
        KINDS[kind](newest / part)
    else:
        shutil.rmtree(newest)
    done = trial.go_on()
    assert done.code == 0, done.err
    said = [
        line for line in done.err.splitlines() if line.startswith(f"warning: run/checkpoints/{newest.name} is damaged")
    ]
    assert len(said) == (part in PARTS), done.err
    assert f"resuming from {before.name}" in done.err
    assert not differences(trial.run, whole.run)
    return f"{'reported; ' if said else ''}continues from the one before, bit-identical in the end"


def _all(bench: Workbench, moment: str) -> str:
    whole, trial = _killed(bench, moment)
    for folder in trial.checkpoints:
        flip(folder / "model.safetensors")
    refused = trial.go_on()
    assert refused.code == 2
    shutil.rmtree(trial.run / "checkpoints")
    return f"{told(refused)}; after that: {resumed(trial, whole)}"


def _cache(kind: str, bench: Workbench, moment: str) -> str:
    whole, trial = _killed(bench, moment)
    part = moment.split()[1]
    entries = trial.cached
    assert entries
    kept = {folder: {path.name: path.read_bytes() for path in folder.iterdir()} for folder in entries}
    for folder in entries:
        KINDS[kind](folder / part)
    outcome = resumed(trial, whole)
    for folder, files in kept.items():
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == files, "the entry is whole again"
    return f"rebuilt; {outcome}"
