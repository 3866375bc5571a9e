"""What a run was trained on, as hashes: small enough to keep, and enough to find a leak.

Texts are the same when they differ only in case, blanks and punctuation.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qakit.data.checks.repeats import Keys
from qakit.data.folds import own_contexts
from qakit.errors import RunError
from qakit.files import atomic_path, check_readable
from qakit.numbers import load_json
from qakit.values import Example

Hashes = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Seen:
    """Sorted hashes, each once.

    Attributes:
        records: of questions together with the contexts that they are about.
        contexts: of these contexts alone.
        unknown: what else stands behind a run, of which nobody knows what it was trained on.
    """

    records: Hashes
    contexts: Hashes
    unknown: tuple[str, ...] = ()

    @staticmethod
    def of(examples: Iterable[Example]) -> Seen:
        """What these examples show."""
        hashed = [_hashes(example, keys) for keys in [Keys()] for example in examples]
        return Seen(
            _sorted(record for record, _ in hashed), _sorted(each for _, contexts in hashed for each in contexts)
        )

    @staticmethod
    def unknown_of(path: Path) -> Seen:
        """What something shows of which nobody knows it."""
        return replace(Seen.of(()), unknown=(str(path),))

    def also(self, other: Seen) -> Seen:
        """What either shows."""
        unknown = tuple(sorted({*self.unknown, *other.unknown}))
        return Seen(np.union1d(self.records, other.records), np.union1d(self.contexts, other.contexts), unknown)

    def without(self, other: Seen) -> Seen:
        """What the other does not show."""
        shown = np.setdiff1d(self.records, other.records), np.setdiff1d(self.contexts, other.contexts)
        return Seen(*shown, self.unknown)

    def which(self, examples: Sequence[Example]) -> list[Example]:
        """Those of the examples that are shown, or whose contexts are."""
        keys, records, contexts = Keys(), set(self.records.tolist()), set(self.contexts.tolist())
        found = []
        for example in examples:
            record, own = _hashes(example, keys)
            if record in records or any(each in contexts for each in own):
                found.append(example)
        return found

    def lacking(self, examples: Sequence[Example]) -> list[Example]:
        """Those of the examples whose question is not shown with the context that it is about."""
        keys, records = Keys(), set(self.records.tolist())
        return [example for example in examples if _hashes(example, keys)[0] not in records]

    def write(self, path: Path) -> None:
        """Write the file atomically.

        Raises:
            OutputError: it cannot be written.
        """
        from safetensors.numpy import save_file

        with atomic_path(path) as temporary:
            metadata = {"unknown": json.dumps(self.unknown)}
            save_file({"records": self.records, "contexts": self.contexts}, temporary, metadata=metadata)

    @staticmethod
    def read(path: Path) -> Seen:
        """What :meth:`write` wrote.

        Raises:
            RunError: the file is damaged, or may not be read.
        """
        from safetensors import SafetensorError, safe_open

        check_readable(path)
        try:
            with safe_open(path, framework="np") as file:
                shown = [np.asarray(file.get_tensor(name), np.uint64).reshape(-1) for name in ("records", "contexts")]
                unknown = load_json((file.metadata() or {}).get("unknown", "[]"))
            return Seen(shown[0], shown[1], tuple(map(str, unknown)))
        except (SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
            raise RunError(f"{path} is damaged: {error}") from error


def _hashes(example: Example, keys: Keys) -> tuple[int, tuple[int, ...]]:
    """An example's record and its own contexts; an empty one is none."""
    contexts = [keys(context) for context in own_contexts(example)]
    return _hash(keys(example.question), *contexts), tuple(_hash(text) for text in contexts if text)


def _hash(*texts: str) -> int:
    digest = blake2b(digest_size=8)
    for text in texts:
        encoded = text.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "little") + encoded)
    return int.from_bytes(digest.digest(), "little")


def _sorted(values: Iterable[int]) -> Hashes:
    return np.unique(np.fromiter(values, np.uint64))
