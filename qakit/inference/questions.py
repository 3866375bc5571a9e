"""Questions as callers give them -> examples; whatever cannot be meant is refused before anything is scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral

from qakit.errors import UsageError
from qakit.values import Example

QUESTION, CONTEXT = "question", "context"
ASKED = "give a question and a context: two texts, two lists, {'question': ..., 'context': ...}, or a list of these"


def examples_of(
    question: object, context: object = None, *, several_contexts: bool = True
) -> tuple[list[Example], bool]:
    """The examples that are meant, and whether a single one was given.

    Args:
        question: a text, or a list of texts; or, without ``context``, a mapping with both, or a list of mappings.
        context: a text or a list. Beside one question, a list holds the texts to answer it from. Beside a list of
            questions, a text is for all of them, and a list has one item for each: a text, or a list of texts.
        several_contexts: whether a question may have several.

    Raises:
        UsageError: something else was given, or an empty or blank text.
    """
    if context is None:
        return _of_mappings(question, several_contexts)
    if isinstance(question, str):
        return [_example(question, context, several_contexts, ())], True
    questions = _list(question, QUESTION)
    contexts = [context] * len(questions) if isinstance(context, str) else _list(context, CONTEXT)
    if len(contexts) != len(questions):
        raise UsageError(f"{len(questions)} questions, but {len(contexts)} contexts; each question needs its own")
    pairs = enumerate(zip(questions, contexts, strict=True), 1)
    return [_example(*pair, several_contexts, (number, len(questions))) for number, pair in pairs], False


MOST_ANSWERS = 100_000
"""To a question: memory is taken for as many of each window."""


def positive(value: object, name: str, *, most: int | None = None) -> int:
    """A count that was given from outside.

    Raises:
        UsageError: it is no whole number, below 1, or above ``most``.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise UsageError(f"{name} is {value!r}; it must be a whole number of at least 1")
    if value < 1:
        raise UsageError(f"{name} is {value}; it must be at least 1")
    if most is not None and int(value) > most:
        raise UsageError(f"{name} is {value}; it must be at most {most:,}")
    return int(value)


def _of_mappings(given: object, several_contexts: bool) -> tuple[list[Example], bool]:
    if isinstance(given, Mapping):
        return [_of_mapping(given, several_contexts, ())], True
    if given is None or isinstance(given, str):
        raise UsageError(f"there is no context; {ASKED}")
    items = _list(given, QUESTION)
    return [_of_mapping(item, several_contexts, (number, len(items))) for number, item in enumerate(items, 1)], False


def _of_mapping(item: object, several_contexts: bool, at: tuple[int, ...]) -> Example:
    where = f"item {at[0]} of {at[1]}" if at else "the question"
    if not isinstance(item, Mapping):
        raise UsageError(f"{where} is {_kind(item)} without a context; {ASKED}")
    missing = [name for name in (QUESTION, CONTEXT) if name not in item]
    if missing:
        raise UsageError(f"{where} has no {missing[0]!r}; its keys are {', '.join(map(repr, item)) or 'none'}")
    return _example(item[QUESTION], item[CONTEXT], several_contexts, at)


def _example(question: object, context: object, several_contexts: bool, at: tuple[int, ...]) -> Example:
    of = f" {at[0]} of {at[1]}" if at else ""
    asked = _text(question, f"question{of}" if of else "the question")
    where = f"context{of}" if of else "the context"
    if isinstance(context, str) or not several_contexts:
        contexts: tuple[str, ...] = (_text(context, where),)
    else:
        texts = _list(context, where, whole=False)
        contexts = tuple(_string(text, f"text {number} of {where}") for number, text in enumerate(texts, 1))
        if not any(text.strip() for text in contexts):
            raise UsageError(f"{where} is empty: there is nothing to answer from")
    return Example(id=str(at[0]) if at else QUESTION, question=asked, contexts=contexts)


def _text(value: object, where: str) -> str:
    text = _string(value, where)
    if not text.strip():
        raise UsageError(f"{where} is {'blank' if text else 'empty'}")
    return text


def _string(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{where} is {_kind(value)}; it must be a text")
    return value


def _list(value: object, where: str, *, whole: bool = True) -> list[object]:
    """The items of a list; what has no order, or is no list of texts, is none."""
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Sequence):
        if whole:
            raise UsageError(f"{where} is {_kind(value)}; {ASKED}")
        raise UsageError(f"{where} is {_kind(value)}; it must be a text, or a list of texts")
    return list(value)


def _kind(value: object) -> str:
    return "None" if value is None else f"of type {type(value).__name__}"
