"""``pipeline("question-answering")`` as transformers had it up to version 4: its arguments and what it returns.

Answers have probabilities within a window, summed by text. A span's probability is that of its first token times that
of its last one, each under a softmax over the window's context tokens and position 0. Spans of all windows with the
same text, whatever its case, add up.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from qakit.data.batch import Batch
from qakit.data.template import backend_copy
from qakit.discovery import suggestion
from qakit.errors import UsageError
from qakit.inference.answering import Answering
from qakit.inference.collectors import SpanScores
from qakit.inference.questions import ASKED, CONTEXT, MOST_ANSWERS, QUESTION, examples_of, positive
from qakit.inference.spans import best_spans
from qakit.inference.trained import TrainedRun
from qakit.modeling.assemble import check_length
from qakit.modeling.model import ReadingModel
from qakit.protocols import HeadOutput, PoolsLayers, Reads, ScoresPositions, SpanCandidates
from qakit.recipe.model import PluginRef, Recipe
from qakit.values import Example

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase


class WindowProbabilities(nn.Module):
    """A head that decodes to log-probabilities within each window, where another one gives start and end scores."""

    reads: Reads = "tokens"

    def __init__(self, head: nn.Module, *, k: int, max_length: int) -> None:
        """``k`` spans of each window, of at most ``max_length`` tokens; ``head`` scores positions."""
        super().__init__()
        self.head = head
        self.k, self.max_length = k, max_length
        self.pools = isinstance(head, PoolsLayers) and head.pools

    def pool(self, layers: Sequence[Tensor]) -> Tensor:
        """As the head does."""
        assert isinstance(self.head, PoolsLayers)
        return self.head.pool(layers)

    def forward(self, hidden: Tensor, batch: Batch) -> HeadOutput:
        """What the head makes of ``hidden`` (B, T, H)."""
        output: HeadOutput = self.head(hidden, batch)
        return output

    @torch.no_grad()
    def decode(self, scores: Mapping[str, Tensor], batch: Batch) -> SpanCandidates:
        """The likeliest spans of each window, those that other windows hold more whole among them."""
        assert isinstance(self.head, ScoresPositions)
        odds = self.head.position_scores(scores, batch)
        start, end = (_log_probabilities(each) for each in (odds.start, odds.end))
        mask = batch.context_mask
        spans = best_spans(start, end, start_mask=mask, end_mask=mask, k=self.k, max_length=self.max_length)
        return SpanCandidates(*spans, null=start[:, 0] + end[:, 0])


def _log_probabilities(odds: Tensor) -> Tensor:
    """(B, T) log-odds against position 0, -inf where nothing is possible -> log-probabilities."""
    odds = odds.float().clone()
    odds[:, 0] = 0.0
    return odds.log_softmax(dim=1)


@dataclass(slots=True)
class WindowAnswer:
    """A text with its place and probability. Offsets are characters of the context, the end exclusive."""

    score: float
    start: int
    end: int
    answer: str


class Words:
    """Where the words of contexts lie, as the tokenizer sees words."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._backend: Tokenizer = backend_copy(tokenizer)
        self._last: tuple[str, dict[int, int], dict[int, int]] = ("", {}, {})

    def around(self, context: str, start: int, end: int) -> tuple[int, int]:
        """The characters of the words in which a span of tokens begins and ends; its own where it is in no word."""
        if self._last[0] != context:
            self._last = (context, *self._bounds(context))
        _, starts, ends = self._last
        return starts.get(start, start), ends.get(end, end)

    def _bounds(self, context: str) -> tuple[dict[int, int], dict[int, int]]:
        """First character of a token -> that of its word; end of a token -> that of its word."""
        encoding = self._backend.encode(context, add_special_tokens=False)
        pairs = zip(encoding.word_ids, encoding.offsets, strict=True)
        tokens = [(word, start, end) for word, (start, end) in pairs if word is not None]
        first: dict[int, int] = {}
        for word, start, _ in tokens:
            first.setdefault(word, start)
        last = {word: end for word, _, end in tokens}
        return {start: first[word] for word, start, _ in tokens}, {end: last[word] for word, _, end in tokens}


def window_answers(
    scores: SpanScores, examples: Sequence[Example], *, top_k: int, no_answer: bool, words: Words | None
) -> Iterator[list[WindowAnswer]]:
    """The best answers to each example, which has a single context.

    Args:
        scores: of :class:`WindowProbabilities`.
        examples: in the order in which they were scored.
        top_k: answers of each at most.
        no_answer: whether an empty answer takes part, with the smallest of its windows' probabilities.
        words: answers are widened to whole words; None: they end where tokens do.
    """
    table = scores.spans
    windows = np.argsort(scores.windows.example, kind="stable")
    bounds = np.searchsorted(scores.windows.example[windows], np.arange(len(examples) + 1))
    for row, example in enumerate(examples):
        own = windows[bounds[row] : bounds[row + 1]]
        found = _summed(table.score[own], table.start[own], table.end[own], example.contexts[0], words)
        if no_answer:
            least = float(np.exp(table.null[own]).min(initial=1.0))
            found.append(WindowAnswer(least, 0, 0, ""))
        yield sorted(found, key=lambda answer: -answer.score)[:top_k]


def _summed(
    score: np.ndarray, start: np.ndarray, end: np.ndarray, context: str, words: Words | None
) -> list[WindowAnswer]:
    """One answer for each text of (W, K) spans, where its likeliest place in the first window is."""
    found: dict[str, WindowAnswer] = {}
    for log_probability, first, stop in zip(score.flat, start.flat, end.flat, strict=True):
        if log_probability == -np.inf:
            continue
        begin, finish = (int(first), int(stop)) if words is None else words.around(context, int(first), int(stop))
        text = context[begin:finish]
        trimmed = text.strip()
        if not trimmed:
            continue
        begin += len(text) - len(text.lstrip())
        known = found.get(trimmed.lower())
        if known is None:
            found[trimmed.lower()] = WindowAnswer(math.exp(log_probability), begin, begin + len(trimmed), trimmed)
        else:
            known.score += math.exp(log_probability)
    return list(found.values())


Answered = dict[str, Any]
"""``{"score": float, "start": int, "end": int, "answer": str}``: characters of the context, the end exclusive."""

BLOCK = 256
"""Questions of an iterator that are scored together."""
LISTED = (Sequence, Mapping, set, frozenset)
"""What is there as a whole, meant or not; anything else that can be iterated over is read bit by bit."""
WITHOUT_MEANING = ("padding", "num_workers", "framework")
"""Arguments of old code that change no answer."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """The old pipeline's arguments, under their names."""

    top_k: int = 1
    """Answers to a question at most."""
    doc_stride: int | None = None
    """Tokens that neighbouring windows share; None: the model's own, 128 and at most half of a window's context."""
    max_answer_len: int = 15
    """Longest answer in tokens."""
    max_seq_len: int | None = None
    """Longest window in tokens; None: the model's own, at most 384."""
    max_question_len: int | None = None
    """Longest question in tokens, the rest is cut off; None: the model's own, 64."""
    handle_impossible_answer: bool = False
    """Whether an answer may be empty."""
    align_to_words: bool = True
    """Whether answers are widened to whole words."""

    def given(self, arguments: Mapping[str, object]) -> Self:
        """With other values for some.

        Raises:
            UsageError: there is no such argument, or the value is of a wrong type or too small.
        """
        names = [each.name for each in fields(self)]
        changed: dict[str, Any] = {}
        for name, value in arguments.items():
            if name == "topk":
                changed["top_k"] = positive(value, name, most=MOST_ANSWERS)
            elif name in WITHOUT_MEANING or (name in names and value is None):
                continue
            elif name not in names:
                raise UsageError(f"the pipeline has no argument {name!r}{suggestion(name, names)}")
            elif name in ("handle_impossible_answer", "align_to_words"):
                changed[name] = _flag(value, name)
            else:
                most = MOST_ANSWERS if name == "top_k" else None
                changed[name] = 0 if name == "doc_stride" and value == 0 else positive(value, name, most=most)
        new = replace(self, **changed)
        if new.doc_stride is not None and new.max_seq_len is not None and new.doc_stride >= new.max_seq_len:
            raise UsageError(f"doc_stride is {new.doc_stride}; it must be less than max_seq_len ({new.max_seq_len})")
        return new

    def of(self, recipe: Recipe) -> Recipe:
        """A recipe with these values in their places."""
        windows = {"max_length": self.max_seq_len, "max_question_length": self.max_question_len}
        changes: dict[str, Any] = {
            "windows": recipe.windows.model_copy(update={k: v for k, v in windows.items() if v is not None}),
            "predict": recipe.predict.model_copy(
                update={
                    "n_best": self.per_window,
                    "max_answer_length": self.max_answer_len,
                    "no_answer": self.handle_impossible_answer,
                    "aggregation": "max_context",
                    "character_scores": False,
                }
            ),
        }
        if self.doc_stride is not None:
            stride = PluginRef.model_validate({"name": "stride", "overlap": self.doc_stride})
            changes["preprocess"] = recipe.preprocess.model_copy(update={"predict": stride})
        return recipe.model_copy(update=changes)

    @property
    def per_window(self) -> int:
        """Spans of a window that are looked at: some become the same text when they are widened to words."""
        return self.top_k * 2 + 10 if self.align_to_words else self.top_k


def _flag(value: object, name: str) -> bool:
    if not isinstance(value, bool):
        raise UsageError(f"{name} is {value!r}; it must be True or False")
    return value


class QuestionAnsweringPipeline:
    """Answers questions as transformers' pipeline of this name did.

    Attributes:
        task: ``question-answering``.
        trained: the model.
        parameters: what the arguments are where a call does not say.
    """

    task = "question-answering"

    def __init__(self, trained: Answering, parameters: Parameters | None = None) -> None:
        """Raises:
        UsageError: the model is not a single one with start and end scores.
        """
        if not isinstance(trained, TrainedRun) or not isinstance(trained.assembled.model.head, ScoresPositions):
            what = "a pipeline of two stages" if not isinstance(trained, TrainedRun) else trained.recipe.head.name
            raise UsageError(
                f"{trained.run.folder} ({what}) has no start and end scores of its own; ask it with "
                "qakit.load(...).answer(...)"
            )
        self.trained: TrainedRun = trained
        self.parameters = parameters or Parameters()
        self._words = Words(trained.assembled.tokenizer)
        self._scorers: dict[tuple[Parameters, int | None], TrainedRun] = {}

    def __call__(
        self, *args: Any, batch_size: int | None = None, **kwargs: Any
    ) -> Answered | list[Any] | Iterator[Any]:
        """Answer one question or many.

        Args:
            args: a question and its context; or ``{"question": ..., "context": ...}``, a list of these, or an iterator.
            batch_size: windows in a forward pass.
            kwargs: ``question`` and ``context``, texts or lists of texts, one context also for many questions; and
                the arguments of :class:`Parameters`.

        Returns:
            For a question ``{"score", "start", "end", "answer"}``, or a list of them where ``top_k`` gives several.
            For a list of one question the same, for a list of several a list of these; for an iterator an iterator.

        Raises:
            UsageError: an argument of a wrong type, or an empty or blank text.
        """
        question, context, parameters = self._given(args, kwargs)
        scorer = self._scorer(parameters, None if batch_size is None else positive(batch_size, "batch_size"))
        if context is None and isinstance(question, Iterable) and not isinstance(question, LISTED):
            return self._each(question, scorer, parameters)
        examples, _ = examples_of(question, context, several_contexts=False)
        found = self._answers(examples, scorer, parameters)
        return found[0] if len(found) == 1 else found

    def _given(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any, Parameters]:
        """Questions and contexts, or items and None; and how they are to be answered."""
        named = {name: kwargs.pop(name) for name in (QUESTION, CONTEXT, "X", "data") if name in kwargs}
        parameters = self.parameters.given(kwargs)
        pair = args if len(args) == 2 and not any(isinstance(item, Mapping) for item in args) else ()
        if not args and named.keys() == {QUESTION, CONTEXT}:
            pair = (named[QUESTION], named[CONTEXT])
        if pair and not named.keys() - {QUESTION, CONTEXT}:
            if pair[1] is None:
                raise UsageError(f"the context is None; {ASKED}")
            return (*pair, parameters)
        items = [*args, *(named[name] for name in ("X", "data") if name in named)]
        if not items or named.keys() & {QUESTION, CONTEXT} or len(named) > 1 or (named and args):
            raise UsageError(ASKED)
        return items[0] if len(items) == 1 else items, None, parameters

    def _scorer(self, parameters: Parameters, batch_size: int | None) -> TrainedRun:
        """The model with a head that decodes to probabilities within each window; kept for the next call."""
        if (known := self._scorers.get((parameters, batch_size))) is not None:
            return known
        recipe = parameters.of(self.trained.recipe)
        if batch_size is not None:
            predict = recipe.predict.model_copy(update={"batch_size": batch_size})
            recipe = recipe.model_copy(update={"predict": predict})
        check_length(self.trained.assembled.model.backbone, recipe.windows.max_length, setting="max_seq_len")
        trained = self.trained.with_recipe(recipe)
        model = trained.assembled.model
        head = WindowProbabilities(model.head, k=parameters.per_window, max_length=parameters.max_answer_len)
        reading = ReadingModel(model.backbone, head).eval()
        scorer = replace(trained, assembled=replace(trained.assembled, model=reading))
        self._scorers = {(parameters, batch_size): scorer}
        return scorer

    def _answers(self, examples: Sequence[Example], scorer: TrainedRun, parameters: Parameters) -> list[Any]:
        if not examples:
            return []
        _, scores = scorer.score(examples)
        assert isinstance(scores, SpanScores)
        answers = window_answers(
            scores,
            examples,
            top_k=parameters.top_k,
            no_answer=parameters.handle_impossible_answer,
            words=self._words if parameters.align_to_words else None,
        )
        plain = [[asdict(answer) for answer in own] for own in answers]
        return [own[0] if len(own) == 1 else own for own in plain]

    def _each(self, items: Iterable[Any], scorer: TrainedRun, parameters: Parameters) -> Iterator[Any]:
        remaining = iter(items)
        while block := list(islice(remaining, BLOCK)):
            examples, _ = examples_of(block, None, several_contexts=False)
            yield from self._answers(examples, scorer, parameters)
