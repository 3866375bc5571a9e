"""What the core tells a component when it is built."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WindowRuntime:
    """What a preprocessor is told.

    Attributes:
        max_length: longest input in tokens, special tokens included.
        max_question_length: longer questions keep their first ``max_question_length`` tokens.
        special_tokens: tokens that the tokenizer's pair template adds to question + context.
        training: whether the windows are for training (answers known and wanted) or prediction (every token covered).
        seed: of everything that is drawn.
        separator_tokens: of the special tokens, those that stand before a context: a question without contexts goes
            without them.
    """

    max_length: int
    max_question_length: int
    special_tokens: int
    training: bool
    seed: int
    separator_tokens: int = 0


@dataclass(frozen=True, slots=True)
class HeadRuntime:
    """What a head is told.

    Attributes:
        hidden_size: H, of the backbone.
        initializer_range: standard deviation for fresh linear weights, from the backbone's configuration.
        n_best: candidates wanted per window (and per example).
        max_answer_length: in tokens.
        no_answer: whether questions may have no answer.
        labels: class names, for heads that classify; empty for regression and for everything else.
        layers: the backbone's layers; a head that pools them sees one more: the embeddings come first.
        architecture: the backbone's kind as transformers names it (``bert``), for heads with
            :class:`~qakit.protocols.TransformersNames`.
    """

    hidden_size: int
    initializer_range: float
    n_best: int
    max_answer_length: int
    no_answer: bool
    labels: tuple[str, ...] = ()
    layers: int = 0
    architecture: str = ""


@dataclass(frozen=True, slots=True)
class NoRuntime:
    """For kinds of component that need to know nothing when they are built."""
