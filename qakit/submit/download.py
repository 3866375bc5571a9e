"""A competition's data files: fetched whole or not at all, with a manifest of what came."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from qakit.errors import DataError, OutputError, SubmissionError
from qakit.files import file_sha256, recover_folder, replace_folder, temporary_folder, write_json, writing
from qakit.names import below
from qakit.numbers import load_json
from qakit.submit.client import KaggleClient
from qakit.submit.faults import KaggleError
from qakit.submit.record import now
from qakit.submit.remote import Download
from qakit.submit.unzip import unpack
from qakit.temporary import remove_leftovers

MANIFEST = "kaggle-manifest.json"
ATTEMPTS = 3
"""Tries of a download that breaks off."""


@dataclass(frozen=True, slots=True)
class Downloaded:
    """A folder with a competition's files."""

    folder: Path
    files: Mapping[str, Mapping[str, Any]]
    """Name -> bytes and sha256."""
    fresh: bool
    """False: the folder had them already."""


def download(
    slug: str,
    folder: Path,
    kaggle: KaggleClient,
    *,
    force: bool = False,
    say: Callable[[str], None],
    progress: Callable[[int, int], None] | None = None,
) -> Downloaded:
    """Fetch a competition's files into a folder of their own, unless the same ones are there.

    Raises:
        SubmissionError: Kaggle does not give them.
        DataError: what came is damaged or unsafe; the folder is as it was.
        OutputError: the folder holds other files, or cannot be written.
    """
    listing = [asdict(each) for each in kaggle.data_files(slug)]
    manifest = _manifest(folder)
    unchanged = not force and manifest.get("listing") == listing and _intact(folder, manifest.get("files", {}))
    if not unchanged:
        _check_own(folder, manifest.get("files", {}))
    _clear_up(folder)
    if unchanged:
        return Downloaded(folder, manifest["files"], fresh=False)
    with writing(folder), temporary_folder(_archive(folder)) as temporary:
        archive = _fetch(slug, kaggle, temporary, say=say, progress=progress)
        with replace_folder(folder) as fresh:
            names = _unpack(archive, fresh, {each["name"] for each in listing})
            files = {name.as_posix(): facts_of(fresh / name) for name in names}
            _compare(files, listing, say)
            document = {
                "schema": 1,
                "competition": slug,
                "downloaded": now(),
                "archive": facts_of(archive),
                "listing": listing,
                "files": files,
            }
            write_json(fresh / MANIFEST, document)
    return Downloaded(folder, files, fresh=True)


def _clear_up(folder: Path) -> None:
    """Bring what a killed download left to its end: files that were being replaced come back, or go once there are new
    ones; archives and half-written folders go."""
    with writing(folder):
        recover_folder(folder)
    for path in (folder, _archive(folder)):
        remove_leftovers(folder.parent, path.name)


def _archive(folder: Path) -> Path:
    """What the archive's temporary folder, beside the target, is for."""
    return folder.with_name(f"{folder.name}-archive")


def _fetch(
    slug: str,
    kaggle: KaggleClient,
    temporary: Path,
    *,
    say: Callable[[str], None],
    progress: Callable[[int, int], None] | None,
) -> Path:
    """The archive, whole; a download that breaks off begins again."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with kaggle.download(slug) as stream:
                return _save(stream, temporary, progress)
        except KaggleError as problem:
            if attempt == ATTEMPTS or not problem.fault.temporary:
                raise
            say(f"{problem} (trying again)")
        except _BrokenOffError as problem:
            if attempt == ATTEMPTS:
                raise SubmissionError(f"the download broke off: {problem}; try again") from None
            say(f"the download broke off: {problem} (trying again)")
    raise AssertionError("unreachable")


def _save(stream: Download, folder: Path, progress: Callable[[int, int], None] | None) -> Path:
    if stream.length is not None and stream.length > (free := shutil.disk_usage(folder).free):
        raise OutputError(f"the download has {stream.length:,} bytes, and {free:,} are free")
    target, got = folder / (stream.name or "data.zip"), 0
    with target.open("wb") as file:
        for chunk in stream.chunks:
            file.write(chunk)
            got += len(chunk)
            if progress is not None and stream.length:
                progress(got, stream.length)
    if stream.length is not None and got != stream.length:
        raise _BrokenOffError(f"{got:,} of {stream.length:,} bytes")
    return target


def _unpack(archive: Path, folder: Path, listed: Collection[str]) -> list[Path]:
    """The archive's files; a competition with a single file may send it as it is."""
    if archive.suffix.lower() == ".zip" or zipfile.is_zipfile(archive):
        return unpack(archive, folder)
    if archive.name not in listed:
        raise DataError("is no archive and none of Kaggle's files; try again later", path=archive.name)
    shutil.copyfile(archive, folder / archive.name)
    return [Path(archive.name)]


def _compare(files: Mapping[str, Any], listing: Sequence[Mapping[str, Any]], say: Callable[[str], None]) -> None:
    missing = [each["name"] for each in listing if each["name"] not in files]
    if missing:
        say(f"{len(missing)} files of Kaggle's list are not in the archive: {', '.join(missing[:5])}")


def _manifest(folder: Path) -> dict[str, Any]:
    """What an earlier download wrote; empty when there is none."""
    try:
        value = load_json((folder / MANIFEST).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    sound = isinstance(value, dict) and isinstance(value.get("files"), dict)
    return value if sound else {}


def _intact(folder: Path, files: Mapping[str, Any]) -> bool:
    try:
        return bool(files) and all(facts_of(below(folder, name)) == facts for name, facts in files.items())
    except (OSError, ValueError):
        return False


def _check_own(folder: Path, files: Mapping[str, Any]) -> None:
    """Make sure that nothing of the user's own would be replaced."""
    if folder.name in ("", ".."):
        raise OutputError(f"{folder} cannot be replaced as a whole; choose another --output")
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file; choose another --output")
    own = {*files, MANIFEST}
    others = [
        path.relative_to(folder).as_posix()
        for path in (sorted(folder.rglob("*")) if folder.is_dir() else ())
        if not path.is_dir() and path.relative_to(folder).as_posix() not in own
    ]
    if others:
        raise OutputError(
            f"{folder} holds files that were not downloaded ({', '.join(others[:5])}); choose another --output"
        )


def facts_of(path: Path) -> dict[str, Any]:
    """Size and hash of a file: what manifests say of it."""
    return {"bytes": path.stat().st_size, "sha256": file_sha256(path)}


class _BrokenOffError(Exception):
    """Fewer bytes came than were announced."""
