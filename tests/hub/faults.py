"""What can go wrong between a client and the hub, as values that the stand-in plays."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

What = Literal[
    "info", "tree", "head", "file", "card", "create", "branch", "preupload", "batch", "store", "commit", "other"
]
"""The kinds of requests: about a repository or one of its revisions, the listing of its files, the headers of one
file, its content; the steps of an upload; anything else."""


@dataclass(frozen=True)
class Fault:
    """One way in which a request goes wrong.

    Attributes:
        name: for the log and for a test's name.
        kind: ``answer``: this status instead of the true answer; ``drop``: the connection closes without a word;
            ``truncate``: half of what was promised, then it closes; ``corrupt``: all of it, with one byte changed;
            ``hang``: nothing until the server's ``release`` is set; ``stall``: half of it, and the rest after that;
            ``whole``: all of it, whatever part was asked for.
        status: of an answer.
        headers: of an answer; the hub says there what is wrong.
    """

    name: str
    kind: Literal["answer", "drop", "truncate", "corrupt", "hang", "stall", "whole"] = "answer"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict, hash=False)


def refusal(status: int, code: str = "", message: str = "", **headers: str) -> Fault:
    """The hub's own way to say no: what is wrong stands in the headers."""
    said = {"X-Error-Code": code, "X-Error-Message": message}
    said |= {name.replace("_", "-"): value for name, value in headers.items()}
    return Fault(f"{status} {code}".strip(), status=status, headers={k: v for k, v in said.items() if v})


UNAUTHORISED = refusal(401, message="Invalid username or password.")
HIDDEN = refusal(401, "RepoNotFound", "Invalid username or password.")
"""A stranger asks for what is private or not there. The hub leaves the code out, and its client sees from the address,
if it begins with https, that this means "not found"; the stand-in, which has no https, has to say it."""
BAD_TOKEN = refusal(401, message="Invalid credentials in Authorization header")
GATED = refusal(403, "GatedRepo", "Access to this model is restricted and you are not in the authorized list.")
GATED_ANONYMOUS = refusal(401, "GatedRepo", "Access to this model is restricted. You must be authenticated.")
FORBIDDEN = refusal(403, message="Forbidden")
NO_REPOSITORY = refusal(404, "RepoNotFound", "Repository not found")
NO_REVISION = refusal(404, "RevisionNotFound", "Invalid rev id")
NO_FILE = refusal(404, "EntryNotFound", "Entry not found")
TOO_MANY = refusal(429, message="Rate limited", Retry_After="0")
SERVER_ERROR = refusal(500, message="Internal Error")
UNAVAILABLE = refusal(503, message="Service unavailable")
DROPPED = Fault("connection dropped", kind="drop")
TRUNCATED = Fault("dropped in the middle", kind="truncate")
CORRUPT = Fault("wrong hash", kind="corrupt")
HANG = Fault("no answer", kind="hang")
STALLED = Fault("stands still in the middle", kind="stall")
WHOLE = Fault("no ranges", kind="whole")
