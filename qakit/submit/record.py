"""What the ledger knows about one submission."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, date, datetime
from typing import Any, Literal, Self, get_args

from qakit.names import plain_name
from qakit.numbers import LARGEST, finite

State = Literal["INTENT", "CREATING", "CREATED", "COMPLETE", "ERROR", "REJECTED", "UNKNOWN"]
STATES: tuple[State, ...] = get_args(State)
"""``INTENT``: to be uploaded; nothing is submitted. ``CREATING``: Kaggle was, or is about to be, asked to submit it.
``CREATED``: submitted, not scored yet. ``COMPLETE``, ``ERROR``: what scoring said. ``REJECTED``: Kaggle refused it.
``UNKNOWN``: it cannot be told whether it was submitted."""
SUBMITTED: frozenset[State] = frozenset({"CREATED", "COMPLETE", "ERROR"})


@dataclass(frozen=True, slots=True)
class Score:
    """A run's own figure on validation data, in the metric's unit (percent)."""

    metric: str | None = None
    mean: float | None = None
    std: float | None = None
    """Standard error of the mean over the questions."""
    low: float | None = None
    """Lower end of the bootstrap interval of the mean."""
    high: float | None = None

    def as_record(self) -> dict[str, Any]:
        """The figure by the names it has in a :class:`Record`."""
        return {
            "metric": self.metric,
            "cv_mean": self.mean,
            "cv_std": self.std,
            "cv_low": self.low,
            "cv_high": self.high,
        }


@dataclass(frozen=True, slots=True)
class Count:
    """How many submissions the team had made when it was looked."""

    day: str
    """UTC date."""
    today: int
    total: int

    def same_as(self, later: Count) -> bool:
        """Whether nothing was submitted between the two; a new day begins to count at 0."""
        return later.total == self.total and later.today == (self.today if later.day == self.day else 0)


@dataclass(frozen=True, slots=True)
class Record:
    """One submission: what is sent, and what became of it."""

    submit_id: str
    competition: str
    sha256: str
    bytes: int
    rows: int
    file: str
    """The file's name, in ``folder``; of a notebook, the name of its output."""
    folder: str
    """Name of the submission's folder beside the ledger."""
    message: str = ""
    run_id: str | None = None
    notebook: str | None = None
    """``owner/name@version`` when a notebook's output is submitted."""
    metric: str | None = None
    """The metric of the run's figure."""
    kaggle_metric: str | None = None
    """What Kaggle calls the competition's metric, where it says so."""
    cv_mean: float | None = None
    cv_std: float | None = None
    cv_low: float | None = None
    cv_high: float | None = None
    baselines: Mapping[str, float] = field(default_factory=dict)
    state: State = "INTENT"
    ref: int | None = None
    public: float | None = None
    private: float | None = None
    error: str | None = None
    count: Count | None = None
    """The team's submissions just before Kaggle was asked."""
    times: Mapping[str, str] = field(default_factory=dict)
    """State -> when it was last entered, UTC."""
    versions: Mapping[str, str | None] = field(default_factory=dict)
    git_commit: str | None = None

    @property
    def tag(self) -> str:
        """What tells the submission in Kaggle's list."""
        return f"[qk:{self.submit_id}]"

    @property
    def description(self) -> str:
        """The message as Kaggle gets it."""
        return f"{self.message} {self.tag}".strip()

    @property
    def submitted_at(self) -> str:
        """When it was submitted, as far as is known, for people."""
        moment = self.asked
        return "an unknown date" if moment is None else f"{moment:%Y-%m-%d %H:%M} UTC"

    @property
    def asked(self) -> datetime | None:
        """When Kaggle was asked to submit it; CREATED may come much later, when a lost answer is looked up."""
        return self.entered("CREATING") or self.entered("CREATED")

    def entered(self, state: State) -> datetime | None:
        """When the record entered a state; None if it never did."""
        text = self.times.get(state)
        return None if text is None else datetime.fromisoformat(text)

    def to(self, state: State, **changes: Any) -> Self:
        """The record in another state, now."""
        return replace(self, state=state, times={**self.times, state: now()}, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for the ledger and for programs."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read back :meth:`to_dict`; keys of later versions are passed over.

        Raises:
            ValueError: something is missing or has the wrong type.
        """
        values = {each.name: data[each.name] for each in fields(cls) if each.name in data}
        for name in _NEEDED:
            if name not in values:
                raise ValueError(f"{name} is missing")
        for name, value in values.items():
            try:
                _CHECKS[name](value)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
        if not values["folder"].endswith(f"-{values['submit_id']}"):
            raise ValueError(f"folder: {values['folder']!r:.80} does not end in the submit_id {values['submit_id']}")
        count = values.get("count")
        return cls(**values | {"count": None if count is None else Count(**count)})


def _text(value: object) -> None:
    if not isinstance(value, str):
        raise ValueError(f"{value!r:.80} is no text")


def _like(pattern: str, what: str) -> Callable[[object], None]:
    def check(value: object) -> None:
        _text(value)
        if not re.fullmatch(pattern, str(value)):
            raise ValueError(f"{value!r:.80} is {what}")

    return check


def _whole(value: object) -> None:
    if type(value) is not int or not 0 <= value <= LARGEST:
        raise ValueError(f"{value!r:.40} is no count")


def _moment(value: object) -> None:
    _text(value)
    if datetime.fromisoformat(str(value)).tzinfo is None:
        raise ValueError(f"{value!r:.80} has no time zone")


def _day(value: object) -> None:
    _text(value)
    date.fromisoformat(str(value))


def _state(value: object) -> None:
    if value not in STATES:
        raise ValueError(f"{value!r:.80} is no state")


def _object(each: Callable[[object], object], key: Callable[[object], object] = _text) -> Callable[[object], None]:
    def check(value: object) -> None:
        if not isinstance(value, dict):
            raise ValueError(f"{value!r:.80} is no object")
        for name, inner in value.items():
            key(name)
            each(inner)

    return check


def _count(value: object) -> None:
    if not isinstance(value, dict) or set(value) != {"day", "today", "total"}:
        raise ValueError(f"{value!r:.80} is no day with two counts")
    _day(value["day"])
    _whole(value["today"])
    _whole(value["total"])


def _or_none(check: Callable[[object], object]) -> Callable[[object], None]:
    def optional(value: object) -> None:
        if value is not None:
            check(value)

    return optional


_NEEDED = ("submit_id", "competition", "sha256", "bytes", "rows", "file", "folder", "state")
_CHECKS: Mapping[str, Callable[[object], object]] = {
    "submit_id": _like("[0-9a-f]{10}", "no submit id"),
    "competition": _like("[a-z0-9]+(-[a-z0-9]+)*", "no competition's name"),
    "sha256": _like("[0-9a-f]{64}", "no SHA-256"),
    "file": plain_name,
    "folder": plain_name,
    "notebook": _or_none(_like(r"[\w-]+/[\w-]+@[0-9]+", "no owner/name@version")),
    "message": _text,
    "state": _state,
    "count": _or_none(_count),
    "times": _object(_moment, key=_state),
    "versions": _object(_or_none(_text)),
    "baselines": _object(finite),
    **dict.fromkeys(("run_id", "metric", "kaggle_metric", "error", "git_commit"), _or_none(_text)),
    **dict.fromkeys(("bytes", "rows"), _whole),
    "ref": _or_none(_whole),
    **dict.fromkeys(("public", "private", "cv_mean", "cv_std", "cv_low", "cv_high"), _or_none(finite)),
}
"""What each value of a line must be: others can write there, and a line names folders, commands and figures."""


def new_id() -> str:
    """A fresh submit id: 10 hexadecimal digits."""
    return secrets.token_hex(5)


def now() -> str:
    """The present moment: ISO 8601, UTC, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
