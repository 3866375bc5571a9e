"""Answers of characters that the tokenizer does not know: cut from the context, they need no recovery."""

from __future__ import annotations

from pathlib import Path

from qakit.inference.trained import TrainedRun
from qakit.values import Example, SpanPrediction

CONTEXT = "龘靐齉 虪䨻龖 𠀀𠀁"


def test_an_answer_of_unknown_tokens_has_the_contexts_own_characters(small_run: Path) -> None:
    trained = TrainedRun.load(small_run)
    tokenizer = trained.assembled.tokenizer
    ids = tokenizer(CONTEXT, add_special_tokens=False)["input_ids"]
    assert set(ids) == {tokenizer.unk_token_id}, "every token of the context is unknown"
    assert "[UNK]" in tokenizer.decode(ids)
    (prediction,) = trained.predict([Example("q", "what?", (CONTEXT,))])
    assert isinstance(prediction, SpanPrediction)
    assert prediction.answer
    for candidate in prediction.candidates:
        assert candidate.text == CONTEXT[candidate.start : candidate.end]
        assert "[UNK]" not in candidate.text
