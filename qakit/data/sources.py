"""What a recipe names as data -> local files: paths as they are, files on the hub from its cache, splits from ours.

Readers get files and know nothing of the hub.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from qakit.data.cache import DATASETS, check_own, default_cache, mark_used, open_room, prune
from qakit.errors import DataError, HubError
from qakit.files import write_json, writing
from qakit.hub import snapshot
from qakit.names import few
from qakit.numbers import load_json
from qakit.recipe.hub_data import HUB, HubFiles, HubSplit, newest_commit

_PIECE = re.compile(r"-([0-9]+)-of-([0-9]+)(-[0-9a-f]{16})?")
"""``train-00000-of-00003``, and what ``datasets`` once wrote after it: another mark for each piece."""
FORMAT = 2
"""Part of the path of a converted split: raise it when the same split would be written otherwise."""


def local_files(source: str | HubSplit, *, named: str, beside: str | None = None) -> tuple[Path, ...]:
    """The files that hold what a recipe, or a command, names as data; fetched where they are not here.

    Args:
        source: a path, ``hf://datasets/...``, or a dataset's split.
        named: where it is named, the beginning of an error's line: ``data.train``.
        beside: a further file that the reader looks for in the folder of each.

    Raises:
        HubError: the hub does not have it, or cannot be reached and the cache has not all of it.
        DataError: a split is not to be had from the dataset's files.
    """
    if isinstance(source, HubSplit):
        return (_split_file(source, f"{named}: dataset {source.dataset!r}"),)
    if source.startswith(HUB):
        return _hub_files(source, f"{named}: {source}", beside)
    return (Path(source),)


@dataclass(frozen=True, slots=True)
class Fetched:
    """Files of a dataset's repository."""

    folder: Path
    """Where the chosen ones lie by their names."""
    names: Sequence[str]
    """Of all files that the commit has."""
    is_whole: bool
    """Whether there are no others: a cache that somebody else filled may hold a part."""


def fetched(dataset: str, commit: str, choose: Callable[[Sequence[str]], Sequence[str]], *, subject: str) -> Fetched:
    """The chosen files of a dataset at one commit.

    The names of all files are noted when the hub tells them, so that without it a cache that has only some of the
    chosen ones is not taken for all of them. A cache that somebody else filled is believed, as far as its files count
    themselves.

    Raises:
        HubError: as :func:`qakit.hub.snapshot`.
    """
    note = _room(dataset, commit) / "files.json"
    noted = _noted(note)
    told: list[Sequence[str]] = []
    without_hub = False

    def choosing(names: Sequence[str]) -> Sequence[str]:
        told.append(names)
        return choose(names)

    def complete(held: Sequence[str]) -> bool:
        nonlocal without_hub
        without_hub = True
        return _has_all_pieces(held) if noted is None else set(choose(noted)) <= set(held)

    folder = snapshot(dataset, choose=choosing, kind="dataset", revision=commit, subject=subject, complete=complete)
    if without_hub:
        return Fetched(folder, told[-1] if noted is None else noted, noted is not None)
    if noted is None:
        with writing(note):
            open_room(default_cache(), DATASETS)
        write_json(note, list(told[-1]))
    return Fetched(folder, told[-1], True)


def _has_all_pieces(names: Sequence[str]) -> bool:
    """Whether of files called ``train-00000-of-00003`` none is missing."""
    return all(len(held) == int(total) for (_, total, _), held in _pieces(names).items())


def check_pieces(files: Sequence[str], names: Sequence[str], subject: str) -> None:
    """Refuse a dataset that lacks pieces of the files that are wanted of it: it would be read as a smaller one.

    Args:
        files: that are wanted.
        names: of all files of the dataset.

    Raises:
        DataError: of ``train-00000-of-00003`` and the like some are missing.
    """
    wanted, there = _pieces(files), _pieces(names)
    for key in wanted:
        before, total, after = key
        if len(there[key]) != int(total):
            raise DataError(
                f"{subject}: the dataset has {len(there[key])} of the {int(total)} files {before}-*-of-{total}{after}; "
                "it was not uploaded whole"
            )


def _pieces(names: Sequence[str]) -> dict[tuple[str, str, str], set[str]]:
    """Files in several pieces: what stands before the number, how many there should be, what stands after it -> the
    numbers that there are."""
    held: dict[tuple[str, str, str], set[str]] = {}
    for name in names:
        if (piece := _PIECE.search(name)) is not None:
            held.setdefault((name[: piece.start()], piece[2], name[piece.end() :]), set()).add(piece[1])
    return held


def _room(dataset: str, commit: str) -> Path:
    return default_cache() / DATASETS / "--".join(["hub", *dataset.split("/")]) / commit


def _noted(note: Path) -> list[str] | None:
    try:
        check_own(default_cache(), DATASETS)
        names = load_json(note.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return names if isinstance(names, list) else None


def _hub_files(text: str, subject: str, beside: str | None) -> tuple[Path, ...]:
    try:
        files = HubFiles.parse(text)
    except ValueError as error:  # of a command's argument; a recipe's is checked before
        raise HubError(str(error)) from None
    commit = newest_commit(files.repository, files.revision, subject=subject)

    def chosen(names: Sequence[str]) -> list[str]:
        found = files.among(names)
        if not found:
            raise HubError(f"{subject}: there is no such file; the dataset has {few(names, 8) or 'none'}")
        companions = {os.path.normpath(os.path.join(os.path.dirname(name), beside)) for name in found if beside}  # noqa: PTH118, PTH120 - of the repository
        return [*found, *sorted(companions.intersection(names).difference(found))]

    found = fetched(files.repository, commit, chosen, subject=subject)
    wanted = files.among(found.names)
    if found.is_whole and wanted != [files.path]:  # a piece that is named alone is what is wanted
        check_pieces(wanted, found.names, subject)
    return tuple(found.folder / name for name in wanted)


def _split_file(split: HubSplit, subject: str) -> Path:
    commit = newest_commit(split.dataset, split.revision, subject=subject)
    room = _room(split.dataset, commit)
    target = room / f"v{FORMAT}" / (split.config or "_") / f"{split.split}.parquet"
    with writing(target):
        check_own(default_cache(), DATASETS)
    if not target.is_file():
        from qakit.data.hub_splits import convert_split

        with writing(target):
            open_room(default_cache(), DATASETS)
        convert_split(split, commit, target, subject=subject)
        prune(default_cache(), keep=room.parent)
    mark_used(room.parent)
    return target
