"""Answers a file of questions with the models beside this file, on the CPU or the first GPU, without a network.

    python predict.py [CONTEXT] TEST OUTPUT

It needs Python 3.10 or later, torch and transformers 4.40 to 5, and reads ``settings.json``: how files are read, which
models answer, how their scores become answers, and how these are cleaned up and written. From top to bottom:
reading, windows, the model, heads, answers of one model; what these models need besides; writing.

Positions and tokens count from 0; ends are exclusive, but for ``last``.
"""

from __future__ import annotations

import csv
import io
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
from typing import Any, NoReturn

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
    several: tuple[str, ...] | None = None
    """All answers, where a question may have any number of them; ``text`` is their list as JSON, or ""."""


def refuse(said: str) -> NoReturn:
    """End with one line."""
    sys.stderr.write(f"{said}\n")
    raise SystemExit(2)


# Reading

FORMATS: dict[str, Callable[[Settings, Path], Iterator[Question]]] = {}
"""Those that have a part of their own."""


def read_questions(reader: Settings, test: Path, contexts: Path | None) -> list[Question]:
    """The questions of a file, in its order; without halves of surrogate pairs, which no file can hold.

    Raises:
        SystemExit: a record is none, or an id comes twice.
    """
    found: list[Question] = []
    try:
        for each in _read(reader, test, contexts):
            found.append(  # noqa: PERF401 - it is told how many there were
                Question(_sound(each.id), _sound(each.text), tuple(map(_sound, each.contexts)))
            )
    except (LookupError, ValueError, TypeError, AttributeError) as error:
        said = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        refuse(f"{test}, record {len(found) + 1} is not as {reader['format']} files have it: {said}")
    if len(ids := {each.id for each in found}) < len(found):
        refuse(f"{test}: {len(found)} questions have {len(ids)} different ids: an answer file needs one for each")
    return found


def _read(reader: Settings, test: Path, contexts: Path | None) -> Iterator[Question]:
    kind = reader["format"]
    if kind in FORMATS:
        yield from FORMATS[kind](reader, test)
        return
    document = _json(test)
    if kind == "adl":
        texts = _json(contexts or test.parent / "context.json")
        for q in document:
            yield Question(_id(q["id"]), q["question"], tuple(_paragraph(texts, n) for n in q["paragraphs"]))
    elif kind == "hw7":
        for q in document["questions"]:
            context = _paragraph(document["paragraphs"], q["paragraph_id"])
            yield Question(_id(q["id"]), q["question_text"], (context,))
    elif kind == "multispanqa":
        for q in document["data"] if isinstance(document, dict) else document:
            yield Question(_id(q["id"]), " ".join(q["question"]), (" ".join(q["context"]),))
    else:
        yield from _squad(document["data"] if isinstance(document, dict) else document)


def _paragraph(texts: Sequence[str], number: object) -> str:
    place = int(str(number))
    if not 0 <= place < len(texts):
        raise ValueError(f"there is no paragraph {place} among {len(texts)}")
    return texts[place]


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
        if content.startswith(b"\x1f\x8b"):
            refuse(f"{path} is compressed: unpack it first (gunzip)")
        return content.decode("utf-8-sig")
    except OSError as error:
        refuse(f"{path} cannot be read: {error.strerror}")
    except ValueError as error:
        refuse(f"{path} is no text in UTF-8: {error}")


def _json(path: Path) -> Any:
    text = _text(path)
    lines = text.split("\n") if path.suffix in (".jsonl", ".ndjson") else []
    try:
        return [json.loads(line) for line in lines if line.strip()] if lines else json.loads(text)
    except (ValueError, RecursionError) as error:
        refuse(f"{path} is no JSON: {error}")


def _squad(entries: Iterable[Settings]) -> Iterator[Question]:
    """Articles, paragraphs that stand alone, or single questions."""
    for entry in entries:
        for paragraph in entry.get("paragraphs", [entry]):
            for item in paragraph.get("qas", [paragraph]):
                context, question, name = (
                    where[next((key for key in keys if key in where), keys[0])]
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
        raise ValueError(f"an id should be text or a whole number, not {value!r}")
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
            refuse(f"transformers has other names for the weights of a {config.model_type}: {lost[0]}")
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
        half = torch.bfloat16 if choice in ("bf16", "bf16_emulated") or (choice == "auto" and native) else None
    else:
        native = torch.cuda.get_device_capability()[0] >= 8
        is_bf16 = choice == "bf16_emulated" or (native and choice in ("auto", "bf16"))
        half = torch.bfloat16 if is_bf16 else torch.float16
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
    first = starts.gather(1, place // limit).masked_fill(score == -torch.inf, 0)
    return first, first + (place % limit).masked_fill(score == -torch.inf, 0), score.float()


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


def _no_answer(model: Model, hidden: Tensor) -> Tensor:
    """(B,) the log-odds of "no answer" by the classifier beside the spans; 0 where there is none."""
    if "features.answerability.weight" not in model.head:
        return hidden.new_zeros(len(hidden))
    return model.linear("features.answerability", hidden[:, 0]).squeeze(-1)


# Answers of one model

SPAN_HEADS = dict.fromkeys(("linear_span", "joint_span", "paragraph_scorer"), linear_span)
TEXT_HEADS: dict[str, Callable[[Model, Sequence[Question]], list[Answer]]] = {}
"""Heads that score windows as a whole."""
YES_NO = ("yes", "no")
"""Answers that lie nowhere: their characters are -1, and -2."""
Option = tuple[int, int, int, float]
"""Context, start and end in characters, score."""
Found = tuple[list[list[Option]], list[float]]
"""Of each question: the options, and the score of "no answer"."""


def answers_of_one(settings: Settings, questions: Sequence[Question]) -> list[Answer]:
    """What one model answers, before clean-up."""
    model, name = Model(settings), settings["head"]["name"]
    if name in TEXT_HEADS:
        return TEXT_HEADS[name](model, questions)
    scores = COLLECT[settings["aggregation"]](model)
    tokens, windows = model.each_batch(questions, scores.add)
    return answers_from(settings, questions, tokens, scores.found(questions, tokens, windows))


def answers_from(
    settings: Settings, questions: Sequence[Question], tokens: dict[str, Tokens], found: Found
) -> list[Answer]:
    """What is chosen from the options."""
    choose = CHOOSE[settings["head"].get("spans", "one")]
    return [
        choose(settings, question, own, null, tokens) for question, own, null in zip(questions, *found, strict=True)
    ]


class WindowSpans:
    """The best spans of each window by themselves."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.windows: dict[int, tuple[list[tuple[int, int, int, float]], float]] = {}
        """Of each: context, first and last token (inclusive), score; and the score of "no answer"."""

    def add(self, batch: Batch, rows: list[int], hidden: Tensor) -> None:
        """Take over a batch."""
        head = self.model.settings["head"]["name"]
        (first, last, score), null = SPAN_HEADS[head](self.model, hidden, batch)
        said = null.new_zeros(len(rows), 0)
        if "features.answer_type.weight" in self.model.head:
            said = yes_no_scores(self.model, hidden, batch)
        if self.model.settings["aggregation"] == "max":  # windows compete by their log-odds against "no answer"
            score, said, null = score - null[:, None], said - null[:, None], torch.zeros_like(null)
        columns = zip(rows, first.tolist(), last.tolist(), score.tolist(), null.tolist(), strict=True)
        numbers, said_scores = batch.number.tolist(), said.tolist()
        for place, (row, starts, ends, scores, none) in enumerate(columns):
            window, spans = batch.windows[place], []
            for start, end, value in zip(starts, ends, scores, strict=True):
                number = numbers[place][start]
                if value > -math.inf and number >= 0 and number == numbers[place][end]:
                    segment, shift = window.segments[number], batch.at[place][number]
                    shift = segment.first - shift
                    spans.append((segment.context, start + shift, end + shift, value))
            held = [segment.context for segment in window.segments if segment.first < segment.stop]
            spans += [
                (held[0], -1 - answer, -1, value) for answer, value in enumerate(said_scores[place] if held else ())
            ]
            self.windows[row] = (spans, none)

    def found(self, questions: Sequence[Question], tokens: dict[str, Tokens], windows: list[Window]) -> Found:
        """All windows' spans; and the smallest score of "no answer" among a question's windows."""
        options: list[list[Option]] = [[] for _ in questions]
        nulls = [math.inf] * len(questions)
        for row, window in enumerate(windows):
            spans, null = self.windows[row]
            for context, first, last, score in spans:
                offsets = tokens[questions[window.question].contexts[context]].offsets
                start, end = (first, first) if first < 0 else (int(offsets[first, 0]), int(offsets[last, 1]))
                options[window.question].append((context, start, end, score))
            nulls[window.question] = min(nulls[window.question], null)
        return options, nulls


def _answer(
    settings: Settings,
    question: Question,
    options: Sequence[Option],
    lowest: float,
    tokens: dict[str, Tokens],
) -> Answer:
    """The best different texts, without blanks at their ends; "" where "no answer" scores that much higher."""
    kept: dict[str, Candidate] = {}
    blank: dict[int, int] = {}
    ranked = sorted(options, key=lambda option: -option[3])
    for context, start, end, score in ranked:
        text = question.contexts[context][start:end] if start >= 0 else YES_NO[-1 - start]
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


COLLECT: dict[str, Any] = {"max_context": WindowSpans, "max": WindowSpans}
CHOOSE: dict[str, Callable[..., Answer]] = {"one": _answer}
KINDS = {"model": answers_of_one}
Clean = Callable[[Answer, Question], Answer]
CLEAN_UP: dict[str, Callable[[Settings], Clean]] = {}
"""Made of its settings, a step gives an answer another text."""


def answers_of(settings: Settings, questions: Sequence[Question]) -> list[Answer]:
    """What whatever ``settings`` describe answers, cleaned up."""
    answers = KINDS[settings["kind"]](settings, questions)
    for step in settings["postprocess"]:
        clean = CLEAN_UP[step["name"]](step)
        answers = [_cleaned(clean, answer, question) for answer, question in zip(answers, questions, strict=True)]
    return answers


def _cleaned(clean: Clean, answer: Answer, question: Question) -> Answer:
    if answer.several is None:
        return clean(answer, question)
    pairs = zip(answer.several, answer.candidates, strict=True)
    return listed([clean(Answer(text, (place,)), question).text for text, place in pairs], answer.candidates)


def listed(texts: Sequence[str], candidates: Sequence[Candidate]) -> Answer:
    """All answers to a question as one."""
    return Answer(json.dumps(texts, ensure_ascii=False) if texts else "", tuple(candidates), several=tuple(texts))


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
        if not cells:
            refuse(f"{path} is empty")
        first = [name.strip() for name in cells[0]] if reader["glue"] else cells[0]
        headless = reader["headless"] is not None and not set(reader["texts"]) <= set(first)
        names = reader["headless"] if headless else first
        rows = []
        for cut in cells[0 if headless else 1 :]:
            if len(cut) != len(names):
                refuse(f"{path}, row {len(rows) + 1} has {len(cut)} cells, not {len(names)}: {', '.join(names)}")
            rows.append(dict(zip(names, cut, strict=True)))
    ids = next((key for key in reader["ids"] if rows and key in rows[0]), None)
    if ids is None and reader["ids"] and not reader["glue"]:
        refuse(f"{path} has no column {reader['ids'][0]!r}, the ids")
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
    text = _text(path)
    if text.startswith("sep="):
        refuse(f"{path} begins with a line for Excel, {text.splitlines()[0]}: take it out")
    if form == "csv" if reader["quotes"] is None else reader["quotes"]:
        csv.field_size_limit(1 << 28)
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        try:
            return [row for row in rows if row]
        except csv.Error as error:
            refuse(f"{path}, line {rows.line_num}: {error}")
    text = text.rstrip("\r\n")
    lines = re.split(r"\r?\n" if "\n" in text else r"\r", text)
    return [line.split(separator) for line in lines if line or reader["glue"]]


FORMATS["table"] = _table

# For crf


def path_scores(model: Model, hidden: Tensor, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """(B, T) float64 each: tag paths O..O B I..I O..O score ``first[first] + last[last]`` above the path that is all O,
    those with B alone ``single[first]``; -1e18 outside contexts, about -1e8 where a path goes over a border."""
    outside, begin, inside = model.linear("features.linear", hidden).double().movedim(2, 0).contiguous()
    between, first_tag = model.head["transitions"].view(3, 3).double(), model.head["start"].double()
    last_tag, mask = model.head["end"].double(), batch.context
    steps, counts = between - between[0, 0], mask.cumsum(1)
    begin = begin - outside + torch.where(mask & (counts == 1), first_tag[1] - first_tag[0], steps[0, 1])
    inside = inside - outside + steps[2, 2]
    inside = inside.masked_fill(opens_context(mask), -1e8).masked_fill(~mask, 0.0).cumsum(1)
    is_last = counts == counts[:, -1:]
    leave = torch.where(is_last, (last_tag - last_tag[0])[:, None, None], steps[:, 0, None, None])
    first, last = begin - inside + (steps[1, 2] - steps[2, 2]), inside + leave[2]
    return first.masked_fill(~mask, -1e18), last.masked_fill(~mask, -1e18), (begin + leave[1]).masked_fill(~mask, -1e18)


def opens_context(mask: Tensor) -> Tensor:
    """(B, T) bool: the first tokens of contexts. No answer crosses from one context into the next."""
    opens = mask.clone()
    opens[:, 1:] &= ~mask[:, :-1]
    return opens


def crf(model: Model, hidden: Tensor, batch: Batch) -> tuple[Spans, Tensor]:
    """The best paths with one answer."""
    first, last, single = path_scores(model, hidden, batch)
    n_best, limit = model.settings["n_best"], model.settings["max_answer_length"]
    first, last, score = best_spans(first, last, batch.start, batch.context, n_best, limit, single)
    score = score.masked_fill(score < -1e8 / 2, -torch.inf)
    return (first, last, score), _no_answer(model, hidden)


SPAN_HEADS["crf"] = crf

# For spans=many: all answers of the best tag path


def best_paths(model: Model, hidden: Tensor, batch: Batch) -> Tensor:
    """(B, T) int64: 0 for O, 1 for B, 2 for I (Viterbi); only context tokens have tags."""
    emissions, never = model.linear("features.linear", hidden).double(), -1e30
    steps, first_tag = model.head["transitions"].view(3, 3).double().clone(), model.head["start"].double()
    steps[0, 2] = never  # an answer begins with B
    mask, opens, counts = batch.context, opens_context(batch.context), batch.context.cumsum(1)
    score = hidden.new_zeros(len(hidden), 3, dtype=torch.float64)
    back = []  # of each position, the tag before by the tag here
    for at, here in enumerate(emissions.unbind(1)):
        best, before = (score[:, :, None] + steps).max(1)
        best = torch.where(counts[:, at, None] == 1, first_tag, best)
        best[:, 2] = best[:, 2].masked_fill(opens[:, at], never)  # no answer goes on from another context
        score = torch.where(mask[:, at, None], best + here, score)
        back.append(torch.where(mask[:, at, None], before, torch.arange(3, device=hidden.device)))
    tags = [(score + model.head["end"].double()).argmax(1)]
    for before in reversed(back[1:]):
        tags.append(before.gather(1, tags[-1][:, None]).squeeze(1))
    return torch.stack(tags[::-1], 1) * mask


def all_spans(model: Model, hidden: Tensor, batch: Batch) -> tuple[Spans, Tensor]:
    """The answers of each window's best path, each by its log-odds against none."""
    first, last, single = path_scores(model, hidden, batch)
    path, place = best_paths(model, hidden, batch), torch.arange(hidden.shape[1], device=hidden.device)
    ends = (path > 0) & (F.pad(path[:, 1:], (0, 1)) != 2)
    stop = torch.where(ends, place, len(place)).flip(1).cummin(1).values.flip(1)
    begins = (path == 1) & batch.start & (stop - place < model.settings["max_answer_length"])
    stop = torch.where(begins, stop, 0)
    score = torch.where(stop == place, single, first + last.gather(1, stop)).float().masked_fill(~begins, -torch.inf)
    score, at = score.topk(min(model.settings["n_best"], len(place)), dim=1)
    return (at, stop.gather(1, at), score), hidden.new_zeros(len(hidden))


def _all_answers(_: Settings, question: Question, options: Sequence[Option], *__: Any) -> Answer:
    """Those of all windows; of two that share a character the better one."""
    kept: list[Candidate] = []
    for context, start, end, score in sorted(options, key=lambda option: -option[3]):
        cut = question.contexts[context][start:end]
        text = cut.strip()
        start += len(cut) - len(cut.lstrip())
        end = start + len(text)
        if text and not any(each.context == context and each.start < end and start < each.end for each in kept):
            kept.append(Candidate(text, context, start, end, score))
    kept.sort(key=lambda each: (each.context, each.start))
    return listed([each.text for each in kept], kept)


SPAN_HEADS["crf"], CHOOSE["many"] = all_spans, _all_answers

# For interaction, yes_no_weight, token_scores=joint_span, token_scores=crf: every span of a window


def every_span(
    batch: Batch, start: Tensor, end: Tensor, limit: int, *, single: Tensor | None = None, more: Tensor | None = None
) -> Tensor:
    """(B, T, L) the scores of the spans of 1, 2 ... L tokens from each position; -inf of those that leave a context.

    Those of one token score ``single``, if it is given; ``more`` (B, T, T) is for first and last token together.
    """
    width, limit = start.shape[1], min(limit, start.shape[1])

    def ahead(values: Tensor) -> Tensor:
        return F.pad(values, (0, limit - 1)).unfold(1, limit, 1)

    scores = start[:, :, None] + ahead(end)
    if more is not None:
        place = torch.arange(width, device=start.device)[:, None] + torch.arange(limit, device=start.device)
        scores = scores + F.pad(more, (0, limit - 1)).gather(2, place.expand(len(start), -1, -1))
    if single is not None:
        scores = torch.cat([single[:, :, None], scores[:, :, 1:]], 2)
    segment = batch.number + 1  # 0 is outside, and what is padded
    return scores.masked_fill((segment == 0)[:, :, None] | (ahead(segment) != segment[:, :, None]), -torch.inf)


def starts_and_ends(spans: Tensor) -> tuple[Tensor, Tensor]:
    """(B, T) each: logarithms of the sums over all spans that start, and that end, at each position."""
    width = spans.shape[1]
    by_end = [F.pad(spans[:, : width - more, more], (more, 0), value=-torch.inf) for more in range(spans.shape[2])]
    return spans.logsumexp(2), torch.stack(by_end, 2).logsumexp(2)


def spans_of_joint(model: Model, hidden: Tensor, batch: Batch) -> Tensor:
    """(B, T, L) the scores of all spans of a joint_span head, with its term for first and last token together."""
    scores = model.linear("features.linear", hidden)
    pairs, more = scores[..., 2:], None
    if pairs.shape[2]:
        left, right = pairs.chunk(2, 2)
        more = left @ right.mT / math.sqrt(left.shape[2])
    return every_span(batch, scores[..., 0], scores[..., 1], model.settings["max_answer_length"], more=more)


def null_of_joint(model: Model, hidden: Tensor) -> Tensor:
    """(B,) the scores of "no answer" of such a head."""
    return model.linear("features.linear", hidden[:, 0])[:, :2].sum(1) + _no_answer(model, hidden)


# For interaction


def interacting_spans(model: Model, hidden: Tensor, batch: Batch) -> tuple[Spans, Tensor]:
    """The best ones of all spans."""
    spans = spans_of_joint(model, hidden, batch).masked_fill(~batch.start[:, :, None], -torch.inf)
    score, place = spans.flatten(1).topk(min(model.settings["n_best"], spans[0].numel()), dim=1)
    first = place // spans.shape[2]
    return (first, first + place % spans.shape[2], score), null_of_joint(model, hidden)


SPAN_HEADS["joint_span"] = interacting_spans

# For yes_no_weight


def yes_no_scores(model: Model, hidden: Tensor, batch: Batch) -> Tensor:
    """(B, 2) the scores of yes and of no: that of all spans and "no answer" together, times their odds."""
    head, possible = model.settings["head"]["name"], batch.context.clone()
    if head == "crf":
        first, last, single = path_scores(model, hidden, batch)
        before = F.pad(first.logcumsumexp(1)[:, :-1], (1, 0), value=-1e18)  # starts before each position
        total = torch.cat([torch.zeros_like(single[:, :1]), single, last + before], 1).logsumexp(1).float()
    elif head == "joint_span":
        null = null_of_joint(model, hidden)
        total = torch.cat([null[:, None], spans_of_joint(model, hidden, batch).flatten(1)], 1).logsumexp(1)
    else:
        possible[:, 0] = True
        scores = model.linear("features.linear", hidden)[..., :2]
        total = scores.masked_fill(~possible[..., None], -torch.inf).logsumexp(1).sum(1)
    kinds = model.linear("features.answer_type", hidden[:, 0])
    return total[:, None] + (kinds[:, 1:] - kinds[:, :1])


# For token_scores=linear_span, token_scores=joint_span, token_scores=crf

UNIT = 2.0**-24
"""Sums are kept in whole multiples of it: in any order they are the same."""
TOKEN_SCORES: dict[str, Callable[[Model, Tensor, Batch], tuple[Tensor, Tensor]]] = {}
"""Of heads: (B, T) log-odds of each token as an answer's first and as its last one, against "no answer"."""


def linear_token_scores(model: Model, hidden: Tensor, _: Batch) -> tuple[Tensor, Tensor]:
    """The scores less those of position 0."""
    start, end = (each - each[:, :1] for each in model.linear("features.linear", hidden).unbind(-1))
    half = _no_answer(model, hidden)[:, None] / 2
    return start - half, end - half


TOKEN_SCORES["linear_span"] = linear_token_scores


class TokenScores:
    """Start and end scores of each context's tokens.

    Of a token in several windows the mean, where the more a window sees around it the more it counts; or the largest,
    where windows answer by themselves.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.means = model.settings["aggregation"] == "mean"
        self.held: dict[tuple[int, int], np.ndarray] = {}
        """By question and context: weights, starts and ends, (3, n)."""

    def add(self, batch: Batch, _: list[int], hidden: Tensor) -> None:
        """Take over a batch."""
        both = TOKEN_SCORES[self.model.settings["token_scores"]](self.model, hidden, batch)
        scores = torch.stack(both, 1).float().cpu().numpy()  # (B, 2, T)
        for row, window in enumerate(batch.windows):
            for segment, at in zip(window.segments, batch.at[row], strict=True):
                number = np.arange(segment.own, segment.own_stop)
                values = scores[row, :, at + number - segment.first].T.astype(np.float64)
                held = self._held(window.question, segment.context, segment.stop)
                if self.means:
                    weight = 1 + np.minimum(number - segment.first, segment.stop - 1 - number)
                    held[0, number] += weight
                    held[1:, number] += weight * np.rint(np.clip(values, -(2.0**14), 2.0**14) / UNIT).astype(np.int64)
                else:
                    held[0, number] = 1
                    held[1:, number] = np.maximum(held[1:, number], values)

    def _held(self, question: int, context: int, stop: int) -> np.ndarray:
        """The array, with room for that many tokens."""
        held = self.held.get((question, context))
        if held is None or held.shape[1] < stop:
            wider = np.zeros((3, stop), np.int64) if self.means else np.full((3, stop), -np.inf)
            if held is not None:
                wider[:, : held.shape[1]] = held
            self.held[question, context] = held = wider
        return held

    def of(self, question: int, context: int) -> np.ndarray:
        """(2, n) float32, as far as windows reach: starts and ends."""
        held = self._held(question, context, 0)
        if not self.means:
            return held[1:].astype(np.float32)
        return np.where(held[0] > 0, held[1:] * UNIT / np.maximum(held[0], 1), -np.inf).astype(np.float32)

    def found(self, questions: Sequence[Question], tokens: dict[str, Tokens], _: list[Window]) -> Found:
        """The best spans of each context; "no answer" scores 0."""
        pairs = [(row, context) for row, question in enumerate(questions) for context in range(len(question.contexts))]
        scores = {pair: self.of(*pair) for pair in pairs}
        lengths = np.array([scores[pair].shape[1] for pair in pairs], np.int64)
        order, begin = np.argsort(-lengths, kind="stable"), 0
        spans: dict[tuple[int, int], list[Option]] = {}
        while begin < len(order):
            width = max(1, int(lengths[order[begin]]))
            chosen = [pairs[place] for place in order[begin : begin + max(1, (1 << 20) // width)]]
            begin += len(chosen)
            padded = np.full((2, len(chosen), width), -np.inf, np.float32)
            for row, pair in enumerate(chosen):
                padded[:, row, : scores[pair].shape[1]] = scores[pair]
            start, end = (torch.from_numpy(each) for each in padded)
            mask = torch.from_numpy(np.arange(width) < np.array([scores[pair].shape[1] for pair in chosen])[:, None])
            settings = self.model.settings
            best = best_spans(start, end, mask, mask, settings["n_best"], settings["max_answer_length"])
            for (row, context), *columns in zip(chosen, *(each.tolist() for each in best), strict=True):
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
        return options, [0.0] * len(questions)


COLLECT["mean"] = TokenScores

# For token_scores=joint_span, token_scores=crf


def joint_token_scores(model: Model, hidden: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Sums over all spans that start, and that end, there."""
    null = null_of_joint(model, hidden)[:, None]
    start, end = starts_and_ends(spans_of_joint(model, hidden, batch))
    return start - null, end - null


def crf_token_scores(model: Model, hidden: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Likewise."""
    first, last, single = path_scores(model, hidden, batch)
    null = _no_answer(model, hidden)[:, None]
    start, end = starts_and_ends(every_span(batch, first, last, model.settings["max_answer_length"], single=single))
    return start.float() - null, end.float() - null


TOKEN_SCORES.update(joint_span=joint_token_scores, crf=crf_token_scores)

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

# For voting, nbest


def _same(text: str) -> str:
    """What answers are compared by."""
    return unicodedata.normalize("NFKC", text).strip()


# For voting


def answers_of_voting(settings: Settings, questions: Sequence[Question]) -> list[Answer]:
    """The members' answers, voted on."""
    columns = [answers_of(member, questions) for member in settings["members"]]
    return [_voted(settings, ballots) for ballots in zip(*columns, strict=True)]


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


KINDS["voting"] = answers_of_voting

# For nbest


def answers_of_nbest(settings: Settings, questions: Sequence[Question]) -> list[Answer]:
    """The candidates with the largest mean probabilities."""
    columns = [answers_of(member, questions) for member in settings["members"]]
    return [_likeliest(settings, ballots) for ballots in zip(*columns, strict=True)]


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


KINDS["nbest"] = answers_of_nbest

# For kind=mean


def answers_of_mean(settings: Settings, questions: Sequence[Question]) -> list[Answer]:
    """Classes and contexts by their mean probabilities, the likeliest wins; numbers by their mean."""
    columns = [answers_of(member, questions) for member in settings["members"]]
    weights, names = settings["weights"], settings["classes"] or settings["choices"]
    if columns[0] and not columns[0][0].shares:
        numbers = np.array([[float(answer.text) for answer in column] for column in columns])  # (M, N)
        return [Answer(str(mean)) for mean in np.tensordot(weights, numbers, 1).tolist()]
    answers = []
    for ballots in zip(*columns, strict=True):
        mean = np.zeros(len(ballots[0].shares))
        for member, ballot, weight, temperature in zip(
            settings["members"], ballots, weights, settings["temperatures"], strict=True
        ):
            order = [member["classes"].index(name) for name in settings["classes"]] or range(len(mean))
            logs = np.log(np.maximum([ballot.shares[place] for place in order], 1e-12)) / temperature
            powers = np.exp(logs - logs.max())
            mean += weight * (powers / powers.sum())
        place = int(np.round(mean, 12).argmax())
        answers.append(Answer(names[place] if place < len(names) else str(place), shares=tuple(mean.tolist())))
    return answers


KINDS["mean"] = answers_of_mean

# For char_average

Sides = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Log-probabilities of each character of a question's contexts, one after the other, as the answer's first one and as
its last one (inclusive), float16; and of "no answer" in both distributions, (2,) float32."""


def answers_of_char_average(settings: Settings, questions: Sequence[Question]) -> list[Answer]:
    """The members' probabilities of first and last characters are averaged, then the best spans are searched."""
    members = [_read_by_characters(member, questions) for member in settings["members"]]
    return [
        _averaged(settings, question, [answers[row] for answers, _ in members], [sides[row] for _, sides in members])
        for row, question in enumerate(questions)
    ]


def _read_by_characters(settings: Settings, questions: Sequence[Question]) -> tuple[list[Answer], list[Sides]]:
    """A model's answers, and its characters' probabilities."""
    model = Model(settings)
    scores = TokenScores(model)
    spans = scores if scores.means else COLLECT[settings["aggregation"]](model)

    def add(batch: Batch, rows: list[int], hidden: Tensor) -> None:
        scores.add(batch, rows, hidden)
        if spans is not scores:
            spans.add(batch, rows, hidden)

    tokens, windows = model.each_batch(questions, add)
    answers = answers_from(settings, questions, tokens, spans.found(questions, tokens, windows))
    places = {text: _visible_ends(text, tokens[text].offsets) for each in questions for text in each.contexts}
    return answers, [_characters(scores, row, question, tokens, places) for row, question in enumerate(questions)]


def _visible_ends(text: str, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n,) each token's first and last character that is no blank; its own ends if all are."""
    start, end = offsets[:, 0], offsets[:, 1] - 1
    if not text:
        return start, end
    place, visible = np.arange(len(text)), np.array([not letter.isspace() for letter in text])
    following = np.minimum.accumulate(np.where(visible, place, len(text))[::-1])[::-1]
    preceding = np.maximum.accumulate(np.where(visible, place, -1))
    first = following[np.minimum(start, len(text) - 1)]
    return (
        np.where(first <= end, first, start),
        np.where(first <= end, preceding[np.maximum(end, 0)], end),
    )


def _characters(
    scores: TokenScores, row: int, question: Question, tokens: dict[str, Tokens], places: dict[str, Any]
) -> Sides:
    """A token's probability stands at its first (last) visible character; tokens of one character share it."""
    size, sides, nulls = sum(map(len, question.contexts)), [], []
    for side in (0, 1):
        character, odds, origin = [], [], 0
        for context, text in enumerate(question.contexts):
            own = scores.of(row, context)[side].astype(np.float64)
            own = np.pad(own, (0, len(tokens[text].ids) - len(own)), constant_values=-np.inf)
            wide = np.diff(tokens[text].offsets)[:, 0] > 0  # tokens without characters don't count
            character.append(origin + places[text][side][wide])
            odds.append(own[wide])
            origin += len(text)
        all_odds = np.concatenate(odds)
        largest = max(0.0, float(all_odds.max(initial=-np.inf)))
        total = largest + np.log(np.exp(-largest) + _sum(np.exp(all_odds - largest)))
        block = np.full(size, -np.inf)
        np.logaddexp.at(block, np.concatenate(character), all_odds - total)
        sides.append(np.where(block < -65504.0, -np.inf, block).astype(np.float16))
        nulls.append(-total)
    return sides[0], sides[1], np.array(nulls, np.float32)


def _sum(values: np.ndarray) -> float:
    """Added one after the other: ``np.sum`` has another order, and so other last digits."""
    return float(np.bincount(np.zeros(len(values), np.int64), values, 1)[0])


def _averaged(settings: Settings, question: Question, answers: Sequence[Answer], members: Sequence[Sides]) -> Answer:
    """The best spans under the averages of those members that count; a text in several places keeps the best one."""
    by_log, floor, weights = settings["mean"] == "log", settings["floor"], settings["weights"]
    averages, null = [], 0.0
    for side in (0, 1):
        place = np.flatnonzero(np.any([member[side] > -np.inf for member in members], axis=0))
        mean, none = np.zeros(len(place)), 0.0
        reached = np.zeros(len(place), bool)
        for member, weight, temperature in zip(members, weights, settings["temperatures"], strict=True):
            if weight > 0:
                own, own_none = _probabilities(member[side][place], member[2][side], temperature)
                reached |= own > 0
                mean += weight * (np.log(np.maximum(own, floor)) if by_log else own)
                none += weight * (math.log(max(own_none, floor)) if by_log else own_none)
        with np.errstate(divide="ignore"):
            logs = np.where(reached, mean, -np.inf) if by_log else np.log(mean)
        averages.append(np.full(len(members[0][side]), -np.inf))
        averages[side][place] = logs
        null += none if by_log else math.log(max(none, 1e-12))

    counted = [answer for answer, weight in zip(answers, weights, strict=True) if weight > 0]
    longest = settings["max_answer_length"] or max(
        [1, *(len(candidate.text) for answer in counted for candidate in answer.candidates)]
    )
    options, origin = [], 0
    for context, text in enumerate(question.contexts):
        start, end = (torch.from_numpy(each[origin : origin + len(text)])[None] for each in averages)
        origin += len(text)
        if text:
            begin, stop, best = best_spans(
                start, end, start > -torch.inf, end > -torch.inf, max(settings["n_best"], 8), longest
            )
            sums = start.gather(1, begin) + end.gather(1, stop) - null  # in float64 again
            columns = zip(begin[0].tolist(), stop[0].tolist(), sums[0].tolist(), best[0].tolist(), strict=True)
            options += [(context, a, b + 1, score) for a, b, score, known in columns if known > -math.inf]
    kept: dict[str, Candidate] = {}
    for context, begin, stop, score in sorted(options, key=lambda option: -option[3]):
        text = question.contexts[context][begin:stop]
        trimmed = text.strip()
        if trimmed and trimmed not in kept and len(kept) < settings["n_best"]:
            begin += len(text) - len(text.lstrip())
            kept[trimmed] = Candidate(trimmed, context, begin, begin + len(trimmed), score)
    candidates = tuple(kept.values())
    no_answer = 0.0 if any(answer.null is not None for answer in counted) else None
    empty = not candidates or (no_answer is not None and -candidates[0].score > settings["null_threshold"])
    return _with_probabilities("" if empty else candidates[0].text, candidates, no_answer, 1.0)


def _probabilities(logs: np.ndarray, null: float, temperature: float) -> tuple[np.ndarray, float]:
    """Of characters and of "no answer", together 1."""
    places, none = logs.astype(np.float32).astype(np.float64), float(null)
    if temperature != 1.0:
        places, none = places / temperature, none / temperature
        peak = max(none, float(places.max(initial=-np.inf)))  # a low temperature would leave nothing of them otherwise
        places, none = places - peak, none - peak
    places, none = np.exp(places), math.exp(none)
    total = none + _sum(places)
    return places / total, none / total


KINDS["char_average"] = answers_of_char_average

# For special_chars

Place = tuple[str, int, int]
"""A context, and the characters [start, end) of it."""


def _places(answer: Answer, question: Question) -> Iterator[Place]:
    """Where the candidates lie."""
    return ((question.contexts[each.context], each.start, each.end) for each in answer.candidates if each.start >= 0)


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
    values = [answer.text if answer.several is None else list(answer.several) for answer in answers]
    pairs = [(question.id, value) for question, value in zip(questions, values, strict=True)]
    if writer["name"] == "squad_json":
        lines = [
            f"{json.dumps(name, ensure_ascii=False)}: {json.dumps(value, ensure_ascii=False)}"
            for name, value in dict(pairs).items()
        ]
        content = "{\n" + "".join(f"{line},\n" for line in lines[:-1]) + (f"{lines[-1]}\n" if lines else "") + "}\n"
    elif writer["name"] == "jsonl":
        content = "".join(json.dumps({"id": name, "answer": value}, ensure_ascii=False) + "\n" for name, value in pairs)
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
        refuse(f"usage: python predict.py {' '.join(settings['arguments'])}")
    files = dict(zip(settings["arguments"], map(Path, sys.argv[1:]), strict=True))
    if not files["OUTPUT"].absolute().parent.is_dir():
        refuse(f"{files['OUTPUT']} cannot be written: there is no such folder")
    questions = read_questions(settings["reader"], files["TEST"], files.get("CONTEXT"))
    answers = answers_of(settings["answers"], questions)
    try:
        write_answers(settings["writer"], files["OUTPUT"], questions, answers)
    except (OSError, ValueError) as error:
        refuse(f"{files['OUTPUT']} cannot be written: {error}")


if __name__ == "__main__":
    main()
