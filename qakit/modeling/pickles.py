"""Weights that were published as a pickle, ``pytorch_model.bin``: converted to safetensors once.

A pickle is read with PyTorch's unpickler that makes tensors and nothing else, checked, and kept in qakit's cache under
the hash of the file. The next start maps that.
"""

from __future__ import annotations

import atexit
import json
import logging
import re
import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from qakit.data.cache import WEIGHTS, check_own, default_cache, mark_used, open_room, prune
from qakit.errors import ModelError, OutputError
from qakit.files import atomic_path, writing
from qakit.hub import Progress, told

logger = logging.getLogger(__name__)

SAFE = "model.safetensors"
ALIASES = "qakit_aliases"
"""Key of a converted file's metadata: names that share another tensor's memory, as JSON."""
MOST_OVERLAP = 4
"""So many times a file's size its tensors may be together: views of one memory, which are rare, become several."""
_LFS = b"version https://git-lfs"
_GLOBAL = re.compile(r"(?:Unsupported global: GLOBAL|unsupported GLOBAL|Unsupported class) (\S+)")


def converted(file: Path, digest: str) -> Path:
    """A pickle's tensors as safetensors, in the cache; ``digest`` is the file's SHA-256.

    Raises:
        ModelError: the file holds more than tensors, or is damaged.
    """
    room = default_cache()
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


def is_ours(file: Path) -> bool:
    """Whether qakit converted the file, so that what its metadata says of aliases holds."""
    return file.parent == default_cache() / WEIGHTS or file in _made_for_this_process


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
        with safe_open(file, framework="pt"):
            mark_used(file)
            return True
    except (SafetensorError, OSError):
        return False


def _unpickled(file: Path) -> dict[str, Tensor]:
    """What a pickle of tensors holds, without running code.

    Raises:
        ModelError: it holds anything else, or is damaged.
    """
    check_arrived(file)
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


def check_arrived(file: Path) -> None:
    """Refuses a note of Git LFS in the file's place.

    Raises:
        ModelError: it is one.
    """
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
