"""Character scores: what they mean, and their file."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from qakit.api import CharacterScores
from qakit.data.encode import EncodedExamples
from qakit.data.store import TokenStore
from qakit.errors import DataError, OutputError
from qakit.inference import positions
from qakit.inference.aggregation import spans_of, whole_contexts
from qakit.inference.nbest import span_predictions
from qakit.inference.positions import PositionTable, character_scores
from qakit.values import Example

Tokens = list[tuple[int, int]]


def encoded_of(examples: Sequence[Example], tokens: Sequence[Tokens]) -> EncodedExamples:
    """``tokens``: those of each context, one after the other. Questions have none."""
    lengths = np.array([0, *map(len, tokens)], np.int64)
    counts = np.array([len(example.contexts) for example in examples], np.int64)
    return EncodedExamples(
        store=TokenStore(
            ids=np.zeros(lengths.sum(), np.int32),
            offsets=np.array([each for listed in tokens for each in listed], np.int32).reshape(-1, 2),
            pointers=np.concatenate([[0], lengths.cumsum()]),
        ),
        query=np.zeros(len(examples), np.int32),
        pointers=np.concatenate([[0], counts.cumsum()]),
        context=1 + np.arange(len(tokens), dtype=np.int32),
        answer_first=np.full(len(tokens), -1, np.int32),
        answer_stop=np.full(len(tokens), -1, np.int32),
        answerable=np.full(len(examples), -1, np.int8),
        label=np.full(len(examples), np.nan, np.float32),
        relevant=np.full(len(examples), -1, np.int32),
        key=np.arange(len(examples)),
    )


def positions_of(encoded: EncodedExamples, start: Sequence[float], end: Sequence[float]) -> PositionTable:
    table = PositionTable(encoded, whole_contexts(encoded), mean=False)
    count = len(start)
    table.merge((np.arange(count), np.ones(count, np.int32), np.float32(start), np.float32(end)))
    return table


def scores_of(
    examples: Sequence[Example], tokens: Sequence[Tokens], start: Sequence[float], end: Sequence[float]
) -> CharacterScores:
    encoded = encoded_of(examples, tokens)
    return character_scores(positions_of(encoded, start, end), encoded, examples, aggregation="max_context")


def test_a_tokens_probability_stands_at_its_first_and_at_its_last_character() -> None:
    examples = [Example("q", "?", ("big cat", "dog"))]
    scores = scores_of(examples, [[(0, 3), (4, 7)], [(0, 3)]], np.log([1, 2, 4]), np.log([8, 0.5, 0.5]))
    first, last = scores.of(0, 0)
    assert np.exp(first) == pytest.approx([1 / 8, 0, 0, 0, 2 / 8, 0, 0], abs=1e-3)
    assert np.exp(last) == pytest.approx([0, 0, 8 / 10, 0, 0, 0, 0.5 / 10], abs=1e-3)
    first, last = scores.of(0, 1)
    assert np.exp(first) == pytest.approx([4 / 8, 0, 0], abs=1e-3)
    assert np.exp(last) == pytest.approx([0, 0, 0.5 / 10], abs=1e-3)
    assert np.exp(scores.no_answer) == pytest.approx(np.array([[1 / 8, 1 / 10]]))


def test_spaces_at_a_tokens_ends_are_not_its_characters() -> None:
    """Byte-level tokenizers count the space before a word as the word's; WordPiece leaves it out."""
    with_space = scores_of([Example("q", "?", (" big  cat \n",))], [[(0, 4), (4, 9), (9, 11)]], [1, 2, 0], [3, 4, 0])
    first, last = with_space.of(0, 0)
    assert np.flatnonzero(first > -np.inf).tolist() == [1, 6, 9]
    assert np.flatnonzero(last > -np.inf).tolist() == [3, 8, 10]


def test_tokens_of_one_character_share_it() -> None:
    scores = scores_of(
        [Example("q", "?", ("龘",))], [[(0, 1), (0, 1), (1, 1)]], np.log([2, 5, 100]), np.log([3, 4, 100])
    )
    first, last = scores.of(0, 0)
    assert np.exp(first) == pytest.approx([7 / 8], abs=1e-3)
    assert np.exp(last) == pytest.approx([7 / 8], abs=1e-3)


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[Example], list[Tokens], list[float], list[float]]:
    """Examples over words and spaces, with one token a word or a letter."""
    texts = st.text("ab 龘\u3000", max_size=8)
    contexts = draw(st.lists(st.lists(texts, min_size=1, max_size=3), max_size=4))
    names = draw(st.lists(st.text(max_size=4), min_size=len(contexts), max_size=len(contexts), unique=True))
    examples = [Example(name, "?", tuple(each)) for name, each in zip(names, contexts, strict=True)]
    tokens: list[Tokens] = []
    for text in (text for example in examples for text in example.contexts):
        places = [(place, place + 1) for place, letter in enumerate(text) if not letter.isspace()]
        tokens.append(places)
    count = sum(map(len, tokens))
    odds = st.lists(st.floats(-30, 30, width=32), min_size=count, max_size=count)
    return examples, tokens, draw(odds), draw(odds)


@given(cases())
def test_each_distribution_sums_to_one(case: tuple[list[Example], list[Tokens], list[float], list[float]]) -> None:
    examples, tokens, start, end = case
    scores = scores_of(examples, tokens, start, end)
    assert len(scores) == len(examples)
    for row, example in enumerate(examples):
        for side in (0, 1):
            mass = float(np.exp(scores.no_answer[row, side]))
            for context, text in enumerate(example.contexts):
                values = scores.of(row, context)[side].astype(np.float64)
                assert len(values) == len(text)
                mass += np.exp(values).sum()
            assert mass == pytest.approx(1, abs=0.01)


@given(cases(), st.integers(1, 6))
def test_the_best_span_of_characters_is_the_heads(
    case: tuple[list[Example], list[Tokens], list[float], list[float]], longest: int
) -> None:
    examples, tokens, start, end = case
    encoded = encoded_of(examples, tokens)
    positions = positions_of(encoded, start, end)
    every = 1 + 3 * 8 * longest  # no span may fall off the list: repeats of one text would push a level one out
    table = spans_of(positions, encoded, n_best=every, max_answer_length=longest)
    predictions = span_predictions(table, whole_contexts(encoded), encoded, examples, n_best=every, no_answer=True)
    scores = character_scores(positions, encoded, examples, aggregation="mean")
    counted = [0, *np.cumsum([len(example.contexts) for example in examples]).tolist()]
    for row, (example, prediction) in enumerate(zip(examples, predictions, strict=True)):
        null = float(scores.no_answer[row].sum())
        best: tuple[float, str] = (-np.inf, "")
        for context, text in enumerate(example.contexts):
            first, last = (values.astype(np.float64) for values in scores.of(row, context))
            places = [begin for begin, _ in tokens[counted[row] + context]]
            for number, begin in enumerate(places):
                for stop in places[number : number + longest]:
                    best = max(best, (first[begin] + last[stop] - null, text[begin : stop + 1]))
        if prediction.candidates:
            winner = prediction.candidates[0]
            assert best[0] == pytest.approx(winner.score, abs=0.07)  # four numbers of up to 64, in float16
            others = [each.score for each in prediction.candidates[1:]]
            if all(winner.score - score > 0.2 for score in others):
                assert best[1] == winner.text


@given(cases())
def test_blocks_of_examples_give_the_same(
    case: tuple[list[Example], list[Tokens], list[float], list[float]],
) -> None:
    whole = scores_of(*case)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(positions, "BLOCK_TOKENS", 3)
        assert equal(scores_of(*case), whole)


def equal(one: CharacterScores, two: CharacterScores) -> bool:
    values = ((getattr(one, field.name), getattr(two, field.name)) for field in fields(CharacterScores))
    return all(np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b for a, b in values)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=cases())
def test_a_file_gives_back_what_was_written(
    tmp_path: Path, case: tuple[list[Example], list[Tokens], list[float], list[float]]
) -> None:
    scores = scores_of(*case)
    path = tmp_path / "characters.safetensors"
    scores.write(path)
    found = CharacterScores.read(path)
    assert equal(found, scores)
    found.check(case[0])
    written = path.read_bytes()
    scores.write(path)
    assert path.read_bytes() == written


EXAMPLES = [Example("é", "?", ("big cat", "")), Example("\ud800", "?", ("dog",))]


def some_scores() -> CharacterScores:
    return scores_of(EXAMPLES, [[(0, 3), (4, 7)], [], [(0, 3)]], [1, 2, 3], [4, 5, 6])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "characters.safetensors"
    some_scores().write(path)
    return path


def test_reading_maps_the_file(file: Path) -> None:
    start, _ = CharacterScores.read(file).of(0, 0)
    base: NDArray[np.generic] | None = start
    while base is not None and not isinstance(base, np.memmap):
        base = base.base  # type: ignore[assignment]
    assert isinstance(base, np.memmap)
    assert not start.flags.writeable


def test_a_context_that_is_not_there_is_an_index_error() -> None:
    scores = some_scores()
    for example, context in ((2, 0), (-1, 0), (0, 2), (1, 1), (0, -1)):
        with pytest.raises(IndexError):
            scores.of(example, context)


def test_other_questions_or_contexts_are_noticed(file: Path) -> None:
    scores = CharacterScores.read(file)
    scores.check(EXAMPLES)
    changed = [EXAMPLES[0], replace(EXAMPLES[1], contexts=("dot",))]
    with pytest.raises(DataError, match="has other contexts now"):
        scores.check(changed, path=file)
    with pytest.raises(DataError, match="has other contexts now"):
        scores.check([replace(EXAMPLES[0], contexts=("big cat",)), EXAMPLES[1]])
    with pytest.raises(DataError, match="example 1 is 'é', not 'e'"):
        scores.check([replace(EXAMPLES[0], id="e"), EXAMPLES[1]])
    with pytest.raises(DataError, match="holds 2 examples, not 1"):
        scores.check(EXAMPLES[:1])


def test_every_cut_file_is_refused(file: Path) -> None:
    whole = file.read_bytes()
    for length in range(0, len(whole), 7):
        file.write_bytes(whole[:length])
        with pytest.raises(DataError, match="is not a file of character scores, or damaged"):
            CharacterScores.read(file)


def test_other_files_are_refused(file: Path, tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    with pytest.raises(DataError, match="cannot be read"):
        CharacterScores.read(tmp_path / "nothing")
    with pytest.raises(DataError, match="cannot be read"):
        CharacterScores.read(tmp_path)
    other = tmp_path / "model.safetensors"
    save_file({"weight": np.zeros(3, np.float32)}, other)
    with pytest.raises(DataError, match="is not a file of character scores"):
        CharacterScores.read(other)
    save_file({"start": np.zeros(3, np.float16)}, other, metadata={"qakit.characters": json.dumps({"schema": 1})})
    with pytest.raises(DataError, match="there is no array 'end'"):
        CharacterScores.read(other)
    raw = file.read_bytes()
    file.write_bytes(raw.replace(b'\\"schema\\": 1', b'\\"schema\\": 9'))
    with pytest.raises(DataError, match="has the schema 9; this version reads 1"):
        CharacterScores.read(file)


def test_pointers_that_point_elsewhere_are_refused(file: Path) -> None:
    raw = bytearray(file.read_bytes())
    begin = 8 + struct.unpack("<Q", raw[:8])[0]
    first, stop = json.loads(raw[8:begin])["pointers"]["data_offsets"]
    raw[begin + first : begin + stop] = np.array([0, 7, 99, 10], np.int64).tobytes()
    file.write_bytes(raw)
    with pytest.raises(DataError, match="its arrays do not fit together"):
        CharacterScores.read(file)


def test_a_file_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        some_scores().write(tmp_path / "file" / "characters.safetensors")
