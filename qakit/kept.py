"""What other commands may not write over: the parts of runs, studies, models, answers and ledgers.

Such a folder is told by the files that make it one. A file with a name of the user's own may lie in it; what qakit
reads there may be written by the command alone whose it is.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from qakit.errors import UsageError


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of folder that is made, and read again, by qakit."""

    name: str
    marks: tuple[tuple[str, ...], ...]
    """Files of which all of one row are there."""
    parts: re.Pattern[str]
    """What lies in it, whole folders among it. Some file systems make nothing of upper and lower case."""
    holds_runs: bool = False
    """Whether whatever lies in it is taken for a part of it, so that no other run may."""

    def is_one(self, folder: Path) -> bool:
        return any(all(_is_file(folder / name) for name in row) for row in self.marks)


def _names(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns), re.IGNORECASE)


_MODEL = _names(
    r"(config|generation_config|qakit|decision|pretrain|adapter_config|tokenizer|tokenizer_config|vocab)\.json",
    r"(special_tokens_map|added_tokens|preprocessor_config)\.json",
    r".*\.(safetensors|bin|model|index\.json)",
    r"(vocab|merges)\.txt",
)
_RUN = _names(
    r"\..*",
    r"recipe\.yaml|pipeline\.yaml|recipes|train\.log|(curves|folds)\.png",
    r"(meta|metrics|ensemble|members|weights|folds|combine|failure|broken-batch)\.json",
    r"(metrics|timings)\.jsonl",
    r"seen\.safetensors",
    r"checkpoints|soup|model|predictions|members|selection|span|fold-\d+",
)
_KINDS = (
    _Kind(
        "run",
        (("recipe.yaml", "meta.json"), ("recipe.yaml", "metrics.jsonl"), ("recipe.yaml", "model/qakit.json")),
        _RUN,
        holds_runs=True,
    ),
    _Kind(
        "study",
        (("study.json",),),
        _names(r"\..*", r"study\.(json|db.*)|search\.log", r"runs|pictures|REPORT\.md|report\.html"),
        holds_runs=True,
    ),
    _Kind("pretraining", (("pretrain.json",),), _names(_RUN.pattern, _MODEL.pattern)),
    _Kind("model", (("config.json", "model.safetensors"), ("config.json", "qakit.json")), _MODEL),
    _Kind("model", (("config.json", "model.safetensors.index.json"), ("config.json", "pytorch_model.bin")), _MODEL),
    _Kind("folder of answers", (("_progress/run.json",),), _names("_progress")),
    _Kind("ledger", (("ledger.jsonl",),), _names(r"\.lock", r"ledger\.jsonl", r".+/.+")),
)


def check_beside_kept(path: Path) -> None:
    """Make sure that a file, or a folder, at ``path`` is no part of a folder of ours, and does not lie in one.

    Raises:
        UsageError: it is, or does.
    """
    for place in _places(path):
        for kind, folder in _around(place):
            part = place.relative_to(folder).as_posix()
            if kind.parts.fullmatch(part) or kind.parts.fullmatch(part.partition("/")[0]):
                raise UsageError(
                    f"{path} is, or lies in, a part of the {kind.name} {_shown(folder)}: choose another name or folder"
                )
            if kind.holds_runs:
                break  # what is around it has no names for what lies in it


def check_outside_kept(folder: Path) -> None:
    """Make sure that a folder which will be a run, a model or an export would not lie in a run or a study.

    One that is such already may, and one with a recipe, in which a study or an ensemble will train: it is for the
    command to say whether it goes on there.

    Raises:
        UsageError: it would.
    """
    if any(_kind_of(place) is not None or _is_file(place / "recipe.yaml") for place in _places(folder)):
        return
    for place in _places(folder):
        for kind, around in _around(place):
            if kind.holds_runs:
                raise UsageError(f"{folder} lies in the {kind.name} {_shown(around)}: choose a folder outside of it")
    check_beside_kept(folder)


def check_not_kept(folder: Path) -> None:
    """Make sure that files of any name may be put into ``folder``: it is none of ours, and does not lie in a run.

    Raises:
        UsageError: it is.
    """
    for place in _places(folder):
        if (kind := _kind_of(place)) is not None:
            raise UsageError(f"{folder} holds a {kind.name}: choose another folder")
    check_outside_kept(folder)


def _places(path: Path) -> Sequence[Path]:
    """Where it lies, and where it leads if it is a link: a file takes its place, a folder is filled behind it."""
    leads = Path(os.path.realpath(path))
    lies = Path(os.path.realpath(path.parent)) / path.name if path.name not in ("", "..") else leads
    return (lies,) if lies == leads else (lies, leads)


def _around(place: Path) -> list[tuple[_Kind, Path]]:
    """The folders of ours that a place lies in, the innermost first."""
    return [(kind, folder) for folder in place.parents for kind in _KINDS if kind.is_one(folder)]


def _kind_of(folder: Path) -> _Kind | None:
    return next((kind for kind in _KINDS if kind.is_one(folder)), None)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a folder that is closed to this user
        return False


def _shown(folder: Path) -> Path:
    """As short as can be: names of users are mostly short."""
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) and folder != here else folder
