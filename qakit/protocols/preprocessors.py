"""Preprocessors: where windows lie."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from qakit.data.encode import EncodedExamples
    from qakit.data.windows import Windows


@runtime_checkable
class Preprocessor(Protocol):
    """Where windows lie in a context, and where the answer lies in a window."""

    def windows(self, encoded: EncodedExamples, *, epoch: int) -> Windows:
        """All windows of ``encoded`` for one epoch, as index arrays: no token is copied."""
        ...

    @property
    def redraws(self) -> bool:
        """Whether ``windows`` depends on ``epoch``."""
        ...
