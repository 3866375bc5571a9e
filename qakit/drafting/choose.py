"""What a recipe for these examples should say, value by value, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from qakit.data.folds import assign
from qakit.drafting.languages import Language
from qakit.drafting.lengths import Measured, percentile
from qakit.errors import DataError
from qakit.recipe.staged import FoldsSection
from qakit.values import Example, Targets, Task, yes_no_of

TASKS: dict[Task, str] = {
    "span": "answers within a context",
    "paragraphs": "the answer, and which of several contexts holds it",
    "multiple_choice": "which of several contexts is right",
    "classification": "a class for each text",
    "regression": "a number for each text",
}
"""What is learnt."""
_SIZES = (32, 48, 64, 96, 128, 160, 192, 256, 320, 384, 448, 512)
_USUAL = 384
"""The window where many inputs are longer than any: attention costs the square."""
_NEARLY_ALL = 0.99
_MANY_LONGER = 0.05
_TOKENS_AT_ONCE = 8_192
"""Of a base model's forward and backward pass on a GPU with 12 GB."""
_ONE_SIDED = 0.7
_SAME = "a default"


@dataclass(frozen=True, slots=True)
class Choice:
    """One value of a recipe."""

    at: tuple[str, ...]
    value: Any
    why: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the choices rest on."""

    task: Task
    train: Sequence[Example]
    language: Language
    lengths: Measured
    no_answer: bool
    """Whether some question is said to have no answer."""


def task_of(examples: Sequence[Example]) -> Task:
    """What labelled examples can teach.

    Raises:
        DataError: nothing that a head learns.
    """
    several = any(len(example.contexts) > 1 for example in examples)
    if any(example.answers for example in examples):
        return "paragraphs" if several else "span"
    if several and any(example.relevant is not None for example in examples):
        return "multiple_choice"
    labels = [example.label for example in examples if example.label is not None]
    if several or not labels:
        raise DataError("none of the questions has an answer: there is nothing to learn")
    return "classification" if isinstance(labels[0], str) else "regression"


def choose(seen: Seen) -> Iterator[Choice]:
    """Windows, head, training and prediction."""
    if seen.task in ("classification", "regression"):
        yield from _whole_texts(seen)
    else:
        yield from _windows(seen)


def _whole_texts(seen: Seen) -> Iterator[Choice]:
    lengths = seen.lengths
    size, why = _window(lengths, lengths.inputs, cut="the rest is cut off")
    yield Choice(("windows",), None, f"lengths in {lengths.unit}")
    yield Choice(("windows", "max_length"), size, why)
    for part in ("train", "predict"):
        yield Choice(("preprocess", part), "truncate")
    if names := _target_names(seen.train):
        yield from _several_numbers(seen, len(names))
    else:
        why = "numbers: a regression" if seen.task == "regression" else f"{len(set(_labels(seen.train))):,} classes"
        yield Choice(("head",), "classifier", why)
    yield from _training(seen, size, rate=2e-5)


def _several_numbers(seen: Seen, count: int) -> Iterator[Choice]:
    yield Choice(("head", "name"), "classifier", f"{count} numbers for each text")
    if _are_shares(seen.train):
        yield Choice(("head", "loss"), "binary_cross_entropy", "all numbers are from 0 to 1")


def _windows(seen: Seen) -> Iterator[Choice]:
    lengths = seen.lengths
    question = percentile(lengths.question, _NEARLY_ALL)
    longest_question = max(8, min(-(-question // 8) * 8, lengths.positions // 3))
    inputs = lengths.inputs - lengths.question + lengths.question.clip(max=longest_question)
    size, why = _window(lengths, inputs, cut="they get several windows")
    yield Choice(("windows",), None, f"lengths in {lengths.unit}")
    yield Choice(("windows", "max_length"), size, why)
    told = f"99% of questions have at most {question}; the longest has {percentile(lengths.question, 1)}"
    yield Choice(("windows", "max_question_length"), longest_question, told)
    room = max(2, size - longest_question - lengths.special)
    most = max(1, size - lengths.special - percentile(lengths.question, 0))
    answer, why_answer = _answer_length(lengths, most)
    overlap = min(max(answer + 1, room // 3), room // 2)
    longer = float((inputs > size).mean())
    several = bool((inputs > size).any())
    stride: Any = {"name": "stride", "overlap": overlap} if several else "stride"
    why = (
        "neighbouring windows share more than an answer has: one of them holds it whole"
        if several
        else "one window each"
    )
    if seen.task == "span":
        train = stride
        why_train = why
        if longer > _MANY_LONGER and not seen.no_answer and not _together(seen):
            train = {"name": "random_window", "negatives": 1.0}
            why_train = f"{longer:.0%} of inputs need several windows: the answer anywhere in one, and one without it"
        yield Choice(("preprocess", "train"), train, why_train)
        yield Choice(("preprocess", "predict"), stride, why)
        yield from _span_head(seen)
    else:
        spaced: Any = {"name": "every_context", "overlap": overlap} if several else "every_context"
        for part in ("train", "predict"):
            yield Choice(("preprocess", part), spaced, "each of a question's contexts has windows of its own")
        head = "multiple_choice" if seen.task == "multiple_choice" else "paragraph_scorer"
        yield Choice(("head",), head, TASKS[seen.task])
    yield from _training(seen, size, rate=3e-5)
    if seen.task == "multiple_choice":
        return
    yield Choice(("predict", "max_answer_length"), answer, why_answer)
    if seen.no_answer:
        without = sum(example.answers == () for example in seen.train)
        told = f"{without:,} of {len(seen.train):,} training questions have no answer; validation tunes the threshold"
        yield Choice(("predict", "no_answer"), True, told)


def _span_head(seen: Seen) -> Iterator[Choice]:
    if _together(seen):
        yield Choice(("head", "name"), "crf", "the one that gives several answers")
        yield Choice(("head", "spans"), "many", "all answers to a question are right together")
        return
    said = sum(yes_no_of(example.answers) is not None for example in seen.train)
    if not said:
        yield Choice(("head",), "linear_span", _SAME)
        return
    yield Choice(("head", "name"), "linear_span", _SAME)
    yield Choice(("head", "yes_no_weight"), 1.0, f"{said:,} of {len(seen.train):,} questions are answered by yes or no")


def _together(seen: Seen) -> bool:
    """Whether all answers to a question are one."""
    return any(example.together for example in seen.train)


def _window(lengths: Measured, inputs: Any, *, cut: str) -> tuple[int, str]:
    """The window that nearly all inputs fit into, or the usual one."""
    sizes = sorted({size for size in _SIZES if size <= lengths.positions} | {min(lengths.positions, _SIZES[-1])})
    nearly = percentile(inputs, _NEARLY_ALL)
    size = next((size for size in sizes if size >= nearly), None)
    if size is not None:
        return size, f"99% of inputs have at most {nearly} tokens; the longest has {percentile(inputs, 1):,}"
    size = max(each for each in sizes if each <= _USUAL)
    share = float((inputs > size).mean())
    return size, f"{share:.0%} of inputs are longer, the longest has {percentile(inputs, 1):,}: {cut}"


def _answer_length(lengths: Measured, room: int) -> tuple[int, str]:
    nearly, longest = percentile(lengths.answer, _NEARLY_ALL), percentile(lengths.answer, 1)
    if longest <= 1.5 * nearly:
        return max(1, min(longest, room)), f"no answer has more than {longest} tokens"
    return max(1, min(nearly, room)), f"99% of answers have at most {nearly} tokens; the longest has {longest}"


def _training(seen: Seen, size: int, *, rate: float) -> Iterator[Choice]:
    count = len(seen.train)
    epochs = next(epochs for least, epochs in ((50_000, 2), (5_000, 3), (1_000, 4), (0, 8)) if count >= least)
    batch = next(batch for least, batch in ((2_000, 32), (500, 16), (0, 8)) if count >= least)
    parts = 1
    while batch // parts * size > _TOKENS_AT_ONCE and parts < batch:
        parts *= 2
    yield Choice(("train", "epochs"), epochs, f"{count:,} examples to learn from: the fewer, the more often each")
    yield Choice(("train", "batch_size"), batch, "windows a step, however many devices there are")
    if parts > 1:
        told = f"{batch // parts} windows of {size} tokens at a time: a model of base size then fits into about 12 GB"
        yield Choice(("train", "accumulation"), parts, told)
    yield Choice(("train", "learning_rate"), rate, f"{_SAME} for models of base size; 1e-5 for large ones")


def metric(seen: Seen) -> Choice:
    """The figure that selects the weights, where the format says none."""
    at = ("metric",)
    if seen.task == "multiple_choice":
        return Choice(at, "selection", "how often the right context is chosen")
    if _target_names(seen.train):
        if _are_shares(seen.train, (0.0, 1.0)):
            return Choice(at, "columnwise_auc", "all numbers are 0 or 1")
        return Choice(at, "columnwise_spearman", f"{_SAME} for several numbers; columnwise_rmse is another")
    if seen.task == "regression":
        return Choice(at, "pearson_spearman", f"{_SAME} for numbers")
    if seen.task == "classification":
        label, most = Counter(_labels(seen.train)).most_common(1)[0]
        share = most / len(_labels(seen.train))
        if share > _ONE_SIDED:
            return Choice(at, "accuracy_f1", f"{share:.0%} are {label!r}: accuracy alone would reward to say only that")
        return Choice(at, "accuracy", f"{_SAME} for classes; the most frequent one is {share:.0%} of all")
    if seen.no_answer:
        return Choice(at, "squad_v2", "made for questions that may have no answer")
    if seen.language.name == "Chinese":
        return Choice(at, "cmrc2018", "made for Chinese: F1 counts characters")
    if not seen.language.spaced:
        return Choice(at, "exact_match", "no blanks between words: F1 counts characters")
    return Choice(at, "squad_v1", f"{_SAME} for answers; exact_match, jaccard and others: qakit plugins --kind metrics")


def held_out(seen: Seen) -> list[Choice]:
    """A part of the training file to validate on; empty where it cannot be divided."""
    stratify, why = "none", ""
    if seen.task == "classification":
        stratify, why = "label", "every part has the same share of each class"
    elif seen.no_answer:
        stratify, why = "answer", "every part has the same share of questions without an answer"
    elif len({example.question for example in seen.train}) <= min(20, len(seen.train) // 10):
        stratify, why = "question", "the questions are a few values that come again and again"
    labelled = [example for example in seen.train if example.labelled]
    for k in (5, 2):
        for repeats, told in (
            ("error", ""),
            ("together", "questions or contexts that come again stay in one part"),
            ("ignore", "texts that come again are in several parts: to keep them together would leave too little"),
        ):
            section = FoldsSection.model_validate({"k": k, "repeats": repeats})  # strata change no group
            try:
                sizes = [part["examples"] for part in assign(labelled, section).sizes(k)]
            except DataError:
                continue
            if min(sizes) * 2 * k < len(labelled):
                continue
            part = f"no validation file: trained on {k - 1} of {k} parts of the training file, judged on the other one"
            chosen = [Choice(("folds", "k"), k, part)]
            chosen += [Choice(("folds", "repeats"), repeats, told)] if told else []
            chosen += [Choice(("folds", "stratify_by"), stratify, why)] if why else []
            if seen.task == "regression":
                chosen.append(Choice(("folds", "combine"), "mean", "what several models make of a text is averaged"))
            fold = "this part alone; without this line every part is held out once, and all models answer the test file"
            return [*chosen, Choice(("folds", "fold"), 1, fold)]
    return []


def _target_names(examples: Sequence[Example]) -> tuple[str, ...]:
    """What several numbers of each text are called; empty for one, and for classes."""
    label = next((example.label for example in examples if example.label is not None), None)
    return label.names if isinstance(label, Targets) else ()


def _are_shares(examples: Sequence[Example], values: tuple[float, ...] = ()) -> bool:
    """Whether all numbers are from 0 to 1, or some of these values."""
    known = (
        number for each in examples if isinstance(each.label, Targets) for number in each.label if number == number
    )
    return all(number in values if values else 0 <= number <= 1 for number in known)


def _labels(examples: Sequence[Example]) -> list[str]:
    return [str(example.label) for example in examples if example.label is not None]
