"""Made-up members: tokens with log-odds, character scores, run folders."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from qakit.files import file_sha256
from qakit.inference.characters import CharacterScores, context_hash
from qakit.inference.inputs import Inputs
from qakit.inference.output import save_predictions
from qakit.protocols import EnsembleMember
from qakit.recipe.load import dump_recipe, load_recipe
from qakit.runs import Run
from qakit.values import Answer, Candidate, Example, NoAnswer, Prediction, SpanPrediction

Odds = Mapping[tuple[int, int], float]
"""(context, character) -> log-odds of a token's start (end) there."""


def sure(
    id_: str, answer: str, probability: float, *, start: int | None = 0, null: float | None = None
) -> SpanPrediction:
    """One candidate with a probability."""
    end = None if start is None else start + len(answer)
    candidates = (Candidate(answer, start, end, 0, 0.0, probability),) if answer else ()
    return SpanPrediction(id_, answer, candidates, None if null is None else NoAnswer(0.0, null))


def spread(id_: str, shares: Mapping[str, float]) -> SpanPrediction:
    """Candidates with probabilities, best first; "" is "no answer"."""
    best = max(shares, key=lambda text: shares[text])
    ranked = sorted((text for text in shares if text), key=lambda text: -shares[text])
    candidates = tuple(Candidate(text, 0, len(text), 0, float(np.log(shares[text])), shares[text]) for text in ranked)
    null = NoAnswer(float(np.log(shares[""])), shares[""]) if "" in shares else None
    return SpanPrediction(id_, best, candidates, null)


def characters_of(examples: Sequence[Example], sides: Sequence[tuple[Odds, Odds]]) -> CharacterScores:
    """Character scores from the log-odds of each example's tokens."""
    lengths = [len(text) for example in examples for text in example.contexts]
    flat: list[list[np.ndarray]] = [[], []]
    nulls = np.zeros((len(examples), 2), np.float32)
    for row, (example, pair) in enumerate(zip(examples, sides, strict=True)):
        for side, odds in enumerate(pair):
            total = np.logaddexp.reduce([0.0, *odds.values()])
            nulls[row, side] = -total
            for context, text in enumerate(example.contexts):
                dense = np.full(len(text), -np.inf, np.float16)
                for (where, character), value in odds.items():
                    if where == context:
                        dense[character] = value - total
                flat[side].append(dense)
    contexts = [len(example.contexts) for example in examples]
    return CharacterScores(
        ids=tuple(example.id for example in examples),
        start=np.concatenate(flat[0]) if flat[0] else np.zeros(0, np.float16),
        end=np.concatenate(flat[1]) if flat[1] else np.zeros(0, np.float16),
        no_answer=nulls,
        pointers=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        examples=np.concatenate([[0], np.cumsum(contexts)]).astype(np.int64),
        contexts=np.array([context_hash(text) for example in examples for text in example.contexts], np.uint64),
        aggregation="mean",
    )


def member(
    examples: Sequence[Example], sides: Sequence[tuple[Odds, Odds]], *, null: bool = True, name: str = "m"
) -> EnsembleMember:
    """A member with character scores; its predictions say only whether there may be no answer."""
    option = NoAnswer(0.0, 0.5) if null else None
    predictions = [SpanPrediction(example.id, "", (), option) for example in examples]
    return EnsembleMember(name, predictions, characters_of(examples, sides))


def pointed(text: str, span: tuple[int, int], odds: float, *, split: bool = False) -> tuple[Odds, Odds]:
    """A member whose tokens are words (or, ``split``, single characters), sure of a span (first, last) by ``odds``."""
    first, last, begin = {}, {}, 0
    for word in text.split(" "):
        places = range(begin, begin + len(word)) if split else [begin]
        for place in places:
            first[0, place] = -6.0
            last[0, place if split else begin + len(word) - 1] = -6.0
        begin += len(word) + 1
    first[0, span[0]] = odds
    last[0, span[1]] = odds
    return first, last


TEXTS = ("red apples grow on old trees", "two blue birds sat there", "snow fell all night long")


def questions(count: int) -> list[Example]:
    """Questions on short texts; the answer is the second and third word, every fourth has none."""
    found = []
    for number in range(count):
        text = TEXTS[number % len(TEXTS)]
        answer = " ".join(text.split(" ")[1:3])
        answers = () if number % 4 == 3 else (Answer(answer, text.index(answer)),)
        found.append(Example(f"q{number}", "what?", (text,), answers))
    return found


def opinion(
    example: Example, *, right: bool, odds: float = 4.0, split: bool = False
) -> tuple[SpanPrediction, tuple[Odds, Odds]]:
    """A prediction with its character log-odds: the gold answer, or the first word."""
    text = example.contexts[0]
    gold = example.answers[0].text if example.answers else ""
    says = gold if right else text.split(" ")[0]
    if not says:
        nothing = pointed(text, (0, len(text.split(" ")[0]) - 1), -5.0, split=split)
        return spread(example.id, {"": 0.9, text.split(" ")[0]: 0.1}), nothing
    begin = text.index(says)
    share = float(1 / (1 + np.exp(-odds)))
    rest = {"": 1 - share} if not right or example.answers else {}
    prediction = spread(example.id, {says: share, **rest})
    moved = tuple(Candidate(says, begin, begin + len(says), 0, c.score, c.probability) for c in prediction.candidates)
    prediction = SpanPrediction(example.id, says, moved, prediction.null)
    return prediction, pointed(text, (begin, begin + len(says) - 1), odds, split=split)


def write_questions(path: Path, examples: Sequence[Example]) -> None:
    """A file for the SQuAD reader."""
    data = [
        {
            "title": "t",
            "paragraphs": [
                {
                    "context": example.contexts[0],
                    "qas": [
                        {
                            "id": example.id,
                            "question": example.question,
                            "answers": [
                                {"text": each.text, "answer_start": each.start} for each in example.answers or ()
                            ],
                            "is_impossible": not example.answers,
                        }
                    ],
                }
            ],
        }
        for example in examples
    ]
    path.write_text(json.dumps({"version": "v2.0", "data": data}), "utf-8")


def write_run(
    folder: Path,
    file: Path,
    examples: Sequence[Example],
    right: Sequence[bool],
    *,
    odds: float = 4.0,
    split: bool = False,
    characters: bool = True,
    splits: Sequence[str] = ("test", "validation"),
    extra: Mapping[str, Any] | None = None,
) -> Path:
    """A run folder whose model says the right thing, or not, about each question of ``file``."""
    recipe_file = folder.parent / f"{folder.name}.yaml"
    recipe_file.write_text(
        json.dumps(
            {
                "data": {"reader": "squad", "validation": str(file), "test": str(file)},
                "backbone": {"source": "nothing"},
                "predict": {"no_answer": True, "character_scores": characters},
                "metric": "squad_v2",
                "writer": {"name": "csv", "id_column": "ID", "answer_column": "Answer"},
                **(extra or {}),
            }
        ),
        "utf-8",
    )
    recipe = load_recipe(recipe_file).recipe
    said = [opinion(each, right=ok, odds=odds, split=split) for each, ok in zip(examples, right, strict=True)]
    predictions: list[Prediction] = [prediction for prediction, _ in said]
    scores = characters_of(examples, [sides for _, sides in said]) if characters else None
    run = Run(folder)
    folder.mkdir(parents=True)
    run.recipe_file.write_text(dump_recipe(recipe), "utf-8")
    places = {"test": run.predictions, "validation": run.validation_predictions}
    for name in splits:
        inputs = Inputs({str(file): file_sha256(file)})
        save_predictions(places[name], predictions, recipe, run=run.name, inputs=inputs, characters=scores)
    return folder


def write_guide_ensembler(folder: Path) -> Path:
    """A plugin file with the ensemblers of the guide: ``summed`` and ``by_figure``."""
    guide = Path(__file__).resolve().parents[2] / "docs" / "plugins" / "ensembler.md"
    (source,) = re.findall(r"```python\n(.*?)```", guide.read_text("utf-8"), flags=re.DOTALL)
    file = folder / "ensemblers.py"
    file.write_text(source, "utf-8")
    return file
