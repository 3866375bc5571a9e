"""Which files a prediction of many files reads, and under which name each one's answers are kept."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from qakit.data.sources import local_files
from qakit.errors import UsageError
from qakit.files import without_gz
from qakit.recipe.hub_data import is_on_hub

Form = Literal["parquet", "jsonl", "csv"]
"""How answers are written."""
FORMS: tuple[Form, ...] = get_args(Form)

DATA_ENDINGS: dict[str, Form] = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".json": "jsonl",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
"""The files of a folder that count as data, and how the answers to each kind are written unless somebody says."""


@dataclass(frozen=True, slots=True)
class Shard:
    """An input file: the unit that is answered whole or not at all."""

    source: Path
    output: str
    """The path of its answers in the output folder, with ``/`` on every system."""
    form: Form

    def __str__(self) -> str:
        return str(self.source)


def find_shards(inputs: Sequence[str], output: Path, *, form: Form | None = None) -> list[Shard]:
    """The files that ``inputs`` stand for, in the order of their outputs' names: the same on every machine.

    An input is a file, a folder (all data files below it; names that begin with ``.`` or ``_`` are skipped), a
    pattern of :mod:`glob`, ``**`` included, or files on the hub. Answers keep the path below the folder, or below the
    pattern's part without wildcards; those to files on the hub have their bare names. Files in ``output`` are never
    inputs.

    Args:
        form: how all answers are written; by default as each input's ending suggests.

    Raises:
        UsageError: an input stands for no file, or two files would have the same output.
    """
    shards: dict[str, Shard] = {}
    home = output.resolve()
    for text in inputs:
        found = 0
        for source, root in _files(text):
            if source.resolve().is_relative_to(home):
                continue
            found += 1
            chosen = form or DATA_ENDINGS.get(without_gz(source).suffix.lower(), "jsonl")
            name = without_gz(source.relative_to(root))
            shard = Shard(source, name.with_suffix(f".{chosen}").as_posix(), chosen)
            other = shards.setdefault(shard.output, shard)
            if other.source.resolve() != source.resolve():
                raise UsageError(
                    f"{other} and {shard} would both be answered in {output / shard.output}: give the folder that "
                    "holds both as --input, or answer them into two folders"
                )
        if not found:
            raise UsageError(f"--input {text}: {_nothing(text)} (files in the output folder {output} are no input)")
    return sorted(shards.values(), key=lambda shard: shard.output)


def dealt(shards: Sequence[Shard], *, index: int, count: int) -> Sequence[Shard]:
    """The shards of process ``index``, from 0, of ``count``: each shard belongs to exactly one."""
    return shards[index::count]


def is_pattern(text: str) -> bool:
    """Whether an input is a pattern: it has wildcards and is not itself a file's name."""
    return glob.has_magic(text) and not Path(text).exists()


def _files(text: str) -> Iterator[tuple[Path, Path]]:
    """Files, each with the folder below which its path is kept."""
    path = Path(text)
    if is_on_hub(text):
        yield from ((file, file.parent) for file in local_files(text, named="--input"))
    elif is_pattern(text):
        fixed = Path(*_before_wildcards(path.parts))
        names = glob.iglob(text, recursive=True)  # noqa: PTH207 - Path.glob raises for patterns such as "a**"
        yield from ((Path(name), fixed) for name in names if Path(name).is_file())
    elif path.is_dir():
        yield from ((file, path) for file in path.rglob("*") if _is_data(file, path))
    elif path.is_file():
        yield path, path.parent


def _before_wildcards(parts: Iterable[str]) -> Iterator[str]:
    for part in parts:
        if glob.has_magic(part):
            return
        yield part


def _is_data(file: Path, root: Path) -> bool:
    visible = not any(part.startswith((".", "_")) for part in file.relative_to(root).parts)
    return visible and without_gz(file).suffix.lower() in DATA_ENDINGS and file.is_file()


def _nothing(text: str) -> str:
    if is_pattern(text):
        return "no file matches the pattern"
    if Path(text).is_dir():
        return f"the folder holds no data file ({', '.join(DATA_ENDINGS)})"
    return "there is no such file" if not Path(text).exists() else "it lies in the output folder"
