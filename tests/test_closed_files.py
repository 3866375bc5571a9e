"""What this user may not read is called that: neither missing nor damaged."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from qakit.errors import QakitError
from qakit.files import write_json
from qakit.inference.characters import CharacterScores
from qakit.modeling.adapter_file import read_weights
from qakit.modeling.backbones import load_tokenizer
from qakit.modeling.checkpoints import checkpoint_in
from qakit.modeling.folder import read_layout
from qakit.runs import Run
from qakit.training.checkpoints import latest_checkpoint
from qakit.training.fingerprints import Seen

NOBODY = 65534


@contextmanager
def as_somebody_else() -> Iterator[None]:
    """The superuser may read everything: be somebody else meanwhile."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where somebody else may look, too."""
    path = Path(tempfile.mkdtemp(prefix="closed-"))
    path.chmod(0o755)
    yield path
    path.chmod(0o755)
    shutil.rmtree(path)


def closed(file: Path) -> Path:
    """Somebody has written it for himself alone."""
    file.chmod(0)
    return file


def model(folder: Path) -> Path:
    """The files of a model, by name."""
    write_json(folder / "qakit.json", {"format": 1, "weights": "merged"})
    write_json(folder / "config.json", {})
    save_file({"a": torch.zeros(1)}, folder / "model.safetensors")
    for file in folder.iterdir():
        file.chmod(0o644)
    return folder


def seen(folder: Path) -> None:
    Seen(np.zeros(1, np.uint64), np.zeros(1, np.uint64)).write(folder / "file")
    closed(folder / "file")


READERS: dict[str, tuple[Callable[[Path], object], Callable[[Path], object]]] = {
    "a model's weights": (
        lambda folder: closed(model(folder) / "model.safetensors"),
        lambda folder: read_weights(folder / "model.safetensors"),
    ),
    "a model's layout": (lambda folder: closed(model(folder) / "qakit.json"), read_layout),
    "a model's configuration": (lambda folder: closed(model(folder) / "config.json"), read_layout),
    "a backbone's weights": (lambda folder: closed(model(folder) / "model.safetensors"), checkpoint_in),
    "a backbone's tokenizer": (
        lambda folder: closed(model(folder) / "qakit.json"),
        lambda folder: load_tokenizer(str(folder)),
    ),
    "a run's figures": (
        lambda folder: (write_json(folder / "metrics.json", {}), closed(folder / "metrics.json")),
        lambda folder: Run(folder).read_json(folder / "metrics.json"),
    ),
    "what a run has seen": (seen, lambda folder: Seen.read(folder / "file")),
    "character scores": (
        lambda folder: (save_file({"a": torch.zeros(1)}, folder / "file"), closed(folder / "file")),
        lambda folder: CharacterScores.read(folder / "file"),
    ),
    "a checkpoint": (
        lambda folder: ((folder / "step-00000001").mkdir(), closed(folder / "step-00000001")),
        lambda folder: latest_checkpoint(folder, warn=pytest.fail),
    ),
    "all checkpoints": (closed, lambda folder: latest_checkpoint(folder, warn=pytest.fail)),
}


@pytest.mark.skipif(sys.platform == "win32", reason="other rights")
@pytest.mark.parametrize("what", READERS)
def test_a_closed_file_is_called_closed(folder: Path, what: str) -> None:
    make, read = READERS[what]
    make(folder)
    with pytest.raises(QakitError, match="Permission denied: it is there, but closed") as caught, as_somebody_else():
        read(folder)
    assert "removed" not in str(caught.value)
    assert "damaged" not in str(caught.value)
