"""The developers' real files: what they hold is known."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.shared_data

FILES = [
    ("squad", {}, "squad2/train.json", 3984, {}),
    ("squad", {}, "squad2/dev.json", 1023, {}),
    ("squad", {}, "squad2/test.json", 1071, {}),
    ("squad", {}, "drcd/DRCD_dev.json", 3524, {}),
    (
        "squad",
        {},
        "cmrc2018/cmrc2018_train.json",
        10142,
        {("answer_offset", "repaired"): 20, ("answer_ambiguous", "kept"): 1},
    ),
    (
        "squad",
        {},
        "cmrc2018/cmrc2018_trial.json",
        1002,
        {("answer_offset", "repaired"): 5, ("empty_question", "kept"): 2},
    ),
    (
        "squad",
        {},
        "cmrc2018/cmrc2018_dev.json",
        3219,
        {("answer_missing", "kept"): 193, ("answer_offset", "repaired"): 7},
    ),
    ("hw7", {}, "hw7/hw7_train.json", 4130, {}),
    ("hw7", {}, "hw7/hw7_dev.json", 3524, {}),
    ("hw7", {}, "hw7/hw7_test.json", 3493, {}),
    ("adl", {"paragraphs": 4}, "adl/train.json", 2458, {}),
    ("adl", {"paragraphs": 4}, "adl/valid.json", 1066, {}),
    ("adl", {"paragraphs": 4}, "adl/test.json", 2213, {}),
    ("glue", {"task": "CoLA"}, "glue/CoLA/train.tsv", 8551, {}),
    ("glue", {"task": "CoLA"}, "glue/CoLA/dev.tsv", 1043, {}),
    ("glue", {"task": "CoLA"}, "glue/CoLA/test.tsv", 1063, {}),
    ("glue", {"task": "SST-2"}, "glue/SST-2/train.tsv", 67349, {}),
    ("glue", {"task": "SST-2"}, "glue/SST-2/dev.tsv", 872, {}),
    ("glue", {"task": "SST-2"}, "glue/SST-2/test.tsv", 1821, {}),
    ("glue", {"task": "STS-B"}, "glue/STS-B/train.tsv", 5749, {}),
    ("glue", {"task": "STS-B"}, "glue/STS-B/dev.tsv", 1500, {}),
    ("glue", {"task": "STS-B"}, "glue/STS-B/test.tsv", 1379, {}),
]


@pytest.mark.parametrize(("reader", "settings", "file", "count", "problems"), FILES, ids=[file[2] for file in FILES])
def test_real_file(reader, settings, file, count, problems, shared_data, read):
    examples, found = read(reader, shared_data / file, **settings)
    assert len(examples) == count
    assert dict(found.counts) == problems
    unlabelled = sum(example.answers is None and example.label is None for example in examples)
    assert unlabelled == (count if "test" in file else 0)


@pytest.mark.parametrize("cut", [1, 1000, 100_000])
@pytest.mark.parametrize("file", ["squad2/dev.json", "hw7/hw7_dev.json"])
def test_real_file_cut_off(file, cut, shared_data, tmp_path, read):
    from qakit.api import DataError

    path = tmp_path / "data.json"
    path.write_bytes((shared_data / file).read_bytes()[:-cut])
    with pytest.raises(DataError, match=r"data\.json"):
        read("squad" if "squad" in file else "hw7", path)
