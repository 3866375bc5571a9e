"""Files without an end: devices, pipes, little files that unpack to much. A recipe or a run may name any of them."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any

import pytest
from command_line import Invoke

from qakit.data.predictions_file import read_answers
from qakit.data.read import read_examples
from qakit.errors import DataError, QakitError, RunError
from qakit.files import check_readable
from qakit.protocols import NoRuntime
from qakit.registry import load_registry
from qakit.runs import Run, open_run
from qakit.study.folder import StudyFolder

ENDLESS = ["/dev/zero", "/dev/random", "pipe"]


@pytest.fixture
def endless(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param != "pipe":
        return Path(request.param)
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


def refused(error: QakitError) -> None:
    assert "a device" in str(error)
    assert "\n" not in str(error)


@pytest.mark.parametrize("endless", ENDLESS, indirect=True)
@pytest.mark.parametrize(
    "reader", ["squad", "hw7", "table", "adl", "mrqa", "hotpotqa", "newsqa", "triviaqa", "label_studio", "brat"]
)
def test_no_reader_opens_what_has_no_end(endless: Path, reader: str) -> None:
    settings = {"id": "id", "text_a": "text"} if reader == "table" else {}
    built: Any = load_registry().build("readers", reader, settings, NoRuntime())
    with pytest.raises(DataError) as caught:
        read_examples(built, endless)
    refused(caught.value)


@pytest.mark.parametrize("endless", ENDLESS[1:], indirect=True)
@pytest.mark.parametrize("key", ["data.train", "data.sample_submission"])
def test_a_recipe_that_names_it_is_refused(endless: Path, key: str, invoke: Invoke) -> None:
    done = invoke("train", "quickstart", "--dry-run", "--set", f"{key}={endless}")
    assert done.exit_code == 2
    assert f"{key}: {endless} is a pipe or a device" in str(done.exception)


@pytest.mark.parametrize("endless", ENDLESS, indirect=True)
def test_answers_contexts_and_folders_of_others(endless: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read_answers(endless)
    refused(caught.value)
    (tmp_path / "test.json").write_text("[]", "utf-8")
    (tmp_path / "context.json").symlink_to(endless)
    built: Any = load_registry().build("readers", "adl", {}, NoRuntime())
    with pytest.raises(DataError) as caught:
        read_examples(built, tmp_path / "test.json")
    refused(caught.value)
    with pytest.raises(RunError) as found:
        check_readable(tmp_path)
    refused(found.value)


@pytest.mark.parametrize("name", ["metrics.jsonl", "metrics.json", "model/config.json", "predictions/nbest.jsonl"])
def test_a_run_with_a_pipe_in_it_is_refused_whatever_is_asked(tmp_path: Path, name: str, invoke: Invoke) -> None:
    run = Run(tmp_path / "runs" / "one")
    for part in ("recipe.yaml", "meta.json", name):
        (run.folder / part).parent.mkdir(parents=True, exist_ok=True)
        (run.folder / part).write_text("{}", "utf-8")
    (run.folder / name).unlink()
    os.mkfifo(run.folder / name)
    with pytest.raises(RunError) as caught:
        open_run(run.folder)
    refused(caught.value)
    assert invoke("runs", "list", run.folder.parent).exit_code == 0
    with pytest.raises(RunError):
        list(run.metrics() if name == "metrics.jsonl" else run.read_json(run.folder / name))


def test_a_study_that_is_described_by_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "study.json")
    with pytest.raises(RunError):
        StudyFolder(tmp_path).about()


@pytest.mark.parametrize("content", [b"\0", b" "], ids=repr)
@pytest.mark.parametrize(("reader", "ending"), [("squad", "json"), ("table", "jsonl"), ("table", "csv")])
def test_a_small_file_does_not_unpack_to_a_large_one(tmp_path: Path, content: bytes, reader: str, ending: str) -> None:
    path = tmp_path / f"data.{ending}.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(content * 30_000_000)
    assert path.stat().st_size < 400_000
    settings = {"id": "id", "text_a": "id"} if reader == "table" else {}
    built: Any = load_registry().build("readers", reader, settings, NoRuntime())
    with pytest.raises(DataError) as caught:
        read_examples(built, path)
    assert "\n" not in str(caught.value)


def test_what_unpacks_to_more_than_texts_do_is_named(tmp_path: Path) -> None:
    path = tmp_path / "data.json.gz"
    with gzip.open(path, "wb") as file:
        file.write(b"[" + b" " * 20_000_000 + b"]")
    built: Any = load_registry().build("readers", "squad", {}, NoRuntime())
    with pytest.raises(DataError, match=r"unpacks to more than 16,777,216 bytes, as no text does"):
        read_examples(built, path)
