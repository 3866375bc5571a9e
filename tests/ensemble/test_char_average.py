"""Character averages: exact against enumeration, one axis for all tokenizers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from ensemble.made_up import Odds, member, opinion, pointed, questions
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from qakit.errors import DataError, UsageError
from qakit.protocols import EnsembleMember, NoRuntime, Pool, PoolsMembers
from qakit.values import Answer, Candidate, Example, NoAnswer, SpanPrediction
from qakit_ensemble import CHAR_AVERAGE, CharAverageSettings

Sides = Sequence[tuple[Odds, Odds]]


def pool_of(members: Sequence[EnsembleMember], examples: Sequence[Example], **chosen: Any) -> Pool:
    built = CHAR_AVERAGE.build(CharAverageSettings(**chosen), NoRuntime())
    assert isinstance(built, PoolsMembers)
    return built.pool(members, examples)


def average(
    members: Sequence[EnsembleMember],
    examples: Sequence[Example],
    weights: Sequence[float] | None = None,
    temperatures: Sequence[float] | None = None,
    n_best: int = 20,
    **chosen: Any,
) -> list[SpanPrediction]:
    chosen.setdefault("max_answer_length", 50)
    count = len(members)
    found = pool_of(members, examples, **chosen).combine(
        weights or [1 / count] * count, temperatures or [1.0] * count, n_best=n_best
    )
    assert all(isinstance(each, SpanPrediction) for each in found)
    return found  # type: ignore[return-value]


def enumerated(
    members: Sequence[EnsembleMember],
    example: Example,
    row: int,
    weights: Sequence[float],
    temperatures: Sequence[float],
    length: int,
    floor: float | None,
) -> dict[str, float]:
    """Every text's best score, by trying all spans."""

    def mixed(side: int) -> tuple[list[np.ndarray], float]:
        total, reached, null = None, None, 0.0
        for each, weight, temperature in zip(members, weights, temperatures, strict=True):
            if weight == 0:
                continue
            assert each.characters is not None
            own = [np.float64(each.characters.of(row, c)[side]) for c in range(len(example.contexts))]
            flat = np.exp(np.concatenate(own) / temperature)
            nothing = math.exp(float(each.characters.no_answer[row, side]) / temperature)
            flat, nothing = flat / (flat.sum() + nothing), nothing / (flat.sum() + nothing)
            if floor is not None:
                found = weight * np.log(np.maximum(flat, floor))
                nothing = math.log(max(nothing, floor))
            else:
                found = weight * flat
            reached = (flat > 0) if reached is None else reached | (flat > 0)
            total = found if total is None else total + found
            null += weight * nothing
        assert total is not None and reached is not None
        logs = np.where(reached, total if floor is not None else np.log(np.where(reached, total, 1)), -np.inf)
        cuts = np.cumsum([len(text) for text in example.contexts])[:-1]
        return np.split(logs, cuts), null if floor is not None else math.log(null)

    (starts, null_start), (ends, null_end) = mixed(0), mixed(1)
    best: dict[str, float] = {}
    for context, text in enumerate(example.contexts):
        for first in range(len(text)):
            for last in range(first, min(first + length, len(text))):
                score = starts[context][first] + ends[context][last] - null_start - null_end
                cut = text[first : last + 1].strip()
                if cut and score > -np.inf:
                    best[cut] = max(best.get(cut, -np.inf), float(score))
    return best


World = tuple[list[Example], list[EnsembleMember], np.random.Generator]


def world_of(seed: int) -> World:
    """A few short contexts, and members with tokens and odds by chance."""
    chance = np.random.default_rng(seed)

    def text() -> str:
        return "".join(chance.choice(list("ab 甲"), size=chance.integers(1, 10)))

    def side(example: Example) -> Odds:
        places = [(c, at) for c, own in enumerate(example.contexts) for at in range(len(own))]
        chosen = chance.permutation(len(places))[: chance.integers(1, len(places) + 1)]
        return {places[number]: float(chance.uniform(-6, 6)) for number in chosen}

    examples = [
        Example(f"q{n}", "?", tuple(text() for _ in range(chance.integers(1, 4)))) for n in range(chance.integers(1, 4))
    ]
    members = [member(examples, [(side(each), side(each)) for each in examples]) for _ in range(chance.integers(1, 4))]
    return examples, members, chance


SEEDS = st.integers(0, 2**32)
few = settings(max_examples=40, deadline=None)


@given(SEEDS, st.integers(1, 10), st.booleans())
@few
def test_the_best_spans_are_those_of_an_enumeration(seed: int, length: int, by_log: bool) -> None:
    examples, members, chance = world_of(seed)
    weights = chance.choice([0.5, 1.0, 2.0], size=len(members))
    weights = (weights / weights.sum()).tolist()
    temperatures = chance.choice([0.7, 1.0, 2.5], size=len(members)).tolist()
    found = average(
        members, examples, weights, temperatures, 45, max_answer_length=length, mean="log" if by_log else "probability"
    )
    for row, (example, prediction) in enumerate(zip(examples, found, strict=True)):
        wanted = enumerated(members, example, row, weights, temperatures, length, 1e-6 if by_log else None)
        best = sorted(wanted.values(), reverse=True)
        # 45 places in each context hold all its spans: it has nine characters at most.
        scores = [each.score for each in prediction.candidates]
        assert scores == pytest.approx(best[: len(scores)], abs=1e-6)
        assert len(scores) >= min(len(best), 10)
        for candidate in prediction.candidates:
            assert example.contexts[candidate.context][candidate.start : candidate.end] == candidate.text
            assert wanted[candidate.text] == pytest.approx(candidate.score, abs=1e-6)
        shares = [each.probability for each in prediction.candidates]
        assert prediction.null is not None
        assert math.fsum([*shares, prediction.null.probability]) == pytest.approx(1)
        wins = bool(best) and best[0] >= 0
        if not best or abs(best[0]) > 1e-6:
            assert bool(prediction.answer) == wins


@given(SEEDS, st.lists(st.sampled_from([0.25, 1.0, 3.0]), min_size=3, max_size=3))
@few
def test_copies_of_a_model_are_the_model(seed: int, weights: list[float]) -> None:
    examples, members, _ = world_of(seed)
    alone, copied = average(members[:1], examples), average(members[:1] * 3, examples, weights)
    for one, other in zip(alone, copied, strict=True):
        assert [each.score for each in one.candidates] == pytest.approx([each.score for each in other.candidates])
        assert one.answer == other.answer or one.candidates[0].score == pytest.approx(other.candidates[0].score)


@given(SEEDS)
@few
def test_a_member_of_weight_zero_is_not_there(seed: int) -> None:
    examples, members, _ = world_of(seed)
    others = [*members, member(examples, [({(0, 0): 9.0}, {(0, 0): 9.0})] * len(examples))]
    weights = [1 / len(members)] * len(members)
    assert average(others, examples, [*weights, 0.0]) == average(members, examples, weights)


def test_a_member_of_weight_zero_neither_lengthens_answers_nor_leaves_them_open() -> None:
    text = "red apples grow on old trees"
    examples = [Example("q", "?", (text,))]
    first, last = pointed(text, (0, 2), -1.0)
    made = member(examples, [(first, {**last, (0, len(text) - 1): 5.0})])

    def told(answer: str, null: NoAnswer | None) -> EnsembleMember:
        candidates = (Candidate(answer, 0, len(answer), 0, 0.0, 1.0),)
        return EnsembleMember("m", [SpanPrediction("q", answer, candidates, null)], made.characters)

    brief, wordy = told("red", None), told(text, NoAnswer(0.0, 0.5))
    alone = average([brief], examples, max_answer_length=None)
    assert average([brief, wordy], examples, [1.0, 0.0], max_answer_length=None) == alone
    (both,) = average([brief, wordy], examples, max_answer_length=None)
    assert both.null is not None
    assert max(len(each.text) for each in both.candidates) == len(text)


def test_no_answer_is_an_option_only_where_a_member_has_it() -> None:
    text = "red apples grow"
    examples = [Example("q", "?", (text,))]
    unsure = [pointed(text, (4, 9), -4.0)]
    assert average([member(examples, unsure)], examples)[0].answer == ""
    found = average([member(examples, unsure, null=False)], examples)[0]
    assert (found.answer, found.null) == ("apples", None)


def test_the_longest_answer_is_by_default_that_of_the_members_candidates() -> None:
    text = "red apples grow on old trees"
    examples = [Example("q", "?", (text,))]
    first, last = pointed(text, (0, 2), 5.0)
    last = {**last, (0, len(text) - 1): 5.0}  # the last word as an end is as good as the first
    made = member(examples, [(first, last)])
    told = EnsembleMember("m", [SpanPrediction("q", "red", (Candidate("red", 0, 3, 0, 0.0, 1.0),))], made.characters)
    found = average([told], examples, max_answer_length=None)[0]
    assert [each.text for each in found.candidates if len(each.text) > 3] == []
    assert len(average([told], examples, max_answer_length=99)[0].candidates[1].text) == len(text)


def test_a_context_without_visible_characters_has_no_answer() -> None:
    examples = [Example("q", "?", (" ", "")), Example("r", "?", ())]
    blank: tuple[Odds, Odds] = ({(0, 0): 3.0}, {(0, 0): 3.0})
    found = average([member(examples, [blank, ({}, {})], null=False)], examples)
    assert [(each.answer, each.candidates) for each in found] == [("", ()), ("", ())]


def test_the_best_answer_is_found_behind_blank_ones_however_few_candidates_are_wanted() -> None:
    """Byte-level tokenizers have tokens for line ends."""
    text = "one\r\ntwo"
    examples = [Example("q", "?", (text,))]
    first = {(0, 0): 1.0, (0, 3): 4.0, (0, 4): 4.0, (0, 5): 1.0}
    last = {(0, 2): 1.0, (0, 3): 4.0, (0, 4): 4.0, (0, 7): 2.0}
    members = [member(examples, [(first, last)], null=False)]
    (many,), (one,) = average(members, examples), average(members, examples, n_best=1)
    assert many.answer == "two"
    assert (one.answer, one.candidates[0].start) == ("two", many.candidates[0].start)
    assert len(one.candidates) == 1


def test_two_tokenizers_meet_on_the_characters() -> None:
    text = "The unbelievable 靜夜思 was written by Li Bai (701–762)."
    corpus = [text, "believable things were written", "李白寫靜夜思"] * 3
    pieces = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    pieces.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    pieces.train_from_iterator(corpus, trainers.WordPieceTrainer(vocab_size=60, special_tokens=["[UNK]"]))
    byte_pairs = Tokenizer(models.BPE())
    byte_pairs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    byte_pairs.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet))
    answer = "Li Bai"
    gold = (text.index(answer), text.index(answer) + len(answer) - 1)
    examples = [Example("q", "?", (text,), (Answer(answer, gold[0]),))]

    def sides(tokenizer: Tokenizer) -> tuple[Odds, Odds]:
        spans = [(a, b) for a, b in tokenizer.encode(text).offsets if text[a:b].strip()]
        visible = [(a + len(text[a:b]) - len(text[a:b].lstrip()), b - 1) for a, b in spans]
        assert {first for first, _ in visible} != {range(len(text))}
        first = {(0, at): 4.0 if at == gold[0] else -3.0 for at, _ in visible}
        last = {(0, at): 4.0 if at == gold[1] else -3.0 for _, at in visible}
        return first, last

    both = [member(examples, [sides(pieces)], name="pieces"), member(examples, [sides(byte_pairs)], name="bytes")]
    starts = [set(np.flatnonzero(np.isfinite(each.characters.of(0, 0)[0]))) for each in both if each.characters]
    assert starts[0] != starts[1], "the tokenizers should cut the text differently"
    (found,) = average(both, examples)
    assert found.answer == answer
    assert (found.candidates[0].start, found.candidates[0].end) == (gold[0], gold[1] + 1)
    weights, temperatures = pool_of(both, examples).learn([0])
    assert math.fsum(weights) == pytest.approx(1)
    assert all(temperature > 0 for temperature in temperatures)


def test_an_answer_within_a_token_counts_for_that_token() -> None:
    text = "3,500 birds"
    examples = [Example("q", "?", (text,), (Answer("500", 2),))]
    coarse = member(examples, [({(0, 0): 3.0, (0, 6): 0.0}, {(0, 4): 3.0, (0, 10): 0.0})])
    fine = member(examples, [({(0, 0): 0.0, (0, 2): -1.0, (0, 6): 0.0}, {(0, 0): 0.0, (0, 4): -1.0, (0, 10): 0.0})])
    weights, _ = pool_of([coarse, fine], examples).learn([0])
    assert weights[0] > 0.99


def members_of(examples: Sequence[Example], *rights: Sequence[bool], odds: float = 4.0) -> list[EnsembleMember]:
    found = []
    for number, right in enumerate(rights):
        said = [opinion(each, right=ok, odds=odds) for each, ok in zip(examples, right, strict=True)]
        predictions = [prediction for prediction, _ in said]
        made = member(examples, [sides for _, sides in said])
        found.append(EnsembleMember(f"m{number}", predictions, made.characters))
    return found


def test_the_better_member_learns_more_weight_and_the_overconfident_one_is_cooled() -> None:
    examples = questions(40)
    good, bad = [n % 10 != 0 for n in range(40)], [n % 2 == 0 for n in range(40)]
    members = members_of(examples, good, bad)
    weights, temperatures = pool_of(members, examples).learn(range(40))
    assert weights[0] > weights[1]
    assert temperatures[1] > temperatures[0] > 0
    assert temperatures[1] > 1
    assert pool_of(members[::-1], examples).learn(range(40))[0] == weights[::-1]


def test_what_cannot_be_combined_or_learnt() -> None:
    examples = questions(3)
    (made,) = members_of(examples, [True] * 3)
    bare = EnsembleMember("runs/a", made.predictions)
    with pytest.raises(UsageError, match="runs/a has no character scores"):
        average([made, bare], examples)
    others = [Example(each.id, "?", ("another text",)) for each in examples]
    with pytest.raises(DataError, match="id q0: has other contexts now"):
        average([made], others)
    with pytest.raises(UsageError, match="cannot combine 1 members by their answers alone"):
        CHAR_AVERAGE.build(CharAverageSettings(), NoRuntime()).combine([made.predictions])
    unlabelled = [Example(each.id, each.question, each.contexts) for each in examples]
    with pytest.raises(UsageError, match="none of the questions has a gold answer"):
        pool_of([made], unlabelled).learn(range(3))
    assert not CHAR_AVERAGE.build(CharAverageSettings(mean="log"), NoRuntime()).learns


def test_null_has_the_score_zero() -> None:
    examples = questions(2)
    for found in average(members_of(examples, [True, True]), examples):
        assert found.null == NoAnswer(0.0, pytest.approx(found.null.probability if found.null else 0))
