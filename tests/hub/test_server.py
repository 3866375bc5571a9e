"""The stand-in for the hub, asked by the hub's own clients."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest
from hub import datasets, faults, models
from hub.environment import pointed_at, variables
from hub.http_side import TOKEN
from hub.server import HubServer
from huggingface_hub import HfApi, constants, hf_hub_download, snapshot_download
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

FILES = {"config.json": "{}", "pytorch_model.bin": bytes(range(256)) * 40, "onnx/model.onnx": b"onnx"}


def test_a_snapshot_holds_what_was_published_and_the_log_says_what_was_sent(hub: HubServer) -> None:
    sha = hub.publish("owner/name", FILES)
    folder = Path(snapshot_download("owner/name", allow_patterns=["*.json", "*.bin"]))
    assert folder.name == sha
    assert (folder / "pytorch_model.bin").read_bytes() == FILES["pytorch_model.bin"]
    assert hub.fetched("owner/name") == ["config.json", "pytorch_model.bin"]


def test_branches_and_old_commits_can_be_asked_for(hub: HubServer) -> None:
    old = hub.publish("owner/name", {"config.json": "{}"})
    hub.publish("owner/name", {"config.json": "[]"}, branch="refs/pr/1")
    hub.publish("owner/name", {"config.json": "1"})
    read = lambda revision: Path(hf_hub_download("owner/name", "config.json", revision=revision)).read_text()  # noqa: E731
    assert [read(None), read(old), read("refs/pr/1")] == ["1", "{}", "[]"]
    with pytest.raises(RevisionNotFoundError):
        read("v9")


def test_a_new_process_needs_the_environment_alone(
    hub: HubServer, hub_environment: Callable[..., dict[str, str]]
) -> None:
    hub.publish("owner/name", FILES)
    code = "from huggingface_hub import snapshot_download as s; print(s('owner/name', allow_patterns='*.json'))"
    done = subprocess.run([sys.executable, "-c", code], env=hub_environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert hub.fetched("owner/name") == ["config.json"]


def test_gated_and_private_repositories_want_a_token(hub: HubServer, set_hub: Callable[..., None]) -> None:
    hub.publish("owner/gated", FILES, gated=True)
    hub.publish("owner/private", FILES, private=True)
    with pytest.raises(GatedRepoError):
        hf_hub_download("owner/gated", "config.json")
    for hidden in ("owner/private", "owner/nothing"):
        with pytest.raises(RepositoryNotFoundError):
            HfApi().model_info(hidden)
    set_hub(HF_TOKEN=TOKEN)
    assert hf_hub_download("owner/gated", "config.json")
    assert HfApi().model_info("owner/private").sha
    set_hub(HF_TOKEN="hf_wrong")
    with pytest.raises(HfHubHTTPError, match="401"):
        HfApi().model_info("owner/gated")


def test_a_token_does_not_follow_to_the_storage_of_large_files(hub: HubServer, set_hub: Callable[..., None]) -> None:
    hub.publish("owner/name", FILES)
    set_hub(HF_TOKEN=TOKEN)
    snapshot_download("owner/name", allow_patterns=["*.json", "*.bin"])
    came = {one.path: one.authorization for one in hub.asked if one.what == "file"}
    assert came == {"config.json": True, "pytorch_model.bin": False}


def test_a_range_goes_on_where_it_begins(hub: HubServer) -> None:
    hub.publish("owner/name", FILES)
    place = f"{hub.url}/owner/name/resolve/main/pytorch_model.bin"
    answer = httpx2.get(place, headers={"Range": "bytes=100-"}, follow_redirects=True)
    assert (answer.status_code, answer.content) == (206, FILES["pytorch_model.bin"][100:])
    assert hub.asked[-1].first == 100


@pytest.mark.parametrize("fault", [faults.TRUNCATED, faults.DROPPED, faults.SERVER_ERROR, faults.GATED])
def test_a_fault_is_played_as_often_as_wished_and_for_its_file_alone(hub: HubServer, fault: faults.Fault) -> None:
    hub.publish("owner/name", FILES)
    hub.inject(fault, "file", path="config.json", times=2)
    asked = []
    for name in ("config.json", "onnx/model.onnx", "config.json", "config.json"):
        try:
            answer = httpx2.get(f"{hub.url}/owner/name/resolve/main/{name}", follow_redirects=True)
            asked.append(answer.status_code == 200)
        except httpx2.RemoteProtocolError:
            asked.append(False)
    assert asked == [False, True, False, True]


def test_a_changed_file_keeps_its_size_and_its_etag(hub: HubServer) -> None:
    hub.publish("owner/name", FILES)
    hub.inject(faults.CORRUPT, "file")
    answer = httpx2.get(f"{hub.url}/owner/name/resolve/main/pytorch_model.bin", follow_redirects=True)
    assert answer.headers["ETag"] == f'"{hub.revision("owner/name").files["pytorch_model.bin"].etag}"'
    assert len(answer.content) == len(FILES["pytorch_model.bin"])
    assert answer.content != FILES["pytorch_model.bin"]


def test_after_stop_there_is_no_network(hub: HubServer) -> None:
    hub.publish("owner/name", FILES)
    hub.stop()
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(hub.url)


def test_this_process_is_as_it_was_afterwards(tmp_path: Path) -> None:
    from datasets import config

    def settings() -> list[object]:
        return [
            constants.ENDPOINT,
            constants.HF_HUB_CACHE,
            config.HF_ENDPOINT,
            config.HF_DATASETS_CACHE,
            os.environ.copy(),
        ]

    before = settings()
    with pointed_at(variables("http://127.0.0.1:1", tmp_path)):
        assert HfApi().endpoint == config.HF_ENDPOINT == "http://127.0.0.1:1"
        assert Path(constants.HF_HUB_CACHE).parent == tmp_path
    assert settings() == before


@pytest.mark.parametrize("name", models.LAYOUTS)
def test_a_layout_has_what_others_read_and_is_the_same_each_time(name: str, tmp_path: Path) -> None:
    folder = models.write(name, tmp_path / "a")
    written = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert {"config.json", *models.DECOYS} <= written.keys()
    assert any(path.startswith("pytorch_model") for path in written)
    assert written == models.files_of(name)


def test_datasets_are_loaded_by_their_configuration_with_the_names_of_their_classes(hub: HubServer) -> None:
    from datasets import load_dataset

    hub.publish_dataset("nyu-mll/glue", datasets.glue("sst2", "stsb"))
    hub.publish_dataset("rajpurkar/squad_v2", datasets.squad(version_2=True))
    hub.publish_dataset("owner/reading", datasets.reading())
    sst2 = load_dataset("nyu-mll/glue", "sst2")
    assert {split: len(rows) for split, rows in sst2.items()} == datasets.ROWS
    assert sst2["train"].features["label"].names == ["negative", "positive"]
    assert set(sst2["test"]["label"]) == {-1}
    assert load_dataset("nyu-mll/glue", "stsb", split="train")["label"][:2] == [0.0, 1.0]
    assert load_dataset("rajpurkar/squad_v2", split="validation")[3]["answers"] == {"text": [], "answer_start": []}
    first = load_dataset("owner/reading", split="train")[0]
    start = first["answers"]["answer_start"][0]
    assert first["id"] == 0 and first["context"][start:].startswith(first["answers"]["text"][0])
