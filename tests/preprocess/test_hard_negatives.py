"""Negatives from a previous run's wrong candidates."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from qakit.api import Answer, DataError, EncodedExamples, Example, Preprocessor
from qakit.testing import check_preprocessor
from qakit_preprocess import CENTRED, RANDOM_WINDOW, STRIDE

Encode = Callable[[Sequence[Example]], EncodedExamples]
Build = Callable[..., Preprocessor]
Span = tuple[int, int, float]
"""First character, one past the last, probability."""

TEXT = "abcdefghijklmnopqrstuvwxyz" * 3
GOLD = (40, 42)
"""'op', for the second time: it is also at 14 and 66."""
EXAMPLE = Example("q", "?", (TEXT,), (Answer("op", 40),))


def line(name: str, spans: Iterable[Span], *, text: str = TEXT, context: int = 0, **changes: Any) -> str:
    """A line of nbest.jsonl; the score is ten times the probability."""
    candidates = [
        {
            "text": text[start:end],
            "start": start,
            "end": end,
            "context": context,
            "score": 10 * probability,
            "probability": probability,
        }
        | changes
        for start, end, probability in spans
    ]
    return json.dumps({"id": name, "answer": "", "candidates": candidates, "null": None}) + "\n"


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Path]:
    """A run folder with these lines as its predictions for the training file."""

    def write(*lines: str) -> Path:
        file = tmp_path / "run" / "predictions" / "train" / "nbest.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(lines), "utf-8")
        return tmp_path / "run"

    return write


def drawn(preprocessor: Preprocessor, encoded: EncodedExamples, *, epochs: int = 60) -> list[list[tuple[int, int]]]:
    """(first, stop) of each epoch's windows without a target."""
    found = []
    for epoch in range(epochs):
        windows = preprocessor.windows(encoded, epoch=epoch)
        rows = np.flatnonzero(windows.answer_first < 0)
        found.append([(int(windows.first[row]), int(windows.stop[row])) for row in rows])
    return found


def hold(places: list[tuple[int, int]], first: int, stop: int) -> int:
    """How many windows hold these tokens."""
    return sum(begin <= first and stop <= end for begin, end in places)


# ------------------------------------------------------------------------------------------------------- which windows
@pytest.mark.parametrize("name", ["stride", "centred", "random_window"])
def test_the_window_with_the_best_wrong_candidate_is_chosen(
    name: str, run: Any, by_letters: Encode, build: Build
) -> None:
    folder = run(line("q", [(41, 45, 0.5), (14, 16, 0.3), (60, 63, 0.1), (5, 7, 0.05)]))
    encoded = by_letters([EXAMPLE])
    # 41..44 overlaps the answer and 14..15 has its text: the best wrong one is 60..62.
    chosen = drawn(
        build(name, step=4, negatives=1 if name != "stride" else 0.3, hard_negatives={"from_run": str(folder)}), encoded
    )
    chosen = [places for places in chosen if places]
    assert len(chosen) > 15 and all(hold(places, 60, 63) == len(places) for places in chosen)
    assert len({tuple(places) for places in chosen}) > 1  # any of the windows that hold it


def test_yes_and_no_are_no_places_to_draw(run: Any, by_letters: Encode, build: Build) -> None:
    found = json.loads(line("q", [(60, 63, 0.1)]))
    found["candidates"].insert(0, {**found["candidates"][0], "text": "no", "start": None, "end": None})
    folder = run(json.dumps(found) + "\n")
    built = build("centred", step=4, negatives=1, hard_negatives={"from_run": str(folder)})
    chosen = [places for places in drawn(built, by_letters([EXAMPLE]), epochs=5) if places]
    assert chosen and all(hold(places, 60, 63) == len(places) for places in chosen)


def test_candidates_take_turns_and_a_window_counts_once(run: Any, by_letters: Encode, build: Build) -> None:
    folder = run(line("q", [(60, 63, 0.4), (61, 64, 0.3), (4, 6, 0.2), (25, 27, 0.05)]))
    preprocessor = build("stride", step=10, negatives=2, hard_negatives={"from_run": str(folder)})
    # Without overlap, 60..63 lie in the window at 60 and 4..5 in that at 0.
    assert all(places == [(0, 10), (60, 70)] for places in drawn(preprocessor, by_letters([EXAMPLE])))


def test_what_no_wrong_candidate_is_left_for_is_uniform(run: Any, by_letters: Encode, build: Build) -> None:
    folder = run(line("q", [(60, 63, 0.4)]))
    preprocessor = build("stride", step=10, negatives=2, hard_negatives={"from_run": str(folder)})
    chosen = drawn(preprocessor, by_letters([EXAMPLE]), epochs=200)
    assert all(len(places) == 2 and hold(places, 60, 63) == 1 for places in chosen)
    others = Counter(first for places in chosen for first, _ in places if first != 60)
    assert set(others) == {0, 10, 20, 30, 50, 70}  # 40 holds the answer


def test_share_is_the_hard_part(run: Any, by_letters: Encode, build: Build) -> None:
    folder = run(line("q", [(60, 63, 0.4), (4, 6, 0.2), (25, 27, 0.05)]))
    hard = {"from_run": str(folder), "share": 0.5}
    chosen = drawn(build("stride", step=10, negatives=2, hard_negatives=hard), by_letters([EXAMPLE]), epochs=200)
    assert all(hold(places, 60, 63) == 1 for places in chosen)
    assert len({tuple(places) for places in chosen}) == 6
    none = drawn(
        build("stride", step=10, negatives=2, hard_negatives=hard | {"share": 0}), by_letters([EXAMPLE]), epochs=20
    )
    assert none == drawn(build("stride", step=10, negatives=2), by_letters([EXAMPLE]), epochs=20)


def test_improbable_candidates_can_be_left_out(run: Any, by_letters: Encode, build: Build) -> None:
    folder = run(line("q", [(60, 63, 0.04)]))
    hard = {"from_run": str(folder), "min_probability": 0.05}
    chosen = drawn(build("stride", step=10, negatives=1, hard_negatives=hard), by_letters([EXAMPLE]))
    assert len({tuple(places) for places in chosen}) == 7


def test_a_candidate_that_no_window_holds_without_the_answer(run: Any, by_letters: Encode, build: Build) -> None:
    folder = run(line("q", [(42, 45, 0.9), (58, 62, 0.5), (5, 7, 0.2)]))  # beside the answer; across a border
    chosen = drawn(
        build("stride", step=10, negatives=1, hard_negatives={"from_run": str(folder)}), by_letters([EXAMPLE])
    )
    assert all(places == [(0, 10)] for places in chosen)


def test_wrong_candidates_of_other_contexts(run: Any, by_letters: Encode, build: Build) -> None:
    example = Example("q", "?", (TEXT, TEXT[::-1]), EXAMPLE.answers)
    folder = run(line("q", [(33, 36, 0.6)], text=TEXT[::-1], context=1))
    for name in ("stride", "centred", "random_window"):
        windows = build(
            name, step=2, negatives=0.2 if name == "stride" else 1, hard_negatives={"from_run": str(folder)}
        )
        found = windows.windows(by_letters([example]), epoch=0)
        row = int(np.argmin(found.answer_first))
        assert found.pair[row] == 1 and found.first[row] <= 33 and found.stop[row] >= 36


def test_examples_without_predictions_get_uniform_negatives(
    run: Any, by_letters: Encode, build: Build, caplog: pytest.LogCaptureFixture
) -> None:
    folder = run(line("q", [(60, 63, 0.4)]), line("elsewhere", [(900, 903, 0.4)], text=TEXT * 20), line("u", []))
    encoded = by_letters([EXAMPLE, Example("other", "?", (TEXT,), EXAMPLE.answers), Example("u", "?", (TEXT,), ())])
    preprocessor = build("stride", step=10, negatives=1, hard_negatives={"from_run": str(folder)})
    uniform = build("stride", step=10, negatives=1)
    for epoch in range(20):
        windows, plain = preprocessor.windows(encoded, epoch=epoch), uniform.windows(encoded, epoch=epoch)
        mine, theirs = windows.example >= 1, plain.example >= 1
        assert windows.first[mine].tolist() == plain.first[theirs].tolist()
    (record,) = caplog.records  # said once, not in each epoch
    assert "no predictions for 1 of 2 answerable training examples" in record.getMessage()


def test_offsets_are_characters_of_the_raw_text(run: Any, by_letters: Encode, build: Build) -> None:
    text = " ".join(TEXT)  # twice the characters, the same tokens
    example = Example("q", "?", (text,), (Answer("o p", 80),))
    folder = run(line("q", [(120, 125, 0.4)], text=text))  # tokens 60..62
    preprocessor = build("stride", step=10, negatives=1, hard_negatives={"from_run": str(folder)})
    assert all(places == [(60, 70)] for places in drawn(preprocessor, by_letters([example])))


def test_what_nobody_sees_at_a_contexts_end_may_be_in_a_candidate(run: Any, by_letters: Encode, build: Build) -> None:
    text = TEXT + " \u200b"
    folder = run(line("q", [(75, 80, 0.4), (78, 80, 0.6)], text=text))
    preprocessor = build("stride", step=10, negatives=1, hard_negatives={"from_run": str(folder)})
    example = Example("q", "?", (text,), EXAMPLE.answers)
    assert all(places == [(70, 78)] for places in drawn(preprocessor, by_letters([example])))


# -------------------------------------------------------------------------------------------------------------- files
def test_the_file_is_read_once_and_only_for_training(run: Any, by_letters: Encode, build: Build) -> None:
    folder = run(line("q", [(60, 63, 0.4)]))
    file = folder / "predictions" / "train" / "nbest.jsonl"
    hard = {"from_run": str(file)}
    preprocessor = build("stride", step=10, negatives=1, hard_negatives=hard)
    file.unlink()
    assert all(places == [(60, 70)] for places in drawn(preprocessor, by_letters([EXAMPLE])))
    for name in ("stride", "centred", "random_window"):
        predicting = build(name, training=False, negatives=1, hard_negatives=hard)
        assert len(predicting.windows(by_letters([EXAMPLE]), epoch=0)) == 15
        with pytest.raises(DataError, match="there is no such run folder"):
            build(name, negatives=1, hard_negatives=hard)


def test_a_run_without_predictions_says_which_command_makes_them(tmp_path: Path, build: Build) -> None:
    command = re.escape(f"`qakit predict {tmp_path} --split train`")
    with pytest.raises(DataError, match=f"nbest.jsonl: hard negatives need .*; make them with {command}"):
        build("stride", negatives=1, hard_negatives={"from_run": str(tmp_path)})


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([line("q", [(60, 63, 0.4)], text=TEXT)[:-5]], r"line 1: not a line of nbest.jsonl"),
        (
            [line("q", [(60, 63, 0.4)], end=64)],
            r"id q, field 'candidates\[0\]': the text 'ijk' has 3 .* 60 to 64 say 4",
        ),
        ([line("q", [(60, 63, 0.4)], start=None, end=None)], r"id q, field 'candidates\[0\]': has no offsets"),
        (['{"id": "q", "label": "yes", "scores": [1.0]}\n'], "id q: holds labels, not answers"),
        ([line("p", []), line("q", []), line("q", [])], "id q: an id occurs twice"),
    ],
)
def test_files_that_are_no_predictions_of_answers(lines: list[str], message: str, run: Any, build: Build) -> None:
    with pytest.raises(DataError, match=f"nbest.jsonl, {message}"):
        build("stride", negatives=1, hard_negatives={"from_run": str(run(*lines))})


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "none of the 1 answerable training examples"),
        ([line("p", [(60, 63, 0.4)])], "none of the 1 answerable training examples"),
        (
            [line("p", []), line("q", [(5, 6, 0.1), (76, 79, 0.4)], text=TEXT + "abc")],
            "id q: the candidate at context 0, characters 76 to 79 reaches past the context's end: .* other texts",
        ),
        ([line("q", [(5, 6, 0.1)], context=1)], "id q: .* lies in a context that the example does not have"),
    ],
)
def test_predictions_of_other_examples(
    lines: list[str], message: str, run: Any, by_letters: Encode, build: Build
) -> None:
    preprocessor = build("stride", negatives=1, hard_negatives={"from_run": str(run(*lines))})
    with pytest.raises(DataError, match=f"nbest.jsonl.*{message}"):
        preprocessor.windows(by_letters([EXAMPLE]), epoch=0)


@pytest.mark.parametrize(
    ("component", "settings"),
    [(STRIDE, {}), (STRIDE, {"negatives": "none"}), (STRIDE, {"negatives": 0}), (CENTRED, {}), (RANDOM_WINDOW, {})],
)
def test_hard_negatives_without_a_ratio_are_an_error(component: Any, settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="say how many with `negatives`"):
        component.settings(**settings, hard_negatives={"from_run": "run"})


# ------------------------------------------------------------------------------------------------------- any examples
@pytest.mark.parametrize("component", [STRIDE, CENTRED, RANDOM_WINDOW], ids=lambda component: component.name)
def test_the_contract_of_preprocessors(component: Any, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # The check's examples have no ids, only the keys 100, 101 ...
    monkeypatch.setattr("qakit_preprocess.wrong_candidates.example_key", int)
    text = "x " * 61
    folder = run(*(line(str(key), [(0, 3, 0.5), (10, 13, 0.2)], text=text) for key in (100, 103, 104, 105, 109)))
    hard = {"from_run": str(folder), "share": 0.7}
    check_preprocessor(component, component.settings(negatives=1.5, hard_negatives=hard))


@given(
    data=st.data(),
    name=st.sampled_from(["stride", "centred", "random_window"]),
    ratio=st.sampled_from([0.5, 1.0, 3.0]),
    share=st.sampled_from([0.0, 0.4, 1.0]),
    step=st.integers(1, 10),
    epoch=st.integers(0, 3),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_hard_negatives_change_which_and_not_how_many(
    data: st.DataObject,
    name: str,
    ratio: float,
    share: float,
    step: int,
    epoch: int,
    run: Any,
    by_letters: Encode,
    build: Build,
) -> None:
    examples, lines = [], []
    for number in range(data.draw(st.integers(1, 3))):
        text = data.draw(st.text("ab", min_size=1, max_size=40))
        start = data.draw(st.integers(0, len(text) - 1))
        end = data.draw(st.integers(start + 1, min(start + 9, len(text))))
        examples.append(Example(f"q{number}", "?", (text,), (Answer(text[start:end], start),)))
        spans = []
        for probability in data.draw(st.lists(st.floats(0, 1), max_size=4)):
            first = data.draw(st.integers(0, len(text) - 1))
            spans.append((first, data.draw(st.integers(first + 1, len(text))), probability))
        lines.append(line(f"q{number}", spans, text=text))
    encoded = by_letters(examples)
    hard = {"from_run": str(run(*lines)), "share": share}
    windows = build(name, step=step, negatives=ratio, hard_negatives=hard).windows(encoded, epoch=epoch)
    plain = build(name, step=step, negatives=ratio).windows(encoded, epoch=epoch)
    assert windows.example.tolist() == plain.example.tolist()
    held = windows.answer_first >= 0
    assert windows.first[held].tolist() == plain.first[plain.answer_first >= 0].tolist()
    gold_first, gold_stop = encoded.answer_first[windows.pair[~held]], encoded.answer_stop[windows.pair[~held]]
    assert not ((gold_first >= windows.first[~held]) & (gold_stop <= windows.stop[~held])).any()
    # Another example before them changes nothing.
    more = by_letters([Example("new", "?", (TEXT,), EXAMPLE.answers), *examples])
    lines.insert(0, line("new", [(1, 2, 0.5)]))
    hard["from_run"] = str(run(*lines))
    again = build(name, step=step, negatives=ratio, hard_negatives=hard).windows(more, epoch=epoch)
    old = again.example > 0
    assert again.first[old].tolist() == windows.first.tolist()
    assert again.answer_first[old].tolist() == windows.answer_first.tolist()
