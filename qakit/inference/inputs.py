"""Which files were read, and whether they are still the same: what meta.json says of a training and of predictions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from qakit.data.splits import Split
from qakit.errors import RunError
from qakit.files import file_sha256
from qakit.runs import Run


@dataclass(frozen=True, slots=True)
class Inputs:
    """Files with their SHA-256, hexadecimal, when they were read."""

    files: Mapping[str, str] = field(default_factory=dict)
    """The data files."""
    beside: Mapping[str, str] = field(default_factory=dict)
    """What readers opened beside them (:meth:`qakit.problems.Problems.opened`)."""

    @classmethod
    def of(cls, split: Split) -> Self:
        """The files of a split as they are now."""
        beside = dict.fromkeys(file for problems in split.problems for file in problems.beside)
        return cls(
            {str(file): file_sha256(file) for file in split.files}, {str(file): file_sha256(file) for file in beside}
        )

    @classmethod
    def read(cls, run: Run, folder: Path) -> Self:
        """Of the predictions in a folder of a run; empty where nobody noted them.

        Raises:
            RunError: what the folder says of its predictions is damaged.
        """
        meta = run.read_json(folder / "meta.json")
        found = cls(meta.get("inputs", {}), meta.get("beside", {}))
        if not all(_are_digests(each) for each in (found.files, found.beside)):
            raise RunError(f"{folder / 'meta.json'} is damaged: it does not say which files were answered")
        return found

    @classmethod
    def trained_on(cls, run: Run, split: str = "train") -> Self:
        """Of a split that a run was trained or judged on; empty where its meta.json does not say."""
        data = run.read_json(run.meta_file).get("data", {}).get(split, {})
        return cls(data.get("files", {}), data.get("beside", {}))

    def as_json(self, files: str) -> dict[str, Mapping[str, str]]:
        """For meta.json, the data files under the key ``files``."""
        return {files: self.files} | ({"beside": self.beside} if self.beside else {})

    def __bool__(self) -> bool:
        """Whether it is known which files were read."""
        return bool(self.files)

    def all_there(self) -> bool:
        """Whether it is known which files were read, and none of them is gone."""
        return bool(self) and all(Path(name).is_file() for name in self._all())

    def changed(self) -> Path | None:
        """The first file that has other content now; None where there is none, or the files are gone."""
        there = ((Path(name), digest) for name, digest in self._all().items() if Path(name).is_file())
        return next((file for file, digest in there if file_sha256(file) != digest), None)

    def differing(self, now: Inputs) -> Iterator[Path]:
        """The files of ``now`` that are not among these, or have other content. Runs of older versions of qakit did
        not note what lay beside a data file."""
        yield from (Path(name) for name, digest in now.files.items() if self.files.get(name) != digest)
        yield from (Path(name) for name, digest in now.beside.items() if self.beside.get(name, digest) != digest)

    def same_as(self, other: Inputs) -> bool:
        """Whether both are of files with the same content, wherever they lie; see :meth:`differing`."""
        if self.beside and other.beside and _contents(self.beside) != _contents(other.beside):
            return False
        return _contents(self.files) == _contents(other.files)

    def __str__(self) -> str:
        return "SHA-256 " + ", ".join(digest[:12] for digest in self._all().values())

    def _all(self) -> dict[str, str]:
        return {**self.files, **self.beside}


def _contents(digests: Mapping[str, str]) -> list[str]:
    return sorted(digests.values())


def _are_digests(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(digest, str) for digest in value.values())
