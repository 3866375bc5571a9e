"""The stand-in's side of an upload: a repository is made, files are announced, stored, and become one commit.

As the hub does it: large files go to a storage by their hash, small ones come with the commit, and only the commit
changes what a branch holds.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

from hub import faults
from hub.repository import Blob, Repository, Revision, is_large
from ruamel.yaml import YAML

if TYPE_CHECKING:
    from hub.faults import Fault
    from hub.server import HubServer

READ_ONLY = "hf_read_only_read_only_read_only_read"
"""A token that may read, and write nowhere."""
NAME = r"(?P<name>[^/]+/[^/]+)"
STEPS = {
    "card": re.compile(r"/api/validate-yaml"),
    "create": re.compile(r"/api/repos/create"),
    "branch": re.compile(rf"/api/models/{NAME}/branch/(?P<revision>.+)"),
    "preupload": re.compile(rf"/api/models/{NAME}/preupload/(?P<revision>.+)"),
    "batch": re.compile(rf"/{NAME}\.git/info/lfs/objects/batch"),
    "store": re.compile(r"/uploads/(?P<oid>[0-9a-f]{64})"),
    "commit": re.compile(rf"/api/models/{NAME}/commit/(?P<revision>.+)"),
}
"""Paths of the requests that write, by what they are for."""
Answer = tuple[int, Any]


def step_of(path: str) -> tuple[str, re.Match[str]] | None:
    """Which step of an upload a request is, if it is one."""
    return next(((step, found) for step, each in STEPS.items() if (found := each.fullmatch(path))), None)


def upload(hub: HubServer, step: str, found: re.Match[str], body: bytes, *, may_write: bool) -> Answer | Fault:
    """Do one step."""
    if step == "store":
        if hashlib.sha256(body).hexdigest() != found["oid"]:
            return 400, {"error": "checksum mismatch"}
        hub.storage_room[found["oid"]] = body
        return 200, {}
    if not may_write:
        return faults.FORBIDDEN
    if step == "card":
        head = json.loads(body)["content"].partition("\n---\n")[0].removeprefix("---\n")
        known = isinstance(YAML(typ="safe").load(head), dict)
        return 200, {"errors": [] if known else [{"message": "no front matter"}], "warnings": []}
    if step == "create":
        return _create(hub, json.loads(body))
    repository = hub.repositories.get(("models", found["name"]))
    if repository is None:
        return faults.NO_REPOSITORY
    return {"branch": _branch, "preupload": _announce, "batch": _places, "commit": _commit}[step](
        hub, repository, found, body
    )


def _create(hub: HubServer, asked: dict[str, Any]) -> Answer:
    name = f"{asked['organization']}/{asked['name']}"
    url = {"url": f"{hub.url}/{name}"}
    if name in hub.taken or ("models", name) in hub.repositories:
        return 409, {"error": "You already created this model repo", **url}
    hub.publish(name, {".gitattributes": "*.bin filter=lfs\n"}, private=asked.get("visibility") == "private")
    return 200, url


def _branch(hub: HubServer, repository: Repository, found: re.Match[str], _: bytes) -> Answer:
    if found["revision"] in repository.branches:
        return 409, {"error": "Reference already exists"}
    repository.branches[found["revision"]] = repository.branches["main"]
    return 200, {}


def _announce(hub: HubServer, repository: Repository, found: re.Match[str], body: bytes) -> Answer:
    modes = {True: "lfs", False: "regular"}
    files = [each["path"] for each in json.loads(body)["files"]]
    return 200, {
        "files": [{"path": path, "uploadMode": modes[is_large(path)], "shouldIgnore": False} for path in files]
    }


def _places(hub: HubServer, repository: Repository, found: re.Match[str], body: bytes) -> Answer:
    def place(asked: dict[str, Any]) -> dict[str, Any]:
        return {**asked, "actions": {"upload": {"href": f"{hub.storage}/uploads/{asked['oid']}"}}}

    return 200, {"transfer": "basic", "objects": [place(each) for each in json.loads(body)["objects"]]}


def _commit(hub: HubServer, repository: Repository, found: re.Match[str], body: bytes) -> Answer | Fault:
    before = repository.find(found["revision"])
    if before is None:
        return faults.NO_REVISION
    files = dict(before.files)
    for line in map(json.loads, body.splitlines()):
        value = line["value"]
        if line["key"] == "file":
            files[value["path"]] = Blob(base64.b64decode(value["content"]), large=False)
        elif line["key"] == "lfsFile":
            if value["oid"] not in hub.storage_room:
                return faults.refusal(400, message="a file was not uploaded")
            files[value["path"]] = Blob(hub.storage_room[value["oid"]], large=True)
        elif line["key"] == "deletedFile":
            del files[value["path"]]
    revision = Revision(files)
    repository.branches[found["revision"]] = repository.history[revision.sha] = revision
    return 200, {
        "success": True,
        "commitOid": revision.sha,
        "commitUrl": f"{hub.url}/{repository.name}/commit/{revision.sha}",
    }
