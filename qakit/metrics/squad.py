"""SQuAD 1.1 and 2.0: exact match and token F1, equal to the official evaluation scripts.

Sources: Rajpurkar et al., "SQuAD: 100,000+ Questions for Machine Comprehension of Text" (2016) and "Know What You
Don't Know: Unanswerable Questions for SQuAD" (2018).
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache

from qakit.errors import DataError
from qakit.metrics.gold import gold_texts, mean_percent
from qakit.values import Example

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_CACHED_TEXTS = 1 << 16


@lru_cache(maxsize=_CACHED_TEXTS)
def normalize(text: str) -> str:
    """Lower case, without ASCII punctuation and English articles, runs of white space as one space."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())


@lru_cache(maxsize=_CACHED_TEXTS)
def _token_counts(text: str) -> tuple[Counter[str], int]:
    tokens = normalize(text).split()
    return Counter(tokens), len(tokens)


def exact_match(gold: str, answer: str) -> float:
    """1.0 if both texts normalise to the same one, else 0.0."""
    return float(normalize(gold) == normalize(answer))


def token_f1(gold: str, answer: str) -> float:
    """Harmonic mean of precision and recall over the normalised tokens as a bag; 0.0 without a common token."""
    gold_counts, gold_length = _token_counts(gold)
    answer_counts, answer_length = _token_counts(answer)
    common = sum((gold_counts & answer_counts).values())
    if not common:
        return 0.0
    precision, recall = common / answer_length, common / gold_length
    return 2 * precision * recall / (precision + recall)


def token_f1_v2(gold: str, answer: str) -> float:
    """As :func:`token_f1`, but two texts without tokens ("no answer") agree fully."""
    if not normalize(gold) or not normalize(answer):
        return exact_match(gold, answer)
    return token_f1(gold, answer)


def score_v1(example: Example, answer: str) -> tuple[float, float]:
    """Exact match and F1 (0 to 1) against the best gold answer, as SQuAD 1.1 does.

    SQuAD 1.1 knows no unanswerable question; here only an empty answer is right for one.
    """
    golds = gold_texts(example)
    if not golds:
        return exact_match("", answer), token_f1_v2("", answer)
    return max(exact_match(gold, answer) for gold in golds), max(token_f1(gold, answer) for gold in golds)


def score_v2(example: Example, answer: str) -> tuple[float, float]:
    """Exact match and F1 (0 to 1) against the best gold answer, as SQuAD 2.0 does.

    Gold answers that normalise to nothing do not count; without any other the right answer is the empty one.
    """
    golds = [gold for gold in gold_texts(example) if normalize(gold)] or [""]
    return max(exact_match(gold, answer) for gold in golds), max(token_f1_v2(gold, answer) for gold in golds)


def squad_v1(examples: Sequence[Example], answers: Mapping[str, str]) -> dict[str, float]:
    """``exact_match`` and ``f1`` in percent; a question without an answer scores 0.

    Raises:
        DataError: no examples, or an unlabelled one.
    """
    scores = [score_v1(example, answers[example.id]) for example in examples if example.id in answers]
    return {
        "exact_match": mean_percent([exact for exact, _ in scores], len(examples)),
        "f1": mean_percent([f1 for _, f1 in scores], len(examples)),
    }


def squad_v2(
    examples: Sequence[Example],
    answers: Mapping[str, str],
    *,
    no_answer_probability: Mapping[str, float] | None = None,
    threshold: float = 1.0,
) -> dict[str, float]:
    """The official script's figures in percent: ``exact``, ``f1``, ``total``, their ``HasAns_`` and ``NoAns_`` parts.

    A question without an answer scores 0 (the official script stops with a KeyError there).

    Args:
        no_answer_probability: by id, one for every answered question; adds ``best_exact``, ``best_f1`` and their
            ``_thresh``. Its order decides between equal probabilities, as in the official script.
        threshold: questions whose no-answer probability is above it count as answered with "".

    Raises:
        DataError: no examples, an unlabelled one, or an answer without its no-answer probability.
    """
    by_id = {example.id: example for example in examples}
    answerable = {id_: bool(example.answers) for id_, example in by_id.items()}
    exact, f1 = {}, {}
    for id_, example in by_id.items():
        if id_ in answers:
            exact[id_], f1[id_] = score_v2(example, answers[id_])
    _check_covered(no_answer_probability, exact)
    final_exact = _with_threshold(exact, no_answer_probability, answerable, threshold)
    final_f1 = _with_threshold(f1, no_answer_probability, answerable, threshold)

    result = _figures("", list(by_id), final_exact, final_f1)
    for prefix, wanted in (("HasAns_", True), ("NoAns_", False)):
        part = [id_ for id_ in by_id if answerable[id_] is wanted]
        if part:
            result |= _figures(prefix, part, final_exact, final_f1)
    if no_answer_probability is not None:
        for key, scores in (("exact", exact), ("f1", f1)):
            best, at = best_threshold(scores, answers, no_answer_probability, answerable)
            result |= {f"best_{key}": best, f"best_{key}_thresh": at}
    return result


def best_threshold(
    scores: Mapping[str, float],
    answers: Mapping[str, str],
    probabilities: Mapping[str, float],
    answerable: Mapping[str, bool],
) -> tuple[float, float]:
    """The best mean score in percent over all no-answer thresholds, and the first threshold that has it.

    A question is answered with "" where its no-answer probability is above the threshold; the sweep begins with
    "answer nothing".

    The sweep steps through questions, also through those with equal probability, because the official figures do;
    among equals the order of ``probabilities`` decides.

    Args:
        scores: by id, 0 to 1, of the answers as given; ids that are missing here are skipped.
        answers: by id; an empty one says "no answer" whatever the threshold.
        probabilities: that the question has no answer, by id.
        answerable: by id, for every gold question.
    """
    # "Answer nothing" is right for every unanswerable question.
    current = best = float(sum(not has_answer for has_answer in answerable.values()))
    threshold = 0.0
    for id_ in sorted(probabilities, key=probabilities.__getitem__):
        if id_ not in scores:
            continue
        if answerable[id_]:
            current += scores[id_]
        elif answers[id_]:
            current -= 1
        if current > best:
            best, threshold = current, probabilities[id_]
    return 100.0 * best / len(scores) if scores else 0.0, threshold


def _check_covered(probabilities: Mapping[str, float] | None, scored: Mapping[str, float]) -> None:
    missing = [] if probabilities is None else [id_ for id_ in scored if id_ not in probabilities]
    if missing:
        raise DataError(
            f"{len(missing)} answered questions have no no-answer probability, the first: {', '.join(missing[:5])}"
        )


def _with_threshold(
    scores: Mapping[str, float],
    probabilities: Mapping[str, float] | None,
    answerable: Mapping[str, bool],
    threshold: float,
) -> Mapping[str, float]:
    """Scores after answers whose no-answer probability exceeds the threshold became ""."""
    if probabilities is None:
        return scores
    return {id_: float(not answerable[id_]) if probabilities[id_] > threshold else s for id_, s in scores.items()}


def _figures(prefix: str, ids: Sequence[str], exact: Mapping[str, float], f1: Mapping[str, float]) -> dict[str, float]:
    return {
        f"{prefix}exact": mean_percent([exact.get(id_, 0.0) for id_ in ids], len(ids)),
        f"{prefix}f1": mean_percent([f1.get(id_, 0.0) for id_ in ids], len(ids)),
        f"{prefix}total": len(ids),
    }
