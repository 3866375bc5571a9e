"""Answers of a hub that means harm: nothing outside of the cache is written or read, and one line says why."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hub.server import HubServer
from huggingface_hub import HfApi

from qakit import hub as client
from qakit.data.sources import local_files
from qakit.errors import DataError, HubError
from qakit.recipe.hub_data import HubSplit

COMMIT = "a" * 40


def answers(monkeypatch: pytest.MonkeyPatch, **info: Any) -> None:
    """The hub's word about a repository."""
    siblings = [SimpleNamespace(rfilename=name) for name in info.pop("names", ["config.json"])]
    client._listing.cache_clear()
    said = SimpleNamespace(**({"sha": COMMIT, "siblings": siblings} | info))
    monkeypatch.setattr(HfApi, "repo_info", lambda *_, **__: said)


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize("sha", ["../../../victim", "/tmp/victim", None, "", "main", "A" * 40, COMMIT + "/.."])
def test_a_commit_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, sha: object) -> None:
    answers(monkeypatch, sha=sha)
    with pytest.raises(HubError, match=r"calls .* a commit of owner/name, which is none"):
        client.snapshot("owner/name", choose=list, subject="backbone 'owner/name'")


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/passwd", "a//b", "", "a\0b", "C:x", "a\\..\\b"])
def test_names_that_lead_elsewhere_are_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    answers(monkeypatch, names=["config.json", name])
    with pytest.raises(HubError, match="names a file of owner/name that leads elsewhere"):
        client.snapshot("owner/name", choose=list, subject="backbone 'owner/name'")


@pytest.mark.parametrize("revision", ["../x", "/x", "a/../b", ""])
def test_a_revision_is_no_path(revision: str) -> None:
    with pytest.raises(HubError, match="is no branch, tag or commit"):
        client.snapshot("owner/name", choose=list, revision=revision, subject="backbone 'owner/name'")


@pytest.mark.parametrize("way", ["../" * 15, "x/../../../../../"])
def test_a_card_names_files_of_its_dataset_only(hub: HubServer, tmp_path: Path, way: str) -> None:
    secret = tmp_path / "secret.jsonl"
    secret.write_text('{"text": "SECRET"}\n')
    files = json.dumps([{"split": "train", "path": ["train.jsonl", way + str(secret)[1:]]}])
    card = f"---\nconfigs: [{{config_name: default, data_files: {files}}}]\n---\n"
    hub.publish_dataset("owner/odd", {"README.md": card, "train.jsonl": '{"text": "x"}\n'})
    with pytest.raises(DataError) as caught:
        local_files(HubSplit(dataset="owner/odd", split="train"), named="data.train")
    assert "SECRET" not in str(caught.value)


def test_a_listing_that_cannot_be_is_one_line(hub: HubServer) -> None:
    hub.publish_dataset("owner/odd", {"README.md": "", "a": "x", "a/b.jsonl": "{}"})
    with pytest.raises(DataError):
        local_files(HubSplit(dataset="owner/odd", split="train"), named="data.train")
