"""What an exception of the client means, and what the user reads."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from qakit.names import shortened
from qakit.submit.faults import LONGEST, Fault, UploadError, explain, fault_of

requests = pytest.importorskip("requests")
urllib3 = pytest.importorskip("urllib3")


def answered(status: int, body: bytes, **headers: str) -> Exception:
    response = requests.Response()
    response.status_code, response._content = status, body
    response.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return requests.HTTPError("for url: https://api.kaggle.com/v1", response=response)


def refused(inner: Exception) -> Exception:
    pool = urllib3.HTTPConnectionPool("127.0.0.1", 9)
    return requests.ConnectionError(urllib3.exceptions.MaxRetryError(pool, "/", inner))


NO_CONNECTION = urllib3.exceptions.NewConnectionError(None, "<conn at 0x1>: Failed to establish: refused")


@pytest.mark.parametrize(
    ("error", "status", "refused", "sent"),
    [
        (answered(400, b'{"code": 400, "message": "bad"}'), 400, True, True),
        (answered(200, b'{"code": 403, "message": "rules"}'), 403, True, True),
        (answered(408, b""), 408, False, True),
        (answered(429, b"{}"), 429, False, True),
        (answered(500, b"<html>"), 500, False, True),
        (answered(200, b"[]"), None, False, True),
        (requests.ReadTimeout("read timed out"), None, False, True),
        (requests.ConnectTimeout("no"), None, False, False),
        (requests.ConnectionError("Connection aborted"), None, False, True),
        (refused(NO_CONNECTION), None, False, False),
        (refused(urllib3.exceptions.ProxyError("no proxy", NO_CONNECTION)), None, False, False),
        (refused(urllib3.exceptions.ProtocolError("reset")), None, False, True),
        (requests.JSONDecodeError("Expecting value", "", 0), None, False, True),
        (json.JSONDecodeError("Expecting value", "", 0), None, False, True),
        (KeyError("FROZEN"), None, False, True),
        (UploadError(403), None, False, True),
    ],
)
def test_what_it_means(error: Exception, status: int | None, refused: bool, sent: bool) -> None:
    fault = fault_of(error)
    assert (fault.status, fault.refused, fault.sent) == (status, refused, sent)
    assert fault.temporary is not refused


def test_how_long_the_server_asks_to_wait() -> None:
    assert fault_of(answered(429, b"{}", Retry_After="7")).retry_after == 7.0
    in_a_minute = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    assert 50 < (fault_of(answered(503, b"{}", Retry_After=in_a_minute)).retry_after or 0) <= 60
    assert fault_of(answered(429, b"{}", Retry_After="soon")).retry_after is None
    assert fault_of(answered(429, b"{}", Retry_After="-3")).retry_after == 0.0


def told(fault: Fault, slug: str | None = "qa-cup") -> str:
    return explain(fault, slug=slug, source="KAGGLE_API_TOKEN", address="https://api.kaggle.com")


def test_rejected_credentials() -> None:
    expected = (
        "Kaggle rejected the credentials from KAGGLE_API_TOKEN; an invalid KAGGLE_API_TOKEN overrides kaggle.json."
    )
    assert told(Fault(401, "")) == expected


def test_no_access() -> None:
    assert told(Fault(403, "You must accept this competition's rules.")) == (
        "No access to 'qa-cup': check the spelling, accept the rules at"
        " https://www.kaggle.com/competitions/qa-cup/rules, verify your phone. Kaggle says: You must accept this"
        " competition's rules."
    )


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault(404, ""), "no competition 'qa-cup'"),
        (Fault(429, "", retry_after=30.0), "try again in 30 s"),
        (Fault(429, "", retry_after=86400.0), "try again in 24 h"),
        (Fault(429, ""), "in a few minutes"),
        (Fault(503, ""), "a problem of its own (HTTP 503)"),
        (Fault(400, "no"), "Kaggle refused (HTTP 400). Kaggle says: no"),
        (Fault(None, "refused", sent=False), "cannot connect to https://api.kaggle.com: refused"),
        (Fault(None, "no answer in time"), "gave no usable answer: no answer in time"),
    ],
)
def test_the_other_messages(fault: Fault, words: str) -> None:
    assert words in told(fault)


def test_long_and_wide_words_are_shortened() -> None:
    detail = fault_of(answered(400, json.dumps({"code": 400, "message": "a\n b" * 1000}).encode())).detail
    assert len(shortened(detail, LONGEST)) <= 300
    assert shortened("a b", LONGEST) == "a b"
    assert "\n" not in detail
