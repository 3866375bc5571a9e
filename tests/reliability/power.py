"""A power cut: what a disk has of a folder is what was brought to it, and of everything else any part.

The record is made from outside, at every ``fsync`` of the process: of a file its content, of a folder the names in it.
Whatever was not asked for may be on the disk or not: a name without its content (as a file system has it that writes
its journal first), a content without its name, the old name or the new one. Which of these, a seed decides.
"""

from __future__ import annotations

import os
import random
import resource
import stat
from dataclasses import dataclass, field
from pathlib import Path

Names = dict[str, int]
"""What a folder holds: name -> number of the file or folder (its inode)."""


@dataclass
class Disk:
    """The disk below a folder, as far as it is certain."""

    root: Path
    contents: dict[int, bytes] = field(default_factory=dict)
    """Of a file, when it was last synced."""
    names: dict[int, Names] = field(default_factory=dict)
    """Of a folder, when it was last synced."""
    folders: set[int] = field(default_factory=set)
    held: set[int] = field(default_factory=set)
    """Kept open, so that no other file gets the number."""

    def start(self) -> None:
        """What is there now is on the disk; from now on only what is synced."""
        resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
        for path in (self.root, *self.root.rglob("*")):
            self._note(path)
        sync = os.fsync

        def fsync(handle: int) -> None:
            sync(handle)
            path = Path("/proc/self/fd", str(handle)).readlink()
            if path.is_relative_to(self.root):
                self._note(path)

        os.fsync = fsync  # type: ignore[assignment]

    def _note(self, path: Path) -> None:
        number = self._hold(path)
        if number in self.folders:
            self.names[number] = {entry.name: self._hold(entry) for entry in path.iterdir()}
        else:
            self.contents[number] = path.read_bytes()

    def _hold(self, path: Path) -> int:
        found = path.lstat()
        if found.st_ino not in self.held:
            os.open(path, os.O_PATH | os.O_NOFOLLOW)
            self.held.add(found.st_ino)
        if stat.S_ISDIR(found.st_mode):
            self.folders.add(found.st_ino)
        return found.st_ino

    def cut(self, target: Path, draw: random.Random) -> None:
        """Write to ``target`` what a disk may have when the power goes at this moment."""
        now = {self._hold(path): path for path in (self.root, *self.root.rglob("*"))}
        names, contents = draw.choice([(0.0, 0.0), (1.0, 0.0), (0.5, 0.0), (0.5, 0.5)])

        def save(number: int, place: Path) -> None:
            path = now.get(number)
            if number in self.folders:
                place.mkdir()
                held = self.names.get(number, {})
                if path is not None and draw.random() < names:
                    held = {entry.name: self._hold(entry) for entry in path.iterdir()}
                for name, each in sorted(held.items()):
                    save(each, place / name)
            else:
                content = self.contents.get(number, b"")
                if path is not None and draw.random() < contents:
                    content = path.read_bytes()
                place.write_bytes(content)

        save(self._hold(self.root), target)
