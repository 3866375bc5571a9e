"""Answers a file of questions with the models beside this file, on the CPU or the first GPU, without a network.

    python predict.py [CONTEXT] TEST OUTPUT

It needs Python 3.10 or later, torch and transformers 4.40 to 5, and reads ``settings.json``: how files are read, which
models answer, how their scores become answers, and how these are cleaned up and written. From top to bottom:
reading, windows, the model, heads, answers of one model; what these models need besides; writing.

Positions and tokens count from 0; ends are exclusive, but for ``last``.
"""

from __future__ import annotations

import csv
import json
import math
import re
import sys
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor
from transformers import AutoConfig, AutoModel

HERE = Path(__file__).resolve().parent
Settings = dict[str, Any]


@dataclass(frozen=True)
class Question:
    """A question with the texts that may hold its answer; or one or two texts to be classified."""

    id: str
    text: str
    contexts: tuple[str, ...]


@dataclass(frozen=True)
class Candidate:
    """A piece of a context, ``contexts[context][start:end] == text``; probability among the question's candidates."""

    text: str
    context: int
    start: int
    end: int
    score: float
    probability: float = 0.0


@dataclass(frozen=True)
class Answer:
    """What is written, and what it was chosen from: candidates, best first; or probabilities of contexts or classes."""

    text: str
    candidates: tuple[Candidate, ...] = ()
    null: float | None = None
    """The score of "no answer", where a question may have none."""
    null_probability: float = 0.0
    shares: tuple[float, ...] = ()


# Reading

FORMATS: dict[str, Callable[[Settings, Path], Iterator[Question]]] = {}
"""Those that have a part of their own."""


def read_questions(reader: Settings, test: Path, contexts: Path | None) -> list[Question]:
    """The questions of a file, in its order; without halves of surrogate pairs, which no file can hold.

    Raises:
        SystemExit: an id comes twice, or is none.
    """
    found = [
        Question(_sound(each.id), _sound(each.text), tuple(map(_sound, each.contexts)))
        for each in _read(reader, test, contexts)
    ]
    if len(ids := {each.id for each in found}) < len(found):
        raise SystemExit(
            f"{test}: {len(found)} questions have {len(ids)} different ids: an answer file needs one for each"
        )
    return found


def _read(reader: Settings, test: Path, contexts: Path | None) -> list[Question]:
    kind = reader["format"]
    if kind in FORMATS:
        return list(FORMATS[kind](reader, test))
    document = _json(test)
    if kind == "adl":
        texts = _json(contexts or test.parent / "context.json")
        return [Question(_id(q["id"]), q["question"], tuple(texts[int(n)] for n in q["paragraphs"])) for q in document]
    if kind == "hw7":
        texts = document["paragraphs"]
        return [
            Question(_id(q["id"]), q["question_text"], (texts[int(q["paragraph_id"])],)) for q in document["questions"]
        ]
    return list(_squad(document["data"] if isinstance(document, dict) else document))


def _json(path: Path) -> Any:
    text = path.read_bytes().decode("utf-8-sig")
    if path.suffix in (".jsonl", ".ndjson"):
        return [json.loads(line) for line in text.split("\n") if line.strip()]
    return json.loads(text)


def _squad(entries: Iterable[Settings]) -> Iterator[Question]:
    """Articles, paragraphs that stand alone, or single questions."""
    for entry in entries:
        for paragraph in entry.get("paragraphs", [entry]):
            for item in paragraph.get("qas", [paragraph]):
                context, question, name = (
                    next(where[key] for key in keys if key in where)
                    for where, keys in (
                        (paragraph, ("context", "context_text")),
                        (item, ("question", "query_text")),
                        (item, ("id", "query_id")),
                    )
                )
                yield Question(_id(name), question, (context,))


def _id(value: object) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    if value == "" or isinstance(value, bool) or not isinstance(value, str | int):
        raise SystemExit(f"an id should be text or a whole number, not {value!r}")
    return str(value)


_SURROGATE = re.compile("[\ud800-\udfff]")


def _sound(text: str) -> str:
    return _SURROGATE.sub("\ufffd", text)


# Windows: which slices of which texts make one input of the model


@dataclass(frozen=True)
class Tokens:
    """A text's token ids (n,), and their first and one past their last characters (n, 2)."""

    ids: np.ndarray
    offsets: np.ndarray


@dataclass(frozen=True)
class Segment:
    """The tokens [first, stop) of one of the question's contexts; an answer may start at those of [own, own_stop)."""

    context: int
    first: int
    stop: int
    own: int
    own_stop: int


@dataclass(frozen=True)
class Window:
    """The question's first ``query`` tokens, then segments."""

    question: int
    query: int
    segments: tuple[Segment, ...]

    def length(self, template: Settings) -> int:
        """Tokens, special ones included."""
        each = sum(len(template["middle"]) + segment.stop - segment.first for segment in self.segments)
        return len(template["prefix"]) + self.query + each + len(template["suffix"])


def tokenise(tokenizer: Tokenizer, texts: Iterable[str]) -> dict[str, Tokens]:
    """Each distinct text's tokens, without special ones."""
    distinct = list(dict.fromkeys(texts))
    found = tokenizer.encode_batch(distinct, add_special_tokens=False)
    tokens = {}
    for text, encoding in zip(distinct, found, strict=True):
        offsets = np.array(_with_marks(text, encoding.offsets), np.int64).reshape(-1, 2)
        tokens[text] = Tokens(np.array(encoding.ids, np.int64), offsets)
    return tokens


def _with_marks(text: str, offsets: Sequence[tuple[int, int]]) -> Sequence[tuple[int, int]]:
    """Tokens reach over the marks behind them that no token covers: accents and joiners that a tokenizer drops."""
    if text.isascii():
        return offsets
    covered = np.zeros(len(text) + 1, np.int64)
    for start, end in offsets:
        covered[start] += 1
        covered[end] -= 1
    loose = [
        _is_mark(letter) and count == 0 for letter, count in zip(text, covered[:-1].cumsum().tolist(), strict=True)
    ]
    wider = []
    for start, end in offsets:
        while start < end < len(text) and loose[end]:
            end += 1
        wider.append((start, end))
    return wider


def _is_mark(letter: str) -> bool:
    return unicodedata.category(letter)[0] == "M" or letter == "\u200d" or "\U000e0020" <= letter <= "\U000e007f"


def lay_windows(settings: Settings, questions: Sequence[Question], tokens: dict[str, Tokens]) -> list[Window]:
    """The windows of all questions, sorted by question, context and place."""
    windows: list[Window] = []
    for number, question in enumerate(questions):
        query = len(tokens[question.text].ids)
        lengths = [len(tokens[text].ids) for text in question.contexts]
        cuts = _truncated if settings["preprocess"]["name"] == "truncate" else _even
        for used, pieces in cuts(settings, query, lengths):
            windows.append(Window(number, used, tuple(Segment(c, a, b, a, b) for c, a, b in pieces)))
    return _with_owners(windows) if settings["aggregation"] == "max_context" else windows


Pieces = list[tuple[int, int, int]]
"""Of a window: context, first token, one past the last."""


def _truncated(settings: Settings, first: int, lengths: list[int]) -> Iterator[tuple[int, Pieces]]:
    """One window; the longer text is cut first."""
    template = settings["template"]
    room = settings["max_length"] - len(template["prefix"]) - len(template["suffix"])
    room -= len(template["middle"]) if lengths else 0
    second = lengths[0] if lengths else 0
    shorter = min(first, second, room // 2)
    longer = min(max(first, second), room - shorter)
    first, second = (longer, shorter) if first > second else (shorter, longer)
    yield first, [(0, 0, second)] if lengths else []


def _even(settings: Settings, query: int, lengths: list[int]) -> Iterator[tuple[int, Pieces]]:
    """Windows at even distances: over each context, or (``concatenate``) over all of them one after the other."""
    template, own = settings["template"], settings["preprocess"]
    middle = len(template["middle"])
    inner = settings["max_length"] - len(template["prefix"]) - middle - len(template["suffix"])
    query = min(query, settings["max_question_length"], inner - 1)
    room = inner - query
    step = room - min(128, room // 2)
    if own.get("step") is not None:
        step = min(own["step"], room)
    elif own.get("overlap") is not None:
        step = max(room - own["overlap"], 1)
    together = own["name"] == "concatenate"
    for group in [range(len(lengths))] if together else [[context] for context in range(len(lengths))]:
        starts, total = {}, 0
        for context in group:
            starts[context] = total
            total += lengths[context] + middle
        total, at = total - middle, 0
        while True:
            pieces = []
            for context, start in starts.items():
                first, stop = max(0, at - start), min(lengths[context], at + room - start)
                if first < stop or (not lengths[context] and at <= start <= at + room):
                    pieces.append((context, first, stop))
            yield query, pieces
            if at + room >= total:
                break
            at += step


def _with_owners(windows: list[Window]) -> list[Window]:
    """Each token of a context belongs to the one window that sees most around it: answers start there alone."""
    places = defaultdict(list)
    for number, window in enumerate(windows):
        for place, segment in enumerate(window.segments):
            places[window.question, segment.context].append((segment.first, -segment.stop, number, place))
    owned: dict[tuple[int, int], tuple[int, int]] = {}
    for each in places.values():
        before: tuple[int, int, int, int] | None = None  # first, stop, and where it stands
        for first, negative, number, place in sorted(each):
            stop = -negative
            if before is not None and stop <= before[1]:  # inside another: it owns nothing
                owned[number, place] = (first, first)
                continue
            owned[number, place] = (first, stop)
            if before is not None:
                middle = (before[1] + first + 1) // 2
                low, high = owned[before[2], before[3]]
                owned[before[2], before[3]] = (low, min(high, middle))
                owned[number, place] = (max(first, middle), stop)
            before = (first, stop, number, place)
    return [
        replace(
            window,
            segments=tuple(
                replace(segment, own=owned[number, place][0], own_stop=owned[number, place][1])
                for place, segment in enumerate(window.segments)
            ),
        )
        for number, window in enumerate(windows)
    ]


# The model


@dataclass(frozen=True)
class Batch:
    """B windows padded to T positions; position 0 stands for "no answer"."""

    windows: list[Window]
    at: list[list[int]]
    """Of each window: the positions where its segments begin."""
    ids: Tensor
    types: Tensor
    real: Tensor
    """(B, T) int64, 1 for tokens."""
    context: Tensor
    """(B, T) bool: where an answer may lie."""
    start: Tensor
    """(B, T) bool: where one may start."""
    number: Tensor
    """(B, T) int64: which segment; -1 outside."""


class Model:
    """An encoder and the weights of its head, as ``folder`` and ``settings`` have them."""

    def __init__(self, settings: Settings) -> None:
        self.settings, folder = settings, HERE / settings["folder"]
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        self.tokenizer.encode_special_tokens = settings["split_special_tokens"]
        weights = load_file(str(folder / "model.safetensors"))
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if self.device.type == "cuda":
            torch.set_float32_matmul_precision("high")
        config = AutoConfig.from_pretrained(folder)
        self.encoder, self.fused = _encoder(config, settings["attention"])
        named = json.loads((folder / "names.json").read_text("utf-8"))
        names, prefix = named["head"], named["backbone_prefix"]
        own = {name[len(prefix) :]: weights[name] for name in weights if name.startswith(prefix)}
        missing = self.encoder.load_state_dict(own, strict=False).missing_keys
        if lost := [name for name in missing if "pooler" not in name]:
            raise SystemExit(f"transformers has other names for the weights of a {config.model_type}: {lost[0]}")
        self.encoder.to(self.device).eval()
        self.head = {name: weights[stored].to(self.device).float() for name, stored in names.items()}

    def linear(self, name: str, hidden: Tensor) -> Tensor:
        """One of the head's linear layers."""
        return F.linear(hidden, self.head[f"{name}.weight"], self.head[f"{name}.bias"])

    def each_batch(
        self, questions: Sequence[Question], add: Callable[[Batch, list[int], Tensor], None]
    ) -> tuple[dict[str, Tokens], list[Window]]:
        """Call ``add`` with each batch, its windows' numbers and the hidden states (B, T, H) float32; the longest
        windows come first. A batch that the memory does not hold is halved."""
        template = self.settings["template"]
        tokens = tokenise(self.tokenizer, chain.from_iterable((each.text, *each.contexts) for each in questions))
        windows = lay_windows(self.settings, questions, tokens)
        lengths = np.array([window.length(template) for window in windows], np.int64)
        order, size = np.argsort(-lengths, kind="stable").tolist(), self.settings["batch_size"]
        waiting = [order[at : at + size] for at in range(0, len(order), size)][::-1]
        while waiting:
            rows = waiting.pop()
            try:
                with torch.inference_mode():
                    batch = self.collate([windows[row] for row in rows], questions, tokens)
                    add(batch, rows, self.hidden(batch))
                continue
            except RuntimeError as error:
                if "out of memory" not in str(error).lower() or len(rows) == 1:
                    raise
            torch.cuda.empty_cache()
            half = (len(rows) + 1) // 2
            waiting += [rows[half:], rows[:half]]
        return tokens, windows

    def collate(self, windows: list[Window], questions: Sequence[Question], tokens: dict[str, Tokens]) -> Batch:
        """Windows as tensors, padded to the longest."""
        template = self.settings["template"]
        shape = len(windows), max(window.length(template) for window in windows)
        ids, types = np.full(shape, template["pad"]), np.full(shape, template["pad_type"])
        real, number = np.zeros(shape, np.int64), np.full(shape, -1)
        start, begins = np.zeros(shape, bool), []
        for row, window in enumerate(windows):
            question, at, places = questions[window.question], 0, []

            def put(values: Any, kinds: Any, row: int = row) -> None:
                nonlocal at
                part = slice(at, at + len(values))
                ids[row, part], types[row, part], real[row, part] = values, kinds, 1
                at += len(values)

            put(template["prefix"], template["prefix_types"])
            put(tokens[question.text].ids[: window.query], template["question_type"])
            for place, segment in enumerate(window.segments):
                put(template["middle"], template["middle_types"])
                places.append(at)
                start[row, at + segment.own - segment.first : at + segment.own_stop - segment.first] = True
                number[row, at : at + segment.stop - segment.first] = place
                put(
                    tokens[question.contexts[segment.context]].ids[segment.first : segment.stop],
                    template["context_type"],
                )
            kinds = template["suffix_types"]
            if not window.segments:  # it closes the only text
                kinds = [template["question_type"] if kind == template["context_type"] else kind for kind in kinds]
            put(template["suffix"], kinds)
            begins.append(places)
        tensors = (torch.from_numpy(each).to(self.device) for each in (ids, types, real, number >= 0, start, number))
        return Batch(windows, begins, *tensors)

    def hidden(self, batch: Batch) -> Tensor:
        """(B, T, H) float32."""
        inputs = {"input_ids": batch.ids}
        if not self.fused or not bool(batch.real.all()):
            inputs["attention_mask"] = batch.real
        if self.settings["template"]["has_types"]:
            inputs["token_type_ids"] = batch.types
        layers = self.head.get("features.layer_weights")
        with _autocast(self.settings["precision"], self.device):
            if layers is None:
                hidden: Tensor = self.encoder(**inputs).last_hidden_state
                return hidden.float()
            states = self.encoder(**inputs, output_hidden_states=True).hidden_states[-len(layers) :]
        shares = layers.softmax(0)
        pooled: Tensor = shares[0] * states[0].float()
        for share, state in zip(shares[1:], states[1:], strict=True):
            pooled = torch.addcmul(pooled, share, state.float())
        return pooled


def _encoder(config: Any, attention: str) -> tuple[Any, bool]:
    """With random weights; and whether its attention is fused."""
    if attention != "auto":
        return AutoModel.from_config(config, attn_implementation=attention), attention == "sdpa"
    try:
        return AutoModel.from_config(config, attn_implementation="sdpa"), True
    except (ValueError, ImportError):  # this architecture has none
        return AutoModel.from_config(config, attn_implementation="eager"), False


def _autocast(choice: str, device: torch.device) -> Any:
    """bf16 where it is native, else fp16 on a GPU and fp32 on a CPU, unless the training's choice was another."""
    if device.type == "cpu":
        known = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
        native = bool(known.get("avx512_bf16") or known.get("amx_bf16"))
        half = torch.bfloat16 if choice == "bf16" or (choice == "auto" and native) else None
    else:
        native = torch.cuda.get_device_capability()[0] >= 8
        half = torch.bfloat16 if native and choice in ("auto", "bf16") else torch.float16
        half = None if choice == "fp32" else half
    return nullcontext() if half is None else torch.autocast(device.type, dtype=half)


# Heads: hidden states -> the best spans of each window, or the scores of single tokens

Spans = tuple[Tensor, Tensor, Tensor]
"""first, last (inclusive) and score, (B, K) each, best first; a score of -inf is no span."""


def best_spans(
    start: Tensor, end: Tensor, start_mask: Tensor, end_mask: Tensor, k: int, limit: int, single: Tensor | None = None
) -> Spans:
    """The ``k`` spans of at most ``limit`` positions with the largest ``start[first] + end[last]``, exactly; those of
    one position score ``single``, if it is given."""
    limit = min(limit, start.shape[1])
    exact = torch.float64 if start.dtype == torch.float64 else torch.float32
    start = torch.where(start_mask, start.to(exact), -torch.inf)
    ends = F.pad(torch.where(end_mask, end.to(exact), -torch.inf), (0, limit - 1), value=-torch.inf)
    if single is None:
        best = start + _sliding_max(ends, limit)
    else:
        single = torch.where(start_mask & end_mask, single.to(exact), -torch.inf)
        best = single if limit == 1 else torch.maximum(single, start + _sliding_max(ends[:, 1:], limit - 1))
    starts = best.topk(min(k, start.shape[1]), dim=1).indices  # no other start has one of the best spans
    row = torch.arange(len(start), device=start.device)[:, None]
    band = ends.unfold(1, limit, 1)[row, starts] + start.gather(1, starts)[:, :, None]
    if single is not None:
        band[:, :, 0] = single.gather(1, starts)
    flat = band.flatten(1)
    score, place = flat.topk(min(k, flat.shape[1]), dim=1)
    first = starts.gather(1, place // limit)
    return first, first + place % limit, score.float()


def _sliding_max(values: Tensor, length: int) -> Tensor:
    """The maximum of each run of ``length`` values."""
    width, run = values.shape[1] - length + 1, 1
    while 2 * run <= length:
        values, run = torch.maximum(values[:, :-run], values[:, run:]), 2 * run
    return torch.maximum(values[:, :width], values[:, length - run : length - run + width])


def linear_span(model: Model, hidden: Tensor, batch: Batch) -> tuple[Spans, Tensor]:
    """Start and end scores, none of a span over the border of two contexts; and the scores of "no answer"."""
    settings = model.settings
    start, end = (each.contiguous() for each in model.linear("features.linear", hidden)[..., :2].unbind(-1))
    null = start[:, 0] + end[:, 0] + _no_answer(model, hidden)
    segments = range(max(1, int(batch.number.max()) + 1)) if settings["head"]["name"] != "linear_span" else [-1]
    bonus = None
    if settings["head"]["name"] == "paragraph_scorer":
        member = batch.number[:, None] == torch.arange(len(segments), device=hidden.device)[:, None]  # (B, S, T)
        means = (member.float() / member.sum(2, keepdim=True).clamp(min=1)) @ hidden
        bonus = settings["head"]["span_paragraph_weight"] * model.linear("paragraph", means).squeeze(-1)
    found = []
    for number in segments:
        here = batch.context if number < 0 else batch.number == number
        first, last, score = best_spans(
            start, end, batch.start & here, here, settings["n_best"], settings["max_answer_length"]
        )
        found.append((first, last, score if bonus is None else score + bonus[:, number, None]))
    if len(found) == 1 and bonus is None:
        return found[0], null
    first, last, score = (torch.cat(parts, 1) for parts in zip(*found, strict=True))
    score, place = score.topk(min(settings["n_best"], score.shape[1]), dim=1)
    return (first.gather(1, place), last.gather(1, place), score), null


def _no_answer(model: Model, hidden: Tensor) -> Tensor | float:
    """(B,) the log-odds of "no answer" by the classifier beside the spans, where there is one."""
    if "features.answerability.weight" not in model.head:
        return 0.0
    return model.linear("features.answerability", hidden[:, 0]).squeeze(-1)


# Answers of one model

SPAN_HEADS = dict.fromkeys(("linear_span", "joint_span", "paragraph_scorer"), linear_span)
TEXT_HEADS: dict[str, Callable[[Model, Sequence[Question]], list[Answer]]] = {}
"""Heads that score windows as a whole."""
Options = list[list[tuple[int, int, int, float]]]
"""Of each question: context, start and end in characters, score."""


def answers_of_one(settings: Settings, questions: Sequence[Question]) -> list[Answer]:
    """What one model answers, before clean-up."""
    model, name = Model(settings), settings["head"]["name"]
    if name in TEXT_HEADS:
        return TEXT_HEADS[name](model, questions)
    tokens, options, nulls = COLLECT[settings["aggregation"]](model, questions)
    return [
        _answer(settings, question, own, null, tokens)
        for question, own, null in zip(questions, options, nulls, strict=True)
    ]


def _window_by_window(model: Model, questions: Sequence[Question]) -> tuple[dict[str, Tokens], Options, list[float]]:
    """The best spans of each window by themselves, and the smallest score of "no answer" among a question's windows."""
    found: dict[int, tuple[list[tuple[int, int, int, float]], float]] = {}

    def add(batch: Batch, rows: list[int], hidden: Tensor) -> None:
        (first, last, score), null = SPAN_HEADS[model.settings["head"]["name"]](model, hidden, batch)
        if model.settings["aggregation"] == "max":  # windows compete by their log-odds against "no answer"
            score, null = score - null[:, None], torch.zeros_like(null)
        columns = zip(rows, first.tolist(), last.tolist(), score.tolist(), null.tolist(), strict=True)
        numbers = batch.number.tolist()
        for place, (row, starts, ends, scores, none) in enumerate(columns):
            spans = []
            for start, end, value in zip(starts, ends, scores, strict=True):
                number = numbers[place][start]
                if value > -math.inf and number >= 0 and number == numbers[place][end]:
                    segment, shift = batch.windows[place].segments[number], batch.at[place][number]
                    shift = segment.first - shift
                    spans.append((segment.context, start + shift, end + shift, value))
            found[row] = (spans, none)

    tokens, windows = model.each_batch(questions, add)
    options: Options = [[] for _ in questions]
    nulls = [math.inf] * len(questions)
    for row, window in enumerate(windows):
        spans, null = found[row]
        question = questions[window.question]
        for context, first, last, score in spans:
            offsets = tokens[question.contexts[context]].offsets
            options[window.question].append((context, int(offsets[first, 0]), int(offsets[last, 1]), score))
        nulls[window.question] = min(nulls[window.question], null)
    return tokens, options, nulls


def _answer(
    settings: Settings,
    question: Question,
    options: Sequence[tuple[int, int, int, float]],
    lowest: float,
    tokens: dict[str, Tokens],
) -> Answer:
    """The best different texts, without blanks at their ends; "" where "no answer" scores that much higher."""
    kept: dict[str, Candidate] = {}
    blank: dict[int, int] = {}
    ranked = sorted(options, key=lambda option: -option[3])
    for context, start, end, score in ranked:
        text = question.contexts[context][start:end]
        trimmed = text.strip()
        start += len(text) - len(text.lstrip())
        blank.setdefault(context, start)
        if trimmed and trimmed not in kept and len(kept) < settings["n_best"]:
            kept[trimmed] = Candidate(trimmed, context, start, start + len(trimmed), score)
    if not kept and lowest < math.inf:  # blanks alone: the nearest token with something to see
        score = ranked[0][3] if ranked else lowest - 100.0
        for context in dict.fromkeys([*blank, *range(len(question.contexts))]):
            text = question.contexts[context]
            if found := _nearest_visible(text, tokens[text].offsets.tolist(), blank.get(context, 0)):
                kept[text[found[0] : found[1]]] = Candidate(text[found[0] : found[1]], context, *found, score)
                break
    null = (lowest if lowest < math.inf else 0.0) if settings["no_answer"] else None
    candidates = tuple(kept.values())
    empty = not candidates or (null is not None and null - candidates[0].score > settings["null_threshold"])
    return _with_probabilities("" if empty else candidates[0].text, candidates, null, settings["temperature"])


def _with_probabilities(text: str, candidates: Sequence[Candidate], null: float | None, temperature: float) -> Answer:
    """A softmax over the candidates and "no answer"."""
    scores = [each.score / temperature for each in candidates]
    total = log_sum(scores if null is None else [*scores, null / temperature])
    kept = tuple(
        replace(each, probability=math.exp(score - total)) for each, score in zip(candidates, scores, strict=True)
    )
    return Answer(text, kept, null, 0.0 if null is None else math.exp(null / temperature - total))


def log_sum(values: Sequence[float]) -> float:
    """log of the sum of exponentials; -inf of nothing."""
    largest = max(values, default=-math.inf)
    if math.isinf(largest):
        return largest
    return largest + math.log(math.fsum(math.exp(value - largest) for value in values))


def _nearest_visible(text: str, offsets: Iterable[tuple[int, int]], at: int) -> tuple[int, int] | None:
    visible = [(start, end) for start, end in offsets if text[start:end].strip()]
    if not visible:
        return None
    start, end = min(visible, key=lambda token: (max(at - token[1] + 1, token[0] - at, 0), -token[0]))
    inner = text[start:end]
    start += len(inner) - len(inner.lstrip())
    return start, start + len(inner.strip())


COLLECT = {"max_context": _window_by_window, "max": _window_by_window}
KINDS = {"model": answers_of_one}
Clean = Callable[[Answer, Question], Answer]
CLEAN_UP: dict[str, Callable[[Settings], Clean]] = {}
"""Made of its settings, a step gives an answer another text."""


def answers_of(settings: Settings, questions: Sequence[Question]) -> list[Answer]:
    """What whatever ``settings`` describe answers, cleaned up."""
    answers = KINDS[settings["kind"]](settings, questions)
    for step in settings["postprocess"]:
        clean = CLEAN_UP[step["name"]](step)
        answers = [clean(answer, question) for answer, question in zip(answers, questions, strict=True)]
    return answers


# For table


def _table(reader: Settings, path: Path) -> Iterator[Question]:
    """One row, one question: the first text and the others."""
    form = reader["form"]
    if form == "auto":
        form = {".csv": "csv", ".tsv": "tsv"}.get(path.suffix.lower(), "json")
    if form in ("json", "jsonl"):
        document = _json(path)
        rows: list[Settings] = document["data"] if isinstance(document, dict) else document
    else:
        cells = _cells(reader, path, reader["separator"] or ("," if form == "csv" else "\t"), form)
        first = [name.strip() for name in cells[0]] if reader["glue"] else cells[0]
        headless = reader["headless"] is not None and not set(reader["texts"]) <= set(first)
        names = reader["headless"] if headless else first
        rows = [dict(zip(names, row, strict=True)) for row in cells[0 if headless else 1 :]]
    ids = next((key for key in reader["ids"] if rows and key in rows[0]), None)
    if ids is None and reader["ids"] and not reader["glue"]:
        raise SystemExit(f"{path} has no column {reader['ids'][0]!r}, the ids")
    if ids is not None and form in ("csv", "tsv"):
        whole = [_WHOLE.fullmatch(row[ids]) is not None for row in rows]  # 13.0: pandas writes so
        if reader["glue"] or all(whole):
            for row, is_whole in zip(rows, whole, strict=True):
                row[ids] = row[ids].split(".")[0] if is_whole else row[ids]
    for number, row in enumerate(rows):
        question, *others = (row[key] for key in reader["texts"])
        yield Question(_id(number if ids is None else row[ids]), question, tuple(others))


_WHOLE = re.compile(r"[+-]?[0-9]+\.0+")


def _cells(reader: Settings, path: Path, separator: str, form: str) -> list[list[str]]:
    if form == "csv" if reader["quotes"] is None else reader["quotes"]:
        csv.field_size_limit(1 << 28)
        with path.open(encoding="utf-8-sig", newline="") as file:
            return [row for row in csv.reader(file, delimiter=separator, strict=True) if row]
    text = path.read_bytes().decode("utf-8-sig").rstrip("\r\n")
    lines = re.split(r"\r?\n" if "\n" in text else r"\r", text)
    return [line.split(separator) for line in lines if line or reader["glue"]]


FORMATS["table"] = _table

# For crf


def crf(model: Model, hidden: Tensor, batch: Batch) -> tuple[Spans, Tensor]:
    """Tag paths O..O B I..I O..O by their scores over the path that is all O: of a start, an end, and of B alone."""
    outside, begin, inside = model.linear("features.linear", hidden).double().movedim(2, 0).contiguous()
    between, first_tag = model.head["transitions"].view(3, 3).double(), model.head["start"].double()
    last_tag, mask = model.head["end"].double(), batch.context
    steps, counts = between - between[0, 0], mask.cumsum(1)
    opens = mask.clone()
    opens[:, 1:] &= ~mask[:, :-1]  # no answer crosses from one context into the next
    begin = begin - outside + torch.where(mask & (counts == 1), first_tag[1] - first_tag[0], steps[0, 1])
    inside = inside - outside + steps[2, 2]
    inside = inside.masked_fill(opens, -1e8).masked_fill(~mask, 0.0).cumsum(1)
    is_last = counts == counts[:, -1:]
    leave = torch.where(is_last, (last_tag - last_tag[0])[:, None, None], steps[:, 0, None, None])
    first, last, score = best_spans(
        (begin - inside + (steps[1, 2] - steps[2, 2])).masked_fill(~mask, -1e18),
        (inside + leave[2]).masked_fill(~mask, -1e18),
        batch.start,
        mask,
        model.settings["n_best"],
        model.settings["max_answer_length"],
        single=(begin + leave[1]).masked_fill(~mask, -1e18),
    )
    score = score.masked_fill(score < -1e8 / 2, -torch.inf)
    return (first, last, score), hidden.new_zeros(len(hidden)) + _no_answer(model, hidden)


SPAN_HEADS["crf"] = crf

# For mean

UNIT = 2.0**-24
"""Sums are kept in whole multiples of it: in any order they are the same."""


def token_scores(model: Model, hidden: Tensor) -> tuple[Tensor, Tensor]:
    """(B, T) log-odds of each token as an answer's first and as its last one, against "no answer"."""
    start, end = (each - each[:, :1] for each in model.linear("features.linear", hidden).unbind(-1))
    half = _no_answer(model, hidden)
    half = half[:, None] / 2 if isinstance(half, Tensor) else half
    return start - half, end - half


def _averaged(model: Model, questions: Sequence[Question]) -> tuple[dict[str, Tokens], Options, list[float]]:
    """The scores of tokens averaged over the windows that hold them, the more a window sees around one the more it
    counts; then the best spans of each context."""
    sums: dict[tuple[int, int], np.ndarray] = defaultdict(lambda: np.zeros((3, 0), np.int64))

    def add(batch: Batch, _: list[int], hidden: Tensor) -> None:
        scores = torch.stack(token_scores(model, hidden), 1).cpu().numpy().astype(np.float64)  # (B, 2, T)
        whole = np.rint(np.clip(scores, -(2.0**14), 2.0**14) / UNIT).astype(np.int64)
        for row, window in enumerate(batch.windows):
            for segment, at in zip(window.segments, batch.at[row], strict=True):
                number = np.arange(segment.first, segment.stop)
                weight = 1 + np.minimum(number - segment.first, segment.stop - 1 - number)
                held = sums[window.question, segment.context]
                if held.shape[1] < segment.stop:
                    held = np.pad(held, ((0, 0), (0, segment.stop - held.shape[1])))
                    sums[window.question, segment.context] = held
                held[0, number] += weight
                held[1:, number] += weight * whole[row, :, at : at + len(number)]

    tokens, _ = model.each_batch(questions, add)
    pairs = [(row, context) for row, question in enumerate(questions) for context in range(len(question.contexts))]
    lengths = np.array([sums[pair].shape[1] for pair in pairs], np.int64)
    order, begin = np.argsort(-lengths, kind="stable"), 0
    spans: dict[tuple[int, int], list[tuple[int, int, int, float]]] = {}
    while begin < len(order):
        width = max(1, int(lengths[order[begin]]))
        chosen = [pairs[place] for place in order[begin : begin + max(1, (1 << 20) // width)]]
        begin += len(chosen)
        scores = np.full((2, len(chosen), width), -np.inf, np.float32)
        for row, pair in enumerate(chosen):
            held = sums[pair]
            scores[:, row, : held.shape[1]] = held[1:] * UNIT / np.maximum(held[0], 1)
        start, end = (torch.from_numpy(each) for each in scores)
        mask = torch.from_numpy(np.arange(width) < np.array([sums[pair].shape[1] for pair in chosen])[:, None])
        found = best_spans(start, end, mask, mask, model.settings["n_best"], model.settings["max_answer_length"])
        for (row, context), *columns in zip(chosen, *(each.tolist() for each in found), strict=True):
            offsets = tokens[questions[row].contexts[context]].offsets
            spans[row, context] = [
                (context, int(offsets[first, 0]), int(offsets[last, 1]), score)
                for first, last, score in zip(*columns, strict=True)
                if score > -math.inf
            ]
    options = [
        [span for context in range(len(question.contexts)) for span in spans[row, context]]
        for row, question in enumerate(questions)
    ]
    return tokens, options, [0.0] * len(questions)


COLLECT["mean"] = _averaged

# For multiple_choice, classifier


def text_scores(model: Model, hidden: Tensor, batch: Batch) -> Tensor:
    """(B, C) scores of a window as a whole: of its classes, its number, or its context."""
    head, real = model.settings["head"], batch.real[..., None].float()
    if head["pooling"] == "cls":
        read = hidden[:, :1]
    elif head["name"] == "multiple_choice":
        read = (hidden * real).sum(1, keepdim=True) / real.sum(1, keepdim=True)
    else:
        read = hidden.masked_fill(real == 0, 0.0).sum(1, keepdim=True) / real.sum(1, keepdim=True)
    if head["name"] == "multiple_choice":
        return model.linear("features.linear", read)[:, 0]
    read = read[:, 0]
    scores = model.linear("features.linear", torch.tanh(model.linear("dense", read)) if head["dense"] else read)
    return scores.sigmoid() if head["loss"] == "binary_cross_entropy" else scores


def _text_scores(model: Model, questions: Sequence[Question]) -> tuple[list[Window], list[list[float]]]:
    """Windows, and the scores of each."""
    found: dict[int, list[float]] = {}

    def add(batch: Batch, rows: list[int], hidden: Tensor) -> None:
        found.update(zip(rows, text_scores(model, hidden, batch).tolist(), strict=True))

    _, windows = model.each_batch(questions, add)
    return windows, [found[row] for row in range(len(windows))]


def _chosen_contexts(model: Model, questions: Sequence[Question]) -> list[Answer]:
    """The likeliest context; one in several windows counts by its best one."""
    best = [[-math.inf] * len(question.contexts) for question in questions]
    for window, (score,) in zip(*_text_scores(model, questions), strict=True):
        context = window.segments[0].context
        best[window.question][context] = max(best[window.question][context], score)
    names, answers = model.settings["choices"], []
    for logits in map(np.array, best):
        powers = np.exp(logits - logits.max())
        place = int(logits.argmax())
        text = names[place] if place < len(names) else str(place)
        answers.append(Answer(text, shares=tuple((powers / powers.sum()).tolist())))
    return answers


def _classes(model: Model, questions: Sequence[Question]) -> list[Answer]:
    """The likeliest class, or the number."""
    classes, answers = model.settings["classes"], []
    for scores in _text_scores(model, questions)[1]:  # one window each
        if not classes:
            answers.append(Answer(str(scores[0])))
            continue
        powers = np.exp(np.array(scores) - max(scores))
        answers.append(Answer(classes[int(np.argmax(scores))], shares=tuple((powers / powers.sum()).tolist())))
    return answers


TEXT_HEADS.update(multiple_choice=_chosen_contexts, classifier=_classes)

# For two_stage


def answers_of_two_stages(settings: Settings, questions: Sequence[Question]) -> list[Answer]:
    """The likeliest contexts are read one by one: log P(span | context) + weight x log P(context)."""
    shares = [answer.shares for answer in answers_of(settings["selection"], questions)]
    passed = [sorted(range(len(own)), key=lambda c: -own[c])[: settings["top_k"]] for own in shares]
    pairs = [
        Question(question.id, question.text, (question.contexts[context],))
        for question, contexts in zip(questions, passed, strict=True)
        for context in contexts
    ]
    read = iter(answers_of_one(settings["span"], pairs))
    return [
        _combined(settings, [(context, own[context], next(read)) for context in contexts])
        for own, contexts in zip(shares, passed, strict=True)
    ]


def _combined(settings: Settings, readings: list[tuple[int, float, Answer]]) -> Answer:
    """Of each context that was read: its number, its probability, what was found in it."""
    weight, own = settings["weight"], settings["span"]["temperature"]
    if weight == "argmax":
        readings, weight = [max(readings, key=lambda reading: reading[1])], 0.0
    found: dict[str, Candidate] = {}
    nulls = []
    for context, probability, answer in readings:
        prior = weight * math.log(max(probability, 1e-12))
        scores = [candidate.score / own for candidate in answer.candidates]
        total = log_sum(scores if answer.null is None else [*scores, answer.null / own])
        if answer.null is not None:
            nulls.append(answer.null / own - total + prior)
        for candidate, score in zip(answer.candidates, scores, strict=True):
            score = score - total + prior
            if candidate.text not in found or score > found[candidate.text].score:
                found[candidate.text] = replace(candidate, context=context, score=score)
    best = sorted(found.values(), key=lambda candidate: -candidate.score)[: settings["n_best"]]
    null = log_sum(nulls) if nulls else None
    empty = not best or (null is not None and null - best[0].score > settings["null_threshold"])
    return _with_probabilities("" if empty else best[0].text, best, null, settings["temperature"])


KINDS["two_stage"] = answers_of_two_stages

# For ensemble


def answers_of_ensemble(settings: Settings, questions: Sequence[Question]) -> list[Answer]:
    """The members' answers, voted on; or the candidate with the largest mean probability (``nbest``)."""
    columns = [answers_of(member, questions) for member in settings["members"]]
    combine = _voted if settings["method"] == "voting" else _likeliest
    return [combine(settings, ballots) for ballots in zip(*columns, strict=True)]


def _voted(settings: Settings, ballots: Sequence[Answer]) -> Answer:
    """The answer with most votes in its most voted spelling; of even ones the surer, then the earlier one."""
    weights, choices = settings["weights"], defaultdict(list)
    for voter, ballot in enumerate(ballots):
        if weights[voter] > 0:
            choices[_same(ballot.text)].append(voter)

    def votes(voters: Sequence[int]) -> float:
        return round(math.fsum(weights[voter] for voter in voters), 9)

    most = max(map(votes, choices.values()))
    tied = [voters for voters in choices.values() if votes(voters) == most]
    if len(tied) > 1 and settings["ties"] == "score":
        sure = [[_sureness(ballots[voter]) for voter in voters] for voters in tied]
        if not any(each is None for own in sure for each in own):
            sums = [
                math.fsum(weights[v] * (s or 0.0) for v, s in zip(vs, own, strict=True))
                for vs, own in zip(tied, sure, strict=True)
            ]
            tied = [tied[sums.index(max(sums))]]
    spellings = defaultdict(list)
    for voter in tied[0]:
        spellings[ballots[voter].text].append(voter)
    return ballots[max(spellings.values(), key=votes)[0]]


def _sureness(answer: Answer) -> float | None:
    if answer.shares:
        return max(answer.shares)
    if not answer.text:
        return None if answer.null is None else answer.null_probability
    found = [each for each in answer.candidates if _same(each.text) == _same(answer.text)] or answer.candidates[:1]
    return found[0].probability if found else None


def _same(text: str) -> str:
    """What answers are compared by."""
    return unicodedata.normalize("NFKC", text).strip()


def _likeliest(settings: Settings, ballots: Sequence[Answer]) -> Answer:
    """Candidates with the same text are one option, spelt and placed as most of the probability has it."""
    support: dict[Candidate | None, float] = defaultdict(float)  # of each spelling in its place; None: "no answer"
    spelt: dict[Any, Candidate | None] = {}
    for ballot, weight, temperature in zip(ballots, settings["weights"], settings["temperatures"], strict=True):
        entries: list[tuple[Candidate | None, float]] = [(each, each.probability) for each in ballot.candidates]
        entries += [] if ballot.null is None and entries else [(None, ballot.null_probability if entries else 1.0)]
        raised = [math.exp(math.log(max(share, 1e-12)) / temperature) for _, share in entries]
        for (each, _), share in zip(entries, raised, strict=True):
            known = spelt.setdefault(each and (each.text, each.start, each.context), each)
            support[known] += weight * (share / sum(raised))
    options: dict[str, list[Candidate | None]] = defaultdict(list)
    for each in support:
        options["" if each is None else _same(each.text) or each.text].append(each)
    totals = {key: sum(support[each] for each in held) for key, held in options.items()}
    candidates: list[Candidate] = []
    null, null_probability = None, 0.0
    for key in sorted(options, key=lambda key: -round(totals[key], 12)):
        if totals[key] == 0:
            continue
        best = max(options[key], key=lambda each: round(support[each], 12))
        score = math.log(max(totals[key], 1e-12))
        if best is None:
            null, null_probability = score, totals[key]
        elif len(candidates) < settings["n_best"]:
            candidates.append(replace(best, score=score, probability=totals[key]))
    empty = not candidates or (null is not None and null - candidates[0].score > settings["null_threshold"])
    return Answer("" if empty else candidates[0].text, tuple(candidates), null, null_probability)


KINDS["ensemble"] = answers_of_ensemble

# For special_chars

Place = tuple[str, int, int]
"""A context, and the characters [start, end) of it."""


def _places(answer: Answer, question: Question) -> Iterator[Place]:
    """Where the candidates lie."""
    return ((question.contexts[each.context], each.start, each.end) for each in answer.candidates)


def _place_of(answer: Answer, question: Question) -> Place | None:
    """Where the answer lies: as a candidate, else nearest to the best one and touching it, else first of all."""
    text, known = answer.text, list(_places(answer, question))
    for context, start, end in known:
        if context[start:end] == text:
            return context, start, end
    for context, start, end in known[:1]:
        low, high = max(0, start - len(text)), end + len(text)
        found = [at for at in range(low, high - len(text) + 1) if context.startswith(text, at)]
        touching = [at for at in found if at < end and start < at + len(text)]
        if touching:
            at = min(touching, key=lambda at: (abs(at - start), at))
            return context, at, at + len(text)
    for context in question.contexts:
        if (at := context.find(text)) >= 0:
            return context, at, at + len(text)
    return None


def special_chars(settings: Settings) -> Clean:
    """Blanks and stray punctuation at the ends go, lone halves of brackets get their mate or go."""
    opening, closing = settings["pairs"][::2], settings["pairs"][1::2]
    mate = {**dict(zip(opening, closing, strict=True)), **dict(zip(closing, opening, strict=True))}
    kind = {one: unicodedata.normalize("NFKC", a) for a, b in zip(opening, closing, strict=True) for one in (a, b)}
    blanks = "".join(chr(code) for code in range(0x3001) if chr(code).isspace())
    outer = blanks + "\u200b\u200c\u200d\u200e\u200f\u2060\ufeff" if settings["strip"] else ""
    edges, removed = outer + settings["edges"], dict.fromkeys(map(ord, settings["remove"]))

    def inner(text: str) -> str:
        return (text.strip(edges) or text.strip(outer)) if edges else text

    def tidy(text: str) -> str:
        return inner(text.translate(removed))

    def lone(text: str) -> tuple[list[int], list[int]]:
        """Where opening and closing halves without a mate stand."""
        opened: dict[str, list[int]] = defaultdict(list)
        closed = []
        for at, letter in enumerate(text):
            if letter in opening:
                opened[kind[letter]].append(at)
            elif letter in closing and opened[kind[letter]]:
                opened[kind[letter]].pop()
            elif letter in closing:
                closed.append(at)
        return sorted(chain.from_iterable(opened.values())), closed

    def fit(left: str, right: str) -> bool:
        return left in opening and right in closing and kind[left] == kind[right]

    def place_of(answer: Answer, question: Question) -> Place | None:
        for context, start, end in _places(answer, question):
            if tidy(context[start:end]) == answer.text:
                text = inner(context[start:end])
                start += context[start:end].index(text)
                return context, start, start + len(text)
        return _place_of(answer, question)

    def mended(answer: Answer, question: Question) -> str:
        text, (opens, closes) = answer.text, lone(answer.text)
        if settings["complete"] == "keep" or not (opens or closes):
            return text
        if settings["complete"] != "drop" and (place := place_of(answer, question)) is not None:
            context, start, end = place
            left, right = [text[at] for at in opens], [text[at] for at in reversed(closes)]
            while left and end < len(context) and fit(left[-1], context[end]):
                left.pop()
                end += 1
            while right and start and fit(context[start - 1], right[-1]):
                right.pop()
                start -= 1
            if tidy(context[start:end]) != text:
                return context[start:end]
        if settings["complete"] == "always":
            before, after = (
                "".join(mate[text[at]] for at in reversed(closes)),
                [mate[text[at]] for at in reversed(opens)],
            )
            return before + text + "".join(after)
        start = int(0 in opens + closes)
        end = len(text) - int(len(text) - 1 in opens + closes)
        return text[start:end] if start < end else text

    def clean(answer: Answer, question: Question) -> Answer:
        if not answer.text or answer.shares:
            return answer
        answer = replace(answer, text=tidy(answer.text))
        while (text := tidy(mended(answer, question))) != answer.text:
            answer = replace(answer, text=text)
        return answer

    return clean


CLEAN_UP["special_chars"] = special_chars

# For length_prior


def length_prior(settings: Settings) -> Clean:
    """The candidate that is best under its probability and a bell over the logarithm of its length."""

    def score(candidate: Candidate) -> float:
        away = (math.log(max(1, len(candidate.text))) - math.log(settings["median"])) / settings["spread"]
        prior: float = settings["weight"] * away**2 / 2
        return math.log(max(1e-12, candidate.probability)) - prior

    def clean(answer: Answer, _: Question) -> Answer:
        if not answer.text or len(answer.candidates) < 2:
            return answer
        best = max(answer.candidates, key=score)
        source = next((each for each in answer.candidates if each.text == answer.text), answer.candidates[0])
        return answer if best is source else replace(answer, text=best.text)

    return clean


CLEAN_UP["length_prior"] = length_prior


# For all: writing


def write_answers(writer: Settings, output: Path, questions: Sequence[Question], answers: Sequence[Answer]) -> None:
    """The answer file."""
    rows = [(question.id, answer.text) for question, answer in zip(questions, answers, strict=True)]
    if writer["name"] == "squad_json":
        lines = [
            f"{json.dumps(name, ensure_ascii=False)}: {json.dumps(text, ensure_ascii=False)}"
            for name, text in dict(rows).items()
        ]
        content = "{\n" + "".join(f"{line},\n" for line in lines[:-1]) + (f"{lines[-1]}\n" if lines else "") + "}\n"
    elif writer["name"] == "jsonl":
        content = "".join(json.dumps({"id": name, "answer": text}, ensure_ascii=False) + "\n" for name, text in rows)
    else:
        removed = dict.fromkeys(map(ord, writer["remove_characters"]))
        rows = [(name, text.translate(removed)) for name, text in rows]
        header = [(writer["id_column"], writer["answer_column"])] if writer["header"] else []
        content = "".join(",".join(_cell(writer, each) for each in row) + writer["line_end"] for row in header + rows)
    output.write_bytes(
        (b"\xef\xbb\xbf" if writer.get("bom") else b"") + content.encode(writer.get("encoding", "utf-8"))
    )


def _cell(writer: Settings, text: str) -> str:
    needed = writer["quoting"] == "all" or re.search(r'[",\r\n]', text)
    return '"' + text.replace('"', '""') + '"' if needed else text


def main() -> None:
    """See the module."""
    settings = json.loads((HERE / "settings.json").read_text("utf-8"))
    if len(sys.argv) != 1 + len(settings["arguments"]):
        raise SystemExit(f"usage: python predict.py {' '.join(settings['arguments'])}")
    files = dict(zip(settings["arguments"], map(Path, sys.argv[1:]), strict=True))
    questions = read_questions(settings["reader"], files["TEST"], files.get("CONTEXT"))
    answers = answers_of(settings["answers"], questions)
    write_answers(settings["writer"], files["OUTPUT"], questions, answers)


if __name__ == "__main__":
    main()
