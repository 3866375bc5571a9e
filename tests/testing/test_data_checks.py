"""The contract checks of what reads, cuts, combines, cleans, writes and judges: each fault has its reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from contract_faults import SETTINGS, component, fails
from pydantic import Field

from qakit import testing
from qakit.api import Answer, Component, DataError, Example, LabelPrediction, Settings, SpanPrediction, write_text
from qakit_preprocess import CONCATENATE, ConcatenateSettings
from qakit_preprocess.concatenate import Concatenate


class Reads:
    def __init__(self, result: Any) -> None:
        self.result = result

    def read(self, path: Path, problems: Any) -> Any:
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (None, "read returned None; it must give examples (is `yield` missing?)"),
        (KeyError("id"), "read fails: KeyError: 'id'"),
        ([None], "read yields example 1: it is None, not Example"),
        ([Example("1", "a?"), Example("2", "b?"), Example("1", "c?")], "the id '1' occurs twice"),
        ([Example("1", None)], "read yields example 1: 1: question is None, not str"),  # type: ignore[arg-type]
        ([Example("1", "?", ["a"])], "read yields example 1: 1: contexts is list; it must be a tuple"),  # type: ignore[arg-type]
        ([Example("1", "?", answers=[])], "read yields example 1: 1: answers is list; it must be a tuple"),  # type: ignore[arg-type]
        ([Example("1", "?", document=None)], 'read yields example 1: 1: document is None, not str ("" where'),  # type: ignore[arg-type]
        ([Example("1", "?", ("ab",), (Answer("b", -1),))], "1: an answer starts at -1"),
    ],
)
def test_readers(result: Any, reason: str, tmp_path: Path) -> None:
    assert fails(testing.check_reader, Reads(result), tmp_path / "file")[0].startswith(reason)


def test_a_reader_that_drops_records_is_noticed_where_their_number_is_known(tmp_path: Path) -> None:
    read = component(Reads([Example("1", "a?"), Example("2", "b?")]))
    assert len(testing.check_reader(read, SETTINGS, tmp_path / "file", count=2)) == 2
    with pytest.raises(AssertionError, match="2 examples, not 4"):
        testing.check_reader(read, SETTINGS, tmp_path / "file", count=4)


def test_a_bad_file_is_not_the_readers_fault(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        testing.check_reader(component(Reads(DataError("cannot be read"))), SETTINGS, tmp_path / "file")


class Writes:
    suffix: Any = ".txt"

    def __init__(self, write: Callable[[Path], Any], problems: Any = None) -> None:
        self._write, self._problems = write, problems

    def write(self, predictions: Any, path: Path) -> None:
        self._write(path)

    def check(self, path: Path, sample: Path) -> Any:
        return self._problems


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (lambda path: None, "write has written no file"),
        (lambda path: path.parent.joinpath("no", "folder").write_text("x"), "write fails: FileNotFoundError: "),
        (lambda path: path.open("x").write("x"), "write fails: FileExistsError: "),
        (lambda path: write_text(path, "x"), "check returned None; it must return a list of texts"),
    ],
)
def test_writers(write: Callable[[Path], Any], reason: str, tmp_path: Path) -> None:
    assert fails(testing.check_writer, Writes(write), tmp_path)[0].startswith(reason)


class Computes:
    primary = "right"

    def __init__(self, result: Any) -> None:
        self.result = result

    def compute(self, examples: Any, predictions: Any) -> Any:
        return self.result[0] if self.result else self.result

    combine = compute


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (None, "compute returned None; it must return figures by name"),
        (7, "compute fails: TypeError: 'int' object is not subscriptable"),
        ([{"right": None}], "compute gives None for 'right'; figures are int or float by name"),
    ],
)
def test_metrics(result: Any, reason: str) -> None:
    assert fails(testing.check_metric, Computes(result))[0].startswith(reason)


class Combines:
    def __init__(self, combine: Callable[[Any], Any]) -> None:
        self.combine = combine


@pytest.mark.parametrize(
    ("combine", "reason"),
    [
        (lambda members: None, "combine returned None; it must return a list of predictions"),
        (lambda members: [None for _ in members[0]], "combine returned list; it must return a list of predictions"),
        (lambda members: members[9], "combine fails: IndexError: list index out of range"),
    ],
)
def test_ensemblers(combine: Callable[[Any], Any], reason: str) -> None:
    assert fails(testing.check_ensembler, Combines(combine))[0].startswith(reason)


@pytest.mark.parametrize(
    ("postprocess", "reason"),
    [
        (lambda prediction, example: None, "the call returned None; it must return a Prediction with the same id"),
        (
            lambda prediction, example: prediction.text,
            "the call fails for the example 'q0': AttributeError: ",
        ),
        (
            lambda prediction, example: SpanPrediction("other", ""),
            "the call returned the id 'other'; it must",
        ),
        (
            lambda prediction, example: prediction.with_answer(prediction.answer[1:]),
            "the call fails for the example 'class': AttributeError: ",
        ),
        (
            lambda prediction, example: (
                prediction.with_answer(prediction.answer.upper())
                if isinstance(prediction, SpanPrediction)
                else LabelPrediction(prediction.id, "x")
            ),
            "a LabelPrediction must pass through as it is where a postprocessor is for answers",
        ),
    ],
)
def test_postprocessors(postprocess: Callable[..., Any], reason: str) -> None:
    assert fails(testing.check_postprocessor, postprocess)[0].startswith(reason)


class Learns:
    """Learns something, in turn."""

    def __init__(self, *learnt: Any) -> None:
        self.learnt = list(learnt)

    def __call__(self, prediction: Any, example: Any) -> Any:
        return prediction

    def learn(self, examples: Any) -> Any:
        return self.learnt.pop(0)


class Words(Settings):
    words: int = Field(default=0, description="How many.")


@pytest.mark.parametrize(
    ("learnt", "reason"),
    [
        ((None, None), "learn returned None; it must return values by name"),
        (({"wrods": 1},) * 2, "learn, or taking what it learnt as settings raises ValidationError: "),
        (({"words": 1}, {"words": 2}), "learn gives other settings for the same examples: "),
    ],
)
def test_what_postprocessors_learn(learnt: Any, reason: str) -> None:
    made: Any = Component("mine", "Mine", Words, lambda settings, runtime: Learns(*learnt))
    with pytest.raises(AssertionError) as caught:
        testing.check_postprocessor(made, Words())
    assert str(caught.value).startswith(reason)


@pytest.mark.parametrize(
    ("tries", "reason"),
    [
        (("end",), "tries holds 'end', which is str, not settings by name"),
        ([{}], "tries is list, not a tuple of settings"),
    ],
)
def test_tries_are_settings_by_name(tries: Any, reason: str) -> None:
    made: Any = Component("mine", "Mine", Words, lambda settings, runtime: Learns(), tries)
    with pytest.raises(AssertionError, match=reason):
        testing.check_component("postprocessors", made)


class Slices:
    redraws = False

    def __init__(self, result: Any) -> None:
        self.result = result

    def windows(self, encoded: Any, *, epoch: int) -> Any:
        return self.result[epoch] if self.result else None


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (None, "windows returned None; it must return Windows"),
        ({1: 1}, "windows fails: KeyError: 0"),
    ],
)
def test_preprocessors(result: Any, reason: str) -> None:
    assert fails(testing.check_preprocessor, Slices(result))[0].startswith(reason)


class Tight(Concatenate):
    """Forgets the separators between contexts."""

    def windows(self, encoded: Any, *, epoch: int) -> Any:
        runtime = replace(self.runtime, separator_tokens=0)
        return Concatenate(self.settings, runtime).windows(encoded, epoch=epoch)


def test_separators_between_contexts_take_room() -> None:
    settings = ConcatenateSettings(overlap=0)
    testing.check_preprocessor(CONCATENATE, settings)
    tight: Any = Component("tight", "Tight", ConcatenateSettings, Tight)
    with pytest.raises(AssertionError, match="longer than max_length"):
        testing.check_preprocessor(tight, settings)
