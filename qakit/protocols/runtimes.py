"""What the core tells a component when it is built."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WindowRuntime:
    """What a preprocessor is told."""

    max_length: int
    """Longest input in tokens, special tokens included."""
    max_question_length: int
    """Longer questions keep their first ``max_question_length`` tokens."""
    special_tokens: int
    """Tokens that the tokenizer's pair template adds to question + context."""
    training: bool
    """Whether the windows are for training (answers known and wanted) or prediction (every token covered)."""
    seed: int
    separator_tokens: int = 0
    """Of the special tokens, those that stand before a context: a question without contexts goes without them."""


@dataclass(frozen=True, slots=True)
class HeadRuntime:
    """What a head is told."""

    hidden_size: int
    initializer_range: float
    """Standard deviation for fresh linear weights, from the backbone's configuration."""
    n_best: int
    """Candidates wanted per window (and per example)."""
    max_answer_length: int
    """In tokens."""
    no_answer: bool
    """Whether questions may have no answer."""
    labels: tuple[str, ...] = ()
    """Class names, for heads that classify; empty for regression and for everything else."""
    layers: int = 0
    """The backbone's layers; a head that pools them sees one more: the embeddings come first."""
    architecture: str = ""
    """The backbone's kind as transformers names it (``bert``), for heads with :class:`TransformersNames`."""


@dataclass(frozen=True, slots=True)
class NoRuntime:
    """For kinds of component that need to know nothing when they are built."""
