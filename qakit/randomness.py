"""Randomness with addresses: each draw depends on what it is for, never on what was drawn before.

A draw's address is (seed, epoch, key, stream), where the key names an example and the stream names the purpose. So it
does not depend on the number of workers or processes, the order of the examples, or the step a run resumed from.
"""

from __future__ import annotations

from hashlib import blake2b
from threading import RLock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


GENERATOR = RLock()
"""PyTorch's generator, of which a process has one. It is seeded for each purpose just before it draws, so trainings in
several threads take turns: each holds this from its preparation to its end."""


def derive_seed(seed: int, *address: int | str) -> int:
    """A seed for one purpose, from the run's seed and the purpose's address: ``derive_seed(0, "head", 3)``.

    Returns a number in [0, 2**63). Numbers and strings are told apart: ``1`` and ``"1"`` are different addresses.
    """
    digest = blake2b(digest_size=8)
    for part in (seed, *address):
        text = f"s{part}" if isinstance(part, str) else f"i{part:d}"
        encoded = text.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "little") + encoded)
    return int.from_bytes(digest.digest(), "little") >> 1


def uniform(seed: int, epoch: int, keys: NDArray[np.int64], *, stream: int | str) -> NDArray[np.float64]:
    """One number in [0, 1) for each key, shape as ``keys``, with 53 random bits."""
    import numpy as np

    bits = _hash(derive_seed(seed, epoch, stream), keys) >> np.uint64(11)
    return bits.astype(np.float64) * np.float64(2.0**-53)


def permutation(n: int, seed: int, epoch: int, *, stream: int | str) -> NDArray[np.int64]:
    """The numbers 0 to n - 1 in random order, (n,) int64; the same in every version of numpy."""
    import numpy as np

    return np.argsort(_hash(derive_seed(seed, epoch, stream), np.arange(n)), kind="stable").astype(np.int64)


def _hash(state: int, keys: NDArray[np.int64]) -> NDArray[np.uint64]:
    """64 random bits for each key: SplitMix64 read at position ``key``, and its output mixed once more.

    Source: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014.
    """
    import numpy as np

    counter = np.asarray(keys, dtype=np.int64).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return _mix(_mix(counter) ^ np.uint64(state))


def _mix(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's finaliser, a bijection of 64-bit numbers (wraps modulo 2**64)."""
    import numpy as np

    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
