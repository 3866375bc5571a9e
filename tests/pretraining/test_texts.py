"""Documents from files, pieces of them, and where words begin."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qakit.data.encode import EncodedExamples
from qakit.data.store import TokenStore
from qakit.errors import DataError, RecipeError
from qakit.pretraining.pieces import chosen, pieces, word_begins
from qakit.pretraining.prepare import distinct, read_documents
from qakit.pretraining.settings import PretrainSettings, settings_from


def encoded(lengths: list[int], offsets: list[tuple[int, int]] | None = None) -> EncodedExamples:
    """One context per example, of so many tokens; the question is the empty text of the last row."""
    n, total = len(lengths), sum(lengths)
    places = np.zeros((total, 2), np.int32) if offsets is None else np.array(offsets, np.int32)
    store = TokenStore(np.arange(total, dtype=np.int32), places, np.cumsum([0, *lengths, 0]).astype(np.int64))
    nowhere, rows = np.full(n, -1, np.int32), np.arange(n, dtype=np.int32)
    return EncodedExamples(
        store=store,
        query=np.full(n, n, np.int32),
        pointers=np.arange(n + 1, dtype=np.int64),
        context=rows,
        answer_first=nowhere,
        answer_stop=nowhere,
        answerable=nowhere.astype(np.int8),
        label=np.full(n, np.nan, np.float32),
        relevant=nowhere,
        key=rows.astype(np.int64),
    )


@pytest.mark.parametrize(
    ("text", "documents"),
    [
        ("one\ntwo\n", ["one", "two"]),
        ("one\nstill one\n\n \ntwo\n", ["one\nstill one", "two"]),
        ("\ufeff\r\none\r\ntwo", ["one", "two"]),
        ("one\r\nstill one\r\n\r\ntwo", ["one\nstill one", "two"]),
        ("  \n\n", []),
        ("one\u2028still one\x0cstill one\x85\ntwo", ["one\u2028still one\x0cstill one", "two"]),
    ],
)
def test_documents_are_lines_or_blocks_between_blank_lines(tmp_path: Path, text: str, documents: list[str]) -> None:
    (tmp_path / "a.txt").write_bytes(text.encode("utf-8"))
    assert list(read_documents(tmp_path / "a.txt")) == documents


def test_a_file_that_cannot_be_read_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("gut\nschön".encode("latin-1"))
    with pytest.raises(DataError, match=r"a\.txt.*line 2.*not UTF-8"):
        list(read_documents(tmp_path / "a.txt"))
    with pytest.raises(DataError, match="cannot be read"):
        list(read_documents(tmp_path / "none.txt"))
    with pytest.raises(DataError, match="no text"):
        distinct([" ", ""])
    assert distinct(["b", "a", "b"]) == ["b", "a"]


@given(lengths=st.lists(st.integers(0, 40), min_size=1, max_size=6), room=st.integers(1, 12))
def test_pieces_hold_every_token_once_in_as_few_even_windows_as_can_be(lengths: list[int], room: int) -> None:
    windows = pieces(encoded(lengths), room=room)
    for number, length in enumerate(lengths):
        own = np.flatnonzero(windows.pair == number)
        assert len(own) == -(-length // room)
        assert np.concatenate([np.arange(windows.first[w], windows.stop[w]) for w in own] or [[]]).tolist() == list(
            range(length)
        )
        sizes = windows.stop[own] - windows.first[own]
        assert not len(sizes) or sizes.max() - sizes.min() <= 1
    rows = np.arange(0, len(windows), 2)
    assert chosen(windows, rows).first.tolist() == windows.first[rows].tolist()


@pytest.mark.parametrize(
    ("text", "tokens", "begins"),
    [
        ("playing well", [(0, 4), (4, 7), (8, 12)], [1, 0, 1]),
        ("don't", [(0, 3), (3, 4), (4, 5)], [1, 1, 1]),
        ("naïveté 42a", [(0, 3), (3, 7), (8, 10), (10, 11)], [1, 0, 1, 0]),
        ("the end", [(0, 3), (3, 7)], [1, 1]),  # a tokenizer that counts the blank to the token
        ("诺曼人x9", [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)], [1, 1, 1, 1, 0]),
        ("สวัสดี", [(0, 3), (3, 6)], [1, 1]),
        ("ｱｲㄅㄆ", [(0, 1), (1, 2), (2, 3), (3, 4)], [1, 1, 1, 1]),
        ("한국", [(0, 1), (1, 2)], [1, 0]),
        ("Яб", [(0, 1), (0, 1), (1, 2), (1, 2)], [1, 0, 0, 0]),  # bytes
        ("ab cd", [(0, 2), (0, 0), (3, 5)], [1, 1, 1]),  # a token of no characters
    ],
)
def test_words_are_runs_of_letters_and_each_token_elsewhere(
    text: str, tokens: list[tuple[int, int]], begins: list[int]
) -> None:
    assert word_begins(encoded([len(tokens)], tokens), [text]).astype(int).tolist() == begins


def test_settings_come_from_the_command_line_with_every_problem_named() -> None:
    settings = settings_from(["epochs=2", "objective=recurring_spans", "warmup=10"])
    assert (settings.epochs, settings.objective, settings.warmup) == (2.0, "recurring_spans", 10)
    assert settings_from([]) == PretrainSettings()
    with pytest.raises(RecipeError) as problem:
        settings_from(["epoch=2", "rate=2", "min_span=20"])
    assert "epochs" in str(problem.value)  # did you mean
    assert "rate" in str(problem.value)


def test_the_guide_names_every_setting() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "what-to-change.md").read_text("utf-8")
    assert [name for name in PretrainSettings.model_fields if f"`{name}`" not in guide] == []
