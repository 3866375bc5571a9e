"""What the stand-in for the hub publishes: repositories with revisions, made of folders or of plain values."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path
from typing import Literal

Kind = Literal["models", "datasets"]
Content = Path | bytes | str
Files = Path | Mapping[str, Content]
"""A folder, or contents by the path in the repository (text as UTF-8, a ``Path`` as that file's content)."""

LARGE = ("*.bin", "*.safetensors", "*.h5", "*.msgpack", "*.onnx", "*.ot", "*.model", "*.parquet", "*.gz")
"""What the hub keeps in its large-file storage: its ETag is the content's SHA-256, and it lies at another host."""


@dataclass(frozen=True)
class Blob:
    """One file of a revision."""

    content: bytes
    large: bool

    @cached_property
    def etag(self) -> str:
        """SHA-256 of a large file, git's blob id of any other."""
        if self.large:
            return hashlib.sha256(self.content).hexdigest()
        return hashlib.sha1(b"blob %d\0" % len(self.content) + self.content).hexdigest()


@dataclass(frozen=True)
class Revision:
    """A commit: files by their path, and the id that follows from them."""

    files: Mapping[str, Blob]

    @cached_property
    def sha(self) -> str:
        """40 hexadecimal digits."""
        return hashlib.sha1(repr([(path, blob.etag) for path, blob in sorted(self.files.items())]).encode()).hexdigest()


@dataclass
class Repository:
    """A model or a dataset under its name, with branches (``main``, ``refs/pr/1`` ...)."""

    kind: Kind
    name: str
    branches: dict[str, Revision] = field(default_factory=dict)
    history: dict[str, Revision] = field(default_factory=dict)
    gated: bool = False
    private: bool = False

    def commit(self, branch: str, files: Files) -> Revision:
        """Make ``files`` the whole content of a branch; older commits stay reachable by their id."""
        revision = Revision(read(files))
        self.branches[branch] = self.history[revision.sha] = revision
        return revision

    def find(self, revision: str) -> Revision | None:
        """A branch by its name, or a commit by its id."""
        return self.branches.get(revision) or self.history.get(revision)


def read(files: Files) -> dict[str, Blob]:
    """The files of a commit."""
    if isinstance(files, Path):
        files = {path.relative_to(files).as_posix(): path for path in sorted(files.rglob("*")) if path.is_file()}
    blobs = {}
    for path, content in files.items():
        if isinstance(content, Path):
            content = content.read_bytes()
        data = content.encode() if isinstance(content, str) else content
        blobs[path] = Blob(data, large=is_large(path))
    return blobs


def is_large(path: str) -> bool:
    """Whether a file goes to the large-file storage."""
    return any(fnmatch(path, pattern) for pattern in LARGE)
