"""What can go wrong between a client and Kaggle, as values that the stand-in server plays."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, Literal

HTML = b"<!doctype html><html><head><title>Sorry</title></head><body><h1>Down for maintenance</h1></body></html>"


@dataclass(frozen=True)
class Fault:
    """One way in which a request goes wrong.

    ``acts`` says whether the request takes effect all the same: the submission exists, but the client is not told.
    """

    name: str
    kind: Literal["answer", "drop", "hang", "truncate"] = "answer"
    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict, hash=False)
    acts: bool = False

    def after(self) -> Fault:
        """The same fault once the request has taken effect."""
        return replace(self, name=f"{self.name}, after acting", acts=True)


def refusal(status: int, message: str, **headers: str) -> Fault:
    """Kaggle's own way to say no."""
    body = json.dumps({"code": status, "message": message}).encode()
    return Fault(f"{status}", status=status, body=body, headers={k.replace("_", "-"): v for k, v in headers.items()})


BAD_REQUEST = refusal(400, "Submission not allowed:  Your submission is not accepted.")
UNAUTHORISED = refusal(401, "Unauthenticated")
FORBIDDEN = refusal(403, "Permission 'competitions.participate' was denied")
NOT_FOUND = refusal(404, "Not found")
TOO_MANY = replace(refusal(429, "Too many requests", Retry_After="0"), name="429, retry after 0 s")
TOO_MANY_DATE = replace(
    refusal(429, "Too many requests", Retry_After=format_datetime(datetime.now(UTC) - timedelta(hours=1), usegmt=True)),
    name="429, retry after a date",
)
TOO_MANY_TODAY = replace(refusal(429, "Too many requests", Retry_After="86400"), name="429, retry after a day")
SERVER_ERROR = Fault("500", status=500, body=HTML, content_type="text/html")
UNAVAILABLE = refusal(503, "Service unavailable")
HTML_OK = Fault("HTML with 200", body=HTML, content_type="text/html; charset=utf-8")
EMPTY = Fault("empty body")
NOT_OBJECT = Fault("JSON that is no object", body=b"[]")
HIDDEN_REFUSAL = Fault(
    "403 in a body with 200", body=json.dumps({"code": 403, "message": "You must accept the rules"}).encode()
)
DROPPED = Fault("connection dropped", kind="drop")
HANG = Fault("no answer", kind="hang")
TRUNCATED = Fault("truncated", kind="truncate", acts=True)

REFUSALS = (BAD_REQUEST, UNAUTHORISED, FORBIDDEN, NOT_FOUND, HIDDEN_REFUSAL)
"""Kaggle understood and said no: nothing was done."""

BUSY = (TOO_MANY, SERVER_ERROR, UNAVAILABLE)
"""Worth another try when nothing was asked to change."""

BROKEN = (HTML_OK, EMPTY, NOT_OBJECT, DROPPED, HANG)
"""Nobody knows what happened at the other end."""

ALL = (*REFUSALS, *BUSY, *BROKEN)


def nonsense(name: str, **answer: Any) -> Fault:
    """JSON of the right shape that means nothing."""
    return Fault(name, body=json.dumps(answer).encode())


NONSENSE = {
    "GetCompetition": (nonsense("a date that is none", userHasEntered=True, deadline="soon"),),
    "GetSubmissionLimits": (nonsense("words for numbers", numToday="three", numTotal="many", numAllowedNow="some"),),
    "StartSubmissionUpload": (nonsense("no address", token="t"), nonsense("an odd address", token="t", createUrl="x")),
    "CreateSubmission": (nonsense("a word for a number", message="ok", ref="twelve"),),
    "GetSubmission": (
        nonsense("an unknown status", ref=1000, status="FROZEN"),
        nonsense("an empty status", ref=1000, status=""),
        nonsense("a word for a score", ref=1000, status="COMPLETE", publicScore="excellent"),
    ),
}
"""By method."""
