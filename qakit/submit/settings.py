"""How Kaggle is talked to: address, patience, pauses; from the environment."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from qakit.errors import UsageError
from qakit.outputs import check_not_kept

ENDPOINT_VARIABLE = "QAKIT_KAGGLE_ENDPOINT"
TIMEOUT_VARIABLE = "QAKIT_KAGGLE_TIMEOUT"
POLL_VARIABLE = "QAKIT_KAGGLE_POLL"
LEDGER_VARIABLE = "QAKIT_SUBMISSIONS"
SESSIONS_VARIABLE = "QAKIT_SESSIONS"

KAGGLE = "https://api.kaggle.com"
CONNECT_TIMEOUT = 15.0
"""Seconds to wait for a connection, at most."""


@dataclass(frozen=True, slots=True)
class KaggleSettings:
    endpoint: str | None = None
    """Base address of the API in place of Kaggle's own, without the closing slash."""
    timeout: float = 60.0
    """Seconds without a byte after which an answer counts as lost."""
    poll: float = 5.0
    """Seconds between two looks at a submission that is being scored."""

    @property
    def address(self) -> str:
        return self.endpoint or KAGGLE

    @property
    def connect_timeout(self) -> float:
        """Seconds to wait for a connection."""
        return min(CONNECT_TIMEOUT, self.timeout)

    @property
    def first_delay(self) -> float:
        """Seconds before a failed reading is tried again; doubles each time."""
        return min(1.0, self.poll)


def settings_from(environment: Mapping[str, str] = os.environ) -> KaggleSettings:
    """The settings that the environment asks for.

    Raises:
        UsageError: a variable does not hold what it should.
    """
    endpoint = environment.get(ENDPOINT_VARIABLE, "").strip().rstrip("/") or None
    if endpoint is not None and (urlsplit(endpoint).scheme not in ("http", "https") or not urlsplit(endpoint).netloc):
        raise UsageError(f"{ENDPOINT_VARIABLE} is {endpoint!r}: it must begin with http:// or https://")
    defaults = KaggleSettings()
    return KaggleSettings(
        endpoint,
        timeout=_seconds(environment, TIMEOUT_VARIABLE, defaults.timeout),
        poll=_seconds(environment, POLL_VARIABLE, defaults.poll),
    )


def ledger_folder(
    given: Path | None,
    environment: Mapping[str, str] = os.environ,
    *,
    variable: str = LEDGER_VARIABLE,
    default: str = "submissions",
) -> Path:
    """Where a ledger lies: the given folder, that of the environment, or the default one here.

    Raises:
        UsageError: it would be begun in a run, a study or a model.
    """
    folder = given or Path(environment.get(variable, "").strip() or default)
    ledger = folder / "ledger.jsonl"
    if not ledger.is_file():
        try:
            check_not_kept(folder)
        except UsageError:
            if not ledger.is_file():  # else another process has just begun it
                raise
    return folder


def _seconds(environment: Mapping[str, str], name: str, default: float) -> float:
    text = environment.get(name, "").strip()
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise UsageError(f"{name} is {text!r}: it must be a number of seconds above 0")
    return value
