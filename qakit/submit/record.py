"""What the ledger knows about one submission."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, Literal, Self, TypeVar, get_args

from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter, ValidationError

from qakit.names import plain_name
from qakit.numbers import LARGEST, finite

T = TypeVar("T")

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
        return {"metric": self.metric} | {f"cv_{name}": getattr(self, name) for name in ("mean", "std", "low", "high")}


def _with_zone(value: str) -> str:
    if datetime.fromisoformat(value).tzinfo is None:
        raise ValueError("it has no time zone")
    return value


Whole = Annotated[int, Field(strict=True, ge=0, le=LARGEST)]
Figure = Annotated[float, BeforeValidator(finite)]
FileName = Annotated[str, BeforeValidator(plain_name)]
Moment = Annotated[str, AfterValidator(_with_zone)]
Day = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\d$")]


@dataclass(frozen=True, slots=True)
class Count:
    """How many submissions the team had made when it was looked."""

    day: Day
    """UTC date."""
    today: Whole
    total: Whole

    def same_as(self, later: Count) -> bool:
        """Whether nothing was submitted between the two; a new day begins to count at 0."""
        return later.total == self.total and later.today == (self.today if later.day == self.day else 0)


@dataclass(frozen=True, slots=True)
class Record:
    """One submission: what is sent, and what became of it."""

    submit_id: Annotated[str, Field(pattern="^[0-9a-f]{10}$")]
    competition: Annotated[str, Field(pattern="^[a-z0-9]+(-[a-z0-9]+)*$")]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    bytes: Whole
    rows: Whole
    file: FileName
    """The file's name, in ``folder``; of a notebook, the name of its output."""
    folder: FileName
    """Name of the submission's folder beside the ledger."""
    message: str = ""
    run_id: str | None = None
    notebook: Annotated[str, Field(pattern=r"^[\w-]+/[\w-]+@[0-9]+$")] | None = None
    """``owner/name@version`` when a notebook's output is submitted."""
    metric: str | None = None
    """The metric of the run's figure."""
    kaggle_metric: str | None = None
    """What Kaggle calls the competition's metric, where it says so."""
    cv_mean: Figure | None = None
    cv_std: Figure | None = None
    cv_low: Figure | None = None
    cv_high: Figure | None = None
    baselines: Mapping[str, Figure] = field(default_factory=dict)
    state: State = "INTENT"
    ref: Whole | None = None
    public: Figure | None = None
    private: Figure | None = None
    error: str | None = None
    count: Count | None = None
    """The team's submissions just before Kaggle was asked."""
    times: Mapping[State, Moment] = field(default_factory=dict)
    """State -> when it was last entered, UTC."""
    versions: Mapping[str, str | None] = field(default_factory=dict)
    git_commit: str | None = None

    @property
    def key(self) -> str:
        """What tells it from the others in the ledger."""
        return self.submit_id

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

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Record:
        """Read back :meth:`to_dict`; keys of later versions are passed over.

        Raises:
            ValueError: something is missing or has the wrong type.
        """
        record = checked(_checks(), data)
        if not record.folder.endswith(f"-{record.submit_id}"):
            raise ValueError(f"folder: {record.folder!r:.80} does not end in the submit_id {record.submit_id}")
        return record


def checked(checks: TypeAdapter[T], data: Mapping[str, Any]) -> T:
    """A ledger's line as the record that it should be; keys of later versions are passed over.

    Raises:
        ValueError: something is missing or has the wrong type.
    """
    if "state" not in data:
        raise ValueError("state is missing")
    try:
        return checks.validate_python(data)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        place, message = ".".join(map(str, problem["loc"])), problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "missing":
            raise ValueError(f"{place} is missing") from None
        raise ValueError(f"{place}: {problem['input']!r:.80}: {message}") from None


@cache
def _checks() -> TypeAdapter[Record]:
    """What each value of a line must be: others can write there, and a line names folders, commands and figures."""
    return TypeAdapter(Record)


def new_id() -> str:
    """A fresh submit id: 10 hexadecimal digits."""
    return secrets.token_hex(5)


def now() -> str:
    """The present moment: ISO 8601, UTC, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
