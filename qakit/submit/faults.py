"""What went wrong between here and Kaggle: what it means for a request, and how it is told."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from qakit.errors import SubmissionError
from qakit.names import one_line
from qakit.submit.remote import WEB, rules_page

if TYPE_CHECKING:
    from requests import Response

RETRIED = frozenset({408, 429, 500, 502, 503, 504})
"""Answers after which a reading is worth another try."""
LONGEST = 300
"""Characters of Kaggle's own words that are shown; cut once secrets are hidden: half of one would not be found."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One failed request."""

    status: int | None
    """What the server answered (HTTP, or the code in an answer that HTTP calls a success); None: nothing usable."""
    detail: str
    """The server's words, or the network's."""
    sent: bool = True
    """False: the request certainly never left, since there was no connection."""
    retry_after: float | None = None
    """Seconds that the server asks to wait."""

    @property
    def temporary(self) -> bool:
        """Whether another try may well succeed."""
        return self.status is None or self.status in RETRIED or self.status >= 500

    @property
    def refused(self) -> bool:
        """Whether the server read the request and certainly did nothing: 4xx, but for 408 and 429."""
        return self.status is not None and not self.temporary


class UploadError(Exception):
    """The bytes of a file were not taken."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the upload was answered with HTTP {status}")


class KaggleError(SubmissionError):
    """A request to Kaggle failed; nothing else is known. The message is for the user."""

    def __init__(self, message: str, fault: Fault) -> None:
        super().__init__(message)
        self.fault = fault


def fault_of(error: Exception) -> Fault:
    """What an exception of the client means. Tells no secret that is not in the exception's own words."""
    import requests

    if isinstance(error, UploadError):
        return Fault(None, str(error))
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return _answered(error, error.response)
    if isinstance(error, requests.JSONDecodeError):
        return Fault(None, "an answer that is not JSON")
    if isinstance(error, requests.Timeout):
        sent = not isinstance(error, requests.ConnectTimeout)
        return Fault(None, "no answer in time" if sent else "no connection in time", sent=sent)
    if isinstance(error, requests.RequestException):
        return Fault(None, _reason(error), sent=not _never_sent(error))
    return Fault(None, f"an answer that cannot be understood ({type(error).__name__}: {one_line(error, None)})")


def explain(fault: Fault, *, slug: str | None, source: str, address: str) -> str:
    """The fault for the user: what is wrong and what to do."""
    says = f" Kaggle says: {fault.detail}" if fault.detail else ""
    match fault.status:
        case 401:
            poison = "an invalid KAGGLE_API_TOKEN overrides kaggle.json"
            return f"Kaggle rejected the credentials from {source}; {poison}.{says}"
        case 403 if slug:
            return (
                f"No access to '{slug}': check the spelling, accept the rules at {rules_page(slug)}, verify your phone."
                f"{says}"
            )
        case 404 if slug:
            return f"Kaggle has no competition '{slug}': check the spelling, it is the last part of {WEB}/...{says}"
        case 429:
            return f"Kaggle asks for fewer requests (429); try again in {_wait(fault.retry_after)}.{says}"
        case None if not fault.sent:
            return f"cannot connect to {address}: {fault.detail}; check the network and the proxy"
        case None:
            return f"{address} gave no usable answer: {fault.detail}"
        case status if status >= 500:
            return f"Kaggle has a problem of its own (HTTP {status}); try again later.{says}"
        case status:
            return f"Kaggle refused (HTTP {status}).{says}"


def _wait(seconds: float | None) -> str:
    if not seconds:
        return "a few minutes"
    return (
        f"{seconds:.0f} s"
        if seconds < 600
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.0f} h"
    )


def _answered(error: Exception, response: Response) -> Fault:
    """An error that the server stated: as HTTP status, or as ``code`` in the body of a success."""
    status, detail = response.status_code, ""
    body: Any = None
    try:
        body = response.json()
    except ValueError:
        detail = response.reason or ""
    if isinstance(body, dict):
        code, message = body.get("code"), body.get("message")
        if isinstance(code, int) and code >= 400:
            status = code
        detail = message if isinstance(message, str) else ""
    if status < 400:
        return Fault(None, f"an answer that cannot be understood ({one_line(error, None)})")
    return Fault(status, one_line(detail, None), retry_after=_retry_after(response.headers.get("Retry-After")))


def _retry_after(header: str | None) -> float | None:
    """Seconds, from a number or a date (RFC 9110, 10.2.3)."""
    if header is None:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        date = parsedate_to_datetime(header)
    except ValueError:
        return None
    date = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max(0.0, (date - datetime.now(UTC)).total_seconds())


def _reason(error: Exception) -> str:
    """The innermost words of a network error, without object addresses and the request's own address."""
    *_, reason = _chain(error)
    text = re.sub(r"^<[^>]*>: |\(?<[^>]*at 0x[0-9a-f]+>(?:, )?", "", str(reason) or type(reason).__name__)
    return one_line(text, None)


def _never_sent(error: Exception) -> bool:
    """Whether there was no connection at all, so that the server cannot have seen the request."""
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

    return any(isinstance(each, NewConnectionError | ConnectTimeoutError) for each in _chain(error))


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error, and what it was made of, the innermost last."""
    for _ in range(10):
        yield error
        inner = getattr(error, "reason", None) or getattr(error, "original_error", None)
        if not isinstance(inner, BaseException):
            inner = next((each for each in error.args if isinstance(each, BaseException)), None)
        if inner is None:
            return
        error = inner
