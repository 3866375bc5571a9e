"""SQuAD's prediction file and JSON Lines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import qakit_writers
from qakit.data.predictions_file import read_answers
from qakit.errors import DataError
from qakit.protocols import NoRuntime, Writer
from qakit.values import LabelPrediction, NoAnswer, Prediction, SpanPrediction, Targets
from qakit_writers import SquadJsonSettings
from qakit_writers.json_files import JsonlWriter, SquadJsonWriter

ITEMS: list[Prediction] = [
    SpanPrediction("a", '甲"\n', null=NoAnswer(-1.0, 0.25)),
    SpanPrediction("b", "", null=NoAnswer(1.0, 0.75)),
]


def test_squad_json(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    writer = SquadJsonWriter(SquadJsonSettings())
    writer.write(ITEMS, path)
    assert path.read_text(encoding="utf-8") == '{\n"a": "甲\\"\\n",\n"b": ""\n}\n'
    assert writer.check(path, path) == []
    writer.write([], path)
    assert json.loads(path.read_bytes()) == {}


def test_no_answer_probabilities_go_into_a_file_of_their_own(tmp_path: Path) -> None:
    writer = SquadJsonWriter(SquadJsonSettings(no_answer_probability=True))
    writer.write(ITEMS, tmp_path / "out.json")
    assert json.loads((tmp_path / "out.no_answer_probability.json").read_bytes()) == {"a": 0.25, "b": 0.75}
    with pytest.raises(DataError, match="id c: has no no-answer probability"):
        writer.write([SpanPrediction("c", "x")], tmp_path / "out.json")


def test_jsonl(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    JsonlWriter().write([*ITEMS, LabelPrediction("c", 0.5)], path)
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
    assert lines == [{"id": "a", "answer": '甲"\n'}, {"id": "b", "answer": ""}, {"id": "c", "label": 0.5}]
    assert JsonlWriter().check(path, path) == []


def test_several_numbers_are_an_object(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    JsonlWriter().write([LabelPrediction("c", Targets((0.5, 2), ("x", "y")))], path)
    assert json.loads(path.read_text()) == {"id": "c", "label": {"x": 0.5, "y": 2.0}}
    assert read_answers(path).several


def test_check_against_a_csv_sample(tmp_path: Path) -> None:
    sample = tmp_path / "sample.csv"
    sample.write_bytes(b"Id,Predicted\r\na,\r\nc,\r\n")
    for writer, name in ((SquadJsonWriter(SquadJsonSettings()), "out.json"), (JsonlWriter(), "out.jsonl")):
        writer.write(ITEMS, tmp_path / name)
        assert writer.check(tmp_path / name, sample) == [
            "1 ids of the sample are missing: c",
            "1 ids are not in the sample: b",
        ]


def test_repeated_ids_and_broken_files_are_problems(tmp_path: Path) -> None:
    sample, mine = tmp_path / "sample.json", tmp_path / "mine.json"
    sample.write_text('{"a": ""}')
    writer = SquadJsonWriter(SquadJsonSettings())
    mine.write_text('{"a": "x", "a": "y"}')
    assert writer.check(mine, sample) == ["1 ids are there more than once: a"]
    for content in ("[1]", "{", "3"):
        mine.write_text(content)
        assert len(writer.check(mine, sample)) == 1
    mine.write_text("[1]\n")
    assert len(JsonlWriter().check(mine, sample)) == 1


def test_a_broken_sample_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    SquadJsonWriter(SquadJsonSettings()).write(ITEMS, path)
    for name, content in (("s.json", "["), ("s.jsonl", "{}"), ("s.csv", 'id,answer\n"x')):
        (tmp_path / name).write_text(content)
        with pytest.raises(DataError, match="not a readable sample submission"):
            SquadJsonWriter(SquadJsonSettings()).check(path, tmp_path / name)


def test_every_component_builds_a_writer() -> None:
    components = qakit_writers.qakit_register_writers()
    assert [component.name for component in components] == ["csv", "squad_json", "jsonl", "natural_questions"]
    needed = {"natural_questions": {"questions": "test.jsonl"}}
    for component in components:
        settings = component.settings.model_validate(needed.get(component.name, {}))
        assert isinstance(component.build(settings, NoRuntime()), Writer)
