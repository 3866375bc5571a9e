"""Data on the hub becomes local files: whole or not at all, the same for a commit, without the hub from the caches."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet
import pytest
from hub import datasets
from hub.faults import CORRUPT
from hub.server import HubServer
from huggingface_hub import HfApi

from qakit.data import sources
from qakit.data.read import read_examples
from qakit.data.sources import local_files
from qakit.errors import DataError, HubError
from qakit.hub import Progress, _listing, reporting
from qakit.protocols import NoRuntime
from qakit.recipe.hub_data import HubFiles, HubSplit
from qakit.registry import load_registry
from qakit.values import Example

Source = str | HubSplit
GLUE_READER = {
    "cola": "CoLA", "sst2": "SST-2", "mrpc": "MRPC", "qqp": "QQP", "stsb": "STS-B",
    "mnli": "MNLI", "ax": "AX", "qnli": "QNLI", "rte": "RTE", "wnli": "WNLI",
}  # fmt: skip


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """qakit's cache, empty."""
    monkeypatch.setenv("QAKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def go_offline(set_hub: Callable[..., None]) -> Callable[[], None]:
    """From here on as in a process that was started without the hub."""

    def go() -> None:
        _listing.cache_clear()
        set_hub(HF_HUB_OFFLINE="1")

    return go


def fetch(source: Source, **options: str) -> tuple[Path, ...]:
    return local_files(source, named="data.train", **options)


def read(source: Source, reader: str = "squad", **settings: str) -> tuple[Example, ...]:
    built = load_registry().build("readers", reader, settings, NoRuntime())
    return read_examples(built, fetch(source)).examples


def split(dataset: str, name: str = "train", **more: str) -> HubSplit:
    return HubSplit(dataset=dataset, split=name, **more)


@pytest.mark.parametrize("config", GLUE_READER)
def test_each_of_glues_tasks_is_read_with_its_own_class_names(config, hub: HubServer):
    hub.publish_dataset("nyu-mll/glue", datasets.glue(config))
    columns, classes = datasets.GLUE[config]
    for name in datasets.glue_splits(config):
        rows = datasets.glue_rows(config, name)
        examples = read(split("nyu-mll/glue", name, config=config), "glue", task=GLUE_READER[config])
        texts = [(row[columns[0]], *(row[column] for column in columns[1:])) for row in rows]
        assert [(example.question, *example.contexts) for example in examples] == texts
        mismatched = "mismatched-" if "mismatched" in name else ""
        assert [example.id for example in examples] == [f"{mismatched}{row['idx']}" for row in rows]
        if name.startswith("test"):
            assert not any(example.labelled for example in examples)  # -1
        elif not classes:
            assert [example.label for example in examples] == [row["label"] for row in rows]
        else:
            own = classes if GLUE_READER[config] in ("MNLI", "QNLI", "RTE") else ("0", "1")
            assert [example.label for example in examples] == [own[row["label"]] for row in rows]


@pytest.mark.parametrize("version_2", [False, True])
def test_squad_is_read_as_its_json_is(version_2, hub: HubServer, tmp_path):
    hub.publish_dataset("rajpurkar/squad", datasets.squad(version_2=version_2))
    rows = datasets.squad_rows("train", version_2=version_2)
    paragraphs = []
    for row in rows:
        pairs = zip(row["answers"]["text"], row["answers"]["answer_start"], strict=True)
        answers = [{"text": text, "answer_start": start} for text, start in pairs]
        asked = {"id": row["id"], "question": row["question"], "answers": answers}
        paragraphs.append({"context": row["context"], "qas": [asked]})
    path = tmp_path / "train.json"
    path.write_text(json.dumps({"data": [{"title": "Towns", "paragraphs": paragraphs}]}), "utf-8")
    assert read(split("rajpurkar/squad")) == read(str(path))
    assert read("hf://datasets/rajpurkar/squad/data/train-*") == read(str(path))
    assert any(example.answers == () for example in read(str(path))) == version_2


def test_gzipped_rows_with_numbers_for_ids_are_read_either_way(hub: HubServer):
    hub.publish_dataset("o/reading", datasets.reading())
    examples = read(split("o/reading"))
    assert [example.id for example in examples] == [str(number) for number in range(datasets.ROWS["train"])]
    assert all(example.answers for example in examples)
    assert examples == read("hf://datasets/o/reading/data/train.jsonl.gz")
    settings = {"id": "id", "question": "question", "context": "context", "answers": "answers", "document": "title"}
    assert examples == read(split("o/reading"), "table", **settings)


def test_answers_in_a_list_of_objects_are_read(hub: HubServer):
    row = {"id": 7, "context": "It rains.", "question": "What?", "answers": [{"text": "rains", "answer_start": 3}]}
    hub.publish_dataset("o/n", {"train.json": json.dumps([row])})
    (example,) = read(split("o/n"))
    assert example.id == "7"
    assert [(answer.text, answer.start) for answer in example.answers or ()] == [("rains", 3)]


def test_only_the_files_of_the_split_are_fetched_and_only_once(hub: HubServer):
    hub.publish_dataset("nyu-mll/glue", datasets.glue("sst2", "rte"))
    wanted = split("nyu-mll/glue", config="sst2")
    first = fetch(wanted)
    assert hub.fetched("nyu-mll/glue", kind="datasets") == ["README.md", "sst2/train-00000-of-00001.parquet"]
    hub.forget()
    assert fetch(wanted) == first
    assert not hub.fetched("nyu-mll/glue", kind="datasets")
    assert pyarrow.parquet.read_table(first[0]).num_rows == datasets.ROWS["train"]


def test_a_commit_stays_the_same_when_the_dataset_moves_on(hub: HubServer):
    old = hub.publish_dataset("o/n", datasets.reading())
    changed = datasets.reading(han=False)
    hub.publish_dataset("o/n", changed)
    assert "安" in read(split("o/n", revision=old))[0].contexts[0]
    assert "安" not in read(split("o/n", revision="main"))[0].contexts[0]
    assert "安" in read(f"hf://datasets/o/n@{old}/data/train.jsonl.gz")[0].contexts[0]
    assert "安" not in read("hf://datasets/o/n/data/train.jsonl.gz")[0].contexts[0]


def test_without_the_hub_the_caches_do(hub: HubServer, go_offline: Callable[[], None], cache: Path):
    hub.publish_dataset("o/n", datasets.squad())
    sources = [split("o/n"), "hf://datasets/o/n/data/train-*"]
    before = [fetch(source) for source in sources]
    go_offline()
    assert [fetch(source) for source in sources] == before
    with pytest.raises(HubError, match=r"^data.train: dataset 'o/n': offline mode is on .* all of it; give"):
        fetch(split("o/n", "validation"))
    with pytest.raises(HubError, match=r"^data.train: hf://datasets/o/n/data/\*: offline mode is on"):
        fetch("hf://datasets/o/n/data/*")


def test_the_hubs_own_cache_does_if_it_has_all_that_the_card_names(
    hub: HubServer, set_hub: Callable[..., None], go_offline: Callable[[], None], cache: Path
):
    hub.publish_dataset("o/n", datasets.squad())
    (before,) = fetch(split("o/n"))
    content = before.read_bytes()
    go_offline()
    shutil.rmtree(cache)
    with pytest.raises(HubError, match="its cache does not hold all that the card names"):
        fetch(split("o/n"))
    set_hub(HF_HUB_OFFLINE=None)
    fetch("hf://datasets/o/n/data/*")
    go_offline()
    shutil.rmtree(cache)
    assert fetch(split("o/n")) == (before,)
    assert before.read_bytes() == content


def test_a_cache_that_has_some_of_the_files_is_not_taken_for_all(hub: HubServer, go_offline: Callable[[], None]):
    rows = [{"id": str(number), "question": "q", "context": "c"} for number in range(4)]
    pieces = {f"data/{name}.jsonl": "".join(json.dumps(row) + "\n" for row in rows) for name in ("a", "b")}
    hub.publish_dataset("o/n", {"README.md": "", **pieces})
    fetch("hf://datasets/o/n/data/a.jsonl")
    go_offline()
    assert len(fetch("hf://datasets/o/n/data/a.*")) == 1
    with pytest.raises(HubError, match="offline"):
        fetch("hf://datasets/o/n/data/*.jsonl")


def test_a_cache_that_another_program_filled_counts_its_pieces(
    hub: HubServer, set_hub: Callable[..., None], go_offline: Callable[[], None], cache: Path
):
    content, _ = datasets.parquet(datasets.squad_rows("train"), ())
    hub.publish_dataset("o/n", {f"data/train-0000{number}-of-00002.parquet": content for number in range(2)})
    fetch("hf://datasets/o/n/data/train-00000-of-00002.parquet")
    shutil.rmtree(cache)
    go_offline()
    with pytest.raises(HubError, match="offline"):
        fetch("hf://datasets/o/n/data/train-*")
    set_hub(HF_HUB_OFFLINE=None)
    assert len(fetch("hf://datasets/o/n/data/train-*")) == 2
    shutil.rmtree(cache)
    go_offline()
    assert len(fetch("hf://datasets/o/n/data/train-*")) == 2


def test_the_file_that_a_reader_looks_for_beside_the_data_comes_along(hub: HubServer):
    hub.publish_dataset("o/adl", {"a/train.json": "[]", "a/context.json": "[]", "context.json": "[]"})
    (path,) = fetch("hf://datasets/o/adl/a/*.json", beside="../a/context.json")[-1:]
    assert path.name == "train.json"
    (path,) = fetch("hf://datasets/o/adl/a/train.json", beside="context.json")
    assert (path.parent / "context.json").is_file()
    assert hub.fetched("o/adl", kind="datasets").count("a/context.json") == 1


def test_a_file_that_the_card_names_several_times_is_read_once(hub: HubServer):
    paths = json.dumps(["data/train.jsonl.gz", "data/*.gz", "data/train.jsonl.gz"])
    card = f"---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: {paths}\n---\n"
    rows = {name: content for name, content in datasets.reading().items() if name == "data/train.jsonl.gz"}
    hub.publish_dataset("o/n", {"README.md": card, **rows})
    assert len(read(split("o/n"))) == datasets.ROWS["train"]


def test_a_hundred_thousand_files_are_listed_in_a_moment(monkeypatch: pytest.MonkeyPatch):
    names = [f"data/train-{number:06d}-of-100000.jsonl" for number in range(100_000)]
    said = SimpleNamespace(sha="a" * 40, siblings=[SimpleNamespace(rfilename=name) for name in names])
    monkeypatch.setattr(HfApi, "repo_info", lambda *_, **__: said)
    begun = time.process_time()
    _, listed = _listing("http://127.0.0.1", "o/many", "dataset", None)
    assert HubFiles.parse("hf://datasets/o/many/data/*.jsonl").among(listed) == names
    assert sources._has_all_pieces(listed)
    assert time.process_time() - begun < 5


CARD = "---\nconfigs:\n- config_name: x\n  data_files:\n  - split: train\n    path: gone-*\n---\n"


@pytest.mark.parametrize(
    ("files", "wanted", "said"),
    [
        (datasets.reading(), {"split": "test"}, "has no split 'test'; it has train, validation"),
        (datasets.glue("rte", "sst2"), {}, "has several configurations; set `config` to one of: rte, sst2"),
        (datasets.glue("rte"), {"config": "sst2"}, "has no configuration 'sst2'; it has rte"),
        ({"n.py": "import os", "data.zip": "x"}, {}, "has a loading script, .* is not run; .*@refs/convert/"),
        ({"README.md": "hello", "a.xyz": "x"}, {}, r"has no data files that .* knows \(README.md, a.xyz\)"),
        ({"README.md": CARD, "a.csv": "x"}, {"config": "x"}, "has no data files that the package datasets knows"),
        ({"README.md": "---\nconfigs: [\n---\n", "train.csv": "a\n1\n"}, {}, "its card cannot be read"),
        ({"train.parquet": b"PAR1 and then nothing"}, {}, "its files cannot be read"),
        ({"train.jsonl": '{"a": 1}\n{"a":\n'}, {}, "its files cannot be read"),
    ],
)  # fmt: skip
def test_what_a_dataset_lacks_is_one_line_and_leaves_nothing(files, wanted, said, hub: HubServer, cache: Path):
    hub.publish_dataset("o/n", files)
    with pytest.raises(
        DataError, match=f"^data.train: dataset 'o/n'.* {said}|^data.train: dataset 'o/n':? {said}"
    ) as caught:
        fetch(
            split("o/n", **{"name": wanted.get("split", "train"), **{k: v for k, v in wanted.items() if k != "split"}})
        )
    assert "\n" not in str(caught.value)
    left = [path for path in cache.rglob("*") if path.is_file() and path.name != "files.json"]
    assert not left


def test_a_file_that_is_not_there_is_one_line(hub: HubServer):
    hub.publish_dataset("o/n", {"a.json": "{}"})
    with pytest.raises(
        HubError, match=r"^data.train: hf://datasets/o/n/b.json: there is no such file; the dataset has a\.json$"
    ):
        fetch("hf://datasets/o/n/b.json")
    with pytest.raises(HubError, match=r"^data.train: dataset 'o/m': the hub .* has no public dataset of that name"):
        fetch(split("o/m"))
    with pytest.raises(HubError, match="hf://datasets/OWNER/NAME"):
        fetch("hf://o/n/a.json")


def test_a_file_that_arrives_damaged_makes_no_split(hub: HubServer, cache: Path):
    hub.publish_dataset("o/n", datasets.squad())
    hub.inject(CORRUPT, "file", path="data/train-00000-of-00001.parquet", times=None)
    with pytest.raises(HubError, match=r"^data.train: dataset 'o/n': .* arrived damaged"):
        fetch(split("o/n"))
    assert not list(cache.rglob("*.parquet"))
    hub.heal()
    assert len(read(split("o/n"))) == datasets.ROWS["train"]


def test_no_bar_of_anybody_else_is_drawn(hub: HubServer, capfd: pytest.CaptureFixture[str]):
    hub.publish_dataset("o/n", datasets.squad())
    told: list[Progress] = []
    with reporting(told.append):
        fetch(split("o/n"))
    assert any("train-00000" in one.what for one in told)
    assert capfd.readouterr() == ("", "")


def test_sizes_of_batches_and_many_files_change_nothing(hub: HubServer, monkeypatch):
    from qakit.data import hub_splits

    monkeypatch.setattr(hub_splits, "_ROWS", 5)
    rows = [{"id": number, "text": "x" * number, "label": number % 2} for number in range(17)]
    pieces = [rows[:6], rows[6:6], rows[6:]]
    names = [f"data/train-0000{number}.jsonl.gz" for number in range(3)]
    files = {
        name: gzip.compress("".join(json.dumps(row) + "\n" for row in piece).encode())
        for name, piece in zip(names, pieces, strict=True)
        if piece
    }
    hub.publish_dataset("o/n", files)
    (path,) = fetch(split("o/n"))
    assert pyarrow.parquet.read_table(path).to_pylist() == rows
    assert os.access(path, os.R_OK)


def texts(files: dict[str, str | bytes], hub: HubServer) -> list[tuple[str, str]]:
    hub.publish_dataset("o/texts", files)
    return [(example.id, example.question) for example in read(split("o/texts"), "table", id="id", text_a="text")]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("train.csv", "id,text\n007,NA\n2020-01-01,1.10\n"),
        ("train.tsv", "id\ttext\n007\tNA\n2020-01-01\t1.10\n"),
        ("train.csv.gz", gzip.compress(b"id,text\n007,NA\n2020-01-01,1.10\n", mtime=0)),
        ("train.jsonl", '{"id": "007", "text": "NA"}\n{"text": "1.10", "id": "2020-01-01"}\n'),
        ("train.json", '[{"id": "007", "text": "NA"},\n {"text": "1.10", "id": "2020-01-01"}]'),
        ("train.json", '{"id": ["007", "2020-01-01"],\n "text": ["NA", "1.10"]}'),
    ],
)
def test_values_of_a_splits_files_stay_what_they_are(name, content, hub: HubServer):
    """datasets makes 7 of 007, nothing of NA, 1.1 of 1.10 and times of what looks like dates."""
    assert texts({name: content}, hub) == [("007", "NA"), ("2020-01-01", "1.10")]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("train.csv", "id,text\n1,x,9\n2,y,8\n", r"train.csv, line 2: the row has 3 cells where the header has 2"),
        ("train.csv", "id,text,a\n1,x,9\n2,y\n", r"train.csv, line 3: the row has 2 cells where the header has 3"),
        ("train.tsv", 'id\ttext\n1\t"x\n2\ty"\n', "do quotation marks enclose the cells"),
        ("train.jsonl", '{"id": 1, "text": "x"}\n{"id": "b2", "text": "y"}\n', "column 'id' holds values of several"),
        ("train.jsonl", '{"id": 1, "id": 2, "text": "x"}\n', "names a key twice"),
    ],
)
def test_files_of_a_split_that_could_be_misread_are_refused(name, content, said, hub: HubServer, cache: Path):
    with pytest.raises(DataError, match=f"^data.train: dataset 'o/texts': its files cannot be read: .*{said}.*hf://"):
        texts({name: content}, hub)
    assert not list(cache.rglob("*.parquet"))


def test_a_cards_types_hold_for_text_files_too(hub: HubServer):
    columns = [
        {"name": "id", "dtype": "string"},
        {"name": "text", "dtype": "string"},
        {"name": "label", "dtype": {"class_label": {"names": {"0": "bad", "1": "good"}}}},
    ]
    card = datasets.card({"dataset_info": {"features": columns}})
    hub.publish_dataset("o/n", {"README.md": card, "train.csv": "id,text,label\n01,x,1\n02,y,\n"})
    examples = read(split("o/n"), "table", id="id", text_a="text", label="label")
    assert [(example.id, example.label) for example in examples] == [("01", "good"), ("02", None)]


def test_a_dataset_that_lacks_a_piece_is_refused(hub: HubServer, cache: Path):
    rows = "".join(f'{{"id": "{number}", "text": "x"}}\n' for number in range(3))
    pieces = {f"data/train-0000{number}-of-00003.jsonl": rows for number in (0, 2)}
    hub.publish_dataset("o/n", pieces)
    said = r"the dataset has 2 of the 3 files data/train-\*-of-00003.jsonl; it was not uploaded whole"
    for source in (split("o/n"), "hf://datasets/o/n/data/*.jsonl"):
        with pytest.raises(DataError, match=said):
            fetch(source)
    assert not list(cache.rglob("*.parquet"))
    assert len(fetch("hf://datasets/o/n/data/train-00002-of-00003.jsonl")) == 1
    marked = {f"data/train-0000{number}-of-00002-{number:016x}.jsonl": rows for number in range(2)}
    hub.publish_dataset("o/marked", marked)
    assert len(fetch("hf://datasets/o/marked/data/*.jsonl")) == 2


def test_a_split_with_other_rows_than_its_card_tells_is_refused(hub: HubServer, cache: Path):
    files = dict(datasets.squad())
    files["README.md"] = str(files["README.md"]).replace("num_examples: 24", "num_examples: 25")
    hub.publish_dataset("o/n", files)
    with pytest.raises(DataError, match="they hold 24 rows, and the dataset's card says 25"):
        fetch(split("o/n"))
    assert not list(cache.rglob("*.parquet"))


@pytest.mark.parametrize(
    "pattern", ["/**", "../../**", "https://127.0.0.1:9/x.parquet", "zip://x::http://127.0.0.1:9/a"]
)
def test_a_card_that_leads_out_of_its_dataset_is_refused_before_anything_is_looked_for(pattern, hub: HubServer):
    card = datasets.card({"configs": [{"config_name": "default", "data_files": [{"split": "train", "path": pattern}]}]})
    hub.publish_dataset("o/n", {"README.md": card, "train.jsonl": '{"id": "1"}\n'})
    begun = time.process_time()
    with pytest.raises(DataError, match=r"its card names '.*', which is no file of the dataset"):
        fetch(split("o/n"))
    assert time.process_time() - begun < 3
