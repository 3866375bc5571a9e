"""What ``pipeline("question-answering")`` of transformers 4 computed, by the plainest way."""

from __future__ import annotations

import inspect
from typing import Any, NamedTuple

import torch

from qakit.inference.question_answering import Parameters


class Scored(NamedTuple):
    """An answer's text, and its probability."""

    text: str
    score: float


class Reference:
    """Every span of every window, looked at one by one; texts that are equal but for case add up."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.reads = inspect.signature(model.forward).parameters.keys() & tokenizer.model_input_names

    def answers(self, question: str, context: str, p: Parameters) -> list[Scored]:
        """The best ``top_k``, best first; windows are of ``max_seq_len`` tokens, which must be given."""
        encoded = self.tokenizer(
            question,
            context,
            truncation="only_second",
            max_length=p.max_seq_len,
            stride=p.doc_stride,
            return_overflowing_tokens=True,
        )
        begins, ends = self.word_bounds(context)
        sums: dict[str, Scored] = {}
        null = 1.0
        for encoding in encoded.encodings:
            possible = [place for place, part in enumerate(encoding.sequence_ids) if part == 1]
            starts, stops = (
                dict(zip([0, *possible], logits[0, [0, *possible]].double().softmax(0).tolist(), strict=True))
                for logits in self.logits(encoding)
            )
            null = min(null, starts[0] * stops[0])
            spans = [
                (starts[i] * stops[j], encoding.offsets[i][0], encoding.offsets[j][1])
                for i in possible
                for j in possible
                if i <= j < i + p.max_answer_len
            ]
            for score, start, end in sorted(spans, reverse=True)[: p.per_window]:
                if p.align_to_words:
                    start, end = begins[start], ends[end]
                text = context[start:end]
                first, before = sums.get(text.lower(), Scored(text, 0.0))
                sums[text.lower()] = Scored(first, before + score)
        found = list(sums.values()) + ([Scored("", null)] if p.handle_impossible_answer else [])
        return sorted(found, key=lambda each: -each.score)[: p.top_k]

    def logits(self, encoding: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Start and end logits of one window, (1, T) each."""
        inputs = {
            "input_ids": torch.tensor([encoding.ids]),
            "attention_mask": torch.ones(1, len(encoding.ids), dtype=torch.int64),
            "token_type_ids": torch.tensor([encoding.type_ids]),
        }
        with torch.no_grad():
            output = self.model(**{name: value for name, value in inputs.items() if name in self.reads})
        return output.start_logits, output.end_logits

    def word_bounds(self, context: str) -> tuple[dict[int, int], dict[int, int]]:
        """First character of a token -> that of its word, and the same for ends."""
        encoding = self.tokenizer(context, add_special_tokens=False).encodings[0]
        words = [encoding.word_to_chars(word) for word in encoding.word_ids]
        starts, ends = zip(*encoding.offsets, strict=True) if encoding.offsets else ((), ())
        return dict(zip(starts, (word[0] for word in words), strict=True)), dict(
            zip(ends, (word[1] for word in words), strict=True)
        )
