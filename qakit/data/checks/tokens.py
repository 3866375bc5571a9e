"""What a tokenizer and a window make of the examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from qakit.data.checks.ceiling import Ceiling, PlacedAnswers, ceiling
from qakit.data.checks.findings import Finding, Lengths, warning
from qakit.data.checks.span_search import Exact, same_text
from qakit.data.checks.texts import percentiles
from qakit.data.encode import EncodedExamples, encode
from qakit.protocols import Preprocessor, WindowRuntime
from qakit.reading.record import quoted
from qakit.values import YES_NO, Example

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class TokenSetup:
    """Tokenizer and windows to check against.

    Attributes:
        tokenizer: a fast tokenizer.
        preprocessor: built for prediction with ``runtime``.
        runtime: the window's size.
        max_answer_length: longest answer that decoding gives, in tokens; None to leave that out.
        no_answer: whether decoding may say that a question has no answer.
        exact: the metric's exact match.
        yes_no: whether decoding may say yes and no.
    """

    tokenizer: PreTrainedTokenizerBase
    preprocessor: Preprocessor
    runtime: WindowRuntime
    max_answer_length: int | None = None
    no_answer: bool = True
    exact: Exact = same_text
    yes_no: bool = False


@dataclass(frozen=True, slots=True)
class TokenReport:
    """Lengths in tokens, windows and the ceiling of a split."""

    lengths: dict[str, Lengths]
    """Questions (single texts) per example, distinct contexts, inputs (with special tokens), answers."""
    longer_inputs: float
    """Percentage of inputs longer than one window."""
    windows: int
    """Prediction windows of all examples."""
    findings: tuple[Finding, ...]
    ceiling: Ceiling | None
    """None without an answer."""


def check_tokens(examples: Sequence[Example], setup: TokenSetup) -> TokenReport:
    """Tokenise the examples that have a context and look at lengths, unknown tokens, windows and answers.

    Raises:
        UsageError: the preprocessor cannot lay windows of this size.
    """
    encoded = encode(examples, setup.tokenizer)
    runtime = setup.runtime
    query = np.minimum(encoded.query_lengths, runtime.max_question_length)[encoded.pair_example]
    inputs = query + encoded.context_lengths + runtime.special_tokens
    if not len(inputs):
        inputs = np.minimum(encoded.query_lengths, runtime.max_length)
    first_text = "question" if len(encoded.context) else "text"
    lengths = {first_text: encoded.query_lengths, "context": _distinct(encoded), "input": inputs}
    findings = _long_questions(examples, encoded, runtime)
    windows = 0
    top: Ceiling | None = None
    with_contexts = bool(np.all(np.diff(encoded.pointers) > 0)) and bool(len(encoded))
    if with_contexts:
        laid = setup.preprocessor.windows(encoded, epoch=0)
        windows = len(laid)
        placed = PlacedAnswers.of(examples, encoded)
        if len(placed):
            lengths["answer"] = (placed.stop - placed.first).astype(np.int32)
            findings += _answer_findings(examples, encoded, placed, setup)
        if any(example.answers for example in examples):
            top = ceiling(
                examples,
                encoded,
                laid,
                placed,
                max_answer_length=setup.max_answer_length,
                no_answer=setup.no_answer,
                exact=setup.exact,
                said=YES_NO if setup.yes_no else (),
            )
    return TokenReport(
        lengths={name: percentiles(values) for name, values in lengths.items() if len(values)},
        longer_inputs=100.0 * float((inputs > runtime.max_length).mean()) if len(inputs) else 0.0,
        windows=windows,
        findings=tuple(finding for finding in findings if finding.count),
        ceiling=top,
    )


def _distinct(encoded: EncodedExamples) -> np.ndarray:
    return encoded.store.lengths[np.unique(encoded.context)]


def _long_questions(examples: Sequence[Example], encoded: EncodedExamples, runtime: WindowRuntime) -> list[Finding]:
    rows = np.flatnonzero(encoded.query_lengths > runtime.max_question_length).tolist()
    found = [f"id {examples[row].id}" for row in rows]
    texts = "questions" if len(encoded.context) else "texts"
    meaning = f"{texts} longer than {runtime.max_question_length} tokens: the rest is cut off"
    return [warning("long_question", meaning, found)]


def _answer_findings(
    examples: Sequence[Example], encoded: EncodedExamples, placed: PlacedAnswers, setup: TokenSetup
) -> list[Finding]:
    """Answers that are too long, or that the tokenizer does not know."""
    runtime = setup.runtime
    tokens = placed.stop - placed.first
    query = np.minimum(encoded.query_lengths, runtime.max_question_length)[placed.example]
    room = runtime.max_length - runtime.special_tokens - query
    findings = [
        _named(
            "answer_longer_than_window",
            f"answers longer than the window of {runtime.max_length} tokens has room for",
            tokens > room,
            examples,
            placed,
        ),
        _named(
            "answer_without_tokens", "answers that the tokenizer drops as a whole", placed.first < 0, examples, placed
        ),
    ]
    if setup.max_answer_length is not None:
        meaning = f"answers longer than predict.max_answer_length = {setup.max_answer_length} tokens: never predicted"
        findings.append(
            _named("answer_longer_than_decoding", meaning, tokens > setup.max_answer_length, examples, placed)
        )
    unknown = setup.tokenizer.unk_token_id
    if unknown is not None:
        before = np.concatenate([np.zeros(1, np.int64), np.cumsum(encoded.store.ids == unknown, dtype=np.int64)])
        begin = encoded.store.pointers[encoded.context[placed.pair]]
        covered = placed.first >= 0
        counts = before[begin + np.where(covered, placed.stop, 0)] - before[begin + np.where(covered, placed.first, 0)]
        meaning = f"answers with an unknown token ({setup.tokenizer.unk_token}): cut them from the text, never decode"
        findings.append(_named("unknown_in_answer", meaning, counts > 0, examples, placed))
    return findings


def _named(name: str, meaning: str, which: np.ndarray, examples: Sequence[Example], placed: PlacedAnswers) -> Finding:
    found = [
        f"id {examples[int(placed.example[k])].id}: {quoted(placed.answers[k].text)}" for k in np.flatnonzero(which)
    ]
    return warning(name, meaning, found)
