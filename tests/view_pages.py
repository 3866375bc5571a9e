"""Runs that answered made-up questions, for pages that show them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qakit.recipe.model import Recipe
from qakit.registry import load_registry
from qakit.report.compare_runs import Answered
from qakit.runs import Run
from qakit.values import Answer, Candidate, Example, NoAnswer, Prediction, SpanPrediction

REGISTRY = load_registry()
THRESHOLD = 0.5


def answered(
    folder: Path,
    examples: Sequence[Example],
    predictions: Sequence[Prediction],
    *,
    metric: str = "squad_v2",
    no_answer: bool = True,
    seed: int = 0,
    classes: Sequence[str] = (),
) -> Answered:
    """A run of these answers; its training had three steps and two evaluations."""
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "decision.json").write_text(json.dumps({"null_threshold": THRESHOLD}), "utf-8")
    (folder / "model" / "qakit.json").write_text(json.dumps({"classes": list(classes)}), "utf-8")
    lines: list[dict[str, Any]] = [{"type": "train", "step": step, "loss": 3.0 / step} for step in (1, 2, 3)]
    lines += [
        {"type": "evaluation", "step": step, "epoch": 1.0, "exact": 10.0 * step, "validation_loss": 2.5 - step / 4}
        for step in (2, 3)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    recipe = Recipe.model_validate(
        {
            "seed": seed,
            "data": {"reader": "squad"},
            "backbone": {"source": "none"},
            "metric": metric,
            "predict": {"no_answer": no_answer},
        }
    )
    by_id = {each.id: each for each in examples}
    return Answered(Run(folder), recipe, (), by_id, {each.id: each for each in predictions})


def asked(id_: str, context: str, gold: str | None, *, question: str = "What?") -> Example:
    """A question whose answer is the first place of ``gold``; None: unanswerable."""
    answers = () if gold is None else (Answer(gold, context.index(gold)),)
    return Example(id_, question, (context,), answers)


def said(example: Example, *texts: str, score: float = 2.0, null: float | None = 0.0) -> SpanPrediction:
    """The candidates ``texts``, best first, at their first places; answered if the null score allows it."""
    context = example.contexts[0]
    candidates = tuple(
        Candidate(text, context.index(text), context.index(text) + len(text), 0, score - place, 0.5 / (place + 1))
        for place, text in enumerate(texts)
    )
    answer = texts[0] if texts and (null is None or null - score <= THRESHOLD) else ""
    return SpanPrediction(example.id, answer, candidates, None if null is None else NoAnswer(null, 0.4))
