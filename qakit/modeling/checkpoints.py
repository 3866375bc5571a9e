"""The weights of a model folder as they are published, read as safetensors.

``model.safetensors``, whole or in shards, is read in place. ``pytorch_model.bin``, as most checkpoints were published
years ago, is a pickle: it is read with PyTorch's unpickler that makes tensors and nothing else, checked, and kept once
as safetensors in qakit's cache, under the hash of the file. The next start maps that.
"""

from __future__ import annotations

import atexit
import json
import logging
import re
import shutil
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from huggingface_hub import constants
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from qakit.data.cache import WEIGHTS, check_own, default_cache, mark_used, open_room, prune
from qakit.errors import ModelError, OutputError
from qakit.files import atomic_path, check_readable, file_sha256, writing
from qakit.hub import Progress, told
from qakit.numbers import load_json
from qakit.runs import SEEN

logger = logging.getLogger(__name__)

SAFE = "model.safetensors"
PICKLE = "pytorch_model.bin"
INDEX = ".index.json"
"""Ending of the list of shards: ``model.safetensors.index.json``."""
SHARD = re.compile(r"(model|pytorch_model)-\d+-of-\d+\.(safetensors|bin)")
ALIASES = "qakit_aliases"
"""Key of a converted file's metadata: names that share another tensor's memory, as JSON."""
OTHER_FORMATS = {
    "tf_model.h5": "TensorFlow",
    "flax_model.msgpack": "Flax",
    "*.onnx": "ONNX",
    "*.ckpt.index": "TensorFlow 1",
    "adapter_model.*": "an adapter's",
}
PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.pickle", "*.ckpt")
"""Endings of pickles."""
MOST_OVERLAP = 4
"""So many times a file's size its tensors may be together: views of one memory, which are rare, become several."""
_LFS = b"version https://git-lfs"
_OLD_NAMES = (("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias"))
_GLOBAL = re.compile(r"(?:Unsupported global: GLOBAL|unsupported GLOBAL|Unsupported class) (\S+)")


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
            _check_arrived(file)
        read = {file.name: file for file in files}
    else:
        read = {file.name: _converted(file) for file in files}
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


def _converted(file: Path) -> Path:
    """The file's tensors as safetensors, in the cache."""
    room, digest = default_cache(), weights_sha256(file)
    target = room / WEIGHTS / f"{digest}.safetensors"
    try:
        with writing(target):
            check_own(room, WEIGHTS)
            if _reads_back(target):
                return target
            open_room(room, WEIGHTS)
            lock = FileLock(f"{target}.lock")
            lock.acquire()  # several processes start at once: one converts
    except OutputError as error:
        return _without_cache(file, digest, error)
    try:
        if not _reads_back(target):
            _convert(file, target)
            prune(room, keep=target)
        return target
    except OutputError as error:
        return _without_cache(file, digest, error)
    finally:
        lock.release()


def _convert(file: Path, target: Path) -> None:
    size = file.stat().st_size
    told(Progress(f"converting {file.name} (once)", 0, size))
    unique, aliases = _shared(_unpickled(file))
    with atomic_path(target) as temporary:
        save_file(unique, temporary, metadata={"format": "pt", ALIASES: json.dumps(aliases)})
    told(Progress(f"converting {file.name} (once)", size, size))


def _without_cache(file: Path, digest: str, error: OutputError) -> Path:
    """A copy for this process alone."""
    target = _own_folder() / WEIGHTS / f"{digest}.safetensors"
    if not target.is_file():
        logger.warning(
            "%s; %s is converted anew at each start: point QAKIT_CACHE at a folder that can be written", error, file
        )
        _convert(file, target)
        _made_for_this_process.add(target)
    return target


_made_for_this_process: set[Path] = set()


@cache
def _own_folder() -> Path:
    folder = tempfile.mkdtemp(prefix="qakit-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def _reads_back(file: Path) -> bool:
    try:
        with _opened(file):
            mark_used(file)
            return True
    except (ModelError, OSError):
        return False


def _unpickled(file: Path) -> dict[str, Tensor]:
    """What a pickle of tensors holds, without running code.

    Raises:
        ModelError: it holds anything else, or is damaged.
    """
    _check_arrived(file)
    try:
        is_zip = _is_zip(file)
        if is_zip:
            _check_stored(file)
        held: Any = torch.load(file, map_location="cpu", weights_only=True, mmap=is_zip)  # files before 1.6 are no zip
    except ModelError:
        raise
    except Exception as error:  # the unpickler raises what the bytes make it raise
        if (wanted := _GLOBAL.search(str(error))) is not None:
            raise ModelError(
                f"{file} holds more than tensors: it wants {wanted[1]} from Python, and a pickle that gets it can run "
                f"code; it is not loaded. Ask its author for {SAFE}"
            ) from error
        raise ModelError(
            f"{file} is damaged or no PyTorch checkpoint ({type(error).__name__}); fetch it anew"
        ) from error
    names = list(held) if isinstance(held, Mapping) else []
    if not names or not all(isinstance(name, str) for name in names) or "__metadata__" in names:
        raise ModelError(f"{file} holds one {type(held).__name__}, not a model's weights by name")
    others = {name: value for name, value in held.items() if not isinstance(value, Tensor)}
    if others:
        what = ", ".join(f"{name!r} ({type(value).__name__})" for name, value in list(others.items())[:4])
        raise ModelError(
            f"{file} holds more than tensors: {what}{' and more' if len(others) > 4 else ''}; it is a training's "
            f"checkpoint, not a model. Save its weights alone as {SAFE}"
        )
    size = file.stat().st_size
    tensors = {name: value.detach() for name, value in held.items()}
    for name, value in tensors.items():
        if value.layout != torch.strided or value.is_quantized or value.is_complex():
            raise ModelError(f"{file}: {name} is no plain tensor ({value.dtype}, {value.layout})")
        if value.numel() * value.element_size() > max(size, 1):
            raise ModelError(f"{file}: {name} claims to be larger than the file; it is damaged, or made to do harm")
    total = sum({_place(value): value.numel() * value.element_size() for value in tensors.values()}.values())
    if total > MOST_OVERLAP * size:
        raise ModelError(f"{file}: its tensors claim to be {total / size:.0f} times as large as the file")
    return tensors


def _check_arrived(file: Path) -> None:
    with file.open("rb") as handle:
        if handle.read(len(_LFS)) == _LFS:
            raise ModelError(
                f"{file} is Git LFS's note of the file, not the file: run `git lfs pull` in that folder, or fetch the "
                "model by its name on the hub"
            )


def _is_zip(file: Path) -> bool:
    with file.open("rb") as handle:
        return handle.read(4) == b"PK\x03\x04"


def _check_stored(file: Path) -> None:
    """PyTorch packs nothing; what is packed may be as large as one likes when it is unpacked."""
    with zipfile.ZipFile(file) as archive:
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise ModelError(f"{file} is a compressed archive, which PyTorch does not write; it is not loaded")


def _shared(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors with memory of their own, and the names that stand for another's tensor."""
    unique: dict[str, Tensor] = {}
    aliases: dict[str, str] = {}
    first: dict[tuple[object, ...], str] = {}
    storages: set[int] = set()
    for name, tensor in tensors.items():
        place = _place(tensor)
        if tensor.numel() and place in first:
            aliases[name] = first[place]
            continue
        first[place] = name
        plain = tensor.contiguous()
        own = plain.untyped_storage().data_ptr()
        unique[name] = plain.clone() if own in storages else plain
        storages.add(own)
    return unique, aliases


def _place(tensor: Tensor) -> tuple[object, ...]:
    """Equal for tensors that are the same numbers in memory."""
    own = tensor.untyped_storage().data_ptr()
    return own, tensor.storage_offset(), tensor.shape, tensor.stride(), tensor.dtype


def _opened(file: Path) -> Any:
    try:
        return safe_open(file, framework="pt")
    except FileNotFoundError as error:
        raise ModelError(f"{file} is not there") from error
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{file} is damaged: {error}") from error


def _places(opened: Any, file: Path) -> dict[str, str]:
    """Every name in a file -> the name of the tensor that it stands for; only our own copies know of others."""
    ours = file.parent == default_cache() / WEIGHTS or file in _made_for_this_process
    noted = (opened.metadata() or {}).get(ALIASES) if ours else None
    return {name: name for name in opened.keys()} | dict(load_json(noted) if noted else {})  # noqa: SIM118


def _todays(name: str, stripped: bool) -> str:
    for old, new in _OLD_NAMES:
        name = name.replace(old, new)
    return name.removeprefix("module.") if stripped else name
