"""The folder that a prediction of many files fills: whose it is, which files are answered, who is at which.

::

    DIR/
      NAME.parquet             the answers of one input file, whole
      _progress/run.json       which run, weights and recipe the answers are of
      _progress/done/NAME.parquet.json   the input and output of a finished file
      _progress/locks/         held by the processes at work; a killed one holds nothing

Names that begin with ``_`` are skipped by whatever reads a folder of Parquet files as one table.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from filelock import FileLock, Timeout

from qakit.errors import DataError, OutputError, RunError
from qakit.files import atomic_path, file_sha256, write_json, writing
from qakit.inference.stream_inputs import Form, Shard
from qakit.numbers import load_json
from qakit.outputs import check_output
from qakit.recipe.load import recipe_hash
from qakit.recipe.model import Recipe
from qakit.runs import Run, refuse_ways_out

SCHEMA = 1
"""Version of the files in ``_progress``."""
MOST_HASHED = 4096
"""Files whose hash is remembered."""

PROGRESS = "_progress"


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose answers a folder holds."""

    run: str
    model_sha256: str
    recipe_sha256: str
    form: Form | None
    """None: as each input's ending suggests."""

    @classmethod
    def of(cls, run: Run, recipe: Recipe, model_sha256: str, *, form: Form | None) -> Self:
        """Of a run under a recipe that may differ from the run's own in how it predicts.

        Args:
            model_sha256: the :func:`content_sha256` of what answers.
        """
        return cls(run.name, model_sha256, recipe_hash(recipe), form)

    def as_json(self) -> dict[str, Any]:
        """For ``run.json``."""
        return {
            "schema": SCHEMA,
            "run": self.run,
            "model_sha256": self.model_sha256,
            "recipe_sha256": self.recipe_sha256,
            "format": self.form or "as the input",
        }


def content_sha256(places: Sequence[Path]) -> str:
    """One hash of the files and folders: what lies in them under which names, wherever they lie."""
    digests = []
    for place in places:
        files = sorted(path for path in place.rglob("*") if path.is_file()) if place.is_dir() else [place]
        hashes = "".join(f"{path.relative_to(place).as_posix()} {file_sha256(path)}\n" for path in files)
        digests.append(hashlib.sha256(hashes.encode()).hexdigest())
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Print:
    """What an input file was when it was read."""

    size: int
    modified_ns: int

    @classmethod
    def of(cls, path: Path) -> Self:
        """Of the file as it is now.

        Raises:
            DataError: it cannot be read.
        """
        try:
            status = path.stat()
        except OSError as error:
            raise DataError(f"cannot be read: {error.strerror or error}", path=path) from None
        return cls(status.st_size, status.st_mtime_ns)


_hashed: dict[tuple[Path, Print], str] = {}


def input_sha256(path: Path, seen: Print, check: Callable[[], None] = lambda: None) -> str:
    """SHA-256 of an input file, hexadecimal; files of contexts, which all inputs share, are read once.

    Args:
        path: the file.
        seen: its print; with another one the content is taken for another.
        check: called between blocks; raises an error once somebody has asked to stop.

    Raises:
        DataError: it cannot be read.
    """
    known = _hashed.get((path, seen))
    if known is None:
        try:
            known = file_sha256(path, check)
        except OSError as error:
            raise DataError(f"cannot be read: {error.strerror or error}", path=path) from None
        if len(_hashed) >= MOST_HASHED:
            _hashed.clear()
        _hashed[path, seen] = known
    return known


class AnswerFolder:
    """An output folder that belongs to one run; any number of processes and machines may fill it together."""

    def __init__(self, folder: Path, identity: Identity) -> None:
        self.folder = folder
        self._identity = identity.as_json()
        self._progress = folder / PROGRESS
        self._run_file = self._progress / "run.json"

    def begin(self, *, overwrite: bool = False) -> None:
        """Take an empty folder, or continue in one that was begun with the same run.

        Args:
            overwrite: remove the answers that another run, or this one, has left.

        Raises:
            RunError: the folder holds other files, or another run's answers.
            OutputError: it cannot be written.
        """
        check_output(self.folder)
        if self.folder.is_dir() and not self._progress.is_dir() and any(self.folder.iterdir()):
            raise RunError(
                f"{self.folder} is not empty, and its files are no answers of qakit; choose another --output folder"
            )
        refuse_ways_out(self.folder)
        with self._lock("folder", patient=True):
            if overwrite:
                self._remove_answers()
            if self._run_file.is_file():
                self._check_identity()
            else:
                write_json(self._run_file, self._identity)

    def is_done(self, shard: Shard, check: Callable[[], None] = lambda: None) -> bool:
        """Whether the answers of this input are there, whole; ``check`` as :func:`input_sha256` calls it.

        Raises:
            DataError: they are of another input: it has changed since.
        """
        record = self._record(shard)
        output = self.folder / shard.output
        if record is None or not output.is_file() or output.stat().st_size != record.get("output_bytes"):
            return False
        now = Print.of(shard.source)
        changed = None
        if (now.size, now.modified_ns) != (record.get("bytes"), record.get("modified_ns")) and (
            now.size != record.get("bytes") or input_sha256(shard.source, now, check) != record.get("sha256")
        ):  # else it was copied or touched at most
            changed = shard.source
        for name, digest in record.get("beside", {}).items():
            if (path := Path(name)).is_file() and input_sha256(path, Print.of(path), check) != digest:
                changed = path
        if changed is None:
            return True
        raise DataError(
            f"has changed since {output} was answered: delete that to have it answered again, or give --overwrite to "
            "begin anew",
            path=changed,
        )

    @contextmanager
    def claim(self, shard: Shard) -> Iterator[bool]:
        """Keep a shard to this process meanwhile; False if another one has it."""
        with self._lock(f"done/{shard.output}", patient=False) as ours:
            yield ours

    @contextmanager
    def publish(self, shard: Shard) -> Iterator[tuple[Path, dict[str, Any]]]:
        """A temporary path for the shard's answers and a record to be filled; at the end both appear, in this order.

        Raises:
            RunError: the folder was begun anew by another process meanwhile.
            OutputError: the file system refuses.
        """
        output = self.folder / shard.output
        with writing(self.folder):
            self._record_file(shard).unlink(missing_ok=True)  # of answers that are gone: it must not vouch for new ones
        record: dict[str, Any] = {}
        with ExitStack() as held:
            with atomic_path(output) as temporary:
                yield temporary, record
                written = {"output_bytes": temporary.stat().st_size, "output_sha256": file_sha256(temporary)}
                held.enter_context(self._lock("folder", patient=True))  # nobody begins the folder anew in between
                self._check_identity()
            write_json(self._record_file(shard), record | written)

    def _remove_answers(self) -> None:
        """Remove what the records say is ours, the records first: an answer without one counts for nothing."""
        with writing(self.folder):
            for file in sorted((self._progress / "done").rglob("*.json")):
                output = self.folder / file.relative_to(self._progress / "done").with_suffix("")
                file.unlink()
                output.unlink(missing_ok=True)
            self._run_file.unlink(missing_ok=True)

    def _check_identity(self) -> None:
        found = _json(self._run_file)
        differing = [name for name, value in self._identity.items() if found.get(name) != value]
        if not differing:
            return
        what = {
            "schema": "another version of qakit",
            "run": f"another run, {found.get('run')}",
            "model_sha256": f"other weights of the run {found.get('run')}",
            "recipe_sha256": f"another recipe of the run {found.get('run')}",
            "format": f"another --format, {found.get('format')}",
        }
        raise RunError(
            f"{self.folder} holds the answers of {what[differing[0]]}: choose another --output folder, or give "
            "--overwrite to begin anew"
        )

    def _record(self, shard: Shard) -> dict[str, Any] | None:
        file = self._record_file(shard)
        return _json(file) if file.is_file() else None

    def _record_file(self, shard: Shard) -> Path:
        return self._progress / "done" / f"{shard.output}.json"

    @contextmanager
    def _lock(self, name: str, *, patient: bool) -> Iterator[bool]:
        """Hold a lock; False if another process holds it and we are not ``patient``.

        Raises:
            OutputError: the folder cannot be written, or its file system has no locks.
        """
        path = self._progress / "locks" / f"{name}.lock"
        lock = FileLock(path, timeout=-1 if patient else 0, thread_local=False)  # one thread takes, another gives back
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire()
            except Timeout:
                pass
            except NotImplementedError:
                raise OutputError(
                    f"the file system of {self.folder} has no file locks, which keep two processes from one file; "
                    "choose another --output"
                ) from None
        try:
            yield lock.is_locked
        finally:
            lock.release()


def _json(file: Path) -> dict[str, Any]:
    """One of the folder's own files, which are written atomically.

    Raises:
        RunError: somebody else has changed it.
    """
    try:
        value = load_json(file.read_bytes())
    except (OSError, ValueError) as error:
        raise RunError(f"{file} is damaged: {error}; give --overwrite to begin anew") from None
    if not isinstance(value, dict):
        raise RunError(f"{file} is damaged: it does not hold an object; give --overwrite to begin anew")
    return value
