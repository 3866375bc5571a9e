"""Where a command is told to write: what cannot be written there, or used afterwards, is refused before the work.

So are the parts of runs, studies, models, answers and ledgers, which other commands may not write over.
Such a folder is told by the files that make it one. A file with a name of the user's own may lie in it; what qakit
reads there may be written by the command alone whose it is.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from qakit.errors import RunError, UsageError
from qakit.files import writing
from qakit.temporary import is_temporary


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
    r".*\.(safetensors|bin|model|onnx|index\.json)",
    r"(vocab|merges)\.txt",
)
_RUN = _names(
    r"\..*",
    r"recipe\.yaml|pipeline\.yaml|recipes|train\.log|(curves|folds)\.png|view\.html",
    r"(meta|metrics|ensemble|members|weights|folds|combine|failure|broken-batch)\.json",
    r"(metrics|timings)\.jsonl",
    r"seen\.safetensors",
    r"checkpoints|soup|model|predictions|members|selection|span|fold-\d+|tensorboard|wandb",
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
                    f"{path} is, or lies in, a part of the {kind.name} {_near(folder)}: choose another name or folder"
                )
            if kind.holds_runs:
                break  # what is around it has no names for what lies in it


def check_outside_kept(folder: Path) -> None:
    """Make sure that a folder which will be a run, a model or an export would not lie in a run or a study.

    One that is such already may, and one with a recipe, in which a study or an ensemble will train: it is for the
    command to say whether it continues there.

    Raises:
        UsageError: it would.
    """
    if any(_kind_of(place) is not None or _is_file(place / "recipe.yaml") for place in _places(folder)):
        return
    for place in _places(folder):
        for kind, around in _around(place):
            if kind.holds_runs:
                raise UsageError(f"{folder} lies in the {kind.name} {_near(around)}: choose a folder outside of it")
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


def around(place: Path) -> list[Path]:
    """The runs, studies and other folders of ours that a place lies in, the innermost first."""
    return [folder for _, folder in _around(place.absolute())]


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


def _near(folder: Path) -> Path:
    """As short as can be: names of users are mostly short."""
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) and folder != here else folder


PathOrNone = TypeVar("PathOrNone", Path | None, str | None)

LONGEST_NAME = 255
"""Bytes, of a file or folder; so it is in the file systems of Linux and macOS."""
LONGEST_PATH = 4096 - 512
"""Bytes of an absolute path, with room for what will lie in a folder."""


_REPORT = re.compile(rb"qakit [0-9]|percentile bootstrap over questions")
"""What stands in every report."""


def check_name(path: Path) -> None:
    """Make sure that ``path`` is one that every command can be given later; nothing is looked up.

    Raises:
        UsageError: it is not; says why.
    """
    if problem := _problem(path):
        raise UsageError(f"{_shown(path)}: {problem}; choose another name")


def check_output(path: Path) -> None:
    """Make sure that a file or folder can be made at ``path``, or replaced.

    Raises:
        UsageError: its name cannot be used; says why.
        OutputError: the file system will not take it.
    """
    check_name(path)
    if path.name in ("", ".."):
        raise UsageError(f"{path}: this folder is there already and cannot be replaced; name a new one in it")
    with writing(path):
        there = next(place for place in (path, *path.absolute().parents) if place.exists())
        if there != path and not there.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, f"{there} is a file, no folder")
        if not os.access(there, os.W_OK | os.X_OK if there.is_dir() else os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def check_empty(folder: Path, *, beside: Collection[str] = (), instead: str = "") -> None:
    """Make sure that a command may fill ``folder``: it is not there, or holds nothing but what is named in ``beside``.

    What a killed process left half-written does not count.

    Args:
        instead: what else the user may do where it holds something.

    Raises:
        UsageError: its name cannot be used.
        RunError: it holds something, or is a file.
        OutputError: it cannot be made.
    """
    check_output(folder)
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is a file, no folder: choose another --output")
    if folder.exists() and _holds_anything(folder, beside):
        raise RunError(f"{folder} exists and is not empty: {instead}choose another --output")


def check_reports(*files: Path) -> None:
    """Make sure that reports whose names nobody has given take the place of nothing but earlier ones.

    Raises:
        UsageError: one of the files is there, and is no report of ours.
    """
    for file in files:
        if file.exists() and not (file.is_file() and _REPORT.search(file.read_bytes())):
            raise UsageError(f"{file} is there already, and no report of qakit's: name another --output, or move it")


def new_path(value: PathOrNone) -> PathOrNone:
    """The callback of every option that names a file to be written, or a folder for reports and answers.

    Raises:
        UsageError: the name cannot be used, or is that of a part of a run, a study, a model.
    """
    if value is not None:
        check_name(Path(value))
        check_beside_kept(Path(value))
    return value


def new_folder(value: PathOrNone) -> PathOrNone:
    """The callback of every option that names a folder which will be a run, a study, a model or an export.

    Raises:
        UsageError: the name cannot be used, or the folder would lie in a run or a study.
    """
    if value is not None:
        check_name(Path(value))
        check_outside_kept(Path(value))
    return value


def folder_to_fill(value: PathOrNone) -> PathOrNone:
    """The callback of every option that names a folder for files whose names somebody else has chosen.

    Raises:
        UsageError: the name cannot be used, or the folder is, or would lie in, a run, a study, a model.
    """
    if value is not None:
        check_name(Path(value))
        check_not_kept(Path(value))
    return value


def _holds_anything(folder: Path, beside: Collection[str]) -> bool:
    return not all(path.name in beside or is_temporary(path.name) for path in folder.iterdir())


def _problem(path: Path) -> str | None:
    """Why a path should not be given to anything new."""
    text = str(path)
    try:
        encoded = os.path.abspath(path).encode("utf-8")  # noqa: PTH100 - nothing is looked up
    except UnicodeEncodeError:
        return "the path is not valid UTF-8, so the files in it could not name it"
    if text.startswith("~"):
        return "the shell has left ~ as it is: put a blank for the = in front of it, or give the whole path"
    if path.name.startswith("-") or text.startswith("-"):
        return "a name that begins with - reads as an option"
    if path.name != path.name.strip():
        return "a blank at the end of a name is easily lost"
    if any(ord(char) < 32 or ord(char) == 127 for char in text):
        return "a path with control characters (line ends, tabs) cannot be given on"
    if any(len(part.encode("utf-8")) > LONGEST_NAME for part in path.parts):
        return f"a name has more than {LONGEST_NAME} bytes"
    if len(encoded) > LONGEST_PATH:
        return f"the whole path has more than {LONGEST_PATH:,} bytes"
    if is_temporary(path.name) or (path.name.startswith(".") and path.name.endswith((".old", ".adding"))):
        return "such names are those of unfinished files"
    return None


def _shown(path: Path) -> str:
    """The path on one line, without what no stream can take."""
    text = str(path).encode("utf-8", "backslashreplace").decode("utf-8")
    text = "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
    return text if len(text) <= 120 else f"{text[:60]}…{text[-59:]}"
