"""The weights of a model folder as they are published, read as safetensors.

``model.safetensors``, whole or in shards, is read in place. ``pytorch_model.bin``, as most checkpoints were published
years ago, is converted once (:mod:`qakit.modeling.pickles`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from huggingface_hub import constants
from safetensors import SafetensorError, safe_open
from torch import Tensor

from qakit.errors import ModelError
from qakit.files import check_readable, file_sha256
from qakit.modeling.pickles import ALIASES, SAFE, check_arrived, converted, is_ours
from qakit.numbers import load_json
from qakit.runs import SEEN

PICKLE = "pytorch_model.bin"
INDEX = ".index.json"
"""Ending of the list of shards: ``model.safetensors.index.json``."""
SHARD = re.compile(r"(model|pytorch_model)-\d+-of-\d+\.(safetensors|bin)")
OTHER_FORMATS = {
    "tf_model.h5": "TensorFlow",
    "flax_model.msgpack": "Flax",
    "*.onnx": "ONNX",
    "*.ckpt.index": "TensorFlow 1",
    "adapter_model.*": "an adapter's",
}
PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.pickle", "*.ckpt")
"""Endings of pickles."""
_OLD_NAMES = (("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias"))


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Weights in one or several safetensors files."""

    files: tuple[Path, ...]
    listed: Mapping[str, Path] = field(default_factory=dict)
    """Of shards: the file that their list names for a weight, under the weight's stored name."""

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every weight's shape, under its name of today; nothing is loaded.

        Raises:
            ModelError: a file is damaged, or several hold one weight.
        """
        found: dict[str, tuple[int, ...]] = {}
        for file, places in self._places().items():
            with _opened(file) as opened:
                for today, place in places.items():
                    found[today] = tuple(opened.get_slice(place).get_shape())
        return found

    def tensors(self, names: Iterable[str] | None = None) -> dict[str, Tensor]:
        """The weights under their names of today, mapped from the file (private: what is changed stays in memory).

        Args:
            names: only those of these that there are; all by default.

        Raises:
            ModelError: a file is damaged, or several hold one weight.
        """
        wanted = None if names is None else set(names)
        found: dict[str, Tensor] = {}
        for file, places in self._places().items():
            with _opened(file) as opened:
                for today, place in places.items():
                    if wanted is None or today in wanted:
                        found[today] = opened.get_tensor(place)
        return found

    def _places(self) -> dict[Path, dict[str, str]]:
        """What is taken from each file: a weight's name of today -> the name of its tensor.

        A shard that another save has left behind may hold a weight, too: which one counts says the list of shards.
        """
        held: dict[Path, dict[str, str]] = {}
        for file in self.files:
            with _opened(file) as opened:
                held[file] = _places(opened, file)
        names = [name for places in held.values() for name in places]
        stripped = all(name.startswith("module.") for name in names)  # saved out of a DataParallel wrapper
        first: dict[str, tuple[Path, str]] = {}
        taken: dict[Path, dict[str, str]] = {file: {} for file in held}
        twice = {name for name, count in Counter(names).items() if count > 1}
        for file, places in held.items():
            for name, place in places.items():
                if name in twice and self.listed.get(name, file) != file:
                    continue
                today = _todays(name, stripped)
                other, stored = first.setdefault(today, (file, name))
                if (other, stored) != (file, name):
                    raise ModelError(
                        f"{other} and {file} both hold {today} (as {stored} and {name}): which of them is the model's? "
                        "Remove the file of another save, or fetch the model anew"
                    )
                taken[file][today] = place
        return taken


def checkpoint_in(folder: Path) -> Checkpoint:
    """The weights of a folder in Hugging Face layout, which is only read, never written to.

    Raises:
        ModelError: it holds none that can be used, and says what it holds instead; a shard is missing; a pickle holds
            more than tensors, or is damaged; a file may not be read.
    """
    check_readable(folder, ModelError)
    files = published_files(folder)
    if not files:
        raise ModelError(_nothing_in(folder))
    if files[0].suffix == ".safetensors":
        for file in files:
            check_arrived(file)
        read = {file.name: file for file in files}
    else:
        read = {file.name: converted(file, weights_sha256(file)) for file in files}
    return Checkpoint(tuple(read.values()), {name: read[shard] for name, shard in _listed(folder).items()})


def published_files(folder: Path) -> list[Path]:
    """The folder's weight files: safetensors where there are some, else pickles; empty where there are neither.

    Raises:
        ModelError: a list of shards names a file that is not there, or is none.
    """
    name, is_whole = _form(file.name for file in folder.glob("*") if file.is_file())
    if is_whole:
        return [folder / name]
    return [folder / shard for shard in sorted(set(_listed(folder).values()))]


def _form(names: Iterable[str]) -> tuple[str, bool]:
    """Of a folder with these files: which form its weights have, empty for none, and whether one file holds them.

    A list none of whose shards is there was left behind where another form is there.
    """
    held = set(names)
    found = [(name, name in held) for name in (SAFE, PICKLE) if {name, f"{name}{INDEX}"} & held]
    return next((each for each in found if each[1] or _shards(each[0], held)), found[0] if found else ("", False))


def _shards(name: str, held: Iterable[str]) -> list[str]:
    """What may be shards of a form of weights among some files."""
    return sorted(each for each in held if SHARD.fullmatch(each) and each.endswith(Path(name).suffix))


def pickled_files(folder: Path) -> list[str]:
    """Names of the pickles in a folder, sorted."""
    return sorted({file.name for pattern in PICKLES for file in folder.glob(pattern)})


def choose_weights(names: Iterable[str]) -> list[str]:
    """Which of a repository's files are its weights, by the same rule as :func:`published_files`."""
    name, is_whole = _form(held := set(names))
    if is_whole or not name:
        return [name] if name else []
    return [f"{name}{INDEX}", *_shards(name, held)]


def weights_sha256(file: Path) -> str:
    """SHA-256 of a weight file, asked once per process; the hub's cache names large files by it."""
    blob = file.resolve()
    if re.fullmatch(r"[0-9a-f]{64}", blob.name) and blob.is_relative_to(Path(constants.HF_HUB_CACHE).resolve()):
        return blob.name
    return _sha256(blob, blob.stat().st_mtime_ns, blob.stat().st_size)


@lru_cache
def _sha256(file: Path, _changed: int, _size: int) -> str:
    return file_sha256(file)


def _listed(folder: Path) -> dict[str, str]:
    """Of a folder with shards: the shard that its list names for each weight; empty where one file is whole.

    Raises:
        ModelError: the list is none, or names a shard that is not there, or none.
    """
    form, is_whole = _form(file.name for file in folder.glob("*") if file.is_file())
    if is_whole or not form:
        return {}
    index = folder / f"{form}{INDEX}"
    try:
        listed = dict(load_json(index.read_text("utf-8"))["weight_map"])
        names = sorted(set(listed.values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{index} is no list of shards ({type(error).__name__}: {error})") from error
    for name in names:
        if not (isinstance(name, str) and SHARD.fullmatch(name) and name.endswith(Path(form).suffix)):
            raise ModelError(f"{index} names {name!r}, which is no shard of a checkpoint beside it")
    missing = [name for name in names if not (folder / name).is_file()]
    if missing or not names:
        raise ModelError(f"{folder} lacks {', '.join(missing) or 'every shard'}, which {index.name} lists")
    return listed


def _nothing_in(folder: Path) -> str:
    others = [f"{what} weights ({file.name})" for name, what in OTHER_FORMATS.items() for file in folder.glob(name)]
    unnamed = sorted({file.name for file in folder.glob("*.safetensors")} - {SEEN} | set(pickled_files(folder)))
    if others:
        return f"{folder} holds {', '.join(others)}, which qakit does not read; it needs {SAFE} or {PICKLE}"
    if unnamed:
        return f"{folder} holds {', '.join(unnamed)}, and qakit reads {SAFE} or {PICKLE}: rename the model's file"
    return f"{folder} holds no weights ({SAFE} or {PICKLE})"


def _opened(file: Path) -> Any:
    try:
        return safe_open(file, framework="pt")
    except FileNotFoundError as error:
        raise ModelError(f"{file} is not there") from error
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{file} is damaged: {error}") from error


def _places(opened: Any, file: Path) -> dict[str, str]:
    """Every name in a file -> the name of the tensor that it stands for; only our own copies know of others."""
    noted = (opened.metadata() or {}).get(ALIASES) if is_ours(file) else None
    return {name: name for name in opened.keys()} | dict(load_json(noted) if noted else {})  # noqa: SIM118


def _todays(name: str, stripped: bool) -> str:
    for old, new in _OLD_NAMES:
        name = name.replace(old, new)
    return name.removeprefix("module.") if stripped else name
