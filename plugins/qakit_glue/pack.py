"""GLUE's upload: one zip with the predictions for all test sets."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from qakit.api import DataError, UsageError, atomic_path, open_run
from qakit_glue.tasks import TEST_SETS, problem_of, read_table, table_text

SUBMISSION = Path("predictions") / "submission.tsv"
"""Where a run has the predictions for its test file."""
EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip can hold: the same predictions give the same bytes."""


@dataclass(frozen=True, slots=True)
class Packed:
    """What a zip was made of."""

    sources: Mapping[str, Path]
    """The file behind each test set that has predictions."""
    filled: tuple[str, ...]
    """Test sets that got the most frequent class."""


def pack(sources: Sequence[Path], output: Path, *, fill: bool) -> Packed:
    """Write the zip atomically.

    Args:
        sources: run folders whose recipe has the writer ``glue`` with a task, and files named as GLUE names them.
        output: the zip.
        fill: give test sets without predictions the most frequent class.

    Raises:
        UsageError: a test set comes twice, or is missing without ``fill``; a file's name is not GLUE's.
        DataError: a file is not what GLUE's server takes.
        RunError: a folder is not a run.
    """
    files: dict[str, Path] = {}
    for source in sources:
        name, path = _of_run(source) if source.is_dir() else _of_file(source)
        if name in files:
            raise UsageError(f"there are two predictions for {name}: {files[name]} and {path}")
        files[name] = path
    texts = {name: _checked(path, name) for name, path in files.items()}
    missing = tuple(name for name in TEST_SETS if name not in texts)
    if missing and not fill:
        raise UsageError(
            f"GLUE's server wants all {len(TEST_SETS)} files; there are no predictions for {', '.join(missing)}: "
            "name their runs or files, or give them the most frequent class with --fill"
        )
    texts |= {name: table_text([TEST_SETS[name].filler] * TEST_SETS[name].rows) for name in missing}
    with atomic_path(output) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name in TEST_SETS:
            member = zipfile.ZipInfo(f"{name}.tsv", date_time=EPOCH)
            member.compress_type = zipfile.ZIP_DEFLATED
            member.external_attr = 0o644 << 16
            archive.writestr(member, texts[name])
    return Packed(files, missing)


def _of_run(folder: Path) -> tuple[str, Path]:
    writer = open_run(folder).recipe().writer
    name = writer.settings.get("task")
    if writer.name != "glue" or name not in TEST_SETS:
        raise UsageError(
            f"the recipe of {folder} does not say which of GLUE's files it makes: set writer: {{name: glue, task: ...}}"
        )
    if not (folder / SUBMISSION).is_file():
        raise UsageError(f"{folder} has no {SUBMISSION}: its training is not finished, or its recipe has no data.test")
    return str(name), folder / SUBMISSION


def _of_file(path: Path) -> tuple[str, Path]:
    if path.stem not in TEST_SETS or path.suffix != ".tsv":
        names = ", ".join(f"{name}.tsv" for name in TEST_SETS)
        raise UsageError(f"{path} is no run folder and no file of GLUE's: those are called {names}")
    return path.stem, path


def _checked(path: Path, name: str) -> str:
    """The file's text as it goes into the zip."""
    test, rows = TEST_SETS[name], read_table(path)
    if len(rows) != test.rows or max(rows) != test.rows - 1:
        highest = f"with indices up to {max(rows)}" if rows else "and none to show"
        raise DataError(
            f"has {len(rows):,} predictions {highest}; GLUE's test set {name} has {test.rows:,}, numbered from 0",
            path=path,
        )
    for index, value in rows.items():
        problem = problem_of(value, test)
        if problem is not None:
            raise DataError(problem, path=path, row=f"index {index}")
    return table_text([rows[index] for index in range(test.rows)])
