"""``characters.safetensors``: how likely each character of each context is the answer's first or last one.

Models with different tokenizers can be averaged in it. The file holds flat arrays and can be memory-mapped; nothing in
it is pickled.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from qakit.data.arrays import Float16, Float32, Int64, pointers_of
from qakit.errors import DataError
from qakit.files import atomic_path, check_readable
from qakit.numbers import load_json
from qakit.values import Example

SCHEMA = 1
"""Version of the file's arrays and of what they mean."""
CHARACTERS_FILE = "characters.safetensors"
"""Beside nbest.jsonl."""

_TYPES: dict[str, type[np.generic]] = {
    "start": np.float16,
    "end": np.float16,
    "no_answer": np.float32,
    "pointers": np.int64,
    "examples": np.int64,
    "contexts": np.uint64,
    "ids": np.uint8,
    "id_pointers": np.int64,
}
_NAMES = {"F16": np.float16, "F32": np.float32, "I64": np.int64, "U64": np.uint64, "U8": np.uint8}


@dataclass(frozen=True, slots=True)
class CharacterScores:
    """Start and end log-probabilities of the characters of N examples with P (example, context) pairs in all.

    For each example there are two distributions, one over where the answer starts and one over where it ends. Each is
    over all characters of all its contexts and "no answer": ``exp`` sums to 1. A token's probability stands at its
    first visible character (``start``) or its last one (``end``, **inclusive**: ``context[first : last + 1]``); other
    characters have -inf. ``start[first] + end[last]``, less the sum of ``no_answer``, is the span's score under
    ``predict.aggregation: mean``: its log-odds against "no answer" for ``linear_span``. For heads whose start and end
    are marginals of spans (``joint_span``, ``crf``) it is a sum of two log-odds, where a sure span counts about twice.

    Attributes:
        ids: (N,) the examples' ids.
        start: (C,) float16, all contexts one after the other.
        end: (C,) float16.
        no_answer: (N, 2) float32, log-probability of "no answer" in the start and in the end distribution.
        pointers: (P + 1,) int64; the characters of pair p are [pointers[p], pointers[p + 1]).
        examples: (N + 1,) int64; the pairs of example i are [examples[i], examples[i + 1]).
        contexts: (P,) uint64, a hash of each context's text.
        aggregation: how tokens in several windows were counted (``predict.aggregation``).
    """

    ids: tuple[str, ...]
    start: Float16
    end: Float16
    no_answer: Float32
    pointers: Int64
    examples: Int64
    contexts: NDArray[np.uint64]
    aggregation: str

    def __len__(self) -> int:
        return len(self.ids)

    def of(self, example: int, context: int) -> tuple[Float16, Float16]:
        """``start`` and ``end`` of one context, (characters,) each, as views.

        Raises:
            IndexError: there is no such example, or it has no such context.
        """
        if not 0 <= example < len(self.ids):
            raise IndexError(f"example {example} of {len(self.ids)}")
        pair = int(self.examples[example]) + context
        if context < 0 or pair >= self.examples[example + 1]:
            raise IndexError(f"context {context} of {self.examples[example + 1] - self.examples[example]}")
        characters = slice(int(self.pointers[pair]), int(self.pointers[pair + 1]))
        return self.start[characters], self.end[characters]

    def part(self, begin: int, stop: int) -> Self:
        """The scores of the examples [begin, stop) alone, as views."""
        pairs = slice(int(self.examples[begin]), int(self.examples[stop]))
        characters = slice(int(self.pointers[pairs.start]), int(self.pointers[pairs.stop]))
        return replace(
            self,
            ids=self.ids[begin:stop],
            start=self.start[characters],
            end=self.end[characters],
            no_answer=self.no_answer[begin:stop],
            pointers=self.pointers[pairs.start : pairs.stop + 1] - characters.start,
            examples=self.examples[begin : stop + 1] - pairs.start,
            contexts=self.contexts[pairs],
        )

    def check(self, examples: Sequence[Example], *, path: Path | None = None) -> None:
        """Make sure that the scores are those of ``examples``.

        Raises:
            DataError: ids, their order, or contexts differ; says which example is the first. ``path`` is named.
        """
        if len(examples) != len(self):
            raise DataError(f"holds {len(self)} examples, not {len(examples)}; predict the file again", path=path)
        for row, example in enumerate(examples):
            if example.id != self.ids[row]:
                problem = f"example {row + 1} is {self.ids[row]!r}, not {example.id!r}; predict the file again"
                raise DataError(problem, path=path)
            own = self.contexts[self.examples[row] : self.examples[row + 1]]
            if own.tolist() != [context_hash(text) for text in example.contexts]:
                raise DataError("has other contexts now; predict the file again", path=path, row=f"id {example.id}")

    def write(self, path: Path) -> None:
        """Write the file atomically.

        Raises:
            OutputError: it cannot be written.
        """
        from safetensors.numpy import save_file

        encoded = [identifier.encode("utf-8", "surrogatepass") for identifier in self.ids]
        arrays = {name: np.ascontiguousarray(getattr(self, name)) for name in _TYPES if hasattr(self, name)} | {
            "ids": np.frombuffer(b"".join(encoded), np.uint8),
            "id_pointers": pointers_of(np.fromiter(map(len, encoded), np.int64, len(encoded))),
        }
        # One entry: safetensors writes several in random order.
        about = json.dumps({"schema": SCHEMA, "aggregation": self.aggregation})
        with atomic_path(path) as temporary:
            save_file(arrays, temporary, metadata={"qakit.characters": about})

    @classmethod
    def read(cls, path: Path) -> Self:
        """Open a file; its scores are memory-mapped and read when they are used.

        Raises:
            DataError: the file cannot be read, is damaged, or is of another version.
        """
        arrays, about = _open(path)
        if about.get("schema") != SCHEMA:
            problem = f"has the schema {about.get('schema')!r}; this version reads {SCHEMA}: predict the file again"
            raise DataError(problem, path=path)
        if not _fits_together(arrays):
            raise DataError("is damaged: its arrays do not fit together; predict the file again", path=path)
        text, cuts = arrays.pop("ids").tobytes(), arrays.pop("id_pointers").tolist()
        try:
            ids = tuple(text[a:b].decode("utf-8", "surrogatepass") for a, b in itertools.pairwise(cuts))
        except UnicodeDecodeError:
            raise DataError("is damaged: an id is not UTF-8; predict the file again", path=path) from None
        return cls(ids=ids, aggregation=str(about.get("aggregation")), **arrays)


def context_hash(text: str) -> int:
    """64 bits of a context's content."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def _open(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arrays as views of the mapped file, and what it says about itself."""
    from safetensors import SafetensorError, safe_open

    check_readable(path, DataError)
    try:
        with safe_open(path, framework="np") as file:  # checks the header against the file's size
            about = load_json((file.metadata() or {})["qakit.characters"])
        raw = np.memmap(path, np.uint8, mode="r")
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror or error})", path=path) from None
    except (SafetensorError, KeyError, ValueError):
        raise DataError("is not a file of character scores, or damaged", path=path) from None
    begin = 8 + int(raw[:8].view("<u8")[0])
    header = load_json(raw[8:begin].tobytes())
    arrays: dict[str, Any] = {}
    for name, dtype in _TYPES.items():
        entry = header.get(name, {})
        if _NAMES.get(entry.get("dtype")) is not dtype:
            raise DataError(f"is damaged: there is no array {name!r}; predict the file again", path=path)
        first, stop = entry["data_offsets"]
        arrays[name] = np.asarray(raw[begin + first : begin + stop]).view(dtype).reshape(entry["shape"])
    return arrays, about


def _fits_together(arrays: dict[str, Any]) -> bool:
    """Whether all pointers point into their arrays, and the arrays' shapes agree."""
    pairs, rows = len(arrays["contexts"]), len(arrays["no_answer"])
    return (
        arrays["start"].shape == arrays["end"].shape
        and arrays["start"].ndim == 1
        and arrays["no_answer"].shape == (rows, 2)
        and _points(arrays["pointers"], pairs, len(arrays["start"]))
        and _points(arrays["examples"], rows, pairs)
        and _points(arrays["id_pointers"], rows, len(arrays["ids"]))
    )


def _points(pointers: Int64, runs: int, total: int) -> bool:
    return bool(
        pointers.shape == (runs + 1,) and pointers[0] == 0 and pointers[-1] == total and (np.diff(pointers) >= 0).all()
    )
