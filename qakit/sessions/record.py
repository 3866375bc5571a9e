"""What the ledger knows about one session: a notebook at Kaggle that trains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, TypeAdapter

from qakit.submit.ledger import Book
from qakit.submit.record import Moment, Whole, checked, now
from qakit.submit.settings import SESSIONS_VARIABLE, ledger_folder

State = Literal["INTENT", "PUSHING", "RUNNING", "STOPPED", "FINISHED", "FETCHED", "FAILED", "REJECTED"]
"""``INTENT``: to be pushed; nothing runs. ``PUSHING``: Kaggle was, or is about to be, asked to start it. ``RUNNING``:
Kaggle has it, and its end has not been seen. ``STOPPED``: it ended in time, with a checkpoint. ``FINISHED``: all is
trained; ``FETCHED``: and here. ``FAILED``: it ended with an error. ``REJECTED``: Kaggle refused it."""
UNSETTLED: frozenset[State] = frozenset({"INTENT", "PUSHING", "RUNNING"})
AT_KAGGLE: frozenset[State] = frozenset({"PUSHING", "RUNNING", "STOPPED", "FINISHED"})
"""There is something of it, or may be."""
Kernel = Annotated[str, Field(pattern=r"^[\w-]+/[\w-]+$")]


@dataclass(frozen=True, slots=True)
class Session:
    """One session, and what became of it."""

    session_id: Annotated[str, Field(pattern="^[0-9a-f]{10}$")]
    run: Annotated[str, Field(min_length=1)]
    """The run's folder here, absolute."""
    job: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    """Stands for all that was packed."""
    folder: Annotated[str, Field(pattern="^[0-9]{8}-[0-9]{6}-[0-9a-f]{10}$")]
    """Stands for the training, on every machine: the name of its folder beside the ledger, which begins with the time,
    UTC, at which it began."""
    kernel: Kernel
    """The notebook, which is this session's own: ``owner/name``."""
    number: Annotated[int, Field(strict=True, ge=1)] = 1
    """Of the training's sessions."""
    follows: Kernel | None = None
    """The notebook whose output it continues."""
    state: State = "INTENT"
    version: Whole | None = None
    """The notebook's; above 1 where it was started more than once."""
    progress: str | None = None
    """How far the training is, at the session's end."""
    error: str | None = None
    times: Mapping[State, Moment] = field(default_factory=dict)
    """State -> when it was last entered, UTC."""

    @property
    def key(self) -> str:
        """What tells it from the others in the ledger."""
        return self.session_id

    @property
    def name(self) -> str:
        return Path(self.run).name

    @property
    def page(self) -> str:
        """Where the user sees it."""
        return f"https://www.kaggle.com/code/{self.kernel}"

    def to(self, state: State, **changes: Any) -> Self:
        """The record in another state, now."""
        return replace(self, state=state, times={**self.times, state: now()}, **changes)

    def since(self, state: State) -> float:
        """Seconds since it entered a state; a day if it never did."""
        text = self.times.get(state)
        return 86400.0 if text is None else (datetime.now(UTC) - datetime.fromisoformat(text)).total_seconds()

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for the ledger and for programs."""
        return asdict(self)


@cache
def _checks() -> TypeAdapter[Session]:
    return TypeAdapter(Session)


class SessionLedger(Book[Session]):
    where = "Your Work"

    @classmethod
    def here(cls) -> SessionLedger:
        """That of the environment, or of this folder."""
        return cls(ledger_folder(None, variable=SESSIONS_VARIABLE, default="sessions"))

    def record(self, line: Mapping[str, Any]) -> Session:
        return checked(_checks(), line)

    def training(self, folder: str) -> list[Session]:
        """The sessions of one training, the latest last."""
        return [each for each in self.read() if each.folder == folder]

    def of(self, run: Path) -> list[Session]:
        """The sessions of the latest training that had the run's place, the latest last."""
        folders = [each.folder for each in self.read() if each.run == str(run.absolute())]
        return self.training(folders[-1]) if folders else []

    def holder(self, run: Path) -> Session | None:
        """The last session of the training that has the run's place: what Kaggle has of it is not all here yet."""
        sessions = self.of(run)
        held = any(each.state in AT_KAGGLE for each in sessions) and sessions[-1].state != "FETCHED"
        return sessions[-1] if held else None
